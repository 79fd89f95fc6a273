"""Failures in the embedded journal: records that failed in planning, operations that failed and those behind them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from askel_tui.store.journal.rows import Decision, Failure
from askel_tui.store.journal.states import FAILED, HELD, PLANNED, REPLAN, WAITING
from askel_tui.store.journal.tables import holds, operations
from askel_tui.store.journal.tables import superseded as overtaken
from askel_tui.store.journal.tables.audit.chain import AuditChain
from askel_tui.store.journal.tables.counters import CounterChanges
from askel_tui.store.journal.transaction import Transaction

_COLUMNS = "id, connection, workflow, version, record_seq, record, step, reason, at, problems, operation"
_ROW = f"SELECT {_COLUMNS} FROM failures"


def fail_operation(
    db: Transaction, of: operations.QueueRow, reason: str, now: int, tally: CounterChanges
) -> None:
    """Makes an operation failed, and with it the later ones of its record, unattempted."""
    failure = db.execute(
        "INSERT INTO failures (connection, workflow, version, record_seq, record, step, reason, at, operation) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (of.connection, of.workflow, of.version, of.record_seq, of.record, of.step, reason, now, of.seq),
    ).lastrowid
    operations.set_state(db, of, FAILED, tally, failure=failure, reason=reason)
    for each in operations.later_rows(db, of, states=(WAITING, HELD)):
        operations.set_state(db, each, FAILED, tally, failure=failure, reason=f"after step {of.step} failed")


def earlier_failure(db: Transaction, of: operations.QueueRow) -> tuple[int, str] | None:
    """The failure (its id and step) of an earlier operation of the same record, where there is one."""
    row = db.execute(
        "SELECT f.id, f.step FROM operations o JOIN failures f ON f.id = o.failure "
        "WHERE o.record_seq = ? AND o.workflow = ? AND o.idx < ? AND o.state = ? ORDER BY o.idx LIMIT 1",
        (of.record_seq, of.workflow, of.idx, FAILED),
    ).fetchone()
    return None if row is None else (row[0], row[1])


def failures(db: Transaction, workflow: str | None = None, limit: int = 1000) -> list[Failure]:
    """Failures, oldest first."""
    if workflow is None:
        rows = db.execute(f"{_ROW} ORDER BY id LIMIT ?", (limit,))
    else:
        rows = db.execute(f"{_ROW} WHERE workflow = ? ORDER BY id LIMIT ?", (workflow, limit))
    return [_failure(db, *row) for row in rows]


def _failure(
    db: Transaction,
    failure: int,
    connection: str,
    workflow: str,
    version: int,
    record_seq: int,
    record: str,
    step: str | None,
    reason: str,
    at: int,
    problems: str | None,
    operation: int | None,
) -> Failure:
    row = db.execute(
        f"SELECT {operations.STORED_COLUMNS} FROM operations WHERE seq = ?", (operation,)
    ).fetchone()
    return Failure(
        failure,
        connection,
        workflow,
        version,
        record_seq,
        record,
        step,
        reason,
        at,
        problems=[] if problems is None else json.loads(problems),
        operation=None if row is None else operations.decode_operation(row),
    )


def retry_failures(db: Transaction, ids: Sequence[int], decision: Decision, now: int) -> int:
    """Failed operations wait again at their old places; failed plans are planned again. Gives how many failures."""
    tally, chain = CounterChanges(), AuditChain(db)
    retried = 0
    workflows = set()
    for failure in dict.fromkeys(ids):
        row = db.execute(
            "DELETE FROM failures WHERE id = ? RETURNING workflow, connection, record_seq, operation",
            (failure,),
        ).fetchall()
        for workflow, connection, record_seq, operation in row:
            retried += 1
            workflows.add(workflow)
            if operation is None:
                _state(db, workflow, record_seq, REPLAN)
                tally.add(workflow, connection, failed=-1)
            back = _behind(db, failure)
            if back:
                overtaken.drop_superseded(
                    db, back, overtaken.failure_entry_seq(db, back[0]), now, tally, chain
                )
            for each in _behind(db, failure):
                operations.set_state(db, each, WAITING, tally)
                db.execute("UPDATE operations SET attempts = 0 WHERE seq = ?", (each.seq,))
    for workflow in sorted(workflows):
        holds.apply_holds(db, workflow, tally)
    tally.write(db)
    chain.flush()
    _decided(db, decision, now, retried)
    return retried


def discard_failures(db: Transaction, ids: Sequence[int], decision: Decision, now: int) -> int:
    """Discards failures, one audit entry for each operation and each failed plan. Gives how many failures."""
    tally, chain = CounterChanges(), AuditChain(db)
    discarded = 0
    for failure in dict.fromkeys(ids):
        row = db.execute(
            "DELETE FROM failures WHERE id = ? RETURNING workflow, connection, record_seq, record, operation, reason",
            (failure,),
        ).fetchall()
        for workflow, connection, record_seq, record, operation, reason in row:
            if discarded == 0:
                chain.append_decision(decision, now)
            discarded += 1
            if operation is None:
                _state(db, workflow, record_seq, PLANNED)
                tally.add(workflow, connection, failed=-1)
                chain.append(
                    at=now,
                    kind="plan",
                    status="discarded",
                    actor=decision.actor,
                    connection=connection,
                    workflow=workflow,
                    record=record,
                    response={"detail": reason},
                )
            for each in _behind(db, failure):
                why = f"failure {failure} discarded: {reason}"
                chain.append_operation(
                    each, operations.read_operation(db, each.seq), "discarded", now, why, decision.actor
                )
                operations.remove_row(db, each, tally)
    tally.write(db)
    chain.flush()
    return discarded


def _behind(db: Transaction, failure: int) -> list[operations.QueueRow]:
    return operations.select_rows(db, "failure = ?", (failure,))


def _state(db: Transaction, workflow: str, record_seq: int, state: int) -> None:
    db.execute(
        "UPDATE runs SET state = ? WHERE workflow = ? AND record_seq = ?", (state, workflow, record_seq)
    )


def _decided(db: Transaction, decision: Decision, now: int, number: int) -> None:
    if number:
        chain = AuditChain(db)
        chain.append_decision(decision, now)
        chain.flush()
