"""uvicorn's HTTP/1.1 protocol, with a bound on how long a new connection may take, and one write for each answer."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS_S = 10.0
"""How long the first request of a connection may take until its headers are here, in seconds."""


class Gathered:
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


class Bounded(H11Protocol):
    """Closes a connection that sends its headers too slowly, or nothing."""

    def connection_made(self, transport: Any) -> None:
        """A connection came."""
        super().connection_made(Gathered(transport, self.loop))  # type: ignore[arg-type]
        self._patience = self.loop.call_later(HEADERS_S, self._too_slow)

    @property
    def _asked(self) -> bool:
        """Whether a request's headers have come in; uvicorn types its cycle as always there."""
        return bool(self.cycle)

    def connection_lost(self, exc: Exception | None) -> None:
        """It went."""
        self._patience.cancel()
        super().connection_lost(exc)

    def _too_slow(self) -> None:
        if not self._asked:
            self.transport.close()


def protocol() -> type[asyncio.Protocol]:
    """The class that the server speaks HTTP with."""
    return Bounded
