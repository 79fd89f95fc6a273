"""Dispatching: for one account, picks what may be sent now and keeps as many requests under way as help.

A process owns an account, so the order of its profiles and its budget are local memory; the journal is the truth and
is read again wherever memory may have missed something.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from askel_tui.contract.endpoints import endpoint
from askel_tui.core import bulk, folding, packing
from askel_tui.store.journal import Clock, Journal
from askel_tui.store.journal_rows import OpenRequest, StoredOperation
from askel_tui.sync.bulk import IMPORT, Updates, carried
from askel_tui.sync.freshness import Freshness
from askel_tui.sync.outcomes import Connected, Result, Unread
from askel_tui.sync.queue import Lane, ProfileQueue
from askel_tui.sync.sender import Sender
from askel_tui.sync.under_way import UnderWay

log = logging.getLogger(__name__)

IN_MEMORY = 350_000
"""Operations held in memory at once; the rest waits in the journal."""

LOADED = 2_000
"""Operations read from the journal at once."""

AHEAD, AHEAD_READY = 300_000, 15_000
"""How many operations of one workflow may wait, and be ready among them, before no more of its records are planned.

Below `IN_MEMORY`, so that one workflow's backlog leaves room for the others' records, and what was planned is never
read back from the journal. Enough ready ones to fill the next requests, and enough in all for the import jobs that
may run at once (10,000 records each).
"""

SINGLE_CALLS = 64
"""Single calls of one kind under way at once; the budget decides when each of them starts."""

BULK_REQUESTS = {"bulk_import_profiles": (8, 25_000), "bulk_create_events": (8, 8_000)}
"""Bulk requests under way at once, and with how many rows no further one is started: rows under way are in memory."""

NOT_FULL, FULL_ENOUGH = 2, 1 / 2
"""Beside so many bulk requests only ones so full are started: what takes seconds should carry what it can."""

GATHERED = 10_000
"""Operations of one destination taken at once by calls that take all that waits."""

GATHERERS, WORTH_ANOTHER = 8, 5_000
"""How many such calls go beside each other, and how many operations are worth another one."""

PATIENCE_MS = 500
"""How long after the last one another is started with whatever there is, in milliseconds: more may not come."""

LONG_S = 15
"""A backlog that takes longer than this in single calls goes in bulk, in seconds."""

TAIL = 50
"""A lane of this many or fewer is no tail of a backlog."""

STAY_MS = 5_000
"""How long a lane stays in bulk although it has become short, in milliseconds."""

SET_BACK_MS = 1_000
"""The clock was set back where it lost more than this against the time that passed, in milliseconds."""

LONGEST_DUE_MS = 15 * 60_000
"""What the journal says is due later than this was put off by a clock that was ahead: it is due now."""


class Dispatcher:
    """Sends the operations of an account's connections, in order per profile."""

    def __init__(
        self,
        connections: Mapping[str, Connected],
        journal: Journal,
        clock: Clock,
        watch: Freshness | None = None,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._watch = watch
        self._queue = ProfileQueue()
        self._loaded = 0
        self._more = True
        self._alone: set[int] = set()
        """Operations that bulk could not carry: they go by themselves."""
        self._reload = False
        self._loading = asyncio.Lock()
        self._paused: frozenset[str] = frozenset()
        self._under_way = UnderWay(self._settle)
        self._bulk_at: dict[Lane, int] = {}
        """When a lane last went in bulk."""
        self._backlogs: set[Lane] = set()
        """Lanes that were long and are not empty yet."""
        self._wake = self._under_way.changed
        self._stopping = False
        self._senders: dict[str, Sender] = {}
        self._unread: list[Unread] = []
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
    def connections(self) -> Collection[str]:
        """The names of the connections that are served."""
        return self._senders.keys()

    @property
    def idle(self) -> bool:
        """Whether nothing is under way or can be sent now or later, in memory or in the journal.

        What waits behind a job that the key may not read does not count.
        """
        loading = (self._more and self._has_room) or self._loading.locked()
        return not (loading or self._queue.any_ready or self._under_way or self._to_take_up())

    def wake(self, *, reload: bool = False) -> None:
        """Something may have changed: new operations came in, or (`reload`) old ones wait again."""
        self._more = True
        self._reload = self._reload or reload
        self._wake.set()

    @asynccontextmanager
    async def reordered(self) -> AsyncIterator[None]:
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
        if settled and self._loaded < min(seqs) and len(self._queue) + len(ours) <= IN_MEMORY:
            for stored in ours:
                self._queue.add(stored, live=live)
            self._loaded = max(seqs)
            self._wake.set()
        else:
            self.wake(reload=min(seqs) <= self._loaded)

    @property
    def waiting(self) -> int:
        """How many operations are in memory."""
        return len(self._queue)

    def far_ahead(self, workflow: str) -> bool:
        """Whether so much of a workflow waits here that planning more of it has time."""
        here, ready = self._queue.ahead(workflow)
        return here >= AHEAD or ready >= AHEAD_READY

    def drop(self, workflow: str) -> None:
        """Takes a workflow's operations out of memory."""
        self._queue.remove_where(workflow)

    def pause(self, workflows: Collection[str]) -> None:
        """These workflows are paused: what of them is under way ends, and what it leaves is not tried again."""
        self._paused = frozenset(workflows)
        for workflow in self._paused:
            self.drop(workflow)

    async def _recover(self) -> None:
        """Sends requests in doubt again, oldest first, before anything else; import jobs are followed beside it."""
        for doubt in await self._journal.in_doubt(list(self._senders)):
            if self._stopping:
                return
            sender = self._senders[doubt.intent.connection]
            if doubt.intent.call == IMPORT and doubt.operations:
                self._follow_again(doubt, sender)
                continue
            log.info("request %d was in doubt: sent again", doubt.id)
            result = await sender.send_again(doubt)
            self._alone |= result.alone

    def _follow_again(self, doubt: OpenRequest, sender: Sender) -> None:
        """Takes up an import job that may run: the later operations of its profiles wait for it, others don't."""
        log.info("request %d was in doubt: its job is looked for", doubt.id)
        for stored in doubt.operations:
            self._queue.add(stored)
            self._queue.take_along(stored)
        self._under_way.start(
            Lane(doubt.intent.connection, packing.Parcel(IMPORT, "")), sender.send_again(doubt)
        )

    def _to_take_up(self) -> list[Unread]:
        """The unread requests that may fare better now: their key was replaced, or an order was carried out."""
        return [
            each
            for each in self._unread
            if (self._released or each.end.retired) and each.end.to.name in self._senders
        ]

    async def _take_up(self) -> None:
        """Looks again for jobs that a key could not read, as after a restart."""
        if not self._to_take_up():
            self._released = False
            return
        async with self._loading:
            due, self._released = self._to_take_up(), False
            doubts = {each.id: each for each in await self._journal.in_doubt(list(self._senders))}
            for each in due:
                if each.end.to.name not in self._senders:
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
                await self._wait(self._start())
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
        if gained < -SET_BACK_MS:
            log.warning("the clock was set back by %d s", -gained // 1000)
            self._queue.shift(now[0], gained)

    async def _load(self) -> None:
        # What became free is filled up again once it is worth a look into the journal.
        while self._more and self._has_room:
            async with self._loading:
                await self._load_some(min(IN_MEMORY - len(self._queue), LOADED))

    @property
    def _has_room(self) -> bool:
        return IN_MEMORY - len(self._queue) >= min(LOADED, IN_MEMORY // 2 + 1)

    async def _load_some(self, limit: int) -> None:
        # Whoever wakes us while this reads wants another look.
        self._more = False
        if self._reload:
            self._reload, self._loaded = False, 0
        batch = await self._journal.waiting(list(self._senders), self._loaded, limit)
        latest = self._clock() + LONGEST_DUE_MS
        for stored in batch:
            self._queue.add(stored if stored.due <= latest else replace(stored, due=0))
        if batch:
            self._more = True
            self._loaded = batch[-1].seq

    def _start(self) -> int:
        """Starts what may be sent now, and tells what time it took for now."""
        now = self._clock()
        for call in self._queue.calls():
            lanes = [
                (lane, len(ready))
                for lane, ready in self._queue.lanes(call)
                if lane.connection in self._senders
            ]
            for lane, ready in sorted(lanes, key=lambda each: not each[0].live):
                self._start_lane(lane, ready, now)
        return now

    def _start_lane(self, lane: Lane, ready: int, now: int) -> None:
        if lane.parcel.call in packing.GATHERING_CALLS:
            self._gather(lane, now)
            return
        sender = self._senders[lane.connection]
        # Records that come in faster than single calls leave are a backlog too, however few came at once.
        long = ready > self._short(lane.parcel.call, sender.revision)
        # The tail of a backlog stays in bulk: the next thousand of it may come any moment.
        tail = ready > TAIL and now - self._bulk_at.get(lane, -STAY_MS) < STAY_MS
        if (long or tail) and self._start_bulk(lane, sender, now):
            return
        # As live calls the last ones of a backlog would overtake those of it that wait for their places.
        backlog = not lane.live and (long or (lane in self._backlogs and ready > TAIL))
        (self._backlogs.add if backlog else self._backlogs.discard)(lane)
        room = SINGLE_CALLS - self._under_way.of(lane)
        for stored in self._queue.take(lane, max(0, room), now):
            together = self._with_followers(stored, sender.revision, now)
            self._under_way.start(lane, sender.send(together, "bulk" if backlog else "live"))

    def _with_followers(
        self, stored: StoredOperation, revision: str, now: int, *, in_bulk: bool = False
    ) -> list[StoredOperation]:
        """A taken operation, and the updates of its profile right behind it that become one with it."""
        together = [stored]
        if stored.seq in self._alone or not folding.is_update(stored.operation):
            return together
        fold: folding.Fold | None = None
        while other := self._queue.behind(together[-1]):
            if other.seq in self._alone or other.due > now or not folding.is_update(other.operation):
                break
            if in_bulk and not bulk.bulk_call(other.operation, revision):
                break
            fold = fold or folding.Fold(stored.operation, stored.record_seq, revision)
            if not fold.take(other.operation, other.record_seq):
                break
            self._queue.take_along(other)
            together.append(other)
        return together

    def _gather(self, lane: Lane, now: int) -> None:
        """One request at a time per destination, which takes all that waits; more only where that is too much."""
        while (beside := self._under_way.of(lane)) < GATHERERS:
            if beside and self._queue.ready(lane) < WORTH_ANOTHER and self._just_went(lane, now):
                break
            operations = self._queue.take(lane, GATHERED, now)
            if not operations:
                break
            self._bulk_at[lane] = now
            self._under_way.start(lane, self._senders[lane.connection].send(operations, "bulk"))

    @staticmethod
    def _short(call: str, revision: str) -> int:
        """How many single calls go within `LONG_S` seconds."""
        windows = endpoint(revision, call).windows
        return int(min(window.limit / window.seconds for window in windows) * LONG_S)

    def _start_bulk(self, lane: Lane, sender: Sender, now: int) -> bool:
        """Starts bulk requests for a long lane; False where its calls have to go by themselves."""
        call = bulk.BULK_OF.get(lane.parcel.call)
        if call is None or not bulk.has_call(call, sender.revision):
            return False
        kind = Lane(lane.connection, packing.Parcel(call, ""))
        most = endpoint(sender.revision, call).max_items or 1
        requests, rows = BULK_REQUESTS[call]
        while (beside := self._under_way.of(kind)) < requests and self._under_way.carried(kind) < rows:
            few = self._queue.ready(lane) < most * FULL_ENOUGH
            if beside >= NOT_FULL and few and self._just_went(lane, now):
                break
            taken = self._queue.take(lane, most, now)
            if not taken:
                break
            self._bulk_at[lane] = now
            self._send_rows(lane, kind, sender, taken, now)
        return True

    def _just_went(self, lane: Lane, now: int) -> bool:
        return now - self._bulk_at.get(lane, -PATIENCE_MS) < PATIENCE_MS

    def _send_rows(
        self, lane: Lane, kind: Lane, sender: Sender, taken: Sequence[StoredOperation], now: int
    ) -> None:
        """Sends what can go in bulk in bulk, and the rest by itself."""
        rows = [
            each
            for each in taken
            if each.seq not in self._alone and bulk.bulk_call(each.operation, sender.revision)
        ]
        in_bulk = {each.seq for each in rows}
        for stored in taken:
            if stored.seq not in in_bulk:
                self._under_way.start(
                    lane, sender.send(self._with_followers(stored, sender.revision, now), "bulk")
                )
        if lane.parcel.call == "create_event":
            if rows:
                self._under_way.start(kind, _events(sender, rows), len(rows))
            return
        by_list: dict[str | None, list[Updates]] = {}
        for upsert in rows:
            upserts = self._with_followers(upsert, sender.revision, now, in_bulk=True)
            addition = self._queue.take_next(upserts[-1], "add_profiles_to_list")
            destination = addition.operation.destination if addition else None
            by_list.setdefault(destination.id if destination else None, []).append((upserts, addition))
        for list_id, profiles in by_list.items():
            self._under_way.start(kind, _import(sender, profiles, list_id), len(profiles))

    def _settle(self, result: Result) -> None:
        self._alone |= result.alone
        self._unread += result.unread
        for stored in result.done:
            self._queue.remove(stored.seq)
        for stored in result.stopped:
            self._queue.remove(stored.seq)
            self._queue.remove_behind(stored)
        for stored in (*result.done, *result.stopped):
            self._alone.discard(stored.seq)
        for hold in result.holds:
            said = (hold.workflow, hold.step, hold.cause)
            if said not in self._said:
                # Others of the step that were under way come to the same.
                self._said.add(said)
                log.warning("%s step %s is held: %s", hold.workflow, hold.step, hold.detail)
            # A held gate holds what is below it too: the journal knows what still waits.
            self.drop(hold.workflow)
        if result.holds or result.moved:
            self.wake(reload=True)
        for stored in result.again:
            if stored.workflow in self._paused:
                self._queue.remove(stored.seq)
            else:
                self._queue.put_back(stored)

    async def _wait(self, started: int) -> None:
        # What came due since then was not started.
        due = self._queue.next_due(started)
        timeout = None if due is None else max(0.001, (due - self._clock()) / 1000)
        try:
            async with asyncio.timeout(timeout):
                await self._wake.wait()
        except TimeoutError:
            return


async def _import(sender: Sender, profiles: Sequence[Updates], list_id: str | None) -> Result:
    result = Result()
    if not await sender.held_back(list(carried(profiles)), result):
        await sender.bulk.import_profiles(profiles, list_id, result)
    return result


async def _events(sender: Sender, rows: Sequence[StoredOperation]) -> Result:
    result = Result()
    if not await sender.held_back(rows, result):
        await sender.bulk.events(rows, result)
    return result
