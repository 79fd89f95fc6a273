"""The request scheduler: starts single calls, calls that gather what waits, and bulk requests for a backlog."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from askel_tui.contract.calls import Call
from askel_tui.contract.endpoints import endpoint
from askel_tui.core.requests import bulk, coalescing, packing
from askel_tui.store.journal.rows import StoredOperation
from askel_tui.sync.dispatching.in_flight import InFlight
from askel_tui.sync.dispatching.profile_queue import Lane, ProfileQueue
from askel_tui.sync.sending.batches import ProfileUpdates
from askel_tui.sync.sending.sender import Sender

MAX_SINGLE_CALLS = 64
"""The number of single calls of one kind in flight at once; the rate limiter decides when each of them starts."""

MAX_BULK_REQUESTS_AND_ROWS = {Call.BULK_IMPORT_PROFILES: (8, 25_000), Call.BULK_CREATE_EVENTS: (8, 8_000)}
"""The number of bulk requests in flight at once, and the number of rows in flight from which no further one is
started."""

MAX_PARTLY_FULL_REQUESTS, MIN_FILL_RATIO = 2, 1 / 2
"""The number of bulk requests beside which no partly full one is started while more may come, and the part that
counts as full: a slow request should carry what it can."""

MAX_GATHERED_OPERATIONS = 10_000
"""The number of operations of one destination that a gathering call takes at once."""

MAX_GATHERING_REQUESTS, MIN_FOR_ANOTHER_REQUEST = 8, 5_000
"""The number of gathering calls to one destination at once, and the number of operations that are worth another one."""

GATHERING_WAIT_MS = 500
"""Time after the last gathering call until another is started with the operations there are, in milliseconds."""

MIN_TAIL_OPERATIONS = 50
"""The number of operations up to which a lane is no tail of a backlog."""

BULK_STAY_MS = 5_000
"""Time that a lane stays in bulk although it has become short, in milliseconds."""


class RequestScheduler:
    """A scheduler that starts requests of an account's ready operations."""

    def __init__(self, queue: ProfileQueue, in_flight: InFlight, max_single_backlog_s: float) -> None:
        """Makes a scheduler; `Limits` explains `max_single_backlog_s`."""
        self._max_single_backlog_s = max_single_backlog_s
        self._queue = queue
        self._in_flight = in_flight
        self.single_only: set[int] = set()
        """The `seq` of operations that bulk could not carry: they are sent in single calls."""
        self._last_bulk_at: dict[Lane, int] = {}
        self._backlogs: set[Lane] = set()
        """The lanes that were long and are not empty yet."""
        self._again_at: int | None = None

    def schedule(self, senders: Mapping[str, Sender], now: int) -> int | None:
        """Starts the requests that may be sent now; returns when to call again although nothing has changed, if
        ever."""
        self._again_at = None
        for call in self._queue.calls():
            lanes = [
                (lane, len(ready)) for lane, ready in self._queue.lanes(call) if lane.connection in senders
            ]
            for lane, ready in sorted(lanes, key=lambda each: not each[0].live):
                self._start(lane, ready, senders[lane.connection], now)
        return self._again_at

    def _start(self, lane: Lane, ready: int, sender: Sender, now: int) -> None:
        if lane.batch_key.call in packing.GATHERING_CALLS:
            self._start_gathering(lane, sender, now)
            return
        # Records that come in faster than single calls leave are a backlog too, however few came at once.
        long = ready > self._calls_in_time(lane.batch_key.call, sender.revision)
        # The tail of a backlog stays in bulk: the next thousand of it may come any moment.
        tail = (
            ready > MIN_TAIL_OPERATIONS and now - self._last_bulk_at.get(lane, -BULK_STAY_MS) < BULK_STAY_MS
        )
        if (long or tail) and self._start_bulk(lane, sender, now):
            return
        # As live calls the last ones of a backlog would overtake those of it that wait for their slots.
        backlog = not lane.live and (long or (lane in self._backlogs and ready > MIN_TAIL_OPERATIONS))
        (self._backlogs.add if backlog else self._backlogs.discard)(lane)
        limit = MAX_SINGLE_CALLS - self._in_flight.count(lane)
        for stored in self._queue.take(lane, max(0, limit), now):
            operations = self._with_followers(stored, sender.revision, now)
            self._in_flight.start(lane, sender.send(operations, "bulk" if backlog else "live"))

    def _with_followers(
        self, stored: StoredOperation, revision: str, now: int, *, in_bulk: bool = False
    ) -> list[StoredOperation]:
        """Collects a taken operation, and the updates of its profile right behind it that become one with it."""
        operations = [stored]
        if stored.seq in self.single_only or not coalescing.is_update(stored.operation):
            return operations
        coalescer: coalescing.Coalescer | None = None
        while other := self._queue.next_of_profile(operations[-1]):
            if other.seq in self.single_only or other.due > now or not coalescing.is_update(other.operation):
                break
            if in_bulk and not bulk.bulk_call_for(other.operation, revision):
                break
            coalescer = coalescer or coalescing.Coalescer(stored.operation, stored.record_seq, revision)
            if not coalescer.add(other.operation, other.record_seq):
                break
            self._queue.take_carried(other)
            operations.append(other)
        return operations

    def _start_gathering(self, lane: Lane, sender: Sender, now: int) -> None:
        """Starts one request at a time per destination, with all operations that wait; more only where these are too
        many."""
        while (count := self._in_flight.count(lane)) < MAX_GATHERING_REQUESTS:
            few = self._queue.count_ready(lane) < MIN_FOR_ANOTHER_REQUEST
            if count and few and self._more_may_come(lane, now):
                break
            operations = self._queue.take(lane, MAX_GATHERED_OPERATIONS, now)
            if lane.batch_key.call == packing.GATE_CALL:
                operations = self._queue.park_behind(operations)
            if not operations:
                break
            self._last_bulk_at[lane] = now
            self._in_flight.start(lane, sender.send(operations, "bulk"))

    def _start_bulk(self, lane: Lane, sender: Sender, now: int) -> bool:
        """Starts bulk requests for a long lane; returns False where its calls have to be single ones."""
        call = bulk.BULK_CALL_OF.get(lane.batch_key.call)
        if call is None or not bulk.revision_has_call(call, sender.revision):
            return False
        kind = Lane(lane.connection, packing.BatchKey(call, ""))
        max_items = endpoint(sender.revision, call).max_items or 1
        max_requests, max_rows = MAX_BULK_REQUESTS_AND_ROWS[call]
        while (count := self._in_flight.count(kind)) < max_requests:
            if self._in_flight.count_items(kind) >= max_rows:
                break
            few = self._queue.count_ready(lane) < max_items * MIN_FILL_RATIO
            if count >= MAX_PARTLY_FULL_REQUESTS and few and self._more_may_come(lane, now):
                break
            taken = self._queue.take(lane, max_items, now)
            if not taken:
                break
            self._last_bulk_at[lane] = now
            self._send_rows(lane, kind, sender, taken, now)
        return True

    def _more_may_come(self, lane: Lane, now: int) -> bool:
        """Checks whether more of a lane may come any moment; if so, `schedule` is to be called again when that is
        over."""
        end = self._last_bulk_at.get(lane, now - GATHERING_WAIT_MS) + GATHERING_WAIT_MS
        if end > now and self._queue.count_ready(lane):
            self._again_at = min(end, self._again_at or end)
        return end > now

    def _send_rows(
        self, lane: Lane, kind: Lane, sender: Sender, taken: Sequence[StoredOperation], now: int
    ) -> None:
        """Sends the rows that fit in bulk, and the other operations in single calls."""
        rows = [
            each
            for each in taken
            if each.seq not in self.single_only and bulk.bulk_call_for(each.operation, sender.revision)
        ]
        in_bulk = {each.seq for each in rows}
        for stored in taken:
            if stored.seq not in in_bulk:
                operations = self._with_followers(stored, sender.revision, now)
                self._in_flight.start(lane, sender.send(operations, "bulk"))
        if lane.batch_key.call == Call.CREATE_EVENT:
            if rows:
                self._in_flight.start(kind, sender.send_events(rows), len(rows))
            return
        by_list: dict[str | None, list[ProfileUpdates]] = {}
        for upsert in rows:
            upserts = self._with_followers(upsert, sender.revision, now, in_bulk=True)
            addition = self._queue.take_next_of_record(upserts[-1], Call.ADD_PROFILES_TO_LIST)
            destination = addition.operation.destination if addition else None
            by_list.setdefault(destination.id if destination else None, []).append((upserts, addition))
        for list_id, profiles in by_list.items():
            self._in_flight.start(kind, sender.import_profiles(profiles, list_id), len(profiles))

    def _calls_in_time(self, call: Call, revision: str) -> int:
        """Returns how many single calls go within the time in which a backlog still goes in single ones."""
        windows = endpoint(revision, call).windows
        return int(min(window.limit / window.seconds for window in windows) * self._max_single_backlog_s)
