"""Slots in the windows of one call. Pure: the time is an argument, in seconds on any clock that never goes back.

Klaviyo counts calls in fixed windows whose start we cannot see. So a slot is occupied from the moment it is taken
(nothing is sent before) until its answer plus the window's length: two calls that the server may count in one window
are then always counted together here, wherever its windows begin and however long the call was in flight.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from typing import TYPE_CHECKING

from askel_tui.contract.endpoints import Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CLOCK_DRIFT = 0.0005
"""The largest drift between two clocks, as a part of the time that passes."""


class WindowCounter:
    """Counts the occupied slots of one call in all its windows. A window's limit can only become smaller."""

    def __init__(self, windows: Iterable[Window]) -> None:
        self._limits: dict[int, int] = {}
        self._answered_at: dict[int, deque[float]] = {}
        self._open = 0
        self.total_taken = 0
        """The number of slots that were ever taken."""
        self.tighten(windows)

    def tighten(self, windows: Iterable[Window]) -> None:
        """Takes over limits that are smaller, and windows that were not known."""
        for window in windows:
            known = self._limits.get(window.seconds, window.limit)
            self._limits[window.seconds] = min(known, window.limit)
            self._answered_at.setdefault(window.seconds, deque())

    def limits(self) -> Iterator[Window]:
        """Yields the windows with their limits, the shortest first."""
        for seconds in sorted(self._limits):
            yield Window(self._limits[seconds], seconds)

    def count(self, seconds: int, now: float) -> int:
        """Counts the occupied slots of a window."""
        answered = self._answered_at[seconds]
        over = now - seconds * (1 + CLOCK_DRIFT)
        while answered and answered[0] <= over:
            answered.popleft()
        return self._open + len(answered)

    def seconds_until_free(self, now: float) -> float | None:
        """Returns the seconds until every window has a free slot: 0 for now; None where an answer has to come first."""
        longest = 0.0
        for seconds, limit in self._limits.items():
            over = self.count(seconds, now) - limit + 1
            if over <= 0:
                continue
            answered = self._answered_at[seconds]
            if over > len(answered):
                return None
            longest = max(longest, answered[over - 1] + seconds * (1 + CLOCK_DRIFT) - now)
        return longest

    def take(self, now: float) -> bool:
        """Takes a slot if one is free. Returns False without one."""
        if self.seconds_until_free(now) != 0:
            return False
        self._open += 1
        self.total_taken += 1
        return True

    def release(self, now: float) -> None:
        """Notes that the call of a slot was answered, or that its answer will never come."""
        self._open -= 1
        self.record_answered(now)

    def record_answered(self, answered: float) -> None:
        """Counts a call that any process answered at `answered`."""
        for times in self._answered_at.values():
            if not times or times[-1] <= answered:
                times.append(answered)
            else:
                times.insert(bisect_right(times, answered), answered)
