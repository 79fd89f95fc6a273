"""uvicorn's HTTP/1.1 protocol with limits: how many connections there are, how long headers may take.

Head and body of a response are one write.
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
from askel_tui.api.shared.limits import ApiLimits

log = logging.getLogger(__name__)


class BufferedTransport:
    """A transport that joins the writes of one turn of the event loop: head and body are one packet."""

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
    """Answers 503 to a connection over the limit, as an ASGI application; earlier connections are still served."""
    if scope["type"] != "http":
        return
    message = "too many connections at once: come back soon, and keep fewer open"
    refused = ApiError(503, "connections", message, retry_after=1, headers={"Connection": "close"})
    await error_response(refused, secrets.token_hex(8))(scope, receive, send)


def raise_file_limit(wanted: int) -> None:
    """Raises the process's limit of open files to `wanted`, as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    except (OSError, ValueError):
        limit = soft
    if limit < wanted:
        log.warning(
            "only %d files may be open at once, %d are wanted: raise the limit (ulimit -n, LimitNOFILE)",
            limit,
            wanted,
        )


class BoundedProtocol(H11Protocol):
    """Closes a connection that sends its headers too slowly, or nothing; refuses one that is over the limit."""

    limits = ApiLimits()

    _headers_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Starts the timer of the headers."""
        super().connection_made(BufferedTransport(transport, self.loop))  # type: ignore[arg-type]
        # `connections` holds this one by now.
        if len(self.connections) > 2 * self.limits.max_connections:
            self.transport.close()
        elif len(self.connections) > self.limits.max_connections:
            self.app = refuse_connection
        self._headers_timer = self.loop.call_later(self.limits.headers_timeout_s, self._close_if_idle)

    def data_received(self, data: bytes) -> None:
        """Stops the timer once the headers are complete, starts it for the next request."""
        super().data_received(data)
        if self._serving:
            self._cancel_timer()
        elif self._headers_timer is None:
            self._headers_timer = self.loop.call_later(self.limits.headers_timeout_s, self._close_if_idle)

    @property
    def _serving(self) -> bool:
        """True if a request is in flight. uvicorn declares its cycle as never None, although it is None between
        requests."""
        return bool(self.cycle) and not self.cycle.response_complete

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the header timer of a connection that was closed."""
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


def http_protocol(limits: ApiLimits) -> type[asyncio.Protocol]:
    """Makes the protocol class of a server with the limits `limits`."""
    return type("LimitedProtocol", (BoundedProtocol,), {"limits": limits})
