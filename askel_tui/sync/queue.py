"""The order in which operations may be sent: one profile's operations go one after another, as they arrived.

An operation is ready when it is the oldest one for every identifier it carries and none that shares one is being sent
(an older one may come back later, say from a hold). Operations that share any identifier are thereby serial, also
across records and workflows, and others run side by side. In memory only: the journal is the truth, this is the part
of it that is being worked on.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass

from askel_tui.core.packing import Parcel, parcel
from askel_tui.store.journal import StoredOperation


@dataclass(frozen=True, slots=True)
class Lane:
    """Operations that may share a request: a connection and a parcel."""

    connection: str
    parcel: Parcel


class ProfileQueue:
    """Waiting operations in order of arrival per profile."""

    def __init__(self) -> None:
        self._operations: dict[int, StoredOperation] = {}
        self._by_key: dict[str, list[int]] = {}
        self._ready: dict[str, dict[Lane, dict[int, StoredOperation]]] = {}
        self._in_flight: set[int] = set()
        self._busy: set[str] = set()
        """The keys of operations that are being sent."""

    def __len__(self) -> int:
        return len(self._operations)

    def __contains__(self, seq: int) -> bool:
        return seq in self._operations

    @property
    def in_flight(self) -> int:
        """How many operations are being sent."""
        return len(self._in_flight)

    def add(self, stored: StoredOperation) -> None:
        """Takes an operation in, at the place that its `seq` gives it. One that is here already stays as it is."""
        if stored.seq in self._operations:
            return
        self._operations[stored.seq] = stored
        for key in _keys(stored):
            line = self._by_key.setdefault(key, [])
            if line and line[-1] > stored.seq:
                insort(line, stored.seq)
                self._unready(line[1])
            else:
                line.append(stored.seq)
        self._consider(stored.seq)

    def calls(self) -> list[str]:
        """The calls that have ready operations."""
        return [call for call, lanes in self._ready.items() if lanes]

    def lanes(self, call: str) -> Iterator[tuple[Lane, dict[int, StoredOperation]]]:
        """The ready operations of a call by lane, oldest lane first; do not change while iterating."""
        yield from self._ready.get(call, {}).items()

    def take(self, lane: Lane, limit: int, now: int) -> list[StoredOperation]:
        """Takes up to `limit` ready operations of a lane that are due; they stay at the head of their profile."""
        ready = self._ready.get(lane.parcel.call, {}).get(lane, {})
        taken = []
        for stored in ready.values():
            if stored.due <= now:
                taken.append(stored)
                if len(taken) == limit:
                    break
        for stored in taken:
            self._unready(stored.seq)
            self._in_flight.add(stored.seq)
            self._busy.update(_keys(stored))
        return taken

    def next_due(self, now: int) -> int | None:
        """When the next ready operation that is not due yet will be."""
        later = [
            stored.due
            for lanes in self._ready.values()
            for ready in lanes.values()
            for stored in ready.values()
            if stored.due > now
        ]
        return min(later, default=None)

    def remove(self, seq: int) -> None:
        """The operation is settled, held or failed: the next one of its profile may be ready now."""
        stored = self._operations.get(seq)
        if stored is None:
            return
        self._unready(seq)
        self._land(stored)
        del self._operations[seq]
        for key in _keys(stored):
            line = self._by_key[key]
            line.remove(seq)
            if line:
                self._consider(line[0])
            else:
                del self._by_key[key]

    def put_back(self, stored: StoredOperation) -> None:
        """The operation is to be tried again (its `due` and `attempts` may have changed)."""
        if stored.seq in self._operations:
            self._land(stored)
            self._operations[stored.seq] = stored
            self._consider(stored.seq)
            for key in _keys(stored):
                self._consider(self._by_key[key][0])

    def remove_where(self, workflow: str, *, step: str | None = None, record_seq: int | None = None) -> None:
        """Drops operations of a workflow that are not in flight; the journal still has them."""
        gone = [
            stored.seq
            for stored in self._operations.values()
            if stored.workflow == workflow
            and (step is None or stored.operation.step == step)
            and (record_seq is None or stored.record_seq == record_seq)
            and stored.seq not in self._in_flight
        ]
        for seq in gone:
            self.remove(seq)

    def _land(self, stored: StoredOperation) -> None:
        if stored.seq in self._in_flight:
            self._in_flight.remove(stored.seq)
            self._busy.difference_update(_keys(stored))

    def _consider(self, seq: int) -> None:
        stored = self._operations[seq]
        if seq in self._in_flight:
            return
        if any(key in self._busy or self._by_key[key][0] != seq for key in _keys(stored)):
            return
        lane = _lane(stored)
        self._ready.setdefault(lane.parcel.call, {}).setdefault(lane, {})[seq] = stored

    def _unready(self, seq: int) -> None:
        stored = self._operations[seq]
        lane = _lane(stored)
        lanes = self._ready.get(lane.parcel.call)
        if lanes is None or lane not in lanes:
            return
        lanes[lane].pop(seq, None)
        if not lanes[lane]:
            del lanes[lane]


def _keys(stored: StoredOperation) -> list[str]:
    return [f"{stored.connection}\0{key}" for key in stored.operation.profile.keys()]


def _lane(stored: StoredOperation) -> Lane:
    return Lane(stored.connection, parcel(stored.operation))
