"""Rate limits of tokens, in requests a second, counted in this process."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from askel_tui.store.state.tokens import TokenDoc

BURST_S = 2.0
"""The size of a burst: as many requests as the rate allows in this time, in seconds."""


class TokenLimiter:
    """A token bucket for each token that has a rate."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, token: TokenDoc) -> int:
        """Counts a request; returns 0 where the token may make it, else the seconds after which it may."""
        if token.rate is None:
            return 0
        now = self._clock()
        capacity = token.rate * BURST_S
        left, at = self._buckets.get(token.id, (capacity, now))
        left = min(capacity, left + (now - at) * token.rate)
        if left >= 1:
            self._buckets[token.id] = (left - 1, now)
            return 0
        self._buckets[token.id] = (left, now)
        return max(1, math.ceil((1 - left) / token.rate))

    def retain(self, ids: set[str]) -> None:
        """Drops the buckets of all tokens except `ids`."""
        self._buckets = {name: bucket for name, bucket in self._buckets.items() if name in ids}
