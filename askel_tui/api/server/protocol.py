"""uvicorn's HTTP/1.1 protocol, with bounds on how many connections there are and how long a new one may take, and one
write for each answer.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import secrets
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from askel_tui.api.shared.errors import ApiError, error_response

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 2_000
"""Connections that are served at once."""

MAX_OPEN_FILES = 3 * MAX_CONNECTIONS
"""Open files that the process asks for: these connections, as many that are told to come back, and its own."""

HEADERS_TIMEOUT_S = 10.0
"""How long a request may take until its headers are here, in seconds; what sends nothing is closed a little later."""


class BufferedTransport:
    """A transport that sends what one turn of the loop writes at once: head and body of an answer are one packet."""

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._waiting: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Keeps the bytes until the loop's next turn."""
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(data)

    def close(self) -> None:
        """Sends what was written, then closes."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._waiting:
            data, self._waiting = b"".join(self._waiting), []
            self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


async def refuse_connection(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers for connections that are too many; those that were there before are served on."""
    if scope["type"] != "http":
        return
    told = "too many connections at once: come back soon, and keep fewer open"
    refused = ApiError(503, "connections", told, retry_after=1, headers={"Connection": "close"})
    await error_response(refused, secrets.token_hex(8))(scope, receive, send)


def raise_file_limit() -> None:
    """Raises the process's own limit of open files as far as the system allows, where it is too low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= MAX_OPEN_FILES:
        return
    wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(MAX_OPEN_FILES, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        wanted = soft
    if wanted < MAX_OPEN_FILES:
        log.warning(
            "only %d files may be open at once, %d are wanted: raise the limit (ulimit -n, LimitNOFILE)",
            wanted,
            MAX_OPEN_FILES,
        )


class BoundedProtocol(H11Protocol):
    """Closes a connection that sends its headers too slowly, or nothing; refuses one that is too many."""

    _headers_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """A connection came."""
        super().connection_made(BufferedTransport(transport, self.loop))  # type: ignore[arg-type]
        # It is among them by now.
        if len(self.connections) > 2 * MAX_CONNECTIONS:
            self.transport.close()
        elif len(self.connections) > MAX_CONNECTIONS:
            self.app = refuse_connection
        self._headers_timer = self.loop.call_later(HEADERS_TIMEOUT_S, self._close_if_idle)

    def data_received(self, data: bytes) -> None:
        """Bytes came: of a request that is served now, or of one whose headers are not complete."""
        super().data_received(data)
        if self._serving:
            self._cancel_timer()
        elif self._headers_timer is None:
            self._headers_timer = self.loop.call_later(HEADERS_TIMEOUT_S, self._close_if_idle)

    @property
    def _serving(self) -> bool:
        """Whether a request is under way; uvicorn types its cycle as always there."""
        return bool(self.cycle) and not self.cycle.response_complete

    def connection_lost(self, exc: Exception | None) -> None:
        """It went."""
        self._cancel_timer()
        super().connection_lost(exc)

    def _cancel_timer(self) -> None:
        if self._headers_timer is not None:
            self._headers_timer.cancel()
            self._headers_timer = None

    def _close_if_idle(self) -> None:
        self._headers_timer = None
        if not self._serving:
            self.transport.close()


def http_protocol() -> type[asyncio.Protocol]:
    """The class that the server speaks HTTP with."""
    return BoundedProtocol
