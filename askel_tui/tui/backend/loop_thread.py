"""An event loop in a thread of its own: the screens' loop never waits for a disk, a network or a long plan."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class BackendClosed(Exception):
    """Raised for a call after the loop has ended."""


class LoopThread:
    """Runs coroutines in its own thread. Starts when it is first used; `stop` at the end."""

    def __init__(self, name: str) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            self._loop.call_soon(self._ready.set)
            self._loop.run_forever()

    async def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine in the thread and returns its result; cancelling this cancels it there."""
        if threading.current_thread() is self._thread:
            return await work
        if self._stopped:
            work.close()
            raise BackendClosed("The console is being closed.")
        if not self._ready.is_set():
            if not self._thread.is_alive():
                self._thread.start()
            self._ready.wait()
        assert self._loop is not None
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def stop(self) -> None:
        """Ends the loop and cancels what still runs in it."""
        self._stopped = True
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout=5)
