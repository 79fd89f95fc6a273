"""Periodic work: decides when a round is due again."""

from __future__ import annotations


class Interval:
    """Keeps two rounds of periodic work apart. A clock that was set back makes the next one due at once."""

    def __init__(self) -> None:
        self._last: int | None = None

    def elapsed(self, now: int, interval_ms: int) -> bool:
        """Checks whether the interval has passed since the last round; if so, `now` becomes the time of the last
        round."""
        if self._last is not None and 0 <= now - self._last < interval_ms:
            return False
        self._last = now
        return True
