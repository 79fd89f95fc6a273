"""Requests in flight: counts them by kind, collects their results, and waits for them when the program ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

from askel_tui.sync.dispatching.profile_queue import Lane
from askel_tui.sync.sending.exchange import OPEN_REQUESTS_OBSERVER
from askel_tui.sync.settlement.values import QueueUpdate


class InFlight:
    """A runner of an account's requests, many at once."""

    def __init__(self, apply: Callable[[QueueUpdate], None], job_drain_s: float) -> None:
        """Makes a runner; `apply` gets the changes that each request makes in the queue, and `Timing` explains
        `job_drain_s`."""
        self._apply = apply
        self._job_drain_s = job_drain_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._open_requests: Counter[asyncio.Task[Any]] = Counter()
        """The number of requests that a task has opened and has to end; the other tasks only wait or read."""
        self._count: Counter[Lane] = Counter()
        self._items: Counter[Lane] = Counter()
        self._draining = False
        self.changed = asyncio.Event()
        """An event that is set whenever a task ends; it may be set from outside, too."""
        self.fault: BaseException | None = None
        """The error that kept a request from being settled (a full disk, say): the request is in doubt then."""

    def __len__(self) -> int:
        return len(self._tasks)

    def count(self, kind: Lane) -> int:
        """Counts the running requests of a kind."""
        return self._count[kind]

    def count_items(self, kind: Lane) -> int:
        """Counts the operations or rows that the requests of a kind carry."""
        return self._items[kind]

    def start(self, kind: Lane, sending: Awaitable[QueueUpdate], items: int = 1) -> None:
        """Runs a request that counts as one of `kind` and carries `items` operations or rows."""
        self._count[kind] += 1
        self._items[kind] += items
        task = asyncio.create_task(self._run(kind, sending, items))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def _run(self, kind: Lane, sending: Awaitable[QueueUpdate], items: int) -> None:
        task = asyncio.current_task()
        assert task is not None
        OPEN_REQUESTS_OBSERVER.set(partial(self._count_open_requests, task))
        try:
            update = await sending
        finally:
            self._count[kind] -= 1
            self._items[kind] -= items
        self._apply(update)

    def _count_open_requests(self, task: asyncio.Task[Any], requests: int) -> None:
        self._open_requests[task] += requests
        if self._draining:
            self.changed.set()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        del self._open_requests[task]
        if not task.cancelled() and task.exception() is not None:
            self.fault = task.exception()
        self.changed.set()

    async def drain(self) -> None:
        """Waits for the requests that have to end, and cancels the rest."""
        # A task that was not started yet would leave its coroutine unawaited.
        await asyncio.sleep(0)
        self._draining = True
        loop = asyncio.get_running_loop()
        end = loop.time() + self._job_drain_s
        while self._tasks:
            left = end - loop.time()
            for task in self._tasks:
                # A task that waits for its slot, or reads, has written nothing: it can wait for the next run. A task
                # that only waits for a job can too, but most jobs end soon.
                waits = task not in self._open_requests or (left <= 0 and self._open_requests[task] <= 0)
                if waits and not task.cancelling():
                    task.cancel()
            self.changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left if left > 0 else None):
                    await self.changed.wait()
