"""Runs: the stored results of planning, one per record and workflow, and the queueing of their operations."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any

from askel_tui.core.canonical import canonical_json
from askel_tui.core.operations import Decoder
from askel_tui.core.problems import REPORTED_KINDS
from askel_tui.store.journal import statements
from askel_tui.store.journal.backfill_rows import Backfill
from askel_tui.store.journal.errors import JournalError
from askel_tui.store.journal.rows import (
    Decision,
    JoinedLines,
    PlannedRun,
    StoredOperation,
    StoredRecord,
    WorkflowState,
)
from askel_tui.store.journal.states import HELD, PLAN_FAILED, PLANNED, REPLAN, SEQ_GAP, WAITING
from askel_tui.store.journal.tables.holds.placing import count_waiting, held_steps
from askel_tui.store.journal.tables.lines import link_runs
from askel_tui.store.journal.tables.order import passed
from askel_tui.store.journal.tables.records import decode_record
from askel_tui.store.journal.tables.unit_of_work import UnitOfWork
from askel_tui.store.journal.tables.workflows import set_workflow_state
from askel_tui.store.journal.transaction import Transaction

REQUEUED_INDEX_GAP = 1_000
"""The distance at which the index of a record's requeued operations begins behind that of its own."""

RunSeqs = Sequence[tuple[Sequence[int], Sequence[int], int]]
"""The `seq` of each waiting operation by run, 0 for a held one (empty for a run that was stored before), the lines of
the run, and the newest record that passed these while the workflow was paused."""


def commit_runs(
    db: Transaction,
    state: WorkflowState,
    runs: Sequence[PlannedRun],
    position: int,
    now: int,
    backfill: Backfill | None = None,
) -> tuple[RunSeqs, JoinedLines]:
    """Stores runs that are new to the workflow and moves its position from that of `state`, or that of the `backfill`;
    returns the `seq` of each waiting operation, and the lines that were joined.

    Of a backfill that runs no more, or stands at another position, nothing is stored.

    Raises `JournalError` where the workflow stands at another position: the runs before these were not stored.
    """
    with UnitOfWork(db, now) as work:
        stands = backfill is None or _move_backfill(db, backfill, position)
        new = _insert_runs(db, state.workflow, runs if stands else ())
        record_seqs = [run.record_seq for run in new.values()]
        actors = dict(statements.read_rows(db, "records", "seq, actor", "seq", record_seqs))
        for run in new.values():
            if run.problems:
                _fail_plan(work, state, run, actors.get(run.record_seq))
            for kind, sentence in run.warnings:
                work.counters.warn(state.workflow, kind)
                if kind in REPORTED_KINDS:
                    _report_left_out(work, state, run, actors.get(run.record_seq), sentence)
        planned = {number: run for number, run in new.items() if not run.problems}
        lines, joined = link_runs(work, state, [*planned.values()])
        lines_by_run = dict(zip(planned, lines, strict=True))
        queue = _NewOperations(db, state)
        queue.add(planned, lines_by_run, actors)
        queue.insert(work)
        if backfill is None:
            _move_position(db, state, position, len(new), now)
            passed.note_passed(db, state.workflow)
        newest = passed.passed_by(db, {line for each in lines for line in each})
        if backfill is None:
            passed.end_passed(db, state.workflow, position)
    seqs = []
    for number in range(len(runs)):
        of_run = lines_by_run.get(number, ())
        by = max((newest[line] for line in of_run if line in newest), default=0) if newest else 0
        seqs.append((queue.seqs.get(number, ()), of_run, by))
    return seqs, joined


def _move_backfill(db: Transaction, backfill: Backfill, position: int) -> bool:
    moved = db.execute(
        "UPDATE backfills SET position = ? WHERE id = ? AND position = ? AND state = 'running'",
        (position, backfill.id, backfill.position),
    )
    return bool(moved.rowcount)


def _move_position(db: Transaction, state: WorkflowState, position: int, new: int, now: int) -> None:
    moved = db.execute(
        "UPDATE workflows SET position = ?, first = max(0, first - ?) "
        "WHERE workflow = ? AND coalesce(position, 0) = ?",
        (position, new, state.workflow, state.position or 0),
    )
    if moved.rowcount:
        return
    found = db.execute("SELECT position FROM workflows WHERE workflow = ?", (state.workflow,)).fetchone()
    if found is not None:
        # One write may fail (a full disk) and the next, which was handed in meanwhile, would pass over its records.
        raise JournalError(
            f"The plan of workflow {state.workflow} begins at record {state.position or 0} and the journal is at "
            f"{found[0] or 0}: an earlier part of it could not be written. Nothing of it was kept; start again."
        )
    set_workflow_state(db, replace(state, position=position), None, now)


def waiting_after_commit(
    state: WorkflowState, runs: Sequence[PlannedRun], run_seqs: RunSeqs
) -> list[StoredOperation]:
    """Lists the waiting operations that `commit_runs` stored, in the order of their records.

    For each profile that is the order of `seq`.
    """
    workflow, connection, version = state.workflow, state.connection, state.version
    decode = Decoder().decode
    return [
        StoredOperation(
            seq,
            connection,
            workflow,
            version,
            run.record_seq,
            run.record,
            index,
            decode(body),
            lines=lines,
            passed_by=by,
        )
        for run, (seqs, lines, by) in zip(runs, run_seqs, strict=True)
        for index, (seq, (_, _, body)) in enumerate(zip(seqs, run.operations, strict=False))
        if seq
    ]


def requeue_runs(
    db: Transaction, state: WorkflowState, runs: Sequence[PlannedRun], decision: Decision, now: int
) -> int:
    """Queues operations of records that ran before (a replay), behind those of them that still wait; returns how
    many.

    Their actor is the decision's. Those of a step under a hold are stored as held; the workflow's own state and
    position stay as they are.
    """
    with UnitOfWork(db, now) as work:
        work.audit.append_decision(decision)
        queue = _NewOperations(db, state)
        for number, run in enumerate(runs):
            last = last_index(db, run.record_seq, state.workflow)
            queue.add_behind(number, run, decision.actor, last + REQUEUED_INDEX_GAP)
        queue.insert(work)
    return len(queue)


def queue_again(work: UnitOfWork, state: WorkflowState, run: PlannedRun) -> Sequence[int]:
    """Queues operations of one record behind those of it that wait; returns their `seq`, 0 for a held one."""
    queue = _NewOperations(work.db, state)
    queue.add_behind(0, run, None, last_index(work.db, run.record_seq, state.workflow) + REQUEUED_INDEX_GAP)
    queue.insert(work)
    return queue.seqs[0]


def last_index(db: Transaction, record_seq: int, workflow: str) -> int:
    """Returns the highest index of a record's operations in the queue; 0 where there is none."""
    (last,) = db.execute(
        "SELECT coalesce(max(idx), 0) FROM operations WHERE record_seq = ? AND workflow = ?",
        (record_seq, workflow),
    ).fetchone()
    return int(last)


def already_ran(db: Transaction, workflow: str, record_seqs: Sequence[int]) -> set[int]:
    """Finds the records that ran under the workflow and are not to be planned again."""
    found = db.execute(
        "SELECT record_seq FROM runs WHERE workflow = ? AND record_seq IN (SELECT value FROM json_each(?)) "
        "AND state <> ?",
        (workflow, statements.json_list(record_seqs), REPLAN),
    )
    return {seq for (seq,) in found}


def finished_records(db: Transaction, connection: str, workflow: str, record_ids: Sequence[str]) -> list[str]:
    """Finds the records, by id, that ran under the workflow and of which no operation waits, is held or has failed."""
    found = db.execute(
        "SELECT r.id FROM records r JOIN runs ON runs.record_seq = r.seq AND runs.workflow = ? "
        f"WHERE r.connection = ? AND r.id IN (SELECT value FROM json_each(?)) AND runs.state = {PLANNED} "
        "AND NOT EXISTS (SELECT 1 FROM operations o WHERE o.record_seq = r.seq AND o.workflow = runs.workflow)",
        (workflow, connection, json.dumps(list(record_ids))),
    )
    return [record for (record,) in found]


def records_to_replan(db: Transaction, workflow: str, limit: int) -> list[StoredRecord]:
    """Lists the records whose failed plan is to be made again, in order of receipt."""
    rows = db.execute(
        "SELECT r.seq, r.connection, r.received, r.body FROM runs INDEXED BY runs_replan "
        f"JOIN records r ON r.seq = runs.record_seq WHERE runs.workflow = ? AND runs.state = {REPLAN} "
        "ORDER BY runs.record_seq LIMIT ?",
        (workflow, limit),
    )
    return [decode_record(row) for row in rows]


def _insert_runs(db: Transaction, workflow: str, runs: Sequence[PlannedRun]) -> dict[int, PlannedRun]:
    """Stores the fact that records run under the workflow; returns those that did not run before, by their number."""
    seen = already_ran(db, workflow, [run.record_seq for run in runs])
    new = {}
    for number, run in enumerate(runs):
        # A record that is given twice runs once.
        if run.record_seq not in seen:
            seen.add(run.record_seq)
            new[number] = run
    statements.insert_rows(
        db,
        "runs",
        "workflow, record_seq, state",
        [(workflow, run.record_seq, PLAN_FAILED if run.problems else PLANNED) for run in new.values()],
        "ON CONFLICT DO UPDATE SET state = excluded.state",
    )
    return new


def _fail_plan(work: UnitOfWork, state: WorkflowState, run: PlannedRun, actor: str | None) -> None:
    reason = "; ".join(_sentence(problem) for problem in run.problems)
    problems = [dict(problem) for problem in run.problems]
    work.db.execute(
        "INSERT INTO failures (connection, workflow, version, record_seq, record, reason, at, problems) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            state.connection, state.workflow, state.version, run.record_seq, run.record, reason, work.now,
            canonical_json(problems).decode(),
        ),
    )  # fmt: skip
    work.counters.add(state.workflow, state.connection, failed=1)
    work.audit.append(
        kind="plan",
        status="failed",
        actor=actor,
        connection=state.connection,
        workflow=state.workflow,
        record=run.record,
        response={"detail": reason, "problems": problems},
    )


def _report_left_out(
    work: UnitOfWork, state: WorkflowState, run: PlannedRun, actor: str | None, sentence: str
) -> None:
    work.audit.append(
        kind="plan",
        status="done",
        actor=actor,
        connection=state.connection,
        workflow=state.workflow,
        record=run.record,
        response={"detail": sentence},
    )


def _sentence(problem: Mapping[str, str]) -> str:
    where = ", ".join(f"{name} {problem[name]}" for name in ("step", "field") if problem.get(name))
    message = problem.get("message", "")
    return f"{where}: {message}" if where else message


class _NewOperations:
    """The operations on their way into the queue: gathered as rows, then inserted in the order of `seq`."""

    def __init__(self, db: Transaction, state: WorkflowState) -> None:
        self._state = state
        (self._seq,) = db.execute(
            "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'operations'"
        ).fetchone()
        self._held_steps = set(held_steps(db, state.workflow, state.version))
        self._rows: list[tuple[Any, ...]] = []
        self._held_by_step: Counter[str] = Counter()
        self.seqs: dict[int, list[int]] = {}
        """The `seq` of operations by the number of their run; see `RunSeqs`."""

    def __len__(self) -> int:
        return len(self._rows)

    def add(
        self,
        runs: Mapping[int, PlannedRun],
        lines: Mapping[int, Sequence[int]],
        actors: Mapping[int, str | None],
    ) -> None:
        """Adds the operations of runs, given the lines of each, in their order."""
        for group in disjoint_groups(runs, lines):
            # Operations travel with others of their step: those get numbers in a row, so that few pages are written.
            lengths = Counter(len(run.operations) for _, run in group)
            next_seqs = []
            for index in range(max(lengths, default=0)):
                next_seqs.append(self._seq + SEQ_GAP)
                self._seq += SEQ_GAP * sum(number for length, number in lengths.items() if length > index)
            for number, run in group:
                length = len(run.operations)
                seqs = next_seqs[:length]
                for index in range(length):
                    next_seqs[index] += SEQ_GAP
                self._add(number, run, actors.get(run.record_seq), seqs, 0)

    def add_behind(self, number: int, run: PlannedRun, actor: str | None, first_index: int) -> None:
        """Adds the operations of one run; `first_index` is the index of the first one in its record."""
        seqs = [self._seq + SEQ_GAP * number for number in range(1, len(run.operations) + 1)]
        self._seq += SEQ_GAP * len(seqs)
        self._add(number, run, actor, seqs, first_index)

    def _add(
        self, number: int, run: PlannedRun, actor: str | None, seqs: list[int], first_index: int
    ) -> None:
        gate_hold: str | None = None
        self.seqs[number] = seqs
        for index, (step, gate, body) in enumerate(run.operations):
            seq, hold = seqs[index], step if step in self._held_steps else gate_hold
            if hold is not None:
                seqs[index] = 0
                self._held_by_step[hold] += 1
                if gate and step == hold:
                    # Operations that a gate decides about wait with the gate.
                    gate_hold = gate_hold or hold
            self._rows.append(
                (
                    seq, run.record_seq, run.record, first_index + index, step, int(gate), actor,
                    WAITING if hold is None else HELD, hold, body,
                )
            )  # fmt: skip

    def insert(self, work: UnitOfWork) -> None:
        """Inserts the rows, and counts them."""
        self._rows.sort(key=itemgetter(0))
        workflow, connection = self._state.workflow, self._state.connection
        shared = {"connection": connection, "workflow": workflow, "version": self._state.version}
        columns = "seq, record_seq, record, idx, step, gate, actor, state, hold, body"
        statements.insert_rows(work.db, "operations", columns, self._rows, shared=shared)
        held = self._held_by_step.total()
        if self._rows:
            work.counters.add(workflow, connection, waiting=len(self._rows) - held, held=held)
        count_waiting(work.db, workflow, self._state.version, self._held_by_step)


def disjoint_groups(
    runs: Mapping[int, PlannedRun], lines: Mapping[int, Sequence[int]]
) -> Iterator[list[tuple[int, PlannedRun]]]:
    """Divides runs into consecutive groups, in none of which two runs share a line: their order within is free."""
    group: list[tuple[int, PlannedRun]] = []
    met: set[int] = set()
    for number, run in runs.items():
        if not met.isdisjoint(lines[number]):
            yield group
            group, met = [], set()
        group.append((number, run))
        met.update(lines[number])
    if group:
        yield group
