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
    """Ready operations of one connection that may share a request or stand in one line for requests of their own.

    `live` ones were planned as their records came in; the others are backlog. Calls that take all that waits know
    no difference.
    """

    connection: str
    batch_key: BatchKey
    live: bool = False


@dataclass(slots=True, eq=False)
class _Line:
    """A lane and what is ready in it, by `seq`."""

    lane: Lane
    ready: dict[int, StoredOperation]


@dataclass(slots=True, eq=False)
class _Entry:
    """An operation in the queue, with what is asked of it again and again."""

    stored: StoredOperation
    keys: tuple[str, ...]
    line: _Line
    flying: bool = False
    """Whether it is being sent."""


class ProfileQueue:
    """Waiting operations in order of arrival per profile."""

    def __init__(self) -> None:
        self._entries: dict[int, _Entry] = {}
        self._of: Counter[str] = Counter()
        """How many operations are here, by workflow."""
        self._ready_of: Counter[str] = Counter()
        """How many of these are ready."""
        self._by_key: dict[str, list[int]] = {}
        self._last: tuple[tuple[str, Identity] | None, tuple[str, ...]] = (None, ())
        self._lines: dict[Lane, _Line] = {}
        self._put_off: dict[int, _Entry] = {}
        """Those that were due later than at once when they came: few, so that the next one is soon found."""
        self._in_flight = 0
        self._busy: dict[str, int] = {}
        """How many operations are being sent, by key where there are any: several where the next was taken along."""

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, seq: int) -> bool:
        return seq in self._entries

    def count_ahead(self, workflow: str) -> tuple[int, int]:
        """How many operations of a workflow are here, and how many of them are ready."""
        return self._of[workflow], self._ready_of[workflow]

    @property
    def has_ready(self) -> bool:
        """Whether an operation is ready, due or not."""
        return any(self._ready_of.values())

    @property
    def in_flight(self) -> int:
        """How many operations are being sent."""
        return self._in_flight

    def add(self, stored: StoredOperation, *, live: bool = False) -> None:
        """Takes an operation in, at the place that its `seq` gives it. One that is here already stays as it is."""
        if stored.seq in self._entries:
            return
        self._entries[stored.seq] = entry = self._entry(stored, live)
        if stored.due:
            self._put_off[stored.seq] = entry
        self._of[stored.workflow] += 1
        for key in entry.keys:
            line = self._by_key.setdefault(key, [])
            if line and line[-1] > stored.seq:
                insort(line, stored.seq)
                self._unready(self._entries[line[1]])
            else:
                line.append(stored.seq)
        self._consider(entry)

    def calls(self) -> list[Call]:
        """The calls that have ready operations."""
        return list(dict.fromkeys(line.lane.batch_key.call for line in self._lines.values() if line.ready))

    def lanes(self, call: Call) -> Iterator[tuple[Lane, Mapping[int, StoredOperation]]]:
        """The ready operations of a call by lane; do not change while iterating."""
        for line in self._lines.values():
            if line.ready and line.lane.batch_key.call == call:
                yield line.lane, line.ready

    def count_ready(self, lane: Lane) -> int:
        """How many operations of a lane are ready, due or not."""
        line = self._lines.get(lane)
        return 0 if line is None else len(line.ready)

    def take(self, lane: Lane, limit: int, now: int) -> list[StoredOperation]:
        """Takes up to `limit` ready operations of a lane that are due; they stay at the head of their profile."""
        line = self._lines.get(lane)
        ready = () if line is None else line.ready.values()
        taken = list(islice((stored for stored in ready if stored.due <= now), limit))
        for stored in taken:
            self._fly(self._entries[stored.seq])
        return taken

    def take_next_of_record(self, stored: StoredOperation, call: Call) -> StoredOperation | None:
        """Takes the next operation of a taken one's record along, if it is of this call and next for its profile."""
        other = self.next_of_profile(stored)
        if other is None or other.operation.call != call or other.due > stored.due:
            return None
        if (other.workflow, other.record_seq) != (stored.workflow, stored.record_seq):
            return None
        self._fly(self._entries[other.seq])
        return other

    def next_of_profile(self, stored: StoredOperation) -> StoredOperation | None:
        """The waiting operation right behind a taken one, if both name the same identifiers; it stays where it is."""
        entry = self._entries[stored.seq]
        following: set[int | None] = set()
        for key in entry.keys:
            line = self._by_key[key]
            place = bisect_right(line, stored.seq)
            following.add(line[place] if place < len(line) else None)
        seq = following.pop()
        if following or seq is None:
            return None
        other = self._entries[seq]
        return other.stored if not other.flying and other.keys == entry.keys else None

    def take_carried(self, stored: StoredOperation) -> None:
        """Takes an operation that is carried already: the one that `behind` gave, or one of a request in doubt."""
        self._fly(self._entries[stored.seq])

    def next_due(self, now: int) -> int | None:
        """When the next ready operation that is not due yet will be."""
        later = (
            entry.stored.due
            for seq, entry in self._put_off.items()
            if entry.stored.due > now and seq in entry.line.ready
        )
        return min(later, default=None)

    def shift_due_times(self, after: int, by: int) -> None:
        """The clock was set: what is due after a time is due so much later, or earlier where `by` is negative."""
        for entry in self._entries.values():
            if entry.stored.due > after:
                entry.stored = replace(entry.stored, due=entry.stored.due + by)
                self._consider(entry)

    def remove(self, seq: int) -> None:
        """The operation is settled, held or failed: the next one of its profile may be ready now."""
        entry = self._entries.pop(seq, None)
        if entry is None:
            return
        self._unready(entry)
        self._land(entry)
        self._put_off.pop(seq, None)
        self._of[entry.stored.workflow] -= 1
        for key in entry.keys:
            line = self._by_key[key]
            line.remove(seq)
            if line:
                self._consider(self._entries[line[0]])
            else:
                del self._by_key[key]

    def put_back(self, stored: StoredOperation) -> None:
        """The operation is to be tried again (its `due` and `attempts` may have changed)."""
        entry = self._entries.get(stored.seq)
        if entry is None:
            return
        self._land(entry)
        entry.stored = stored
        if stored.due:
            self._put_off[stored.seq] = entry
        self._consider(entry)
        for key in entry.keys:
            self._consider(self._entries[self._by_key[key][0]])

    def remove_later_of_record(self, stored: StoredOperation) -> None:
        """Drops the later operations of the record of an operation; the journal has settled them with it."""
        lines = [self._by_key.get(key, ()) for key in _keys(stored)]
        behind = {
            seq
            for line in lines
            for seq in line
            if (other := self._entries[seq].stored).record_seq == stored.record_seq
            and other.workflow == stored.workflow
            and other.index > stored.index
        }
        for seq in behind:
            if not self._entries[seq].flying:
                self.remove(seq)

    def remove_of_workflow(self, workflow: str, *, step: str | None = None) -> None:
        """Drops operations of a workflow that are not in flight; the journal still has them."""
        gone = [
            seq
            for seq, entry in self._entries.items()
            if entry.stored.workflow == workflow
            and (step is None or entry.stored.operation.step == step)
            and not entry.flying
        ]
        for seq in gone:
            self.remove(seq)

    def _entry(self, stored: StoredOperation, live: bool) -> _Entry:
        found = batch_key(stored.operation)
        live = live and found.call not in GATHERING_CALLS
        # The operations of a record come one after another and share its identity.
        whose = (stored.connection, stored.operation.profile)
        if whose != self._last[0]:
            self._last = (whose, _keys(stored))
        lane = Lane(stored.connection, found, live)
        line = self._lines.get(lane)
        if line is None:
            line = self._lines[lane] = _Line(lane, {})
        return _Entry(stored, self._last[1], line)

    def _fly(self, entry: _Entry) -> None:
        self._unready(entry)
        if entry.flying:
            return
        entry.flying = True
        self._in_flight += 1
        for key in entry.keys:
            self._busy[key] = self._busy.get(key, 0) + 1

    def _land(self, entry: _Entry) -> None:
        if not entry.flying:
            return
        entry.flying = False
        self._in_flight -= 1
        for key in entry.keys:
            left = self._busy.pop(key) - 1
            if left:
                self._busy[key] = left

    def _consider(self, entry: _Entry) -> None:
        """Makes an operation ready if nothing is before it."""
        if entry.flying:
            return
        seq = entry.stored.seq
        for key in entry.keys:
            if key in self._busy or self._by_key[key][0] != seq:
                return
        ready = entry.line.ready
        if seq not in ready:
            self._ready_of[entry.stored.workflow] += 1
        ready[seq] = entry.stored

    def _unready(self, entry: _Entry) -> None:
        if entry.line.ready.pop(entry.stored.seq, None) is not None:
            self._ready_of[entry.stored.workflow] -= 1


def _keys(stored: StoredOperation) -> tuple[str, ...]:
    return tuple(f"{stored.connection}\0{key}" for key in stored.operation.profile.keys())
