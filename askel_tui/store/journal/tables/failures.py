"""Failures: records that failed in planning, and operations that failed with the later ones of their record."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from askel_tui.store.journal.rows import Decision, Failure
from askel_tui.store.journal.states import FAILED, HELD, PLANNED, REPLAN, WAITING
from askel_tui.store.journal.tables import operations, superseded
from askel_tui.store.journal.tables.holds import placing
from askel_tui.store.journal.tables.queue_row import QueueRow
from askel_tui.store.journal.tables.unit_of_work import UnitOfWork
from askel_tui.store.journal.transaction import Transaction

_SELECT = """
SELECT id, connection, workflow, version, record_seq, record, step, reason, at, problems, operation FROM failures
"""


def fail_operation(work: UnitOfWork, row: QueueRow, reason: str) -> None:
    """Makes an operation failed, and with it the later ones of its record, unattempted."""
    failure = work.db.execute(
        "INSERT INTO failures (connection, workflow, version, record_seq, record, step, reason, at, operation) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            row.connection, row.workflow, row.version, row.record_seq, row.record, row.step, reason, work.now, row.seq,
        ),
    ).lastrowid  # fmt: skip
    operations.set_state(work, row, FAILED, failure=failure, reason=reason)
    for later in operations.later_rows(work.db, row, states=(WAITING, HELD)):
        operations.set_state(work, later, FAILED, failure=failure, reason=f"after step {row.step} failed")


def earlier_failure(db: Transaction, row: QueueRow) -> tuple[int, str] | None:
    """Finds the failure (its id and step) of an earlier operation of the same record, where there is one."""
    found = db.execute(
        "SELECT f.id, f.step FROM operations o JOIN failures f ON f.id = o.failure "
        "WHERE o.record_seq = ? AND o.workflow = ? AND o.idx < ? AND o.state = ? ORDER BY o.idx LIMIT 1",
        (row.record_seq, row.workflow, row.idx, FAILED),
    ).fetchone()
    return None if found is None else (found[0], found[1])


def failures(db: Transaction, workflow: str | None = None, limit: int = 1000) -> list[Failure]:
    """Lists failures of a workflow, or of all, oldest first."""
    where = "" if workflow is None else "WHERE workflow = :workflow"
    rows = db.execute(f"{_SELECT} {where} ORDER BY id LIMIT :limit", {"workflow": workflow, "limit": limit})
    return [_failure(db, row) for row in rows]


def _failure(db: Transaction, columns: Sequence[Any]) -> Failure:
    failure, connection, workflow, version, record_seq, record, step, reason, at, problems, operation = (
        columns
    )
    row = db.execute(
        f"SELECT {operations.STORED_COLUMNS} FROM operations WHERE seq = ?", (operation,)
    ).fetchone()
    return Failure(
        failure, connection, workflow, version, record_seq, record, step, reason, at,
        problems=[] if problems is None else json.loads(problems),
        operation=None if row is None else operations.decode_operation(row),
    )  # fmt: skip


def retry_failures(db: Transaction, ids: Sequence[int], decision: Decision, now: int) -> int:
    """Lets failed operations (with the unattempted ones behind them) wait again; failed plans are made again.

    Returns how many failures.
    """
    with UnitOfWork(db, now) as work:
        retried = 0
        workflows = set()
        for failure in dict.fromkeys(ids):
            for workflow, connection, record_seq, operation, *_ in _delete(db, failure):
                retried += 1
                workflows.add(workflow)
                if operation is None:
                    _replan(work, workflow, connection, record_seq, REPLAN)
                failed = _failed_rows(db, failure)
                if failed:
                    superseded.drop_superseded(work, failed, superseded.failure_entry_seq(db, failed[0]))
                for row in _failed_rows(db, failure):
                    operations.set_state(work, row, WAITING)
                    db.execute("UPDATE operations SET attempts = 0 WHERE seq = ?", (row.seq,))
        for workflow in sorted(workflows):
            placing.apply_holds(work, workflow)
        if retried:
            work.audit.append_decision(decision)
    return retried


def discard_failures(db: Transaction, ids: Sequence[int], decision: Decision, now: int) -> int:
    """Discards failures, one audit entry for each operation and each failed plan. Returns how many failures."""
    with UnitOfWork(db, now) as work:
        discarded = 0
        for failure in dict.fromkeys(ids):
            for workflow, connection, record_seq, operation, record, reason in _delete(db, failure):
                if discarded == 0:
                    work.audit.append_decision(decision)
                discarded += 1
                if operation is None:
                    _replan(work, workflow, connection, record_seq, PLANNED)
                    work.audit.append(
                        kind="plan",
                        status="discarded",
                        actor=decision.actor,
                        connection=connection,
                        workflow=workflow,
                        record=record,
                        response={"detail": reason},
                    )
                for row in _failed_rows(db, failure):
                    why = f"failure {failure} discarded: {reason}"
                    found = operations.read_operation(db, row.seq)
                    work.audit.append_operation(row, found, "discarded", why, decision.actor)
                    operations.remove_row(work, row)
    return discarded


def _delete(db: Transaction, failure: int) -> list[Any]:
    """Deletes a failure; returns its row where it was there."""
    return db.execute(
        "DELETE FROM failures WHERE id = ? "
        "RETURNING workflow, connection, record_seq, operation, record, reason",
        (failure,),
    ).fetchall()


def _failed_rows(db: Transaction, failure: int) -> list[QueueRow]:
    return operations.select_rows(db, "failure = ?", (failure,))


def _replan(work: UnitOfWork, workflow: str, connection: str, record_seq: int, state: int) -> None:
    """Takes a failed plan out of the failures by giving its run another state."""
    work.db.execute(
        "UPDATE runs SET state = ? WHERE workflow = ? AND record_seq = ?", (state, workflow, record_seq)
    )
    work.counters.add(workflow, connection, failed=-1)
