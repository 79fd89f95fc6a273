"""Operations in the embedded journal: their rows, the queue of waiting ones, and leaving it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from heapq import merge
from itertools import islice
from operator import attrgetter
from typing import Any, NamedTuple

from askel_tui.core.operations import Operation
from askel_tui.store.journal import statements
from askel_tui.store.journal.rows import OperationState, StoredOperation
from askel_tui.store.journal.states import FAILED, HELD, WAITING
from askel_tui.store.journal.tables.counters import CounterChanges
from askel_tui.store.journal.transaction import Transaction

STORED_COLUMNS = (
    "seq, connection, workflow, version, record_seq, record, idx, state, attempts, due, since, reason, body"
)

_STATES: dict[int, OperationState] = {WAITING: "waiting", HELD: "held", FAILED: "failed"}
_COUNTED = {WAITING: "waiting", HELD: "held", FAILED: "failed"}


class QueueRow(NamedTuple):
    """What the journal needs to know of a queued operation to move or settle it."""

    seq: int
    connection: str
    workflow: str
    version: int
    record_seq: int
    record: str
    idx: int
    step: str
    gate: int
    actor: str | None
    state: int
    hold: str | None
    attempts: int
    since: int
    request: int | None
    failure: int | None


_ROW = (
    "seq, connection, workflow, version, record_seq, record, idx, step, gate, actor, state, hold, attempts, since, "
    "request, failure"
)


def decode_operation(row: Sequence[Any]) -> StoredOperation:
    """The operation of a row of `COLUMNS`."""
    seq, connection, workflow, version, record_seq, record, idx, state, attempts, due, since, reason, body = (
        row
    )
    operation = Operation.decode(body)
    return StoredOperation(
        seq, connection, workflow, version, record_seq, record, idx, operation, _STATES[state], attempts, due, since,
        reason,
    )  # fmt: skip


def waiting_operations(
    db: Transaction, connections: Collection[str], after: int, limit: int
) -> list[StoredOperation]:
    """Waiting operations over `after` in order, of these connections; paused workflows left out."""
    lanes = db.execute(
        "SELECT c.workflow, c.connection FROM counters c LEFT JOIN workflows w ON w.workflow = c.workflow "
        "WHERE c.waiting > 0 AND w.status IS NOT 'paused'"
    )
    wanted = set(connections)
    # Each workflow's operations are one range of the index; merging reads no more rows than are asked for.
    found = [_lane(db, workflow, of, after, limit) for workflow, of in lanes if of in wanted]
    return [decode_operation(row) for row in islice(merge(*found, key=lambda row: row[0]), limit)]


def _lane(
    db: Transaction, workflow: str, connection: str, after: int, limit: int
) -> Iterator[tuple[Any, ...]]:
    yield from db.execute(
        f"SELECT {STORED_COLUMNS} FROM operations INDEXED BY operations_waiting "
        f"WHERE workflow = ? AND connection = ? AND state = {WAITING} AND request IS NULL AND seq > ? "
        "ORDER BY seq LIMIT ?",
        (workflow, connection, after, limit),
    )


def carried_operations(db: Transaction, request: int) -> dict[int, StoredOperation]:
    """The operations that a request still carries, by `seq`."""
    rows = db.execute(f"SELECT {STORED_COLUMNS} FROM operations WHERE request = ?", (request,))
    return {row[0]: decode_operation(row) for row in rows}


def find_row(db: Transaction, seq: int) -> QueueRow | None:
    """A queued operation; None where it left the queue."""
    found = db.execute(f"SELECT {_ROW} FROM operations WHERE seq = ?", (seq,)).fetchone()
    return None if found is None else QueueRow._make(found)


def operation_state(db: Transaction, seq: int) -> OperationState | None:
    """The state of a queued operation; None where it left the queue."""
    found = db.execute("SELECT state FROM operations WHERE seq = ?", (seq,)).fetchone()
    return None if found is None else _STATES[found[0]]


def rows_by_seq(db: Transaction, seqs: Sequence[int]) -> dict[int, QueueRow]:
    """Queued operations by `seq`; those that left the queue are missing."""
    return {
        each[0]: QueueRow._make(each) for each in statements.read_rows(db, "operations", _ROW, "seq", seqs)
    }


def rows_with_bodies(db: Transaction, seqs: Sequence[int]) -> dict[int, tuple[QueueRow, bytes]]:
    """Queued operations by `seq`, each with what it does as it is stored; those that left the queue are missing."""
    found = db.execute(
        f"SELECT {_ROW}, body FROM operations WHERE seq IN (SELECT value FROM json_each(?))",
        (statements.json_list(seqs),),
    )
    return {each[0]: (QueueRow._make(each[:-1]), each[-1]) for each in found.fetchall()}


def select_rows(db: Transaction, condition: str, parameters: Iterable[Any]) -> list[QueueRow]:
    """Queued operations under a condition, in order."""
    found = db.execute(f"SELECT {_ROW} FROM operations WHERE {condition} ORDER BY seq", tuple(parameters))
    return sorted(map(QueueRow._make, found), key=attrgetter("seq"))


def read_operation(db: Transaction, seq: int) -> Operation:
    """What a queued operation does."""
    (body,) = db.execute("SELECT body FROM operations WHERE seq = ?", (seq,)).fetchone()
    return Operation.decode(body)


def later_rows(db: Transaction, of: QueueRow, *, states: Collection[int]) -> list[QueueRow]:
    """The later operations of the same record and workflow that no request carries, in these states."""
    marks = ", ".join(str(state) for state in states)
    return select_rows(
        db,
        f"record_seq = ? AND workflow = ? AND idx > ? AND request IS NULL AND state IN ({marks})",
        (of.record_seq, of.workflow, of.idx),
    )


def remove_row(db: Transaction, of: QueueRow, tally: CounterChanges, *, sent: bool = False) -> None:
    """Takes an operation out of the queue and out of the counters; `sent` counts it as sent."""
    remove_rows(db, [of], tally, sent=sent)


def remove_rows(
    db: Transaction, rows: Collection[QueueRow], tally: CounterChanges, *, sent: bool = False
) -> None:
    """Takes operations out of the queue and out of the counters; `sent` counts them as sent."""
    statements.delete_rows(db, "operations", "seq", [of.seq for of in rows])
    alike = Counter((of.workflow, of.connection, of.state) for of in rows)
    for (workflow, connection, state), number in alike.items():
        tally.add(workflow, connection, sent=number if sent else 0, **{_COUNTED[state]: -number})
    for of in rows:
        _leave_hold(db, of)


def set_state(
    db: Transaction,
    of: QueueRow,
    state: int,
    tally: CounterChanges,
    *,
    hold: str | None = None,
    failure: int | None = None,
    reason: str | None = None,
) -> None:
    """Brings an operation into a state, out of its request; its attempts stay."""
    db.execute(
        "UPDATE operations SET state = ?, hold = ?, failure = ?, reason = ?, request = NULL, due = 0, since = 0 "
        "WHERE seq = ?",
        (state, hold, failure, reason, of.seq),
    )
    if state != of.state:
        tally.add(of.workflow, of.connection, **{_COUNTED[of.state]: -1})
        tally.add(of.workflow, of.connection, **{_COUNTED[state]: 1})
    _leave_hold(db, of)
    if hold is not None:
        db.execute(
            "UPDATE holds SET waiting = waiting + 1 WHERE workflow = ? AND step = ?", (of.workflow, hold)
        )


def _leave_hold(db: Transaction, of: QueueRow) -> None:
    if of.hold is not None:
        db.execute(
            "UPDATE holds SET waiting = waiting - 1 WHERE workflow = ? AND step = ?", (of.workflow, of.hold)
        )
