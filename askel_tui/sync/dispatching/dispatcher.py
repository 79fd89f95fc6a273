"""The dispatcher: for one account, picks what may be sent now and keeps as many requests in flight as help.

A process owns an account, so the order of its profiles and its rate limits are local memory; the journal is the truth
and is read again wherever memory may have missed something.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Mapping, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import replace

from askel_tui.contract.calls import Call
from askel_tui.core.requests import packing
from askel_tui.store.journal.interface import Clock, Journal
from askel_tui.store.journal.rows import OpenRequest, StoredOperation
from askel_tui.sync.connected import Connected
from askel_tui.sync.dispatching.canaries import canary_lane
from askel_tui.sync.dispatching.in_flight import InFlight
from askel_tui.sync.dispatching.parked_gates import is_patient
from askel_tui.sync.dispatching.profile_queue import Lane, ProfileQueue
from askel_tui.sync.dispatching.request_scheduler import RequestScheduler
from askel_tui.sync.sending.sender import FreshnessGate, Sender
from askel_tui.sync.settlement.values import OrphanedJob, QueueUpdate
from askel_tui.sync.timing import Limits, Timing

log = logging.getLogger(__name__)

MAX_OPERATIONS_IN_MEMORY = 350_000
"""The number of operations that are held in memory at once; the rest waits in the journal."""

OPERATIONS_PER_LOAD = 2_000
"""The number of operations that are read from the journal at once."""

MAX_READY_AHEAD = 15_000
"""The number of ready operations of a workflow that fill the next requests: no more of its records are planned."""

CLOCK_SET_BACK_MS = 1_000
"""The difference, in milliseconds, from which on a clock that lost time against a steady one counts as set back."""

MAX_RECENT_WRITES = 5_000
"""The number of writes of the time before that a start remembers as sent."""

MAX_DUE_AHEAD_MS = 15 * 60_000
"""The largest delay that the clock can explain, in milliseconds: an operation that is due later in the journal is due
now."""


class Dispatcher:
    """The dispatcher of one account: it sends the operations of its connections, in order per profile."""

    def __init__(
        self,
        connections: Mapping[str, Connected],
        journal: Journal,
        clock: Clock,
        gate: FreshnessGate | None = None,
        timing: Timing | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._gate = gate
        self._limits = limits or Limits()
        self._queue = ProfileQueue()
        self._loaded_seq = 0
        self._more = True
        """True if the journal may hold operations that are not in memory."""
        self._reload = False
        """True if the journal is to be read again from its first operation."""
        self._loading = asyncio.Lock()
        self._paused: frozenset[str] = frozenset()
        self._in_flight = InFlight(self._apply, (timing or Timing()).job_drain_s)
        self._scheduler = RequestScheduler(self._queue, self._in_flight, self._limits.max_single_backlog_s)
        self._wake = self._in_flight.changed
        self._stopping = False
        self._senders: dict[str, Sender] = {}
        self._lanes: dict[str, Sender] = {}
        """The senders by the connection that lanes name: those of canaries have names of their own."""
        self._orphaned: list[OrphanedJob] = []
        """The requests that wait for a key which may read their jobs; the operations that they carry stay taken."""
        self._retry_orphaned = False
        """True if the orphaned jobs are to be tried with any key."""
        self._logged_holds: set[tuple[str, str, str]] = set()
        """The holds (workflow, step, cause) that were logged since the last command."""
        self._last_clock = (clock(), asyncio.get_running_loop().time())
        journal.line_listeners.append(self._queue.join)
        self.connect(connections)

    def connect(self, connections: Mapping[str, Connected]) -> None:
        """Takes over the connections of the account as they are now (new keys, new connections)."""
        for replaced in self._lanes.values():
            replaced.retire()
        self._senders = {
            name: Sender(connected, self._journal, self._clock, self._gate)
            for name, connected in connections.items()
        }
        # What is in a canary's lanes when it ends goes on with the others.
        self._lanes = dict(self._senders)
        for name, connected in connections.items():
            to = connected.canary
            tried = self._senders[name] if to is None else Sender(to, self._journal, self._clock, self._gate)
            self._lanes[canary_lane(name)] = tried
        self._queue.canaries.keep(name for name, connected in connections.items() if connected.canary)

    @property
    def connections(self) -> Set[str]:
        """The names of the connections that are served."""
        return self._senders.keys()

    @property
    def idle(self) -> bool:
        """True if nothing is in flight or can be sent now or later, in memory or in the journal.

        What waits behind a job that the key may not read does not count.
        """
        loading = (self._more and self._has_room) or self._loading.locked()
        return not (loading or self._queue.has_ready or self._in_flight or self._orphans_to_follow())

    @property
    def in_memory_count(self) -> int:
        """The number of operations in memory."""
        return len(self._queue)

    def wake(self, *, reload: bool = False) -> None:
        """Notes that something may have changed: new operations came in, or (`reload`) old ones wait again."""
        self._more = True
        self._reload = self._reload or reload
        self._wake.set()

    @asynccontextmanager
    async def suspend_loading(self) -> AsyncIterator[None]:
        """Stops reading from the journal in the block, in which operations come back into the order; all is read
        again after it."""
        async with self._loading:
            yield
            self._logged_holds.clear()
            self._retry_orphaned = True
            self.wake(reload=True)

    def offer(self, planned: Sequence[StoredOperation], live: bool) -> None:
        """Adds operations that were planned just now, where nothing older is left behind in the journal.

        `live` ones are few, and go before a backlog.
        """
        ours = [stored for stored in planned if stored.connection in self._senders]
        if not ours:
            return
        all_loaded = not self._more and not self._loading.locked()
        seqs = [stored.seq for stored in ours]
        fits = len(self._queue) + len(ours) <= MAX_OPERATIONS_IN_MEMORY
        if all_loaded and self._loaded_seq < min(seqs) and fits:
            for stored in ours:
                self._queue.add(stored, live=live)
            self._loaded_seq = max(seqs)
            self._wake.set()
        else:
            self.wake(reload=min(seqs) <= self._loaded_seq)

    def far_ahead(self, workflow: str) -> bool:
        """Checks whether enough operations of a workflow wait here that planning more of it has time."""
        here, ready = self._queue.count_ahead(workflow)
        return here >= self._limits.max_planned_ahead or ready >= MAX_READY_AHEAD

    def drop_workflow(self, workflow: str) -> None:
        """Takes a workflow's operations out of memory."""
        self._queue.remove_of_workflow(workflow)

    def pause_workflows(self, workflows: Collection[str]) -> None:
        """Makes `workflows` the paused ones: their requests in flight end, and none of their operations is tried
        again."""
        self._paused = frozenset(workflows)
        for workflow in self._paused:
            self.drop_workflow(workflow)

    async def run(self) -> None:
        """Sends until `stop` is called; returns when what was in flight has been settled.

        Raises what kept a request from being settled (a full disk, say): the request is then in doubt.
        """
        try:
            await self._recover()
            self._queue.note_sent(await self._journal.recent_writes(list(self._senders), MAX_RECENT_WRITES))
            while not self._stopping:
                self._wake.clear()
                if self._in_flight.fault is not None:
                    raise self._in_flight.fault
                self._correct_due_times()
                await self._follow_orphans()
                await self._load()
                await self._settle_late_lines()
                now = self._clock()
                self._queue.unpark(now)
                await self._wait(now, self._scheduler.schedule(self._lanes, now))
        finally:
            await self._in_flight.drain()
            if self._in_flight.fault is None:
                await self._settle_late_lines()
            self._journal.line_listeners.remove(self._queue.join)

    def stop(self) -> None:
        """Lets the requests in flight end, and starts no new ones."""
        self._stopping = True
        self._wake.set()

    async def _recover(self) -> None:
        """Sends requests in doubt again, oldest first, before anything else; import jobs are followed meanwhile."""
        for unanswered in await self._journal.requests_in_doubt(list(self._senders)):
            if self._stopping:
                return
            sender = self._senders[unanswered.intent.connection]
            if unanswered.intent.call == Call.BULK_IMPORT_PROFILES and unanswered.operations:
                self._follow_again(unanswered, sender)
                continue
            log.info("request %d was in doubt: sent again", unanswered.id)
            update = await sender.send_again(unanswered)
            self._scheduler.single_only |= update.single_only

    def _follow_again(self, unanswered: OpenRequest, sender: Sender) -> None:
        """Follows an import job that may run: the later operations of its profiles wait for it, others don't."""
        log.info("request %d was in doubt: its job is looked for", unanswered.id)
        for stored in unanswered.operations:
            self._queue.add(stored)
            self._queue.take_carried(stored)
        kind = Lane(unanswered.intent.connection, packing.BatchKey(Call.BULK_IMPORT_PROFILES, ""))
        self._in_flight.start(kind, sender.send_again(unanswered))

    def _orphans_to_follow(self) -> list[OrphanedJob]:
        """Returns the orphaned jobs that may be readable now: their key was replaced, or a command was carried out."""
        return [
            each
            for each in self._orphaned
            if (sender := self._senders.get(each.connected.name)) is not None
            and (self._retry_orphaned or sender.connected is not each.connected)
        ]

    async def _follow_orphans(self) -> None:
        """Follows jobs again that a key could not read, as after a restart."""
        if not self._orphans_to_follow():
            self._retry_orphaned = False
            return
        async with self._loading:
            orphans, self._retry_orphaned = self._orphans_to_follow(), False
            in_doubt = {each.id: each for each in await self._journal.requests_in_doubt(list(self._senders))}
            for each in orphans:
                sender = self._senders.get(each.connected.name)
                if sender is None:
                    continue  # disconnected while the journal was read
                self._orphaned.remove(each)
                unanswered = in_doubt.get(each.request)
                left = {stored.seq for stored in unanswered.operations} if unanswered else set()
                for stored in each.operations:
                    if stored.seq not in left:
                        # Its request was closed meanwhile.
                        self._queue.remove(stored.seq)
                if unanswered:
                    self._follow_again(unanswered, sender)

    def _correct_due_times(self) -> None:
        """Corrects due times after the clock was set back, so that nothing waits longer than it was meant to."""
        loop = asyncio.get_running_loop()
        (clock, passed), now = self._last_clock, (self._clock(), loop.time())
        self._last_clock = now
        gained = now[0] - clock - int((now[1] - passed) * 1000)
        if gained < -CLOCK_SET_BACK_MS:
            log.warning("the clock was set back by %d s", -gained // 1000)
            self._queue.shift_due_times(now[0], gained)

    async def _load(self) -> None:
        # The journal is read again only once there is room for a whole part of it.
        while self._more and self._has_room:
            async with self._loading:
                await self._load_some(min(MAX_OPERATIONS_IN_MEMORY - len(self._queue), OPERATIONS_PER_LOAD))

    async def _settle_late_lines(self) -> None:
        """Settles the lines that were found to be one late, before anything more of them is sent."""
        while lines := self._queue.take_late_lines():
            changed, added = await self._journal.settle_late_lines(lines, self._clock())
            for seq, stored in changed.items():
                if stored is None:
                    self._queue.remove(seq)
                else:
                    self._queue.put_back(stored)
            for stored in added:
                if stored.connection in self._senders and stored.workflow not in self._paused:
                    self._queue.add(stored)

    @property
    def _has_room(self) -> bool:
        room = MAX_OPERATIONS_IN_MEMORY - len(self._queue)
        return room >= min(OPERATIONS_PER_LOAD, MAX_OPERATIONS_IN_MEMORY // 2 + 1)

    async def _load_some(self, limit: int) -> None:
        # A `wake` during the read sets this again, for another read.
        self._more = False
        if self._reload:
            self._reload, self._loaded_seq = False, 0
        batch = await self._journal.waiting_operations(list(self._senders), self._loaded_seq, limit)
        now = self._clock()
        latest = now + MAX_DUE_AHEAD_MS
        for stored in batch:
            self._queue.add(stored if stored.due <= latest else replace(stored, due=0))
            if now < stored.due <= latest and is_patient(stored):
                self._queue.park(stored, stored.due)
        if batch:
            self._more = True
            self._loaded_seq = batch[-1].seq

    def _apply(self, update: QueueUpdate) -> None:
        """Changes the queue as committed settlements say."""
        self._scheduler.single_only |= update.single_only
        self._orphaned += update.orphaned
        for stored in update.done:
            self._queue.remove(stored.seq)
        for stored in update.stopped:
            self._queue.remove(stored.seq)
            self._queue.remove_later_of_record(stored)
        self._scheduler.single_only.difference_update(
            stored.seq for stored in (*update.done, *update.stopped)
        )
        for hold in update.holds:
            logged = (hold.workflow, hold.step, hold.cause)
            if logged not in self._logged_holds:
                # Other operations of the step that were in flight are held for the same cause: one line is enough.
                self._logged_holds.add(logged)
                log.warning("%s step %s is held: %s", hold.workflow, hold.step, hold.detail)
            # A held gate also holds the steps below it; the journal knows which operations still wait.
            self.drop_workflow(hold.workflow)
        if update.holds or update.reload:
            self.wake(reload=True)
        for stored in update.parked:
            self._queue.park(stored, stored.due)
            if stored.workflow in self._paused:
                self.drop_workflow(stored.workflow)
        latest = self._clock() + MAX_DUE_AHEAD_MS if update.again else 0
        for stored in update.again:
            if stored.workflow in self._paused:
                self._queue.remove(stored.seq)
            else:
                # Its delay may have been computed before the clock was set back.
                self._queue.put_back(stored if stored.due <= latest else replace(stored, due=0))

    async def _wait(self, started: int, again_at: int | None) -> None:
        # Operations that came due since `started` were not sent.
        times = (self._queue.next_due(started), again_at)
        due = min((each for each in times if each is not None), default=None)
        timeout = None if due is None else max(0.001, (due - self._clock()) / 1000)
        try:
            async with asyncio.timeout(timeout):
                await self._wake.wait()
        except TimeoutError:
            return
