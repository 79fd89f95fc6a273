"""Bounds of one HTTP request to Klaviyo, without the libraries that keep them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Timeouts in seconds and sizes of one request."""

    connect_timeout_s: float = 10
    read_timeout_s: float = 30
    """The longest pause between two pieces of a response, in seconds."""
    pool_timeout_s: float = 40
    """The longest wait for one of the transport's connections, in seconds."""
    attempt_timeout_s: float = 120
    """The longest time of one attempt from start to end, in seconds, however slowly its bytes trickle."""
    max_response_bytes: int = 64 * 1024 * 1024
