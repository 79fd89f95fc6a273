"""Workflows while they run, and planning, in the embedded journal."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from askel_tui.core.operations import canonical
from askel_tui.store import sqlite_holds as holds
from askel_tui.store import sqlite_notices as notices
from askel_tui.store import sqlite_rows as many
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
    ended = [hold for hold in holds.all_holds(db) if hold.workflow == workflow]
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
    told = {"forgotten": gone, **({"holds": [hold.step for hold in ended]} if ended else {})}
    chain.decision(replace(decision, detail={**decision.detail, **told}), now)
    chain.close()
    for hold in ended:
        notices.of_deletion(db, hold, decision.actor, now)


AFTERWARDS = 1_000
"""How far behind a record's own operations those stand that are queued for it once more."""


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
    held_steps = _held_steps(db, state.workflow)
    begun = _begun(db, state.workflow, runs)
    actors = _actors(db, [each.run.record_seq for each in begun])
    seq = _last_seq(db)
    queued: list[_Queued] = []
    for each in begun:
        actor = actors.get(each.run.record_seq)
        if each.run.problems:
            _failed(db, state, each.run, actor, now, tally, chain)
        else:
            queued += _queued(state, each, actor, held_steps, seq + len(queued) + 1)
    _insert(db, queued, tally)
    waiting = [each.stored for each in queued if each.hold is None]
    moved = db.execute("UPDATE workflows SET position = ? WHERE workflow = ?", (position, state.workflow))
    if moved.rowcount == 0:
        set_state(db, replace(state, position=position), None, now)
    tally.write(db)
    chain.close()
    return waiting


def requeue(
    db: sqlite3.Connection, state: WorkflowState, runs: Sequence[EncodedRun], decision: Decision, now: int
) -> int:
    """Queues operations of records that ran before, behind those that still wait of them. Gives how many."""
    tally, chain = Tally(), Chain(db)
    chain.decision(decision, now)
    held_steps = _held_steps(db, state.workflow)
    seq = _last_seq(db)
    queued: list[_Queued] = []
    for each in runs:
        (last,) = db.execute(
            "SELECT coalesce(max(idx), 0) FROM operations WHERE record_seq = ? AND workflow = ?",
            (each.run.record_seq, state.workflow),
        ).fetchone()
        first = last + AFTERWARDS
        queued += _queued(state, each, decision.actor, held_steps, seq + len(queued) + 1, first)
    _insert(db, queued, tally)
    tally.write(db)
    chain.close()
    return len(queued)


def _held_steps(db: sqlite3.Connection, workflow: str) -> set[str]:
    return {step for (step,) in db.execute("SELECT step FROM holds WHERE workflow = ?", (workflow,))}


def _last_seq(db: sqlite3.Connection) -> int:
    (seq,) = db.execute(
        "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'operations'"
    ).fetchone()
    return int(seq)


def _begun(db: sqlite3.Connection, workflow: str, runs: Sequence[EncodedRun]) -> list[EncodedRun]:
    """Writes down that records run under the workflow; gives those that did not run before."""
    before = ran(db, workflow, [each.run.record_seq for each in runs])
    # A record that is given twice runs once.
    first = {each.run.record_seq: each for each in reversed(runs) if each.run.record_seq not in before}
    begun = [each for each in runs if first.get(each.run.record_seq) is each]
    many.insert(
        db,
        "runs",
        "workflow, record_seq, state",
        [(workflow, each.run.record_seq, PLAN_FAILED if each.run.problems else PLANNED) for each in begun],
        "ON CONFLICT DO UPDATE SET state = excluded.state",
    )
    return begun


def _actors(db: sqlite3.Connection, record_seqs: Sequence[int]) -> dict[int, str | None]:
    return dict(many.read(db, "records", "seq, actor", "seq", record_seqs))


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


@dataclass(frozen=True, slots=True)
class _Queued:
    """An operation as it enters the queue, and the hold that keeps it, if one does."""

    stored: StoredOperation
    body: bytes
    actor: str | None
    hold: str | None


def _queued(
    state: WorkflowState,
    each: EncodedRun,
    actor: str | None,
    held_steps: Collection[str],
    seq: int,
    first: int = 0,
) -> Iterator[_Queued]:
    """The operations of a run, numbered from `seq`; `first` is the index of the first one in its record."""
    run = each.run
    behind: str | None = None
    for place, (operation, body) in enumerate(zip(run.operations, each.bodies, strict=True)):
        index = first + place
        hold = operation.step if operation.step in held_steps else behind
        if hold is not None and operation.is_gate and operation.step == hold:
            # What a gate decides about waits with the gate.
            behind = behind or hold
        stored = StoredOperation(
            seq + place, state.connection, state.workflow, state.version, run.record_seq, run.record, index, operation
        )  # fmt: skip
        yield _Queued(stored, body, actor, hold)


def _insert(db: sqlite3.Connection, queued: Sequence[_Queued], tally: Tally) -> None:
    many.insert(
        db,
        "operations",
        "seq, connection, workflow, version, record_seq, record, idx, step, gate, actor, state, hold, body",
        [
            (
                of.seq, of.connection, of.workflow, of.version, of.record_seq, of.record, of.index, of.operation.step,
                of.operation.is_gate, each.actor, WAITING if each.hold is None else HELD, each.hold, each.body,
            )
            for each in queued
            for of in (each.stored,)
        ],
    )  # fmt: skip
    places = Counter((each.stored.workflow, each.stored.connection, each.hold) for each in queued)
    for (workflow, connection, hold), number in places.items():
        if hold is None:
            tally.add(workflow, connection, waiting=number)
            continue
        tally.add(workflow, connection, held=number)
        db.execute(
            "UPDATE holds SET waiting = waiting + ? WHERE workflow = ? AND step = ?", (number, workflow, hold)
        )


def ran(db: sqlite3.Connection, workflow: str, record_seqs: Sequence[int]) -> set[int]:
    """Which of these records already ran under the workflow and are not to be planned again."""
    found = db.execute(
        "SELECT record_seq FROM runs WHERE workflow = ? AND record_seq IN (SELECT value FROM json_each(?)) "
        "AND state <> ?",
        (workflow, json.dumps(list(record_seqs)), REPLAN),
    )
    return {seq for (seq,) in found}


def to_replan(db: sqlite3.Connection, workflow: str, limit: int) -> list[StoredRecord]:
    """Records whose failed plan was ordered to be tried again, in order of receipt."""
    rows = db.execute(
        "SELECT r.seq, r.connection, r.received, r.body FROM runs INDEXED BY runs_replan "
        f"JOIN records r ON r.seq = runs.record_seq WHERE runs.workflow = ? AND runs.state = {REPLAN} "
        "ORDER BY runs.record_seq LIMIT ?",
        (workflow, limit),
    )
    return [stored_record(row) for row in rows]
