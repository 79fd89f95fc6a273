"""Throughput: operations a second over the last minute, from a counter that is read now and then. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise

BUCKET_MS = 2_000
BUCKET_COUNT = 30
"""The number of steps, of two seconds each, that make a minute."""


@dataclass(slots=True)
class Throughput:
    """The rates by name over the last minute. Times are milliseconds."""

    _readings: dict[str, deque[tuple[int, int]]] = field(default_factory=dict)

    def add_reading(self, name: str, now: int, total: int) -> None:
        """Notes that the counter of a name stood at `total` at the time `now`."""
        seen = self._readings.setdefault(name, deque())
        if seen and (total < seen[-1][1] or now < seen[-1][0]):
            seen.clear()
        if len(seen) >= 2 and seen[-1][1] == total and seen[-2][1] == total:
            seen[-1] = (now, total)
        else:
            seen.append((now, total))
        while len(seen) > 2 and seen[1][0] < now - (BUCKET_COUNT + 1) * BUCKET_MS:
            seen.popleft()

    def rates(self, name: str, now: int) -> list[float]:
        """Returns the operations a second in each step of the last minute, oldest first."""
        seen = self._readings.get(name)
        if not seen:
            return [0.0] * BUCKET_COUNT
        first = now - BUCKET_COUNT * BUCKET_MS
        edges = [self._interpolate(seen, first + step * BUCKET_MS) for step in range(BUCKET_COUNT + 1)]
        return [max(0.0, (after - before) * 1000 / BUCKET_MS) for before, after in pairwise(edges)]

    def is_moving(self, now: int) -> bool:
        """Checks whether any operation was sent within the last minute."""
        return any(any(self.rates(name, now)) for name in self._readings)

    @staticmethod
    def _interpolate(seen: deque[tuple[int, int]], when: int) -> float:
        """Interpolates the counter at a time on a straight line between two readings."""
        before = seen[0]
        for reading in seen:
            if reading[0] >= when:
                span = reading[0] - before[0]
                if span <= 0:
                    return float(reading[1])
                return before[1] + (reading[1] - before[1]) * (when - before[0]) / span
            before = reading
        return float(before[1])
