"""Failures: records that failed in planning, and operations that failed with the later ones of their record."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from askel_tui.store.journal.rows import Decision, Failure
from askel_tui.store.journal.states import FAILED, HELD, MAY_BE_WRITTEN, PLANNED, REPLAN, REVIVED, WAITING
from askel_tui.store.journal.tables import operations, superseded
from askel_tui.store.journal.tables.failures.discarded import (
    FAILURE_COLUMNS,
    insert_failure,
    keep_discarded,
    restore_discarded,
)
from askel_tui.store.journal.tables.holds import placing
from askel_tui.store.journal.tables.queue_row import QueueRow
from askel_tui.store.journal.tables.unit_of_work import UnitOfWork
from askel_tui.store.journal.transaction import Transaction


def fail_operation(work: UnitOfWork, row: QueueRow, reason: str) -> None:
    """Makes an operation failed, and with it the later ones of its record, unattempted."""
    failure = insert_failure(work, row, reason)
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


def failures(
    db: Transaction, workflow: str | None = None, limit: int = 1000, *, discarded: bool = False
) -> list[Failure]:
    """Lists failures of a workflow, or of all, oldest first; with `discarded` those that a person discarded."""
    where = "" if workflow is None else "WHERE workflow = :workflow"
    table, when = ("discarded_failures", "discarded") if discarded else ("failures", "NULL")
    rows = db.execute(
        f"SELECT {FAILURE_COLUMNS}, {when} FROM {table} {where} ORDER BY id LIMIT :limit",
        {"workflow": workflow, "limit": limit},
    )
    return [_failure(db, row) for row in rows]


def _failure(db: Transaction, columns: Sequence[Any]) -> Failure:
    (
        failure,
        connection,
        workflow,
        version,
        record_seq,
        record,
        step,
        reason,
        at,
        problems,
        operation,
        when,
    ) = columns
    row = db.execute(
        f"SELECT {operations.STORED_COLUMNS} FROM operations WHERE seq = ?", (operation,)
    ).fetchone()
    return Failure(
        failure, connection, workflow, version, record_seq, record, step, reason, at,
        problems=[] if problems is None else json.loads(problems),
        operation=None if row is None or when is not None else operations.decode_operation(row),
        discarded=when,
    )  # fmt: skip


def retry_failures(
    db: Transaction,
    ids: Sequence[int],
    decision: Decision,
    now: int,
    *,
    versions: Mapping[str, int] | None = None,
) -> int:
    """Lets failed operations (with the unattempted ones behind them) wait again; failed plans are made again.

    Discarded ones are taken up too. `versions` are the versions of workflows under which what older ones planned is to
    be planned anew: nothing of these workflows is sent until `end_replan`. Returns how many failures.
    """
    with UnitOfWork(db, now) as work:
        retried = 0
        workflows = set()
        for failure in dict.fromkeys(ids):
            entry = restore_discarded(work, failure)
            for workflow, connection, record_seq, operation, *_ in _delete(db, failure):
                retried += 1
                workflows.add(workflow)
                failed = _failed_rows(db, failure)
                if operation is None and not failed:
                    _replan(work, workflow, connection, record_seq, REPLAN)
                _retry_operations(work, failed, entry, (versions or {}).get(workflow))
        for workflow in sorted(workflows):
            placing.apply_holds(work, workflow)
        if retried:
            work.audit.append_decision(decision)
    return retried


def _retry_operations(
    work: UnitOfWork, failed: Sequence[QueueRow], entry: int | None, version: int | None
) -> None:
    """Lets the operations of a failure wait: to be planned anew where a newer version is given, else as planned."""
    if not failed:
        return
    db, first = work.db, failed[0]
    since = superseded.failure_entry_seq(db, first) if entry is None else entry
    anew = [row for row in failed if version not in (None, row.version) and row.mark != MAY_BE_WRITTEN]
    superseded.drop_superseded(work, [row for row in failed if row not in anew], since)
    for row in _failed_rows(db, first.failure or 0):
        operations.set_state(work, row, WAITING)
        db.execute("UPDATE operations SET attempts = 0 WHERE seq = ?", (row.seq,))
    if anew:
        db.executemany(f"UPDATE operations SET mark = {REVIVED} WHERE seq = ?", [(row.seq,) for row in anew])
        db.execute(
            "UPDATE workflows SET replan = json_object('since', min(?, coalesce(replan ->> 'since', ?))) "
            "WHERE workflow = ?",
            (since, since, first.workflow),
        )


def discard_failures(db: Transaction, ids: Sequence[int], decision: Decision, now: int) -> int:
    """Discards failures, one audit entry for each operation and each failed plan. Returns how many failures."""
    with UnitOfWork(db, now) as work:
        discarded = 0
        for failure in dict.fromkeys(ids):
            found = db.execute(
                "SELECT workflow, connection, record_seq, operation, record, reason FROM failures WHERE id = ?",
                (failure,),
            ).fetchall()
            for workflow, connection, record_seq, operation, record, reason in found:
                if discarded == 0:
                    work.audit.append_decision(decision)
                discarded += 1
                if operation is None:
                    _set_run_state(db, workflow, record_seq, PLANNED)
                    work.audit.append(
                        kind="plan",
                        status="discarded",
                        actor=decision.actor,
                        connection=connection,
                        workflow=workflow,
                        record=record,
                        response={"detail": reason},
                    )
                rows = _failed_rows(db, failure)
                for row in rows:
                    why = f"failure {failure} discarded: {reason}"
                    body = operations.read_operation(db, row.seq)
                    work.audit.append_operation(row, body, "discarded", why, decision.actor)
                keep_discarded(work, failure, rows)
    return discarded


def _delete(db: Transaction, failure: int) -> list[Any]:
    """Deletes a failure; returns its row where it was there."""
    return db.execute(
        "DELETE FROM failures WHERE id = ? RETURNING workflow, connection, record_seq, operation", (failure,)
    ).fetchall()


def _failed_rows(db: Transaction, failure: int) -> list[QueueRow]:
    return operations.select_rows(db, "failure = ?", (failure,))


def _replan(work: UnitOfWork, workflow: str, connection: str, record_seq: int, state: int) -> None:
    """Takes a failed plan out of the failures by giving its run another state."""
    _set_run_state(work.db, workflow, record_seq, state)
    work.counters.add(workflow, connection, failed=-1)


def _set_run_state(db: Transaction, workflow: str, record_seq: int, state: int) -> None:
    db.execute(
        "UPDATE runs SET state = ? WHERE workflow = ? AND record_seq = ?", (state, workflow, record_seq)
    )
