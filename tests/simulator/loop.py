"""An event loop whose time jumps to its next timer, and the wall clock that goes by it."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

BEGIN_MS = 1_795_424_400_000
"""The wall clock at the beginning: 2026-11-23T09:00:00Z, in milliseconds since 1970."""


class NothingLeft(Exception):
    """A state in which everything waits for something that can't come any more."""


class _Selector(selectors.SelectSelector):
    """Waits for no file: instead of sleeping it lets the time pass."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise NothingLeft("all tasks wait, and no timer is set")
        self.now += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop without a real wait; what would run in a thread runs in the loop, after a short virtual time."""

    def __init__(self, chance: random.Random) -> None:
        self._time = _Selector()
        super().__init__(self._time)
        self._chance = chance

    def time(self) -> float:
        """Returns the virtual time in seconds."""
        return self._time.now

    def run_in_executor(  # type: ignore[override]
        self, executor: object, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Runs a function in the loop, as late as a thread might."""
        future: asyncio.Future[T] = self.create_future()

        def run() -> None:
            if future.cancelled():
                return
            try:
                future.set_result(func(*args))
            except Exception as error:
                future.set_exception(error)

        if self._chance.random() < 0.7:
            self.call_soon(run)
        else:
            self.call_later(self._chance.random() * 0.003, run)
        return future


def run_virtually(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]], seed: object) -> T:
    """Runs a coroutine function on a loop of its own."""
    loop = VirtualLoop(random.Random(f"loop {seed}"))
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(main(loop))
    finally:
        asyncio.set_event_loop(None)
        loop.close()


class WallClock:
    """The wall clock of the simulated machine, which may jump; also the clock of the rate limits."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._ahead_ms = 0

    def jump(self, seconds: float) -> None:
        """Sets the wall clock forward or back; the time of the loop goes on."""
        self._ahead_ms += int(seconds * 1000)

    def now(self) -> float:
        """Returns the time that never goes back, in seconds."""
        return self._loop.time()

    def wall(self) -> int:
        """Returns the machine's time in milliseconds since 1970."""
        return self.true_ms() + self._ahead_ms

    def true_ms(self) -> int:
        """Returns the account's time, which does not jump."""
        return BEGIN_MS + int(self._loop.time() * 1000)

    def call_later(self, seconds: float, then: Callable[[], object]) -> asyncio.TimerHandle:
        """Calls a function later."""
        return self._loop.call_later(seconds, then)
