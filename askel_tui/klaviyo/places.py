"""Where places are kept: in this process, or in a ledger that all share. And the time they are kept by."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from askel_tui.klaviyo.windows import Windows

LONGEST_NAP_S = 1.0
"""Answers of other processes are not heard of: a shared place is asked for again after this long at most."""

DRIFT = 1.0005
"""How much longer than its length a window is kept, for clocks that run apart."""


class Ledger(Protocol):
    """Places that all processes share; the journal is one. Times are milliseconds since 1970."""

    async def take_place(
        self, account: str, call: str, windows: Sequence[tuple[int, int]], now: int
    ) -> tuple[int | None, int]:
        """(place, 0), or (None, milliseconds to wait); windows are (limit, milliseconds)."""
        ...

    async def answer_place(self, place: int, now: int) -> None: ...

    async def places(self, account: str, since: int) -> list[tuple[str, int, int | None]]:
        """(call, taken, answered) not older than `since`."""
        ...


class Clock(Protocol):
    """Time as budgets need it."""

    def now(self) -> float:
        """Seconds on a clock that never goes back."""
        ...

    def wall(self) -> int:
        """Milliseconds since 1970."""
        ...

    def call_later(self, seconds: float, then: Callable[[], object]) -> asyncio.TimerHandle: ...


class SystemClock:
    """This machine's time."""

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> int:
        return time.time_ns() // 1_000_000

    def call_later(self, seconds: float, then: Callable[[], object]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, then)


class MemoryPlaces:
    """Places that this process alone hands out."""

    def __init__(self, windows: Windows, clock: Clock) -> None:
        self.windows = windows
        self._clock = clock

    async def take(self) -> tuple[int | None, float | None]:
        """(token, None), or (None, seconds to wait, None where an answer has to come first)."""
        now = self._clock.now()
        if self.windows.take(now):
            return 0, None
        return None, self.windows.wait(now)

    async def answer(self, token: int) -> None:
        """Notes the answer."""
        self.windows.answer(self._clock.now())


class SharedPlaces:
    """Places that the ledger hands out to all processes; `windows` mirrors what this one took."""

    def __init__(self, ledger: Ledger, account: str, call: str, windows: Windows, clock: Clock) -> None:
        self.windows = windows
        self._ledger = ledger
        self._account = account
        self._call = call
        self._clock = clock

    async def take(self) -> tuple[int | None, float | None]:
        """(token, None), or (None, seconds to wait)."""
        limits = [(one.limit, math.ceil(one.seconds * 1000 * DRIFT)) for one in self.windows.limits()]
        token, wait = await self._ledger.take_place(self._account, self._call, limits, self._clock.wall())
        if token is None:
            return None, min(max(wait / 1000, 0.001), LONGEST_NAP_S)
        return token, None

    async def answer(self, token: int) -> None:
        """Notes the answer where all processes see it."""
        self.windows.remember(self._clock.now())
        # The next millisecond: a ledger of whole ones must not call a window over before it is.
        await self._ledger.answer_place(token, self._clock.wall() + 1)
