"""Dispatching: for one account, picks what may be sent now and keeps as many requests under way as help.

A process owns an account, so the order of its profiles and its budget are local memory; the journal is the truth and
is read again wherever memory may have missed something.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import replace

from askel_tui.core.requests import packing
from askel_tui.store.journal.interface import Clock, Journal
from askel_tui.store.journal.rows import OpenRequest, StoredOperation
from askel_tui.sync.connected import Connected
from askel_tui.sync.dispatching.in_flight import InFlight
from askel_tui.sync.dispatching.profile_queue import Lane, ProfileQueue
from askel_tui.sync.dispatching.request_scheduler import RequestScheduler
from askel_tui.sync.sending.bulk_sender import IMPORT_CALL
from askel_tui.sync.sending.freshness import FreshnessGate
from askel_tui.sync.sending.sender import Sender
from askel_tui.sync.sending.settlement import OrphanedJob, QueueUpdate

log = logging.getLogger(__name__)

MAX_OPERATIONS_IN_MEMORY = 350_000
"""Operations held in memory at once; the rest waits in the journal."""

OPERATIONS_PER_LOAD = 2_000
"""Operations read from the journal at once."""

MAX_PLANNED_AHEAD, MAX_READY_AHEAD = 300_000, 15_000
"""How many operations of one workflow may wait, and be ready among them, before no more of its records are planned.

Below `MAX_OPERATIONS_IN_MEMORY`, so that one workflow's backlog leaves room for the others' records, and what was
planned is never read back from the journal. Enough ready ones to fill the next requests, and enough in all for the
import jobs that may run at once (10,000 records each).
"""

CLOCK_SET_BACK_MS = 1_000
"""The clock was set back where it lost more than this against the time that passed, in milliseconds."""

MAX_DUE_AHEAD_MS = 15 * 60_000
"""What the journal says is due later than this was put off by a clock that was ahead: it is due now."""


class Dispatcher:
    """Sends the operations of an account's connections, in order per profile."""

    def __init__(
        self,
        connections: Mapping[str, Connected],
        journal: Journal,
        clock: Clock,
        watch: FreshnessGate | None = None,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._watch = watch
        self._queue = ProfileQueue()
        self._loaded = 0
        self._more = True
        self._reload = False
        self._loading = asyncio.Lock()
        self._paused: frozenset[str] = frozenset()
        self._under_way = InFlight(self._settle)
        self._starts = RequestScheduler(self._queue, self._under_way)
        self._wake = self._under_way.changed
        self._stopping = False
        self._senders: dict[str, Sender] = {}
        self._unread: list[OrphanedJob] = []
        """Requests that wait for a key which may read their jobs; what they carry stays taken."""
        self._released = False
        """Whether these are to be looked at with whatever key there is."""
        self._said: set[tuple[str, str, str]] = set()
        """Holds (workflow, step, cause) that the log told of since the last order."""
        self._seen_clock = (clock(), time.monotonic())
        self.connect(connections)

    def connect(self, connections: Mapping[str, Connected]) -> None:
        """Takes over the connections of the account as they are now (new keys, new connections)."""
        for replaced in self._senders.values():
            replaced.retire()
        self._senders = {
            name: Sender(connected, self._journal, self._clock, self._watch)
            for name, connected in connections.items()
        }

    @property
    def connections(self) -> Set[str]:
        """The names of the connections that are served."""
        return self._senders.keys()

    @property
    def idle(self) -> bool:
        """Whether nothing is under way or can be sent now or later, in memory or in the journal.

        What waits behind a job that the key may not read does not count.
        """
        loading = (self._more and self._has_room) or self._loading.locked()
        return not (loading or self._queue.has_ready or self._under_way or self._to_take_up())

    def wake(self, *, reload: bool = False) -> None:
        """Something may have changed: new operations came in, or (`reload`) old ones wait again."""
        self._more = True
        self._reload = self._reload or reload
        self._wake.set()

    @asynccontextmanager
    async def suspend_loading(self) -> AsyncIterator[None]:
        """While operations come back into the order: nothing is read meanwhile, and all is read again after it."""
        async with self._loading:
            yield
            self._said.clear()
            self._released = True
            self.wake(reload=True)

    def offer(self, planned: Sequence[StoredOperation], live: bool) -> None:
        """Operations were planned just now: taken as they are where nothing older is left behind in the journal.

        `live` ones are few, and go before a backlog.
        """
        ours = [stored for stored in planned if stored.connection in self._senders]
        if not ours:
            return
        settled = not self._more and not self._loading.locked()
        seqs = [stored.seq for stored in ours]
        if settled and self._loaded < min(seqs) and len(self._queue) + len(ours) <= MAX_OPERATIONS_IN_MEMORY:
            for stored in ours:
                self._queue.add(stored, live=live)
            self._loaded = max(seqs)
            self._wake.set()
        else:
            self.wake(reload=min(seqs) <= self._loaded)

    @property
    def in_memory_count(self) -> int:
        """How many operations are in memory."""
        return len(self._queue)

    def far_ahead(self, workflow: str) -> bool:
        """Whether so much of a workflow waits here that planning more of it has time."""
        here, ready = self._queue.count_ahead(workflow)
        return here >= MAX_PLANNED_AHEAD or ready >= MAX_READY_AHEAD

    def drop_workflow(self, workflow: str) -> None:
        """Takes a workflow's operations out of memory."""
        self._queue.remove_of_workflow(workflow)

    def pause_workflows(self, workflows: Collection[str]) -> None:
        """These workflows are paused: what of them is under way ends, and what it leaves is not tried again."""
        self._paused = frozenset(workflows)
        for workflow in self._paused:
            self.drop_workflow(workflow)

    async def _recover(self) -> None:
        """Sends requests in doubt again, oldest first, before anything else; import jobs are followed beside it."""
        for doubt in await self._journal.requests_in_doubt(list(self._senders)):
            if self._stopping:
                return
            sender = self._senders[doubt.intent.connection]
            if doubt.intent.call == IMPORT_CALL and doubt.operations:
                self._follow_again(doubt, sender)
                continue
            log.info("request %d was in doubt: sent again", doubt.id)
            result = await sender.send_again(doubt)
            self._starts.single_only |= result.single_only

    def _follow_again(self, doubt: OpenRequest, sender: Sender) -> None:
        """Takes up an import job that may run: the later operations of its profiles wait for it, others don't."""
        log.info("request %d was in doubt: its job is looked for", doubt.id)
        for stored in doubt.operations:
            self._queue.add(stored)
            self._queue.take_carried(stored)
        self._under_way.start(
            Lane(doubt.intent.connection, packing.BatchKey(IMPORT_CALL, "")), sender.send_again(doubt)
        )

    def _to_take_up(self) -> list[OrphanedJob]:
        """The unread requests that may fare better now: their key was replaced, or an order was carried out."""
        return [
            each
            for each in self._unread
            if (self._released or each.settler.retired) and each.settler.to.name in self._senders
        ]

    async def _take_up(self) -> None:
        """Looks again for jobs that a key could not read, as after a restart."""
        if not self._to_take_up():
            self._released = False
            return
        async with self._loading:
            due, self._released = self._to_take_up(), False
            doubts = {each.id: each for each in await self._journal.requests_in_doubt(list(self._senders))}
            for each in due:
                if each.settler.to.name not in self._senders:
                    continue  # disconnected while the journal was read
                self._unread.remove(each)
                doubt = doubts.get(each.request)
                left = {stored.seq for stored in doubt.operations} if doubt else set()
                for stored in each.operations:
                    if stored.seq not in left:
                        # It was given up meanwhile.
                        self._queue.remove(stored.seq)
                if doubt:
                    self._follow_again(doubt, self._senders[doubt.intent.connection])

    async def run(self) -> None:
        """Sends until `stop` is called; returns when what was under way has been settled.

        Raises what kept a request from being settled (a full disk, say): the request is then in doubt.
        """
        try:
            await self._recover()
            while not self._stopping:
                self._wake.clear()
                if self._under_way.fault is not None:
                    raise self._under_way.fault
                self._mind_the_clock()
                await self._take_up()
                await self._load()
                now = self._clock()
                await self._wait(now, self._starts.schedule(self._senders, now))
        finally:
            await self._under_way.drain()

    def stop(self) -> None:
        """Lets what is under way end, and starts nothing new."""
        self._stopping = True
        self._wake.set()

    def _mind_the_clock(self) -> None:
        """A clock that was set back makes nothing wait longer than it was meant to."""
        (clock, passed), now = self._seen_clock, (self._clock(), time.monotonic())
        self._seen_clock = now
        gained = now[0] - clock - int((now[1] - passed) * 1000)
        if gained < -CLOCK_SET_BACK_MS:
            log.warning("the clock was set back by %d s", -gained // 1000)
            self._queue.shift_due_times(now[0], gained)

    async def _load(self) -> None:
        # What became free is filled up again once it is worth a look into the journal.
        while self._more and self._has_room:
            async with self._loading:
                await self._load_some(min(MAX_OPERATIONS_IN_MEMORY - len(self._queue), OPERATIONS_PER_LOAD))

    @property
    def _has_room(self) -> bool:
        return MAX_OPERATIONS_IN_MEMORY - len(self._queue) >= min(
            OPERATIONS_PER_LOAD, MAX_OPERATIONS_IN_MEMORY // 2 + 1
        )

    async def _load_some(self, limit: int) -> None:
        # Whoever wakes us while this reads wants another look.
        self._more = False
        if self._reload:
            self._reload, self._loaded = False, 0
        batch = await self._journal.waiting_operations(list(self._senders), self._loaded, limit)
        latest = self._clock() + MAX_DUE_AHEAD_MS
        for stored in batch:
            self._queue.add(stored if stored.due <= latest else replace(stored, due=0))
        if batch:
            self._more = True
            self._loaded = batch[-1].seq

    def _settle(self, result: QueueUpdate) -> None:
        self._starts.single_only |= result.single_only
        self._unread += result.orphaned
        for stored in result.done:
            self._queue.remove(stored.seq)
        for stored in result.stopped:
            self._queue.remove(stored.seq)
            self._queue.remove_later_of_record(stored)
        for stored in (*result.done, *result.stopped):
            self._starts.single_only.discard(stored.seq)
        for hold in result.holds:
            said = (hold.workflow, hold.step, hold.cause)
            if said not in self._said:
                # Others of the step that were under way come to the same.
                self._said.add(said)
                log.warning("%s step %s is held: %s", hold.workflow, hold.step, hold.detail)
            # A held gate holds what is below it too: the journal knows what still waits.
            self.drop_workflow(hold.workflow)
        if result.holds or result.reload:
            self.wake(reload=True)
        for stored in result.again:
            if stored.workflow in self._paused:
                self._queue.remove(stored.seq)
            else:
                self._queue.put_back(stored)

    async def _wait(self, started: int, again: int | None) -> None:
        # What came due since then was not started.
        due = min((each for each in (self._queue.next_due(started), again) if each is not None), default=None)
        timeout = None if due is None else max(0.001, (due - self._clock()) / 1000)
        try:
            async with asyncio.timeout(timeout):
                await self._wake.wait()
        except TimeoutError:
            return
