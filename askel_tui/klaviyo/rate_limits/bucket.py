"""A bucket: who waits for a place in one call's windows, and in which order they get it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Literal

from askel_tui.klaviyo.rate_limits.slots import MemoryPlaces, SharedPlaces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from askel_tui.contract.endpoints import Window
    from askel_tui.klaviyo.rate_limits.slots import Clock

Priority = Literal["live", "bulk"]
"""Live calls go before bulk ones, and bulk ones are spread over the minute."""

LATELY = 6
"""A sixth of a window is lately: from how many live calls came then, those of the next are guessed."""

FULL_LOOK_S = 0.1
"""How often a bulk call looks whether there is room beside what is kept for live ones, in seconds."""

FOREIGN_S = 60
"""How long a sign of somebody else's use is believed."""

TELL_S = 600
"""How often it is told that somebody else uses the budget, while that goes on, in seconds."""


class Bucket:
    """Hands out the places of one call, live callers first and otherwise in the order they came."""

    def __init__(
        self,
        places: MemoryPlaces | SharedPlaces,
        clock: Clock,
        *,
        paced: bool,
        unhurried: bool = False,
        tell: Callable[[], object] | None = None,
    ) -> None:
        """`unhurried`: no live call comes here, so bulk ones are spread for the sake of other integrations only.

        `tell` is called where somebody else is seen to use the budget.
        """
        self._places = places
        self._clock = clock
        self._paced = paced
        self._unhurried = unhurried
        self._tell = tell
        self.competes = False
        """Whether bulk calls keep their pace although somebody else uses the budget."""
        self._waiting: dict[Priority, deque[asyncio.Future[int]]] = {"live": deque(), "bulk": deque()}
        self._runner: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._closed_until = 0.0
        self._bulk_due = 0.0
        self._live: deque[float] = deque()
        """When live calls took their places lately."""
        self._foreign_at: float | None = None
        self._told_at: float | None = None

    def narrow(self, windows: Iterable[Window]) -> None:
        """Keeps to smaller limits from now on."""
        self._places.windows.narrow(windows)

    def remember(self, answered: float) -> None:
        """Counts a call of which only the ledger knew."""
        self._places.windows.remember(answered)

    async def take(self, priority: Priority) -> int:
        """Waits for a place and takes it."""
        token = await self.take_now(priority)
        return token if token is not None else await self._queue(priority)

    async def take_now(self, priority: Priority) -> int | None:
        """Takes a place if there is room and nobody has an older claim."""
        if self._waiting["live"] or (priority == "bulk" and self._waiting["bulk"]):
            return None
        token, _ = await self._try(priority)
        return token

    async def answer(self, token: int) -> None:
        """Notes that the call of a place was answered."""
        await self._places.answer(token)
        self._wake.set()

    def next_free(self) -> float:
        """Seconds until there is room, as far as this process knows; at least a moment while others wait."""
        now = self._clock.now()
        wait = self._places.windows.wait(now)
        queued = 0.05 if any(self._waiting.values()) else 0.0
        return max(queued, self._closed_until - now, 0.05 if wait is None else wait)

    def unseen_by_server(self) -> int:
        """How many places were ever taken, less those of the burst window: a mark for `compare`."""
        windows = self._places.windows
        shortest = next(windows.limits())
        return windows.taken - windows.used(shortest.seconds, self._clock.now())

    def compare(self, mark: int, remaining: int) -> None:
        """Compares RateLimit-Remaining with what we used of the burst window since the mark.

        Less left than our own calls explain: somebody else spends this budget too. With nothing left, the
        window is given time to pass.
        """
        windows = self._places.windows
        if isinstance(self._places, SharedPlaces):
            return
        shortest = next(windows.limits())
        if remaining < shortest.limit - (windows.taken - mark):
            self._see_others()
            if remaining == 0:
                self._close_for(shortest.seconds)

    def refused(self, retry_after: float | None) -> None:
        """A 429, though we counted room: others spend this budget. Nothing is sent until it is over."""
        self._see_others()
        self._close_for(retry_after if retry_after is not None else 1.0)

    def usage(self) -> Iterator[dict[str, Any]]:
        """One row per window."""
        now = self._clock.now()
        foreign = not self._alone()
        for window in self._places.windows.limits():
            count = self._places.windows.used(window.seconds, now)
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
                await self.answer(waiter.result())
            raise

    async def _serve(self) -> None:
        """Gives places to those who wait until nobody does."""
        try:
            while (priority := self._first()) is not None:
                self._wake.clear()
                token, wait = await self._try(priority)
                if token is None:
                    await self._nap(wait)
                elif (first := self._first()) is not None:
                    self._waiting[first].popleft().set_result(token)
                else:
                    await self.answer(token)
        except Exception as error:  # the ledger failed: everybody who waits has to know
            for queue in self._waiting.values():
                while queue:
                    waiter = queue.popleft()
                    if not waiter.done():
                        waiter.set_exception(error)

    def _first(self) -> Priority | None:
        """Whose turn it is; those who gave up waiting are passed over."""
        for priority, queue in self._waiting.items():
            while queue and queue[0].done():
                queue.popleft()
            if queue:
                return priority
        return None

    async def _try(self, priority: Priority) -> tuple[int | None, float | None]:
        now = self._clock.now()
        closed = self._closed_until - now
        hurry = self._unhurried and (self.competes or self._alone())
        paced = priority == "bulk" and self._paced and not hurry
        window = self._pace()
        if priority == "bulk":
            closed = max(closed, self._bulk_due - now)
        if closed <= 0 and paced and self._kept_for_live(window, now):
            closed = FULL_LOOK_S
        if closed > 0:
            return None, closed
        token, wait = await self._places.take()
        if token is not None and priority == "live":
            self._live.append(now)
            self._lately(window, now)
        elif token is not None and paced:
            # A twentieth of the window may go at once; after that, evenly, in what live calls leave of it.
            behind = now - window.seconds / 20
            left = max(window.limit / 2, window.limit - LATELY * self._lately(window, now))
            self._bulk_due = max(self._bulk_due, behind) + window.seconds / left
        return token, wait

    def _kept_for_live(self, window: Window, now: float) -> bool:
        """Whether what is free is for the live calls of the next moments: as many as came lately.

        What went at once in the beginning comes free at once too, a window later; just before that, the window is full.
        """
        kept = min(self._lately(window, now), window.limit // 4)
        return bool(kept) and self._places.windows.used(window.seconds, now) + kept >= window.limit

    def _lately(self, window: Window, now: float) -> int:
        """How many live calls came lately; the older ones are forgotten."""
        while self._live and self._live[0] <= now - window.seconds / LATELY:
            self._live.popleft()
        return len(self._live)

    def _see_others(self) -> None:
        self._foreign_at = now = self._clock.now()
        if self._tell is not None and (self._told_at is None or now - self._told_at >= TELL_S):
            self._told_at = now
            self._tell()

    def _alone(self) -> bool:
        """Whether nobody else was seen to spend this budget within the last minute."""
        return self._foreign_at is None or self._clock.now() - self._foreign_at >= FOREIGN_S

    def _pace(self) -> Window:
        return max(
            (window for window in self._places.windows.limits() if window.seconds <= 60),
            key=lambda window: window.seconds,
        )

    def _close_for(self, seconds: float) -> None:
        self._closed_until = max(self._closed_until, self._clock.now() + seconds)

    async def _nap(self, seconds: float | None) -> None:
        """Waits until something may have changed."""
        timer = None if seconds is None else self._clock.call_later(seconds, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            if timer is not None:
                timer.cancel()
