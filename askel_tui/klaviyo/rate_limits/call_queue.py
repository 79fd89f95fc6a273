"""The queue of one call: who waits for a slot in its windows, and in which order slots are handed out."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from askel_tui.klaviyo.errors import LONG_WAIT_S, RateLimited
from askel_tui.klaviyo.rate_limits.slots import MemorySlots, SharedSlots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from askel_tui.contract.endpoints import Window
    from askel_tui.klaviyo.priority import Priority
    from askel_tui.klaviyo.rate_limits.slots import Clock

RECENT_PARTS_PER_WINDOW = 6
"""The part of a window that counts as recent, the last sixth: its live calls are the guess for those of the next
sixth."""

FULL_WINDOW_POLL_S = 0.1
"""Interval at which a bulk call checks whether there are slots besides those that are kept for live calls, in
seconds."""

OTHER_CLIENT_MEMORY_S = 60
"""Time for which a sign of another client's use is believed, in seconds."""

OTHER_CLIENT_REPORT_INTERVAL_S = 600
"""Interval at which another client's use is reported while it goes on, in seconds."""


class WindowUsage(NamedTuple):
    """The usage of one window of a call. `foreign`: another client was seen to use the window within the last
    minute."""

    call: str
    window_s: int
    limit: int
    used: int
    foreign: bool


class CallQueue:
    """Hands out the slots of one call: to live callers first, otherwise in the order of asking."""

    def __init__(
        self,
        call: str,
        slots: MemorySlots | SharedSlots,
        clock: Clock,
        *,
        paced: bool,
        unpaced: bool = False,
        on_other_client: Callable[[], object] | None = None,
    ) -> None:
        """Makes the queue of one call.

        With `unpaced`, no live call waits here, so that bulk calls are spread only while another client is seen.
        `on_other_client` is called when another client is seen to use the same limit.
        """
        self._call = call
        self._slots = slots
        self._clock = clock
        self._paced = paced
        self._unpaced = unpaced
        self._on_other_client = on_other_client
        self.ignores_other_clients = False
        """True if bulk calls keep their pace although another client uses the same limit."""
        self._waiting: dict[Priority, deque[asyncio.Future[int]]] = {"live": deque(), "bulk": deque()}
        self._runner: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._closed_until = 0.0
        self._bulk_due = 0.0
        self._recent_live: deque[float] = deque()
        """The times at which the recent live calls took their slots."""
        self._other_client_at: float | None = None
        self._reported_at: float | None = None

    def tighten(self, windows: Iterable[Window]) -> None:
        """Keeps to the limits of `windows` from now on, where they are smaller."""
        self._slots.windows.tighten(windows)

    def record_answered(self, answered: float) -> None:
        """Counts a call that only the ledger recorded."""
        self._slots.windows.record_answered(answered)

    async def take(self, priority: Priority) -> int:
        """Waits for a slot and takes it. Returns the token to release it with.

        Raises `RateLimited` while Klaviyo asks to wait for so long that nobody is to wait here.
        """
        if (closed := self._closed_until - self._clock.now()) >= LONG_WAIT_S:
            raise self._too_long(closed)
        if not self._waiting["live"] and (priority == "live" or not self._waiting["bulk"]):
            token, _ = await self._try_take(priority)
            if token is not None:
                return token
        return await self._wait_in_line(priority)

    async def release(self, token: int) -> None:
        """Notes that the call of a slot was answered: the slot is free once the window's length has passed."""
        await self._slots.release(token)
        self._wake.set()

    def burst_mark(self) -> int:
        """Makes a mark for `compare_remaining`: the number of slots that were ever taken, without those of the burst
        window."""
        windows = self._slots.windows
        shortest = next(windows.limits())
        return windows.total_taken - windows.count(shortest.seconds, self._clock.now())

    def compare_remaining(self, mark: int, remaining: int) -> None:
        """Compares RateLimit-Remaining with our own use of the burst window since the mark.

        Less left than our own calls explain means that another client uses the limit too. With nothing left,
        nothing is sent for the length of the window.
        """
        windows = self._slots.windows
        if isinstance(self._slots, SharedSlots):
            return
        shortest = next(windows.limits())
        if remaining < shortest.limit - (windows.total_taken - mark):
            self._note_other_client()
            if remaining == 0:
                self._close_for(shortest.seconds)

    def note_throttled(self, retry_after: float | None) -> None:
        """Notes a 429, which our own calls do not explain: nothing is sent for `retry_after` seconds (or one)."""
        self._note_other_client()
        self._close_for(retry_after if retry_after is not None else 1.0)
        closed = self._closed_until - self._clock.now()
        if closed >= LONG_WAIT_S:
            for queue in self._waiting.values():
                while queue:
                    waiter = queue.popleft()
                    if not waiter.done():
                        waiter.set_exception(self._too_long(closed))

    def _too_long(self, closed: float) -> RateLimited:
        return RateLimited(
            f"Klaviyo asked not to be called for {self._call} within the next {closed / 60:.0f} minutes.",
            retry_after=closed,
        )

    def usage(self) -> Iterator[WindowUsage]:
        """Yields the usage of the windows, the shortest first."""
        now = self._clock.now()
        for window in self._slots.windows.limits():
            count = self._slots.windows.count(window.seconds, now)
            yield WindowUsage(self._call, window.seconds, window.limit, count, not self._is_alone())

    async def aclose(self) -> None:
        """Cancels all waits for a slot."""
        for queue in self._waiting.values():
            while queue:
                queue.popleft().cancel()
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)

    async def _wait_in_line(self, priority: Priority) -> int:
        waiter: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting[priority].append(waiter)
        self._wake.set()
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._serve())
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                await self.release(waiter.result())
            raise

    async def _serve(self) -> None:
        """Hands out slots until nobody waits."""
        try:
            while (priority := self._next_priority()) is not None:
                self._wake.clear()
                token, wait = await self._try_take(priority)
                if token is None:
                    await self._sleep(wait)
                elif (first := self._next_priority()) is not None:
                    self._waiting[first].popleft().set_result(token)
                else:
                    await self.release(token)
        except Exception as error:  # the ledger failed: every waiting caller gets the error
            for queue in self._waiting.values():
                while queue:
                    waiter = queue.popleft()
                    if not waiter.done():
                        waiter.set_exception(error)

    def _next_priority(self) -> Priority | None:
        """Returns the priority whose turn it is. Waiters that gave up are dropped."""
        for priority, queue in self._waiting.items():
            while queue and queue[0].done():
                queue.popleft()
            if queue:
                return priority
        return None

    async def _try_take(self, priority: Priority) -> tuple[int | None, float | None]:
        """Tries to take a slot: (token, None), or (None, seconds to wait, None where an answer has to come first)."""
        now = self._clock.now()
        closed = self._closed_until - now
        at_once = self._unpaced and (self.ignores_other_clients or self._is_alone())
        paced = priority == "bulk" and self._paced and not at_once
        window = self._pacing_window()
        if priority == "bulk":
            closed = max(closed, self._bulk_due - now)
        if closed <= 0 and paced and self._kept_for_live(window, now):
            closed = FULL_WINDOW_POLL_S
        if closed > 0:
            return None, closed
        token, wait = await self._slots.take()
        if token is not None and priority == "live":
            self._recent_live.append(now)
            self._count_recent_live(window, now)
        elif token is not None and paced:
            # A twentieth of the window may go at once; after that, evenly, in what live calls leave of it.
            behind = now - window.seconds / 20
            live = RECENT_PARTS_PER_WINDOW * self._count_recent_live(window, now)
            left = max(window.limit / 2, window.limit - live)
            self._bulk_due = max(self._bulk_due, behind) + window.seconds / left
        return token, wait

    def _kept_for_live(self, window: Window, now: float) -> bool:
        """Checks whether the free slots are kept for the live calls of the next moments: as many as were recent.

        Slots that were taken at once in the beginning come free at once too, a window later; just before that, the
        window is full.
        """
        kept = min(self._count_recent_live(window, now), window.limit // 4)
        return bool(kept) and self._slots.windows.count(window.seconds, now) + kept >= window.limit

    def _count_recent_live(self, window: Window, now: float) -> int:
        """Counts the recent live calls. Older ones are forgotten."""
        while self._recent_live and self._recent_live[0] <= now - window.seconds / RECENT_PARTS_PER_WINDOW:
            self._recent_live.popleft()
        return len(self._recent_live)

    def _note_other_client(self) -> None:
        self._other_client_at = now = self._clock.now()
        due = self._reported_at is None or now - self._reported_at >= OTHER_CLIENT_REPORT_INTERVAL_S
        if self._on_other_client is not None and due:
            self._reported_at = now
            self._on_other_client()

    def _is_alone(self) -> bool:
        """Checks whether no other client was seen to use this limit within the last minute."""
        at = self._other_client_at
        return at is None or self._clock.now() - at >= OTHER_CLIENT_MEMORY_S

    def _pacing_window(self) -> Window:
        """Finds the longest window up to a minute: the one over which bulk calls are spread."""
        return max(
            (window for window in self._slots.windows.limits() if window.seconds <= 60),
            key=lambda window: window.seconds,
        )

    def _close_for(self, seconds: float) -> None:
        self._closed_until = max(self._closed_until, self._clock.now() + seconds)

    async def _sleep(self, seconds: float | None) -> None:
        """Sleeps until `seconds` are over or something changes; without end for None."""
        timer = None if seconds is None else self._clock.call_later(seconds, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            if timer is not None:
                timer.cancel()
