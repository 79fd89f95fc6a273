"""Limits of one server of the HTTP API: times, sizes and counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ApiLimits:
    """The limits that one server sets for its clients."""

    body_timeout_s: float = 20.0
    """Time that a body may take to arrive, in seconds."""
    headers_timeout_s: float = 10.0
    """Time that a request's headers may take to arrive, in seconds; a connection that sends nothing is closed a
    little later."""
    max_buffered_bytes: int = 32_000_000
    """Bytes of all bodies that are in memory at once."""
    max_connections: int = 2_000
    """Connections that are served at once; as many again are answered with 503."""

    @property
    def max_open_files(self) -> int:
        """Number of files that the process may need to open: all those connections, and its own."""
        return 3 * self.max_connections
