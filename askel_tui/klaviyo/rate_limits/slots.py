"""The storage of slots, in this process or in a ledger that all processes share, and the clock that it goes by."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Protocol

from askel_tui.klaviyo.rate_limits.windows import CLOCK_DRIFT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from askel_tui.klaviyo.rate_limits.windows import WindowCounter

MAX_SHARED_WAIT_S = 1.0
"""Longest wait before a shared slot is asked for again, in seconds: the answers of other processes are not
announced."""

MINUTE_S = 60
"""Length of the window whose reserve the owner may use while no guest does, in seconds."""

CLOCK_SET_MS = 1_000
"""The difference, in milliseconds, from which on a clock counts as set."""

RESERVE_POLL_S = 0.25
"""Interval at which the owner and the guests check whether the other side has left slots of the minute, in seconds."""


def reserve_name(call: str) -> str:
    """Returns the name under which guests take slots of a call."""
    return f"{call} (reserve)"


class SlotLedger(Protocol):
    """A ledger of the slots that all processes share; the journal implements it. Times are milliseconds since 1970."""

    async def take_slot(
        self, account: str, call: str, windows: Sequence[tuple[int, int]], now: int
    ) -> tuple[int | None, int]:
        """Takes a slot: (slot, 0), or (None, milliseconds to wait). `windows` are (limit, milliseconds)."""
        ...

    async def release_slot(self, slot: int, now: int) -> None: ...

    async def realign_slots(self, now: int) -> None:
        """Moves the last slots to where they are on a clock that was set."""
        ...

    async def taken_slots(self, account: str, since: int) -> list[tuple[str, int, int | None]]:
        """Lists (call, taken, answered) of the slots that were taken since `since`."""
        ...

    async def count_occupied_slots(self, account: str, call: str, since: int) -> int:
        """Counts a call's slots that were taken or answered at `since` or later."""
        ...


class Clock(Protocol):
    """The time as the rate limits measure it."""

    def now(self) -> float:
        """Reads a clock that never goes back, in seconds."""
        ...

    def wall(self) -> int:
        """Returns the time in milliseconds since 1970."""
        ...

    def call_later(self, seconds: float, then: Callable[[], object]) -> asyncio.TimerHandle: ...


class SystemClock:
    """The time of this machine."""

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> int:
        return time.time_ns() // 1_000_000

    def call_later(self, seconds: float, then: Callable[[], object]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, then)


class ClockCheck:
    """Has the slots of a ledger realigned once the machine's clock was set."""

    def __init__(self, ledger: SlotLedger | None, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._ahead_ms = self._read_ahead_ms()

    async def check(self) -> None:
        """Realigns the slots where the clock was set since the last time."""
        ahead_ms = self._read_ahead_ms()
        if self._ledger is not None and abs(ahead_ms - self._ahead_ms) > CLOCK_SET_MS:
            self._ahead_ms = ahead_ms
            await self._ledger.realign_slots(self._clock.wall())

    def _read_ahead_ms(self) -> float:
        return self._clock.wall() - self._clock.now() * 1000


class MemorySlots:
    """The slots that this process alone hands out."""

    def __init__(self, windows: WindowCounter, clock: Clock) -> None:
        self.windows = windows
        self._clock = clock

    async def take(self) -> tuple[int | None, float | None]:
        """Takes a slot: (token, None), or (None, seconds to wait, None where an answer has to come first)."""
        now = self._clock.now()
        if self.windows.take(now):
            return 0, None
        return None, self.windows.seconds_until_free(now)

    async def release(self, token: int) -> None:
        """Notes that the slot's call was answered."""
        self.windows.release(self._clock.now())


class OwnerSlots(MemorySlots):
    """The slots of the owner: in memory, except for the reserve of the minute, which it shares with guests.

    Up to the reserve nothing is asked. Beyond it the ledger says how many slots guests occupy; those are theirs.
    """

    def __init__(
        self, windows: WindowCounter, clock: Clock, ledger: SlotLedger, account: str, call: str, free: int
    ) -> None:
        """Makes the owner's slots of one call; `free` is the number of slots of the minute that the owner has for
        itself."""
        super().__init__(windows, clock)
        self._ledger = ledger
        self._account = account
        self._call = call
        self._free = free

    async def take(self) -> tuple[int | None, float | None]:
        """Takes a slot, as `MemorySlots.take` does."""
        minute = next((one for one in self.windows.limits() if one.seconds == MINUTE_S), None)
        if minute is not None:
            used = self.windows.count(MINUTE_S, self._clock.now())
            if used >= self._free and used + await self._guest_slots() >= minute.limit:
                return None, RESERVE_POLL_S
        return await super().take()

    async def _guest_slots(self) -> int:
        return await self._ledger.count_occupied_slots(
            self._account, reserve_name(self._call), self._clock.wall() - MINUTE_S * 1000
        )


class SharedSlots:
    """The slots that the ledger hands out to all processes. `windows` mirrors those that this process took."""

    def __init__(
        self,
        ledger: SlotLedger,
        account: str,
        call: str,
        windows: WindowCounter,
        clock: Clock,
        owner_limit: tuple[str, int] | None = None,
    ) -> None:
        """Makes the shared slots of one call; `owner_limit` is the owner's call, and the minute's limit for its slots
        and the guests' together."""
        self.windows = windows
        self._ledger = ledger
        self._account = account
        self._call = call
        self._clock = clock
        self._owner_limit = owner_limit

    async def take(self) -> tuple[int | None, float | None]:
        """Takes a slot: (token, None), or (None, seconds to wait)."""
        if self._owner_limit is not None and await self._owner_used_up(*self._owner_limit):
            return None, RESERVE_POLL_S
        limits = [
            (one.limit, math.ceil(one.seconds * 1000 * (1 + CLOCK_DRIFT))) for one in self.windows.limits()
        ]
        token, wait = await self._ledger.take_slot(self._account, self._call, limits, self._clock.wall())
        if token is None:
            return None, min(max(wait / 1000, 0.001), MAX_SHARED_WAIT_S)
        return token, None

    async def release(self, token: int) -> None:
        """Notes in the ledger, for all processes, that the slot's call was answered."""
        self.windows.record_answered(self._clock.now())
        # The next millisecond: a ledger of whole ones must not call a window over before it is.
        await self._ledger.release_slot(token, self._clock.wall() + 1)

    async def _owner_used_up(self, call: str, limit: int) -> bool:
        """Checks whether the owner has used up the minute, reserve included."""
        since = self._clock.wall() - MINUTE_S * 1000
        used = await self._ledger.count_occupied_slots(self._account, call, since)
        return used + await self._ledger.count_occupied_slots(self._account, self._call, since) >= limit
