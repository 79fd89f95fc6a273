"""uvicorn's HTTP/1.1 protocol, with a bound on how long a new connection may take to say what it wants."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS_S = 10.0
"""How long the first request of a connection may take until its headers are here, in seconds."""


class Bounded(H11Protocol):
    """Closes a connection that sends its headers too slowly, or nothing."""

    def connection_made(self, transport: Any) -> None:
        """A connection came."""
        super().connection_made(transport)
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
