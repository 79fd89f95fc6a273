"""Parked gates: those that wait for a segment to be computed, aside from the lines, so that others go on.

What waits with a gate is the rest of its record, and the later records of its lines that come to the same gate. In
memory only, as all of the queue: the journal has the operations as waiting, the gate as due later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from askel_tui.store.journal.rows import StoredOperation


@dataclass(slots=True)
class _Parked:
    """A gate, with the later operations of its record, by `seq`; and its lines."""

    due: int
    lines: frozenset[int]
    gate: StoredOperation
    operations: dict[int, StoredOperation]


def is_patient(stored: StoredOperation) -> bool:
    """Checks whether an operation is a gate that waits for its answer to change."""
    return stored.operation.is_gate and "within" in stored.operation.body


class ParkedGates:
    """The parked gates of a queue."""

    def __init__(self) -> None:
        self._gates: dict[tuple[str, int], _Parked] = {}
        """The parked gates by workflow and record: a record has one at most."""
        self._record_of: dict[int, tuple[str, int]] = {}
        """The record of each parked operation, by `seq`."""

    def __len__(self) -> int:
        return len(self._gates)

    def __contains__(self, seq: int) -> bool:
        return seq in self._record_of

    def park(
        self,
        gate: StoredOperation,
        later: Iterable[StoredOperation],
        lines: Sequence[int],
        due: int,
    ) -> None:
        """Parks a gate until a time, with the later operations of its record."""
        record = (gate.workflow, gate.record_seq)
        operations = {stored.seq: stored for stored in (gate, *later)}
        self._gates[record] = _Parked(due, frozenset(lines), gate, operations)
        self._record_of.update(dict.fromkeys(operations, record))

    def adopt(self, stored: StoredOperation) -> bool:
        """Parks an operation with the gate of its record, if one before it is parked; returns whether it is."""
        record = (stored.workflow, stored.record_seq)
        parked = self._gates.get(record)
        if parked is None or stored.index < parked.gate.index:
            return False
        parked.operations.setdefault(stored.seq, stored)
        self._record_of[stored.seq] = record
        return True

    def due_before(self, gate: StoredOperation, lines: Iterable[int]) -> int | None:
        """Finds when an earlier record of the same lines is due that is parked at the same gate; None without one."""
        lines = frozenset(lines)
        return next(
            (
                parked.due
                for parked in self._gates.values()
                if parked.gate.workflow == gate.workflow
                and parked.gate.operation.step == gate.operation.step
                and parked.gate.record_seq < gate.record_seq
                and not lines.isdisjoint(parked.lines)
            ),
            None,
        )

    def take_due(self, now: int) -> Iterator[StoredOperation]:
        """Takes out what is due, for the queue."""
        for record in [record for record, parked in self._gates.items() if parked.due <= now]:
            yield from self._take(record)

    def next_due(self) -> int | None:
        """Returns when the next gate is due."""
        return min((parked.due for parked in self._gates.values()), default=None)

    def shift_due_times(self, by: int) -> None:
        """Moves all times by `by` milliseconds, because the clock was set."""
        for parked in self._gates.values():
            parked.due += by
            parked.gate = replace(parked.gate, due=parked.due)
            parked.operations[parked.gate.seq] = parked.gate

    def replace(self, stored: StoredOperation) -> None:
        """Takes over an operation that the journal changed."""
        self._gates[self._record_of[stored.seq]].operations[stored.seq] = stored

    def remove(self, seq: int) -> None:
        """Forgets an operation that waits no more; with a gate its record's operations are to be loaded again."""
        record = self._record_of.pop(seq)
        parked = self._gates[record]
        parked.operations.pop(seq, None)
        if seq == parked.gate.seq:
            for other in parked.operations:
                del self._record_of[other]
            del self._gates[record]

    def remove_of_workflow(self, workflow: str) -> None:
        """Forgets what is parked of a workflow; the journal still has it."""
        for record in [record for record in self._gates if record[0] == workflow]:
            for _ in self._take(record):
                pass

    def _take(self, record: tuple[str, int]) -> Iterator[StoredOperation]:
        parked = self._gates.pop(record)
        for seq in parked.operations:
            del self._record_of[seq]
        yield from parked.operations.values()
