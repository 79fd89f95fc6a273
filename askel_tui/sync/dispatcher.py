"""Dispatching: for one account, picks what may be sent now and keeps as many requests under way as help.

A process owns an account, so the order of its profiles and its budget are local memory; the journal is the truth and
is read again wherever memory may have missed something.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Collection, Mapping
from itertools import islice

from askel_tui.core import packing
from askel_tui.store.journal import Clock, Journal, StoredOperation
from askel_tui.sync.queue import Lane, ProfileQueue
from askel_tui.sync.sender import Connected, Result, Sender

log = logging.getLogger(__name__)

IN_MEMORY = 20_000
"""Operations held in memory at once; the rest waits in the journal."""

PER_CALL = 64
"""Requests of one call under way at once; the budget decides when each of them starts."""


class Dispatcher:
    """Sends the operations of an account's connections, in order per profile."""

    def __init__(self, connections: Mapping[str, Connected], journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._queue = ProfileQueue()
        self._loaded = 0
        self._more = True
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way: Counter[str] = Counter()
        self._lanes_busy: set[Lane] = set()
        self._wake = asyncio.Event()
        self._stopping = False
        self._fault: BaseException | None = None
        self._senders: dict[str, Sender] = {}
        self.connect(connections)

    def connect(self, connections: Mapping[str, Connected]) -> None:
        """Takes over the connections of the account as they are now (new keys, new connections)."""
        self._senders = {
            name: Sender(connected, self._journal, self._clock) for name, connected in connections.items()
        }

    @property
    def connections(self) -> Collection[str]:
        """The names of the connections that are served."""
        return self._senders.keys()

    @property
    def idle(self) -> bool:
        """Whether nothing is in memory, under way or known to wait in the journal."""
        return not self._more and len(self._queue) == 0 and not self._tasks

    def wake(self, *, reload: bool = False) -> None:
        """Something may have changed: new operations came in, or (`reload`) old ones wait again."""
        self._more = True
        if reload:
            self._loaded = 0
        self._wake.set()

    def drop(self, workflow: str, *, step: str | None = None) -> None:
        """Takes operations out of memory whose workflow was paused or whose step is held."""
        self._queue.remove_where(workflow, step=step)

    async def recover(self) -> None:
        """Sends requests in doubt again, oldest first, before anything else."""
        for doubt in await self._journal.in_doubt(list(self._senders)):
            sender = self._senders[doubt.intent.connection]
            log.info("request %d was in doubt: sent again", doubt.id)
            await sender.send_again(doubt)

    async def run(self) -> None:
        """Sends until `stop` is called; returns when what was under way has been settled.

        Raises what kept a request from being settled (a full disk, say): the request is then in doubt.
        """
        try:
            while not self._stopping:
                self._wake.clear()
                if self._fault is not None:
                    raise self._fault
                await self._load()
                self._start()
                await self._wait()
        finally:
            await self._drain()

    def stop(self) -> None:
        """Lets what is under way end, and starts nothing new."""
        self._stopping = True
        self._wake.set()

    async def _drain(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _load(self) -> None:
        while self._more and len(self._queue) < IN_MEMORY:
            room = IN_MEMORY - len(self._queue)
            batch = await self._journal.waiting(list(self._senders), self._loaded, min(room, 2_000))
            for stored in batch:
                self._queue.add(stored)
            if batch:
                self._loaded = batch[-1].seq
            else:
                self._more = False

    def _start(self) -> None:
        now = self._clock()
        for call in self._queue.calls():
            room = PER_CALL - self._under_way[call]
            startable = (lane for lane, ready in self._queue.lanes(call) if self._may_start(lane, ready, now))
            for lane in list(islice(startable, room)):
                self._start_lane(lane, now)

    def _may_start(self, lane: Lane, ready: Mapping[int, StoredOperation], now: int) -> bool:
        if lane in self._lanes_busy or lane.connection not in self._senders:
            return False
        return any(stored.due <= now for stored in ready.values())

    def _start_lane(self, lane: Lane, now: int) -> None:
        sender = self._senders[lane.connection]
        call = lane.parcel.call
        operations = self._queue.take(lane, packing.capacity(call, sender.revision), now)
        if call in packing.GATHERING_CALLS:
            self._lanes_busy.add(lane)
        self._under_way[call] += 1
        task = asyncio.create_task(self._send(sender, lane, operations))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def _send(self, sender: Sender, lane: Lane, operations: list[StoredOperation]) -> None:
        try:
            result = await sender.send(operations)
        finally:
            self._lanes_busy.discard(lane)
            self._under_way[lane.parcel.call] -= 1
        self._settle(result)

    def _settle(self, result: Result) -> None:
        for stored in result.done:
            self._queue.remove(stored.seq)
        for stored in result.stopped:
            self._queue.remove(stored.seq)
            self._queue.remove_where(stored.workflow, record_seq=stored.record_seq)
        for hold in result.holds:
            log.warning("%s step %s is held: %s", hold.workflow, hold.step, hold.detail)
            self._queue.remove_where(hold.workflow, step=hold.step)
        for stored in result.again:
            self._queue.put_back(stored)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._fault = task.exception()
        self._wake.set()

    async def _wait(self) -> None:
        due = self._queue.next_due(self._clock())
        timeout = None if due is None else max(0.001, (due - self._clock()) / 1000)
        try:
            async with asyncio.timeout(timeout):
                await self._wake.wait()
        except TimeoutError:
            return
