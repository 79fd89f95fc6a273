"""Limits per token: so many requests a second, counted in this process."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from askel_tui.store.state.tokens import TokenDoc

BURST_S = 2.0
"""How many seconds' worth of requests may come at once."""


class TokenLimiter:
    """A bucket per limited token, which fills up with time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, token: TokenDoc) -> int:
        """0 where the token may go on, else the seconds after which it may."""
        if token.rate is None:
            return 0
        now = self._clock()
        room = token.rate * BURST_S
        left, at = self._buckets.get(token.id, (room, now))
        left = min(room, left + (now - at) * token.rate)
        if left >= 1:
            self._buckets[token.id] = (left - 1, now)
            return 0
        self._buckets[token.id] = (left, now)
        return max(1, math.ceil((1 - left) / token.rate))

    def retain(self, ids: set[str]) -> None:
        """Forgets the buckets of tokens that are no more."""
        self._buckets = {name: bucket for name, bucket in self._buckets.items() if name in ids}
