"""Requests under way: how many of each kind, how they end, and which of them are waited for when the program ends."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

from askel_tui.sync.dispatching.profile_queue import Lane
from askel_tui.sync.sending.settlement import OPEN_REQUESTS_OBSERVER, QueueUpdate

JOB_DRAIN_S = 5.0
"""How long an import job is waited for at the end; the next run follows those that take longer."""


class InFlight:
    """Runs requests of an account beside each other."""

    def __init__(self, settle: Callable[[QueueUpdate], None]) -> None:
        """`settle` is told what became of each request."""
        self._settle = settle
        self._tasks: set[asyncio.Task[None]] = set()
        self._writing: Counter[asyncio.Task[Any]] = Counter()
        """How many requests a task has opened that it has to end; the other tasks only wait or read."""
        self._many: Counter[Lane] = Counter()
        self._carried: Counter[Lane] = Counter()
        self._ending = False
        self.changed = asyncio.Event()
        """Set whenever one ends; whoever waits for something else may set it too."""
        self.fault: BaseException | None = None
        """What kept a request from being settled (a full disk, say): it is in doubt then."""

    def __len__(self) -> int:
        return len(self._tasks)

    def count(self, counted: Lane) -> int:
        """How many run that count as this."""
        return self._many[counted]

    def count_items(self, counted: Lane) -> int:
        """How many operations or rows those carry."""
        return self._carried[counted]

    def start(self, counted: Lane, sending: Awaitable[QueueUpdate], carried: int = 1) -> None:
        """Runs a request; `counted` is what it counts as, `carried` how much it carries."""
        self._many[counted] += 1
        self._carried[counted] += carried
        task = asyncio.create_task(self._run(counted, sending, carried))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def _run(self, counted: Lane, sending: Awaitable[QueueUpdate], carried: int) -> None:
        task = asyncio.current_task()
        assert task is not None
        OPEN_REQUESTS_OBSERVER.set(partial(self._write, task))
        try:
            result = await sending
        finally:
            self._many[counted] -= 1
            self._carried[counted] -= carried
        self._settle(result)

    def _write(self, task: asyncio.Task[Any], requests: int) -> None:
        self._writing[task] += requests
        if self._ending:
            self.changed.set()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        del self._writing[task]
        if not task.cancelled() and task.exception() is not None:
            self.fault = task.exception()
        self.changed.set()

    async def drain(self) -> None:
        """Waits for what has to end, and gives up the rest."""
        # A task that was not started yet would leave its coroutine unawaited.
        await asyncio.sleep(0)
        self._ending = True
        end = time.monotonic() + JOB_DRAIN_S
        while self._tasks:
            left = end - time.monotonic()
            for task in self._tasks:
                # What waits for its place in the budget, or reads, has written nothing: it can wait for the next run.
                # What only waits for a job can too, but most jobs end soon.
                waits = task not in self._writing or (left <= 0 and self._writing[task] <= 0)
                if waits and not task.cancelling():
                    task.cancel()
            self.changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left if left > 0 else None):
                    await self.changed.wait()
