"""The order in which operations may be sent: one profile's operations go one after another, as they arrived.

An operation is ready when it is the oldest one for every identifier it carries and none that shares one is being sent
(an older one may come back later, say from a hold). Operations that share any identifier are thereby serial, also
across records and workflows, and others run side by side. In memory only: the journal is the truth, this is the part
of it that is being worked on.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

from askel_tui.contract.calls import Call
from askel_tui.core.operations import Identity
from askel_tui.core.requests.packing import GATHERING_CALLS, BatchKey, batch_key
from askel_tui.store.journal.rows import StoredOperation


class Lane(NamedTuple):
    """Ready operations of one connection that may share a request, or wait for requests of their own.

    `live` ones were planned as their records came in; the others are backlog. Calls that take all that waits know
    no difference.
    """

    connection: str
    batch_key: BatchKey
    live: bool = False


@dataclass(slots=True, eq=False)
class _LaneState:
    """A lane and what is ready in it, by `seq`."""

    lane: Lane
    ready: dict[int, StoredOperation]


@dataclass(slots=True, eq=False)
class _Entry:
    """An operation in the queue, with the facts about it that are needed again and again."""

    stored: StoredOperation
    keys: tuple[str, ...]
    lane: _LaneState
    in_flight: bool = False
    """True if the operation is being sent."""


class ProfileQueue:
    """Waiting operations in order of arrival per profile."""

    def __init__(self) -> None:
        self._entries: dict[int, _Entry] = {}
        self._count_of: Counter[str] = Counter()
        """The number of operations in the queue, by workflow."""
        self._ready_count_of: Counter[str] = Counter()
        """The number of ready operations, by workflow."""
        self._fifo_by_key: dict[str, list[int]] = {}
        """The `seq` of the operations that carry an identifier, in order."""
        self._last_keys: tuple[tuple[str, Identity] | None, tuple[str, ...]] = (None, ())
        self._lanes: dict[Lane, _LaneState] = {}
        self._delayed: dict[int, _Entry] = {}
        """The operations that were due later than at once when they were added: few, so that the next one is soon
        found."""
        self._in_flight_by_key: dict[str, int] = {}
        """The number of operations that are being sent, by key where there are any: several where the next was taken
        along."""

    def __len__(self) -> int:
        return len(self._entries)

    def count_ahead(self, workflow: str) -> tuple[int, int]:
        """Counts the operations of a workflow in the queue, and the ready ones among them."""
        return self._count_of[workflow], self._ready_count_of[workflow]

    @property
    def has_ready(self) -> bool:
        """True if an operation is ready, due or not."""
        return any(self._ready_count_of.values())

    def add(self, stored: StoredOperation, *, live: bool = False) -> None:
        """Adds an operation at the position that its `seq` gives it. One that is in the queue already stays as
        it is."""
        if stored.seq in self._entries:
            return
        self._entries[stored.seq] = entry = self._make_entry(stored, live)
        if stored.due:
            self._delayed[stored.seq] = entry
        self._count_of[stored.workflow] += 1
        for key in entry.keys:
            fifo = self._fifo_by_key.setdefault(key, [])
            if fifo and fifo[-1] > stored.seq:
                insort(fifo, stored.seq)
                self._make_unready(self._entries[fifo[1]])
            else:
                fifo.append(stored.seq)
        self._make_ready_if_first(entry)

    def calls(self) -> list[Call]:
        """Returns the calls that have ready operations."""
        return list(dict.fromkeys(each.lane.batch_key.call for each in self._lanes.values() if each.ready))

    def lanes(self, call: Call) -> Iterator[tuple[Lane, Mapping[int, StoredOperation]]]:
        """Yields the ready operations of a call by lane; do not change the queue while iterating."""
        for state in self._lanes.values():
            if state.ready and state.lane.batch_key.call == call:
                yield state.lane, state.ready

    def count_ready(self, lane: Lane) -> int:
        """Counts the ready operations of a lane, due or not."""
        state = self._lanes.get(lane)
        return 0 if state is None else len(state.ready)

    def take(self, lane: Lane, limit: int, now: int) -> list[StoredOperation]:
        """Takes up to `limit` ready operations of a lane that are due; they stay at the head of their profile."""
        state = self._lanes.get(lane)
        ready = () if state is None else state.ready.values()
        taken = list(islice((stored for stored in ready if stored.due <= now), limit))
        for stored in taken:
            self._mark_in_flight(self._entries[stored.seq])
        return taken

    def take_next_of_record(self, stored: StoredOperation, call: Call) -> StoredOperation | None:
        """Takes the next operation of a taken one's record along, if it is of this call and next for its profile."""
        other = self.next_of_profile(stored)
        if other is None or other.operation.call != call or other.due > stored.due:
            return None
        if (other.workflow, other.record_seq) != (stored.workflow, stored.record_seq):
            return None
        self._mark_in_flight(self._entries[other.seq])
        return other

    def next_of_profile(self, stored: StoredOperation) -> StoredOperation | None:
        """Finds the waiting operation right behind a taken one, if both name the same identifiers; it is not taken."""
        entry = self._entries[stored.seq]
        following: set[int | None] = set()
        for key in entry.keys:
            fifo = self._fifo_by_key[key]
            index = bisect_right(fifo, stored.seq)
            following.add(fifo[index] if index < len(fifo) else None)
        seq = following.pop()
        if following or seq is None:
            return None
        other = self._entries[seq]
        return other.stored if not other.in_flight and other.keys == entry.keys else None

    def take_carried(self, stored: StoredOperation) -> None:
        """Takes an operation that a request carries: the one of `next_of_profile`, or one of a request in doubt."""
        self._mark_in_flight(self._entries[stored.seq])

    def next_due(self, now: int) -> int | None:
        """Returns when the next ready operation that is not due yet will be."""
        later = (
            entry.stored.due
            for seq, entry in self._delayed.items()
            if entry.stored.due > now and seq in entry.lane.ready
        )
        return min(later, default=None)

    def shift_due_times(self, after: int, by: int) -> None:
        """Moves the due times after a time by `by` milliseconds, because the clock was set."""
        for entry in self._entries.values():
            if entry.stored.due > after:
                entry.stored = replace(entry.stored, due=entry.stored.due + by)
                self._make_ready_if_first(entry)

    def remove(self, seq: int) -> None:
        """Removes an operation that is settled, held or failed: the next one of its profile may be ready now."""
        entry = self._entries.pop(seq, None)
        if entry is None:
            return
        self._make_unready(entry)
        self._mark_landed(entry)
        self._delayed.pop(seq, None)
        self._count_of[entry.stored.workflow] -= 1
        for key in entry.keys:
            fifo = self._fifo_by_key[key]
            fifo.remove(seq)
            if fifo:
                self._make_ready_if_first(self._entries[fifo[0]])
            else:
                del self._fifo_by_key[key]

    def put_back(self, stored: StoredOperation) -> None:
        """Puts an operation back that is tried again; its `due` and `attempts` may have changed."""
        entry = self._entries.get(stored.seq)
        if entry is None:
            return
        self._mark_landed(entry)
        entry.stored = stored
        if stored.due:
            self._delayed[stored.seq] = entry
        self._make_ready_if_first(entry)
        for key in entry.keys:
            self._make_ready_if_first(self._entries[self._fifo_by_key[key][0]])

    def remove_later_of_record(self, stored: StoredOperation) -> None:
        """Removes the later operations of an operation's record; the journal has settled them with it."""
        later = {
            seq
            for key in _ordering_keys(stored)
            for seq in self._fifo_by_key.get(key, ())
            if (other := self._entries[seq].stored).record_seq == stored.record_seq
            and other.workflow == stored.workflow
            and other.index > stored.index
        }
        for seq in later:
            if not self._entries[seq].in_flight:
                self.remove(seq)

    def remove_of_workflow(self, workflow: str) -> None:
        """Removes operations of a workflow that are not in flight; the journal still has them."""
        waiting = [
            seq
            for seq, entry in self._entries.items()
            if entry.stored.workflow == workflow and not entry.in_flight
        ]
        for seq in waiting:
            self.remove(seq)

    def _make_entry(self, stored: StoredOperation, live: bool) -> _Entry:
        key = batch_key(stored.operation)
        live = live and key.call not in GATHERING_CALLS
        # The operations of a record come one after another and share its identity.
        owner = (stored.connection, stored.operation.profile)
        if owner != self._last_keys[0]:
            self._last_keys = (owner, _ordering_keys(stored))
        lane = Lane(stored.connection, key, live)
        state = self._lanes.get(lane)
        if state is None:
            state = self._lanes[lane] = _LaneState(lane, {})
        return _Entry(stored, self._last_keys[1], state)

    def _mark_in_flight(self, entry: _Entry) -> None:
        self._make_unready(entry)
        if entry.in_flight:
            return
        entry.in_flight = True
        for key in entry.keys:
            self._in_flight_by_key[key] = self._in_flight_by_key.get(key, 0) + 1

    def _mark_landed(self, entry: _Entry) -> None:
        if not entry.in_flight:
            return
        entry.in_flight = False
        for key in entry.keys:
            left = self._in_flight_by_key.pop(key) - 1
            if left:
                self._in_flight_by_key[key] = left

    def _make_ready_if_first(self, entry: _Entry) -> None:
        """Makes an operation ready if no other one of its profile is before it."""
        if entry.in_flight:
            return
        seq = entry.stored.seq
        for key in entry.keys:
            if key in self._in_flight_by_key or self._fifo_by_key[key][0] != seq:
                return
        ready = entry.lane.ready
        if seq not in ready:
            self._ready_count_of[entry.stored.workflow] += 1
        ready[seq] = entry.stored

    def _make_unready(self, entry: _Entry) -> None:
        if entry.lane.ready.pop(entry.stored.seq, None) is not None:
            self._ready_count_of[entry.stored.workflow] -= 1


def _ordering_keys(stored: StoredOperation) -> tuple[str, ...]:
    return tuple(f"{stored.connection}\0{key}" for key in stored.operation.profile.keys())
