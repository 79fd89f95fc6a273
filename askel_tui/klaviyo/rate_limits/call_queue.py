"""A bucket: who waits for a place in one call's windows, and in which order they get it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Literal

from askel_tui.klaviyo.rate_limits.slots import MemorySlots, SharedSlots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from askel_tui.contract.endpoints import Window
    from askel_tui.klaviyo.rate_limits.slots import Clock

Priority = Literal["live", "bulk"]
"""Live calls go before bulk ones, and bulk ones are spread over the minute."""

RECENT_PARTS_PER_WINDOW = 6
"""A sixth of a window is lately: from how many live calls came then, those of the next are guessed."""

FULL_WINDOW_POLL_S = 0.1
"""How often a bulk call looks whether there is room beside what is kept for live ones, in seconds."""

OTHER_CLIENT_MEMORY_S = 60
"""How long a sign of somebody else's use is believed."""

OTHER_CLIENT_REPORT_INTERVAL_S = 600
"""How often it is told that somebody else uses the budget, while that goes on, in seconds."""


class CallQueue:
    """Hands out the places of one call, live callers first and otherwise in the order they came."""

    def __init__(
        self,
        slots: MemorySlots | SharedSlots,
        clock: Clock,
        *,
        paced: bool,
        unpaced: bool = False,
        on_other_client: Callable[[], object] | None = None,
    ) -> None:
        """`unpaced`: no live call comes here, so bulk ones are spread for the sake of other integrations only.

        `tell` is called where somebody else is seen to use the budget.
        """
        self._slots = slots
        self._clock = clock
        self._paced = paced
        self._unpaced = unpaced
        self._on_other_client = on_other_client
        self.ignores_other_clients = False
        """Whether bulk calls keep their pace although somebody else uses the budget."""
        self._waiting: dict[Priority, deque[asyncio.Future[int]]] = {"live": deque(), "bulk": deque()}
        self._runner: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._closed_until = 0.0
        self._bulk_due = 0.0
        self._recent_live: deque[float] = deque()
        """When live calls took their places lately."""
        self._other_client_at: float | None = None
        self._reported_at: float | None = None

    def tighten(self, windows: Iterable[Window]) -> None:
        """Keeps to smaller limits from now on."""
        self._slots.windows.tighten(windows)

    def record_answered(self, answered: float) -> None:
        """Counts a call of which only the ledger knew."""
        self._slots.windows.record_answered(answered)

    async def take(self, priority: Priority) -> int:
        """Waits for a place and takes it."""
        token = await self.take_if_free(priority)
        return token if token is not None else await self._queue(priority)

    async def take_if_free(self, priority: Priority) -> int | None:
        """Takes a place if there is room and nobody has an older claim."""
        if self._waiting["live"] or (priority == "bulk" and self._waiting["bulk"]):
            return None
        token, _ = await self._try_take(priority)
        return token

    async def release(self, token: int) -> None:
        """Notes that the call of a place was answered."""
        await self._slots.release(token)
        self._wake.set()

    def next_free(self) -> float:
        """Seconds until there is room, as far as this process knows; at least a moment while others wait."""
        now = self._clock.now()
        wait = self._slots.windows.seconds_until_free(now)
        queued = 0.05 if any(self._waiting.values()) else 0.0
        return max(queued, self._closed_until - now, 0.05 if wait is None else wait)

    def burst_mark(self) -> int:
        """How many places were ever taken, less those of the burst window: a mark for `compare`."""
        windows = self._slots.windows
        shortest = next(windows.limits())
        return windows.total_taken - windows.count(shortest.seconds, self._clock.now())

    def compare_remaining(self, mark: int, remaining: int) -> None:
        """Compares RateLimit-Remaining with what we used of the burst window since the mark.

        Less left than our own calls explain: somebody else spends this budget too. With nothing left, the
        window is given time to pass.
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
        """A 429, though we counted room: others spend this budget. Nothing is sent until it is over."""
        self._note_other_client()
        self._close_for(retry_after if retry_after is not None else 1.0)

    def usage(self) -> Iterator[dict[str, Any]]:
        """One row per window."""
        now = self._clock.now()
        foreign = not self._alone()
        for window in self._slots.windows.limits():
            count = self._slots.windows.count(window.seconds, now)
            yield {"window_s": window.seconds, "limit": window.limit, "used": count, "foreign": foreign}

    async def aclose(self) -> None:
        """Ends the waiting: those who wait are cancelled."""
        for queue in self._waiting.values():
            while queue:
                queue.popleft().cancel()
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)

    async def _queue(self, priority: Priority) -> int:
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
        """Gives places to those who wait until nobody does."""
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
        except Exception as error:  # the ledger failed: everybody who waits has to know
            for queue in self._waiting.values():
                while queue:
                    waiter = queue.popleft()
                    if not waiter.done():
                        waiter.set_exception(error)

    def _next_priority(self) -> Priority | None:
        """Whose turn it is; those who gave up waiting are passed over."""
        for priority, queue in self._waiting.items():
            while queue and queue[0].done():
                queue.popleft()
            if queue:
                return priority
        return None

    async def _try_take(self, priority: Priority) -> tuple[int | None, float | None]:
        now = self._clock.now()
        closed = self._closed_until - now
        hurry = self._unpaced and (self.ignores_other_clients or self._alone())
        paced = priority == "bulk" and self._paced and not hurry
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
            self._recent_live_calls(window, now)
        elif token is not None and paced:
            # A twentieth of the window may go at once; after that, evenly, in what live calls leave of it.
            behind = now - window.seconds / 20
            left = max(
                window.limit / 2,
                window.limit - RECENT_PARTS_PER_WINDOW * self._recent_live_calls(window, now),
            )
            self._bulk_due = max(self._bulk_due, behind) + window.seconds / left
        return token, wait

    def _kept_for_live(self, window: Window, now: float) -> bool:
        """Whether what is free is for the live calls of the next moments: as many as came lately.

        What went at once in the beginning comes free at once too, a window later; just before that, the window is full.
        """
        kept = min(self._recent_live_calls(window, now), window.limit // 4)
        return bool(kept) and self._slots.windows.count(window.seconds, now) + kept >= window.limit

    def _recent_live_calls(self, window: Window, now: float) -> int:
        """How many live calls came lately; the older ones are forgotten."""
        while self._recent_live and self._recent_live[0] <= now - window.seconds / RECENT_PARTS_PER_WINDOW:
            self._recent_live.popleft()
        return len(self._recent_live)

    def _note_other_client(self) -> None:
        self._other_client_at = now = self._clock.now()
        if self._on_other_client is not None and (
            self._reported_at is None or now - self._reported_at >= OTHER_CLIENT_REPORT_INTERVAL_S
        ):
            self._reported_at = now
            self._on_other_client()

    def _alone(self) -> bool:
        """Whether nobody else was seen to spend this budget within the last minute."""
        return (
            self._other_client_at is None
            or self._clock.now() - self._other_client_at >= OTHER_CLIENT_MEMORY_S
        )

    def _pacing_window(self) -> Window:
        return max(
            (window for window in self._slots.windows.limits() if window.seconds <= 60),
            key=lambda window: window.seconds,
        )

    def _close_for(self, seconds: float) -> None:
        self._closed_until = max(self._closed_until, self._clock.now() + seconds)

    async def _sleep(self, seconds: float | None) -> None:
        """Waits until something may have changed."""
        timer = None if seconds is None else self._clock.call_later(seconds, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            if timer is not None:
                timer.cancel()
