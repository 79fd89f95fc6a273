"""The order in which operations may be sent: one line's operations go one after another, in the order of their records.

An operation is ready when it is the oldest one in each of its lines (nearly always one, see `core.lines`) and none of
these is being sent in (an older one may come back later, say from a hold). Operations of one person are thereby serial,
also across records and workflows, and others run side by side. In memory only: the journal is the truth, this is the
part of it that is being worked on.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

from askel_tui.contract.calls import Call
from askel_tui.core.lines import connection_numbers, identifier_numbers
from askel_tui.core.requests.packing import GATHERING_CALLS, BatchKey, batch_key
from askel_tui.store.journal.rows import LateLine, StoredOperation
from askel_tui.sync.dispatching.canaries import Canaries
from askel_tui.sync.dispatching.late_lines import LateLines
from askel_tui.sync.dispatching.parked_gates import ParkedGates, is_patient

MAX_REMEMBERED_JOINS = 50_000
"""The number of joined lines that are remembered, for operations that were on their way here when it was found out."""

_SEQ_BITS = 48
_SEQ_MASK = (1 << _SEQ_BITS) - 1


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
    rank: int
    """The position in the order: that of the record, then `seq`."""
    lines: Sequence[int]
    lane: _LaneState
    in_flight: bool = False
    """True if the operation is being sent."""


class ProfileQueue:
    """Waiting operations in the order of their records per line."""

    def __init__(self) -> None:
        self._entries: dict[int, _Entry] = {}
        self._count_of: Counter[str] = Counter()
        """The number of operations in the queue, by workflow."""
        self._ready_count_of: Counter[str] = Counter()
        """The number of ready operations, by workflow."""
        self._ranks_by_line: dict[int, list[int]] = {}
        """The ranks of the operations in a line, in order."""
        self._late = LateLines()
        self._joined: dict[int, int] = {}
        """The line that each of the last joined lines went into."""
        self._lanes: dict[Lane, _LaneState] = {}
        self._delayed: dict[int, _Entry] = {}
        """The operations that were due later than at once when they were added: few, so that the next one is soon
        found."""
        self._parked = ParkedGates()
        self.canaries = Canaries()
        self._in_flight_by_line: dict[int, int] = {}
        """The number of operations that are being sent, by line where there are any: several where the next was taken
        along."""

    def __len__(self) -> int:
        return len(self._entries)

    def count_ahead(self, workflow: str) -> tuple[int, int]:
        """Counts the operations of a workflow in the queue, and the ready ones among them."""
        return self._count_of[workflow], self._ready_count_of[workflow]

    @property
    def has_ready(self) -> bool:
        """True if an operation is ready, due or not, or a gate is parked."""
        return any(self._ready_count_of.values()) or bool(self._parked)

    def add(self, stored: StoredOperation, *, live: bool = False) -> None:
        """Adds an operation at the position that its record and `seq` give it. One that is in the queue already stays
        as it is."""
        if stored.seq in self._entries or self._parked.adopt(stored):
            return
        self._entries[stored.seq] = entry = self._make_entry(stored, live)
        if stored.due:
            self._delayed[stored.seq] = entry
        self._count_of[stored.workflow] += 1
        for line in entry.lines:
            ranks = self._ranks_by_line.setdefault(line, [])
            newer_waits = bool(ranks and ranks[-1] > entry.rank)
            if stored.passed_by > stored.record_seq:
                self._late.sent.add(line, stored.passed_by)
            if newer_waits or self._late.sent.of(line):
                newer_in_flight = newer_waits and line in self._in_flight_by_line
                self._late.add_waiting(line, stored.record_seq, newer_in_flight=newer_in_flight)
            if newer_waits:
                insort(ranks, entry.rank)
                self._make_unready(self._entries[ranks[1] & _SEQ_MASK])
            else:
                ranks.append(entry.rank)
        self._make_ready_if_first(entry)

    def join(self, joined: Iterable[tuple[int, int]]) -> None:
        """Joins lines that were found to be one: what waits in them goes in the order of its records from now on."""
        for line, last in joined:
            into = self._current(last)
            self._joined[line] = into
            ours, theirs = (each in self._ranks_by_line or self._late.sent.of(each) for each in (line, into))
            if ours:
                self._late.join(line, into, both_wait=bool(theirs))
            if line in self._ranks_by_line:
                self._move(line, into)
        if len(self._joined) > MAX_REMEMBERED_JOINS:
            self._joined = dict(islice(self._joined.items(), MAX_REMEMBERED_JOINS // 2, None))

    def note_sent(self, writes: Iterable[tuple[int, int]]) -> None:
        """Notes lines and records that were sent before this queue began, the oldest first."""
        for line, record_seq in writes:
            self._late.sent.add(self._current(line), record_seq)

    def take_late_lines(self) -> list[LateLine]:
        """Takes the joined lines of which older operations may be sent, or were sent, after newer ones."""
        return self._late.take(self._waiting_before)

    def _waiting_before(self, line: int, record_seq: int) -> tuple[list[int], bool]:
        entries = [self._entries[rank & _SEQ_MASK] for rank in self._ranks_by_line.get(line, ())]
        waiting = [each for each in entries if each.stored.record_seq < record_seq and not each.in_flight]
        return [each.stored.seq for each in waiting], len(waiting) < len(entries)

    def _move(self, line: int, into: int) -> None:
        moving, others = self._ranks_by_line.pop(line), self._ranks_by_line.get(into, [])
        for rank in (moving[0], *others[:1]):
            self._make_unready(self._entries[rank & _SEQ_MASK])
        ranks = self._ranks_by_line[into] = sorted({*moving, *others})
        for rank in moving:
            entry = self._entries[rank & _SEQ_MASK]
            entry.lines = tuple({into, *entry.lines} - {line})
        self._in_flight_by_line.pop(line, None)
        in_flight = sum(self._entries[rank & _SEQ_MASK].in_flight for rank in ranks)
        if in_flight:
            self._in_flight_by_line[into] = in_flight
        self._make_ready_if_first(self._entries[ranks[0] & _SEQ_MASK])

    def _current(self, line: int) -> int:
        while line in self._joined:
            line = self._joined[line]
        return line

    def park(self, gate: StoredOperation, due: int) -> None:
        """Parks a gate until a time, with the later operations of its record: what else is in its lines goes on."""
        entry = self._entries.get(gate.seq)
        if entry is None:
            return
        lines = entry.lines
        later = [self._entries[seq].stored for seq in self._later_of_record(gate)]
        for stored in (*later, gate):
            self.remove(stored.seq)
        self._parked.park(gate, later, lines, due)
        for line in lines:
            if ranks := self._ranks_by_line.get(line):
                # What came back with the gate goes aside with it.
                self.park_behind([self._entries[ranks[0] & _SEQ_MASK].stored])

    def unpark(self, now: int) -> None:
        """Puts back the gates that are due, each with its record's later operations."""
        for stored in list(self._parked.take_due(now)):
            self.add(stored)

    def park_behind(self, taken: Sequence[StoredOperation]) -> list[StoredOperation]:
        """Parks those of the gates that have to wait for one of an earlier record; returns the others."""
        going = []
        for stored in taken:
            due = None
            if self._parked and is_patient(stored):
                due = self._parked.due_before(stored, self._entries[stored.seq].lines)
            if due is None:
                going.append(stored)
            else:
                self.park(stored, due)
        return going

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
        """Takes up to `limit` ready operations of a lane that are due; they stay at the head of their lines."""
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
        for line in entry.lines:
            ranks = self._ranks_by_line[line]
            index = bisect_right(ranks, entry.rank)
            following.add(ranks[index] if index < len(ranks) else None)
        rank = following.pop()
        if following or rank is None:
            return None
        other = self._entries[rank & _SEQ_MASK]
        one, next_one = entry.stored.operation.profile, other.stored.operation.profile
        # The operations of a record have one identity between them.
        if other.in_flight or (one is not next_one and one.keys() != next_one.keys()):
            return None
        return other.stored

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
        return min(
            (each for each in (min(later, default=None), self._parked.next_due()) if each), default=None
        )

    def shift_due_times(self, after: int, by: int) -> None:
        """Moves the due times after a time by `by` milliseconds, because the clock was set."""
        self._parked.shift_due_times(by)
        for entry in self._entries.values():
            if entry.stored.due > after:
                entry.stored = replace(entry.stored, due=entry.stored.due + by)
                self._make_ready_if_first(entry)

    def remove(self, seq: int) -> None:
        """Removes an operation that is settled, held or failed: the next one in its lines may be ready now."""
        if seq in self._parked:
            self._parked.remove(seq)
        entry = self._entries.pop(seq, None)
        if entry is None:
            return
        self._make_unready(entry)
        if entry.in_flight:
            self._late.add_sent(entry.lines, entry.stored.record_seq)
        self._mark_landed(entry)
        self._delayed.pop(seq, None)
        self._count_of[entry.stored.workflow] -= 1
        for line in entry.lines:
            ranks = self._ranks_by_line[line]
            ranks.remove(entry.rank)
            if ranks:
                self._make_ready_if_first(self._entries[ranks[0] & _SEQ_MASK])
            else:
                del self._ranks_by_line[line]

    def put_back(self, stored: StoredOperation) -> None:
        """Puts an operation back that is tried again; its `due` and `attempts` may have changed."""
        if stored.seq in self._parked:
            self._parked.replace(stored)
        entry = self._entries.get(stored.seq)
        if entry is None:
            return
        self._mark_landed(entry)
        entry.stored = stored
        if stored.due:
            self._delayed[stored.seq] = entry
        self._make_ready_if_first(entry)
        for line in entry.lines:
            self._make_ready_if_first(self._entries[self._ranks_by_line[line][0] & _SEQ_MASK])

    def remove_later_of_record(self, stored: StoredOperation) -> None:
        """Removes the later operations of an operation's record; the journal has settled them with it.

        Those of another version came into the queue meanwhile, by re-planning, and stay.
        """
        for seq in self._later_of_record(stored):
            self.remove(seq)

    def _later_of_record(self, stored: StoredOperation) -> list[int]:
        later = {
            seq
            for line in self._current_lines(stored)
            for rank in self._ranks_by_line.get(line, ())
            if (other := self._entries[seq := rank & _SEQ_MASK].stored).record_seq == stored.record_seq
            and (other.workflow, other.version) == (stored.workflow, stored.version)
            and other.index > stored.index
        }
        return [seq for seq in sorted(later) if not self._entries[seq].in_flight]

    def remove_of_workflow(self, workflow: str) -> None:
        """Removes operations of a workflow that are not in flight; the journal still has them."""
        waiting = [
            seq
            for seq, entry in self._entries.items()
            if entry.stored.workflow == workflow and not entry.in_flight
        ]
        for seq in waiting:
            self.remove(seq)
        self._parked.remove_of_workflow(workflow)

    def _make_entry(self, stored: StoredOperation, live: bool) -> _Entry:
        key = batch_key(stored.operation)
        live = live and key.call not in GATHERING_CALLS
        lines = self._current_lines(stored)
        lane = Lane(self.canaries.lane_of(stored.connection, lines, stored.record_seq), key, live)
        state = self._lanes.get(lane)
        if state is None:
            state = self._lanes[lane] = _LaneState(lane, {})
        rank = stored.record_seq << _SEQ_BITS | stored.seq
        return _Entry(stored, rank, lines, state)

    def _current_lines(self, stored: StoredOperation) -> Sequence[int]:
        """Returns the lines of an operation as they are now. Where nothing is known, each identifier is a line."""
        lines = stored.lines or connection_numbers(
            stored.connection, identifier_numbers(stored.operation.profile)
        )
        if not self._joined or self._joined.keys().isdisjoint(lines):
            return lines
        return tuple({self._current(line) for line in lines})

    def _mark_in_flight(self, entry: _Entry) -> None:
        self._make_unready(entry)
        if entry.in_flight:
            return
        entry.in_flight = True
        for line in entry.lines:
            self._in_flight_by_line[line] = self._in_flight_by_line.get(line, 0) + 1

    def _mark_landed(self, entry: _Entry) -> None:
        if not entry.in_flight:
            return
        entry.in_flight = False
        for line in entry.lines:
            left = self._in_flight_by_line.pop(line) - 1
            if left:
                self._in_flight_by_line[line] = left

    def _make_ready_if_first(self, entry: _Entry) -> None:
        """Makes an operation ready if no other one in its lines is before it."""
        if entry.in_flight:
            return
        seq, rank = entry.stored.seq, entry.rank
        for line in entry.lines:
            if line in self._in_flight_by_line or self._ranks_by_line[line][0] != rank:
                return
        ready = entry.lane.ready
        if seq not in ready:
            self._ready_count_of[entry.stored.workflow] += 1
        ready[seq] = entry.stored

    def _make_unready(self, entry: _Entry) -> None:
        if entry.lane.ready.pop(entry.stored.seq, None) is not None:
            self._ready_count_of[entry.stored.workflow] -= 1
