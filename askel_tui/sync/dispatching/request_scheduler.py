"""Which requests start now: single calls, calls that gather what waits, and bulk requests for a backlog."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from askel_tui.contract.calls import Call
from askel_tui.contract.endpoints import endpoint
from askel_tui.core.requests import bulk, coalescing, packing
from askel_tui.store.journal.rows import StoredOperation
from askel_tui.sync.dispatching.in_flight import InFlight
from askel_tui.sync.dispatching.profile_queue import Lane, ProfileQueue
from askel_tui.sync.sending.bulk_sender import ProfileUpdates, row_operations
from askel_tui.sync.sending.sender import Sender
from askel_tui.sync.sending.settlement import QueueUpdate

MAX_SINGLE_CALLS = 64
"""Single calls of one kind under way at once; the budget decides when each of them starts."""

MAX_BULK_REQUESTS_AND_ROWS = {Call.BULK_IMPORT_PROFILES: (8, 25_000), Call.BULK_CREATE_EVENTS: (8, 8_000)}
"""Bulk requests under way at once, and with how many rows no further one is started: rows under way are in memory."""

MAX_PARTLY_FULL_REQUESTS, MIN_FILL_RATIO = 2, 1 / 2
"""Beside so many bulk requests only ones so full are started: what takes seconds should carry what it can."""

MAX_GATHERED_OPERATIONS = 10_000
"""Operations of one destination taken at once by calls that take all that waits."""

MAX_GATHERING_REQUESTS, MIN_FOR_ANOTHER_REQUEST = 8, 5_000
"""How many such calls go beside each other, and how many operations are worth another one."""

GATHERING_WAIT_MS = 500
"""How long after the last one another is started with whatever there is, in milliseconds: more may not come."""

MAX_SINGLE_BACKLOG_S = 15
"""A backlog that takes longer than this in single calls goes in bulk, in seconds."""

MIN_TAIL_OPERATIONS = 50
"""A lane of this many or fewer is no tail of a backlog."""

BULK_STAY_MS = 5_000
"""How long a lane stays in bulk although it has become short, in milliseconds."""


class RequestScheduler:
    """Starts requests of an account's ready operations."""

    def __init__(self, queue: ProfileQueue, under_way: InFlight) -> None:
        self._queue = queue
        self._under_way = under_way
        self.single_only: set[int] = set()
        """Operations that bulk could not carry: they go by themselves."""
        self._bulk_at: dict[Lane, int] = {}
        """When a lane last went in bulk."""
        self._backlogs: set[Lane] = set()
        """Lanes that were long and are not empty yet."""
        self._again: int | None = None

    def schedule(self, senders: Mapping[str, Sender], now: int) -> int | None:
        """Starts what may be sent now; gives when to look again although nothing has changed, if ever."""
        self._again = None
        for call in self._queue.calls():
            lanes = [
                (lane, len(ready)) for lane, ready in self._queue.lanes(call) if lane.connection in senders
            ]
            for lane, ready in sorted(lanes, key=lambda each: not each[0].live):
                self._start(lane, ready, senders[lane.connection], now)
        return self._again

    def _start(self, lane: Lane, ready: int, sender: Sender, now: int) -> None:
        if lane.batch_key.call in packing.GATHERING_CALLS:
            self._gather(lane, sender, now)
            return
        # Records that come in faster than single calls leave are a backlog too, however few came at once.
        long = ready > self._short(lane.batch_key.call, sender.revision)
        # The tail of a backlog stays in bulk: the next thousand of it may come any moment.
        tail = ready > MIN_TAIL_OPERATIONS and now - self._bulk_at.get(lane, -BULK_STAY_MS) < BULK_STAY_MS
        if (long or tail) and self._start_bulk(lane, sender, now):
            return
        # As live calls the last ones of a backlog would overtake those of it that wait for their places.
        backlog = not lane.live and (long or (lane in self._backlogs and ready > MIN_TAIL_OPERATIONS))
        (self._backlogs.add if backlog else self._backlogs.discard)(lane)
        room = MAX_SINGLE_CALLS - self._under_way.count(lane)
        for stored in self._queue.take(lane, max(0, room), now):
            together = self._with_followers(stored, sender.revision, now)
            self._under_way.start(lane, sender.send(together, "bulk" if backlog else "live"))

    def _with_followers(
        self, stored: StoredOperation, revision: str, now: int, *, in_bulk: bool = False
    ) -> list[StoredOperation]:
        """A taken operation, and the updates of its profile right behind it that become one with it."""
        together = [stored]
        if stored.seq in self.single_only or not coalescing.is_update(stored.operation):
            return together
        fold: coalescing.Coalescer | None = None
        while other := self._queue.next_of_profile(together[-1]):
            if other.seq in self.single_only or other.due > now or not coalescing.is_update(other.operation):
                break
            if in_bulk and not bulk.bulk_call_for(other.operation, revision):
                break
            fold = fold or coalescing.Coalescer(stored.operation, stored.record_seq, revision)
            if not fold.add(other.operation, other.record_seq):
                break
            self._queue.take_carried(other)
            together.append(other)
        return together

    def _gather(self, lane: Lane, sender: Sender, now: int) -> None:
        """One request at a time per destination, which takes all that waits; more only where that is too much."""
        while (beside := self._under_way.count(lane)) < MAX_GATHERING_REQUESTS:
            if (
                beside
                and self._queue.count_ready(lane) < MIN_FOR_ANOTHER_REQUEST
                and self._just_went(lane, now)
            ):
                break
            operations = self._queue.take(lane, MAX_GATHERED_OPERATIONS, now)
            if not operations:
                break
            self._bulk_at[lane] = now
            self._under_way.start(lane, sender.send(operations, "bulk"))

    @staticmethod
    def _short(call: Call, revision: str) -> int:
        """How many single calls go within `MAX_SINGLE_BACKLOG_S` seconds."""
        windows = endpoint(revision, call).windows
        return int(min(window.limit / window.seconds for window in windows) * MAX_SINGLE_BACKLOG_S)

    def _start_bulk(self, lane: Lane, sender: Sender, now: int) -> bool:
        """Starts bulk requests for a long lane; False where its calls have to go by themselves."""
        call = bulk.BULK_CALL_OF.get(lane.batch_key.call)
        if call is None or not bulk.revision_has_call(call, sender.revision):
            return False
        kind = Lane(lane.connection, packing.BatchKey(call, ""))
        most = endpoint(sender.revision, call).max_items or 1
        requests, rows = MAX_BULK_REQUESTS_AND_ROWS[call]
        while (beside := self._under_way.count(kind)) < requests and self._under_way.count_items(kind) < rows:
            few = self._queue.count_ready(lane) < most * MIN_FILL_RATIO
            if beside >= MAX_PARTLY_FULL_REQUESTS and few and self._just_went(lane, now):
                break
            taken = self._queue.take(lane, most, now)
            if not taken:
                break
            self._bulk_at[lane] = now
            self._send_rows(lane, kind, sender, taken, now)
        return True

    def _just_went(self, lane: Lane, now: int) -> bool:
        """Whether more of a lane may come any moment; if so, it is looked at again when that is over."""
        over = self._bulk_at.get(lane, now - GATHERING_WAIT_MS) + GATHERING_WAIT_MS
        if over > now and self._queue.count_ready(lane):
            self._again = min(over, self._again or over)
        return over > now

    def _send_rows(
        self, lane: Lane, kind: Lane, sender: Sender, taken: Sequence[StoredOperation], now: int
    ) -> None:
        """Sends what can go in bulk in bulk, and the rest by itself."""
        rows = [
            each
            for each in taken
            if each.seq not in self.single_only and bulk.bulk_call_for(each.operation, sender.revision)
        ]
        in_bulk = {each.seq for each in rows}
        for stored in taken:
            if stored.seq not in in_bulk:
                self._under_way.start(
                    lane, sender.send(self._with_followers(stored, sender.revision, now), "bulk")
                )
        if lane.batch_key.call == Call.CREATE_EVENT:
            if rows:
                self._under_way.start(kind, _events(sender, rows), len(rows))
            return
        by_list: dict[str | None, list[ProfileUpdates]] = {}
        for upsert in rows:
            upserts = self._with_followers(upsert, sender.revision, now, in_bulk=True)
            addition = self._queue.take_next_of_record(upserts[-1], Call.ADD_PROFILES_TO_LIST)
            destination = addition.operation.destination if addition else None
            by_list.setdefault(destination.id if destination else None, []).append((upserts, addition))
        for list_id, profiles in by_list.items():
            self._under_way.start(kind, _import(sender, profiles, list_id), len(profiles))


async def _import(sender: Sender, profiles: Sequence[ProfileUpdates], list_id: str | None) -> QueueUpdate:
    result = QueueUpdate()
    if not await sender.held_back(list(row_operations(profiles)), result):
        await sender.bulk.import_profiles(profiles, list_id, result)
    return result


async def _events(sender: Sender, rows: Sequence[StoredOperation]) -> QueueUpdate:
    result = QueueUpdate()
    if not await sender.held_back(rows, result):
        await sender.bulk.events(rows, result)
    return result
