"""Workflows while they run, and planning, in the embedded journal."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from askel_tui.core.operations import Operation, canonical
from askel_tui.store.journal import Decision, PlannedRun, StoredOperation, StoredRecord, WorkflowState
from askel_tui.store.sqlite_audit import Chain
from askel_tui.store.sqlite_counters import Tally, connections_of
from askel_tui.store.sqlite_records import stored as stored_record
from askel_tui.store.sqlite_schema import FAILED, HELD, PLAN_FAILED, PLANNED, REPLAN, WAITING


def states(db: sqlite3.Connection) -> list[WorkflowState]:
    """The states of all workflows, by name."""
    rows = db.execute(
        "SELECT workflow, connection, status, version, position, since FROM workflows ORDER BY workflow"
    )
    return [WorkflowState(*row) for row in rows]


def set_state(db: sqlite3.Connection, state: WorkflowState, decision: Decision | None, now: int) -> None:
    """Stores the state of a workflow with the decision that changed it."""
    db.execute(
        "INSERT INTO workflows (workflow, connection, status, version, position, since) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET connection = excluded.connection, status = excluded.status, "
        "version = excluded.version, position = excluded.position, since = excluded.since",
        (state.workflow, state.connection, state.status, state.version, state.position, state.since),
    )
    if decision is not None:
        chain = Chain(db)
        chain.decision(decision, now)
        chain.close()


def forget(db: sqlite3.Connection, workflow: str, decision: Decision, now: int) -> None:
    """Forgets a workflow's state, holds, failures and the operations that no request carries."""
    tally = Tally()
    gone = 0
    for connection in connections_of(db, workflow):
        left = {}
        for state, name in ((WAITING, "waiting"), (HELD, "held"), (FAILED, "failed")):
            left[name] = db.execute(
                "DELETE FROM operations WHERE workflow = ? AND connection = ? AND state = ? AND request IS NULL",
                (workflow, connection, state),
            ).rowcount
        gone += sum(left.values())
        # Failed plans count among the failed ones too, and they go as well.
        left["failed"] += db.execute(
            "DELETE FROM failures WHERE workflow = ? AND connection = ? AND operation IS NULL",
            (workflow, connection),
        ).rowcount
        tally.add(workflow, connection, **{name: -number for name, number in left.items()})
    db.execute("DELETE FROM failures WHERE workflow = ?", (workflow,))
    db.execute("DELETE FROM holds WHERE workflow = ?", (workflow,))
    db.execute("DELETE FROM runs WHERE workflow = ? AND state IN (?, ?)", (workflow, PLAN_FAILED, REPLAN))
    db.execute("DELETE FROM workflows WHERE workflow = ?", (workflow,))
    tally.write(db)
    chain = Chain(db)
    chain.decision(replace(decision, detail={**decision.detail, "forgotten": gone}), now)
    chain.close()


@dataclass(frozen=True, slots=True)
class EncodedRun:
    """A run with its operations as they are stored; made before the transaction, so that it stays short."""

    run: PlannedRun
    bodies: Sequence[bytes]


def encoded(runs: Iterable[PlannedRun]) -> list[EncodedRun]:
    """The runs as `plan` stores them."""
    return [EncodedRun(run, [operation.encode() for operation in run.operations]) for run in runs]


def plan(
    db: sqlite3.Connection, state: WorkflowState, runs: Sequence[EncodedRun], position: int, now: int
) -> list[StoredOperation]:
    """Stores runs that are new to the workflow and moves its position; gives the operations that wait."""
    tally, chain = Tally(), Chain(db)
    held_steps = {
        step for (step,) in db.execute("SELECT step FROM holds WHERE workflow = ?", (state.workflow,))
    }
    waiting: list[StoredOperation] = []
    for each in runs:
        run = each.run
        began = db.execute(
            "INSERT INTO runs (workflow, record_seq, state) VALUES (?, ?, ?) "
            f"ON CONFLICT DO UPDATE SET state = excluded.state WHERE state = {REPLAN}",
            (state.workflow, run.record_seq, PLAN_FAILED if run.problems else PLANNED),
        )
        if began.rowcount != 1:
            continue
        actor = _actor(db, run.record_seq)
        if run.problems:
            _failed(db, state, run, actor, now, tally, chain)
            continue
        waiting += _queued(db, state, each, actor, held_steps, tally)
    moved = db.execute("UPDATE workflows SET position = ? WHERE workflow = ?", (position, state.workflow))
    if moved.rowcount == 0:
        set_state(db, replace(state, position=position), None, now)
    tally.write(db)
    chain.close()
    return waiting


def _actor(db: sqlite3.Connection, record_seq: int) -> str | None:
    row = db.execute("SELECT actor FROM records WHERE seq = ?", (record_seq,)).fetchone()
    return None if row is None else row[0]


def _failed(
    db: sqlite3.Connection,
    state: WorkflowState,
    run: PlannedRun,
    actor: str | None,
    now: int,
    tally: Tally,
    chain: Chain,
) -> None:
    reason = "; ".join(_sentence(problem) for problem in run.problems)
    db.execute(
        "INSERT INTO failures (connection, workflow, version, record_seq, record, reason, at, problems) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            state.connection,
            state.workflow,
            state.version,
            run.record_seq,
            run.record,
            reason,
            now,
            canonical([dict(problem) for problem in run.problems]).decode(),
        ),
    )
    tally.add(state.workflow, state.connection, failed=1)
    chain.append(
        at=now,
        kind="plan",
        status="failed",
        actor=actor,
        connection=state.connection,
        workflow=state.workflow,
        record=run.record,
        response={"detail": reason, "problems": [dict(problem) for problem in run.problems]},
    )


def _sentence(problem: Mapping[str, str]) -> str:
    where = ", ".join(f"{name} {problem[name]}" for name in ("step", "field") if problem.get(name))
    message = problem.get("message", "")
    return f"{where}: {message}" if where else message


def _queued(
    db: sqlite3.Connection,
    state: WorkflowState,
    each: EncodedRun,
    actor: str | None,
    held_steps: set[str],
    tally: Tally,
) -> list[StoredOperation]:
    waiting = []
    run = each.run
    behind: str | None = None
    for index, (operation, body) in enumerate(zip(run.operations, each.bodies, strict=True)):
        hold = operation.step if operation.step in held_steps else behind
        if hold is not None and operation.is_gate and operation.step == hold:
            # What a gate decides about waits with the gate.
            behind = behind or hold
        seq = _insert(db, state, run, index, operation, body, actor, hold)
        if hold is None:
            tally.add(state.workflow, state.connection, waiting=1)
            waiting.append(
                StoredOperation(
                    seq,
                    state.connection,
                    state.workflow,
                    state.version,
                    run.record_seq,
                    run.record,
                    index,
                    operation,
                )
            )
        else:
            tally.add(state.workflow, state.connection, held=1)
            db.execute(
                "UPDATE holds SET waiting = waiting + 1 WHERE workflow = ? AND step = ?",
                (state.workflow, hold),
            )
    return waiting


def _insert(
    db: sqlite3.Connection,
    state: WorkflowState,
    run: PlannedRun,
    index: int,
    operation: Operation,
    body: bytes,
    actor: str | None,
    hold: str | None,
) -> int:
    inserted = db.execute(
        "INSERT INTO operations (connection, workflow, version, record_seq, record, idx, step, gate, actor, state, "
        "hold, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            state.connection, state.workflow, state.version, run.record_seq, run.record, index, operation.step,
            operation.is_gate, actor, WAITING if hold is None else HELD, hold, body,
        ),
    )  # fmt: skip
    if inserted.lastrowid is None:
        raise AssertionError("an insert gives a row id")
    return inserted.lastrowid


def ran(db: sqlite3.Connection, workflow: str, record_seqs: Iterable[int]) -> set[int]:
    """Which of these records already ran under the workflow and are not to be planned again."""
    return {
        seq
        for seq in record_seqs
        if db.execute(
            "SELECT 1 FROM runs WHERE workflow = ? AND record_seq = ? AND state <> ?", (workflow, seq, REPLAN)
        ).fetchone()
    }


def to_replan(db: sqlite3.Connection, workflow: str, limit: int) -> list[StoredRecord]:
    """Records whose failed plan was ordered to be tried again, in order of receipt."""
    rows = db.execute(
        "SELECT r.seq, r.connection, r.received, r.body FROM runs INDEXED BY runs_replan "
        f"JOIN records r ON r.seq = runs.record_seq WHERE runs.workflow = ? AND runs.state = {REPLAN} "
        "ORDER BY runs.record_seq LIMIT ?",
        (workflow, limit),
    )
    return [stored_record(row) for row in rows]
