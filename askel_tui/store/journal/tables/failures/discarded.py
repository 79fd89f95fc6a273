"""Discarded operations and plans: out of the queue, and kept until retention, so that they can be taken up again.

Each belongs to a failure, or to one that is made for what a hold kept of a record.
"""

from __future__ import annotations

from collections.abc import Sequence

from askel_tui.store.journal import statements
from askel_tui.store.journal.rows import Decision
from askel_tui.store.journal.states import FAILED, HELD
from askel_tui.store.journal.tables import operations
from askel_tui.store.journal.tables.queue_row import QueueRow
from askel_tui.store.journal.tables.unit_of_work import UnitOfWork
from askel_tui.store.journal.transaction import Transaction, inserted_id

FAILURE_COLUMNS = (
    "id, connection, workflow, version, record_seq, record, step, reason, at, problems, operation"
)
"""The columns that `failures` and `discarded_failures` share."""

_OPERATION = "seq, connection, workflow, version, record_seq, record, idx, step, gate, actor, mark, body"


def keep_discarded(
    work: UnitOfWork, failure: int, rows: Sequence[QueueRow], *, entry: int | None = None
) -> None:
    """Moves a failure, and the operations that belong to it, from the queue to what was discarded.

    `entry` is the last audit entry before the operations were held, where they did not fail.
    """
    db = work.db
    (workflow, connection, operation) = db.execute(
        "SELECT workflow, connection, operation FROM failures WHERE id = ?", (failure,)
    ).fetchone()
    db.execute(
        f"INSERT INTO discarded_failures ({FAILURE_COLUMNS}, entry, discarded) "
        f"SELECT {FAILURE_COLUMNS}, ?, ? FROM failures WHERE id = ?",
        (entry, work.now, failure),
    )
    db.execute("DELETE FROM failures WHERE id = ?", (failure,))
    db.execute(
        f"INSERT INTO discarded_operations (failure, {_OPERATION}) SELECT ?, {_OPERATION} FROM operations "
        "WHERE seq IN (SELECT value FROM json_each(?))",
        (failure, statements.json_list([row.seq for row in rows])),
    )
    operations.remove_rows(work, rows)
    if operation is None:
        work.counters.add(workflow, connection, failed=-1)
    work.counters.add(workflow, connection, discarded=max(len(rows), 1))


def discard_held(
    db: Transaction, workflow: str, step: str, decision: Decision, now: int, *, version: int | None = None
) -> int:
    """Discards the operations that a hold keeps, with one audit entry each after the decision's. The hold stays.

    Without a version it is the holds of all versions. Returns how many.
    """
    held = operations.select_rows(
        db,
        f"workflow = ? AND version = coalesce(?, version) AND hold = ? AND state = {HELD}",
        (workflow, version, step),
    )
    if not held:
        return 0
    why = f"held step {step} discarded"
    of_records: dict[tuple[int, int], list[QueueRow]] = {}
    with UnitOfWork(db, now) as work:
        work.audit.append_decision(decision)
        for row in held:
            operation = operations.read_operation(db, row.seq)
            work.audit.append_operation(row, operation, "discarded", why, decision.actor)
            of_records.setdefault((row.record_seq, row.version), []).append(row)
        for (_, of_version), rows in of_records.items():
            (entry,) = db.execute(
                "SELECT max(entry) FROM holds WHERE workflow = ? AND version = ? AND step = ?",
                (workflow, of_version, step),
            ).fetchone()
            failure = insert_failure(work, rows[0], why)
            keep_discarded(work, failure, rows, entry=entry or 0)
    return len(held)


def insert_failure(work: UnitOfWork, row: QueueRow, reason: str) -> int:
    """Stores a failure of an operation. Returns its id."""
    return inserted_id(
        work.db.execute(
            "INSERT INTO failures (connection, workflow, version, record_seq, record, step, reason, at, operation) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row.connection, row.workflow, row.version, row.record_seq, row.record, row.step, reason, work.now,
                row.seq,
            ),
        )
    )  # fmt: skip


def restore_discarded(work: UnitOfWork, failure: int) -> int | None:
    """Makes a discarded failure one that stands, with its operations. Returns the `entry` of `keep_discarded`."""
    db = work.db
    found = db.execute(
        "SELECT workflow, connection, operation, entry FROM discarded_failures WHERE id = ?", (failure,)
    ).fetchone()
    if found is None:
        return None
    workflow, connection, operation, entry = found
    kept = db.execute(
        f"SELECT {_OPERATION} FROM discarded_operations WHERE failure = ? ORDER BY seq", (failure,)
    ).fetchall()
    seqs = {row[0]: _restore_operation(db, row, failure) for row in kept}
    db.execute(
        f"INSERT INTO failures ({FAILURE_COLUMNS}) SELECT {FAILURE_COLUMNS} FROM discarded_failures WHERE id = ?",
        (failure,),
    )
    db.execute("UPDATE failures SET operation = ? WHERE id = ?", (seqs.get(operation), failure))
    forget_discarded(db, "id", [failure])
    work.counters.add(workflow, connection, failed=max(len(kept), 1), discarded=-max(len(kept), 1))
    return None if entry is None else int(entry)


def _restore_operation(db: Transaction, row: Sequence[object], failure: int) -> int:
    """Puts an operation back where it was, or behind what has taken its number meanwhile. Returns its `seq`."""
    seq, connection, workflow, version, record_seq, record, idx, *rest = row
    assert isinstance(seq, int)
    while db.execute("SELECT 1 FROM operations WHERE seq = ?", (seq,)).fetchone():
        seq += 1
    of_record = "SELECT max(idx) FROM operations WHERE record_seq = ? AND workflow = ?"
    if db.execute(f"{of_record} AND idx = ?", (record_seq, workflow, idx)).fetchone()[0] is not None:
        idx = db.execute(of_record, (record_seq, workflow)).fetchone()[0] + 1
    db.execute(
        f"INSERT INTO operations ({_OPERATION}, state, failure) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (seq, connection, workflow, version, record_seq, record, idx, *rest, FAILED, failure),
    )
    return seq


def forget_discarded(db: Transaction, column: str, values: Sequence[object]) -> None:
    """Deletes discarded failures that have one of the values in a column, with their operations."""
    for value in values:
        db.execute(
            "DELETE FROM discarded_operations WHERE failure IN "
            f"(SELECT id FROM discarded_failures WHERE {column} = ?)",
            (value,),
        )
        db.execute(f"DELETE FROM discarded_failures WHERE {column} = ?", (value,))


def forget_discarded_of_records(db: Transaction, record_seqs: Sequence[int]) -> None:
    """Deletes what was discarded of records that are deleted, and takes it out of the counters."""
    listed = statements.json_list(record_seqs)
    gone = db.execute(
        "SELECT f.id, f.workflow, f.connection, max(1, (SELECT count(*) FROM discarded_operations o "
        "WHERE o.failure = f.id)) FROM discarded_failures f WHERE f.record_seq IN (SELECT value FROM json_each(?))",
        (listed,),
    ).fetchall()
    for failure, workflow, connection, number in gone:
        forget_discarded(db, "id", [failure])
        db.execute(
            "UPDATE counters SET discarded = discarded - ? WHERE workflow = ? AND connection = ?",
            (number, workflow, connection),
        )
