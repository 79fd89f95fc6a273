"""The queue of operations: reading them, moving them between states, removing them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from heapq import merge
from itertools import islice
from operator import attrgetter
from typing import Any

from askel_tui.core.operations import Operation
from askel_tui.store.journal import statements
from askel_tui.store.journal.rows import OperationState, StoredOperation
from askel_tui.store.journal.states import FAILED, HELD, WAITING
from askel_tui.store.journal.tables.lines import with_lines
from askel_tui.store.journal.tables.order.passed import passed_by
from askel_tui.store.journal.tables.queue_row import QUEUE_COLUMNS, QueueRow
from askel_tui.store.journal.tables.unit_of_work import UnitOfWork
from askel_tui.store.journal.transaction import Transaction

STORED_COLUMNS = (
    "seq, connection, workflow, version, record_seq, record, idx, state, attempts, due, since, reason, body"
)
"""The columns that `decode_operation` reads."""

_STATES: dict[int, OperationState] = {WAITING: "waiting", HELD: "held", FAILED: "failed"}
"""The names of the states; counters have these names too."""


def decode_operation(row: Sequence[Any]) -> StoredOperation:
    """Decodes the operation in a row of `STORED_COLUMNS`."""
    seq, connection, workflow, version, record_seq, record, idx, state, attempts, due, since, reason, body = (
        row
    )
    return StoredOperation(
        seq, connection, workflow, version, record_seq, record, idx, Operation.decode(body), _STATES[state], attempts,
        due, since, reason,
    )  # fmt: skip


_NOT_PAUSED = (
    "AND NOT EXISTS (SELECT 1 FROM backfill_records b JOIN backfills f ON f.id = b.backfill "
    "WHERE b.seq = operations.record_seq AND f.workflow = operations.workflow AND f.state = 'paused') "
)
"""The condition that leaves out what belongs to a paused backfill."""


def waiting_operations(
    db: Transaction, connections: Collection[str], after: int, limit: int
) -> list[StoredOperation]:
    """Lists waiting operations of `connections` with a higher `seq` than `after`, in order; paused workflows and
    backfills, and workflows whose operations are being planned anew, are left out."""
    queues = db.execute(
        "SELECT c.workflow, c.connection FROM counters c LEFT JOIN workflows w ON w.workflow = c.workflow "
        "WHERE c.waiting > 0 AND w.status IS NOT 'paused' AND w.replan IS NULL"
    )
    wanted = set(connections)
    paused = db.execute("SELECT EXISTS (SELECT 1 FROM backfills WHERE state = 'paused')").fetchone()[0]
    # Each workflow's operations are one range of the index; merging reads no more rows than are asked for.
    found = [_queue(db, workflow, of, after, limit, bool(paused)) for workflow, of in queues if of in wanted]
    rows = islice(merge(*found, key=lambda row: row[0]), limit)
    waiting = with_lines(db, map(decode_operation, rows))
    if newest := passed_by(db, {line for stored in waiting for line in stored.lines}):
        for stored in waiting:
            stored.passed_by = max((newest[line] for line in stored.lines if line in newest), default=0)
    return waiting


def _queue(
    db: Transaction, workflow: str, connection: str, after: int, limit: int, without_paused: bool
) -> Iterator[tuple[Any, ...]]:
    """Yields the waiting operations of one workflow; each is read when it is its turn."""
    only = _NOT_PAUSED if without_paused else ""
    yield from db.execute(
        f"SELECT {STORED_COLUMNS} FROM operations INDEXED BY operations_waiting "
        f"WHERE workflow = ? AND connection = ? AND state = {WAITING} AND request IS NULL AND seq > ? {only}"
        "ORDER BY seq LIMIT ?",
        (workflow, connection, after, limit),
    )


def queued_operations(db: Transaction, connection: str, after: int, limit: int) -> list[StoredOperation]:
    """Lists what a connection has not sent (waiting, held or failed) with a higher `seq` than `after`, in order."""
    rows = db.execute(
        f"SELECT {STORED_COLUMNS} FROM operations WHERE seq > ? AND connection = ? ORDER BY seq LIMIT ?",
        (after, connection, limit),
    )
    return list(map(decode_operation, rows))


def carried_operations(db: Transaction, request: int) -> dict[int, StoredOperation]:
    """Returns the operations that a request still carries, by `seq`."""
    rows = db.execute(f"SELECT {STORED_COLUMNS} FROM operations WHERE request = ?", (request,))
    return {each.seq: each for each in with_lines(db, map(decode_operation, rows))}


def find_row(db: Transaction, seq: int) -> QueueRow | None:
    """Finds a queued operation; None where it left the queue."""
    found = db.execute(f"SELECT {QUEUE_COLUMNS} FROM operations WHERE seq = ?", (seq,)).fetchone()
    return None if found is None else QueueRow._make(found)


def operation_state(db: Transaction, seq: int) -> OperationState | None:
    """Returns the state of a queued operation; None where it left the queue."""
    found = db.execute("SELECT state FROM operations WHERE seq = ?", (seq,)).fetchone()
    return None if found is None else _STATES[found[0]]


def rows_by_seq(db: Transaction, seqs: Sequence[int]) -> dict[int, QueueRow]:
    """Reads queued operations by `seq`; those that left the queue are missing."""
    rows = statements.read_rows(db, "operations", QUEUE_COLUMNS, "seq", seqs)
    return {row[0]: QueueRow._make(row) for row in rows}


def rows_with_bodies(db: Transaction, seqs: Sequence[int]) -> dict[int, tuple[QueueRow, bytes]]:
    """Reads queued operations by `seq`, each with its encoded body; those that left the queue are missing."""
    rows = db.execute(
        f"SELECT {QUEUE_COLUMNS}, body FROM operations WHERE seq IN (SELECT value FROM json_each(?))",
        (statements.json_list(seqs),),
    )
    return {row[0]: (QueueRow._make(row[:-1]), row[-1]) for row in rows.fetchall()}


def select_rows(db: Transaction, condition: str, parameters: Sequence[Any]) -> list[QueueRow]:
    """Selects queued operations under a condition, in order."""
    rows = db.execute(f"SELECT {QUEUE_COLUMNS} FROM operations WHERE {condition} ORDER BY seq", parameters)
    return sorted(map(QueueRow._make, rows), key=attrgetter("seq"))


def read_operation(db: Transaction, seq: int) -> Operation:
    """Reads the operation itself of a queued row."""
    (body,) = db.execute("SELECT body FROM operations WHERE seq = ?", (seq,)).fetchone()
    return Operation.decode(body)


def later_rows(db: Transaction, row: QueueRow, *, states: Collection[int]) -> list[QueueRow]:
    """Finds the later operations of the same record and workflow that no request carries and that have one of
    `states`."""
    marks = ", ".join(map(str, states))
    return select_rows(
        db,
        f"record_seq = ? AND workflow = ? AND idx > ? AND request IS NULL AND state IN ({marks})",
        (row.record_seq, row.workflow, row.idx),
    )


def remove_row(work: UnitOfWork, row: QueueRow) -> None:
    """Takes an operation that was not sent out of the queue and out of the counters."""
    remove_rows(work, [row])


def remove_rows(work: UnitOfWork, rows: Collection[QueueRow], *, sent: bool = False) -> None:
    """Takes operations out of the queue and out of the counters; `sent` counts them as sent."""
    if not rows:
        return
    statements.delete_rows(work.db, "operations", "seq", [row.seq for row in rows])
    alike: dict[tuple[str, str, int], int] = {}
    for row in rows:
        key = (row.workflow, row.connection, row.state)
        alike[key] = alike.get(key, 0) + 1
        _leave_hold(work.db, row)
    for (workflow, connection, state), number in alike.items():
        work.counters.add(workflow, connection, sent=number if sent else 0, **{_STATES[state]: -number})


def set_state(
    work: UnitOfWork,
    row: QueueRow,
    state: int,
    *,
    hold: str | None = None,
    failure: int | None = None,
    reason: str | None = None,
) -> None:
    """Brings an operation into a state and out of its request; its attempts stay."""
    work.db.execute(
        "UPDATE operations SET state = ?, hold = ?, failure = ?, reason = ?, request = NULL, due = 0, since = 0 "
        "WHERE seq = ?",
        (state, hold, failure, reason, row.seq),
    )
    if state != row.state:
        work.counters.add(row.workflow, row.connection, **{_STATES[row.state]: -1, _STATES[state]: 1})
    _leave_hold(work.db, row)
    if hold is not None:
        work.db.execute(
            "UPDATE holds SET waiting = waiting + 1 WHERE workflow = ? AND version = ? AND step = ?",
            (row.workflow, row.version, hold),
        )


def _leave_hold(db: Transaction, row: QueueRow) -> None:
    if row.hold is not None:
        db.execute(
            "UPDATE holds SET waiting = waiting - 1 WHERE workflow = ? AND version = ? AND step = ?",
            (row.workflow, row.version, row.hold),
        )
