"""Workflows while they run, and planning, in the embedded journal."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any

from askel_tui.core.operations import Decoder, canonical_json
from askel_tui.store.journal import statements
from askel_tui.store.journal.rows import Decision, PlannedRun, StoredOperation, StoredRecord, WorkflowState
from askel_tui.store.journal.states import FAILED, HELD, PLAN_FAILED, PLANNED, REPLAN, WAITING
from askel_tui.store.journal.tables import holds, notices
from askel_tui.store.journal.tables.audit.chain import AuditChain
from askel_tui.store.journal.tables.counters import CounterChanges, connections_of
from askel_tui.store.journal.tables.records import decode_record as stored_record
from askel_tui.store.journal.transaction import Transaction


def workflow_states(db: Transaction) -> list[WorkflowState]:
    """The states of all workflows, by name."""
    rows = db.execute(
        "SELECT workflow, connection, status, version, position, since FROM workflows ORDER BY workflow"
    )
    return [WorkflowState(*row) for row in rows]


def set_workflow_state(db: Transaction, state: WorkflowState, decision: Decision | None, now: int) -> None:
    """Stores the state of a workflow with the decision that changed it."""
    db.execute(
        "INSERT INTO workflows (workflow, connection, status, version, position, since) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET connection = excluded.connection, status = excluded.status, "
        "version = excluded.version, position = excluded.position, since = excluded.since",
        (state.workflow, state.connection, state.status, state.version, state.position, state.since),
    )
    if decision is not None:
        chain = AuditChain(db)
        chain.append_decision(decision, now)
        chain.flush()


def forget_workflow(db: Transaction, workflow: str, decision: Decision, now: int) -> None:
    """Forgets a workflow's state, holds, failures and the operations that no request carries."""
    tally = CounterChanges()
    ended = [hold for hold in holds.read_holds(db) if hold.workflow == workflow]
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
    chain = AuditChain(db)
    told = {"forgotten": gone, **({"holds": [hold.step for hold in ended]} if ended else {})}
    chain.append_decision(replace(decision, detail={**decision.detail, **told}), now)
    chain.flush()
    for hold in ended:
        notices.add_deletion_notice(db, hold, decision.actor, now)


REQUEUED_INDEX_GAP = 1_000
"""How far behind a record's own operations those stand that are queued for it once more."""


RunSeqs = Sequence[Sequence[int]]
"""By run: the `seq` of each of its operations that waits, 0 for one that is held; nothing for a run of before."""


def commit_runs(
    db: Transaction, state: WorkflowState, runs: Sequence[PlannedRun], position: int, now: int
) -> RunSeqs:
    """Stores runs that are new to the workflow and moves its position; gives the places of what waits."""
    tally, chain = CounterChanges(), AuditChain(db)
    begun = _begun(db, state.workflow, runs)
    actors = _actors(db, [run.record_seq for run in begun.values()])
    queued = _Queued(db, state)
    for run in begun.values():
        if run.problems:
            _failed(db, state, run, actors.get(run.record_seq), now, tally, chain)
    queued.add({number: run for number, run in begun.items() if not run.problems}, actors)
    queued.insert(db, tally)
    moved = db.execute("UPDATE workflows SET position = ? WHERE workflow = ?", (position, state.workflow))
    if moved.rowcount == 0:
        set_workflow_state(db, replace(state, position=position), None, now)
    tally.write(db)
    chain.flush()
    return [queued.places.get(number, ()) for number in range(len(runs))]


def waiting_after_commit(
    state: WorkflowState, runs: Sequence[PlannedRun], places: RunSeqs
) -> list[StoredOperation]:
    """The operations that wait after `plan`, in the order of their records, which is that of `seq` by profile."""
    workflow, connection, version = state.workflow, state.connection, state.version
    decode = Decoder().decode
    return [
        StoredOperation(seq, connection, workflow, version, run.record_seq, run.record, index, decode(body))
        for run, seqs in zip(runs, places, strict=True)
        for index, (seq, (_, _, body)) in enumerate(zip(seqs, run.operations, strict=False))
        if seq
    ]


def requeue_runs(
    db: Transaction, state: WorkflowState, runs: Sequence[PlannedRun], decision: Decision, now: int
) -> int:
    """Queues operations of records that ran before, behind those that still wait of them. Gives how many."""
    tally, chain = CounterChanges(), AuditChain(db)
    chain.append_decision(decision, now)
    queued = _Queued(db, state)
    for number, run in enumerate(runs):
        (last,) = db.execute(
            "SELECT coalesce(max(idx), 0) FROM operations WHERE record_seq = ? AND workflow = ?",
            (run.record_seq, state.workflow),
        ).fetchone()
        queued.add_behind(number, run, decision.actor, last + REQUEUED_INDEX_GAP)
    queued.insert(db, tally)
    tally.write(db)
    chain.flush()
    return len(queued)


def _held_steps(db: Transaction, workflow: str) -> set[str]:
    return {step for (step,) in db.execute("SELECT step FROM holds WHERE workflow = ?", (workflow,))}


def _last_seq(db: Transaction) -> int:
    (seq,) = db.execute(
        "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'operations'"
    ).fetchone()
    return int(seq)


def _begun(db: Transaction, workflow: str, runs: Sequence[PlannedRun]) -> dict[int, PlannedRun]:
    """Writes down that records run under the workflow; gives those that did not run before, by their number."""
    seen = already_ran(db, workflow, [run.record_seq for run in runs])
    begun = {}
    for number, run in enumerate(runs):
        # A record that is given twice runs once.
        if run.record_seq not in seen:
            seen.add(run.record_seq)
            begun[number] = run
    statements.insert_rows(
        db,
        "runs",
        "workflow, record_seq, state",
        [(workflow, run.record_seq, PLAN_FAILED if run.problems else PLANNED) for run in begun.values()],
        "ON CONFLICT DO UPDATE SET state = excluded.state",
    )
    return begun


def _actors(db: Transaction, record_seqs: Sequence[int]) -> dict[int, str | None]:
    return dict(statements.read_rows(db, "records", "seq, actor", "seq", record_seqs))


def _failed(
    db: Transaction,
    state: WorkflowState,
    run: PlannedRun,
    actor: str | None,
    now: int,
    tally: CounterChanges,
    chain: AuditChain,
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
            canonical_json([dict(problem) for problem in run.problems]).decode(),
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


class _Queued:
    """Operations on their way into the queue: their rows, and their places by the number of their run."""

    def __init__(self, db: Transaction, state: WorkflowState) -> None:
        self._state = state
        self._seq = _last_seq(db)
        self._held = _held_steps(db, state.workflow)
        self._rows: list[tuple[Any, ...]] = []
        self._holds: Counter[str] = Counter()
        self.places: dict[int, list[int]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, runs: Mapping[int, PlannedRun], actors: Mapping[int, str | None]) -> None:
        """Takes the operations of runs, in their order."""
        for group in _apart(runs):
            # Operations travel with others of their step: those stand side by side, so that few pages are written.
            lengths = Counter(len(run.operations) for _, run in group)
            places = []
            for index in range(max(lengths, default=0)):
                places.append(self._seq + 1)
                self._seq += sum(number for length, number in lengths.items() if length > index)
            for number, run in group:
                length = len(run.operations)
                seqs = places[:length]
                for index in range(length):
                    places[index] += 1
                self._add(number, run, actors.get(run.record_seq), seqs, 0)

    def add_behind(self, number: int, run: PlannedRun, actor: str | None, first: int) -> None:
        """Takes the operations of one run; `first` is the index of the first one in its record."""
        seqs = list(range(self._seq + 1, self._seq + 1 + len(run.operations)))
        self._seq += len(seqs)
        self._add(number, run, actor, seqs, first)

    def _add(self, number: int, run: PlannedRun, actor: str | None, seqs: list[int], first: int) -> None:
        behind: str | None = None
        self.places[number] = seqs
        for place, (step, gate, body) in enumerate(run.operations):
            seq, hold = seqs[place], step if step in self._held else behind
            if hold is not None:
                seqs[place] = 0
                self._holds[hold] += 1
                if gate and step == hold:
                    # What a gate decides about waits with the gate.
                    behind = behind or hold
            self._rows.append(
                (
                    seq, run.record_seq, run.record, first + place, step, int(gate), actor,
                    WAITING if hold is None else HELD, hold, body,
                )
            )  # fmt: skip

    def insert(self, db: Transaction, tally: CounterChanges) -> None:
        """Writes the rows, and counts them."""
        self._rows.sort(key=itemgetter(0))
        workflow, connection = self._state.workflow, self._state.connection
        shared = {"connection": connection, "workflow": workflow, "version": self._state.version}
        columns = "seq, record_seq, record, idx, step, gate, actor, state, hold, body"
        statements.insert_rows(db, "operations", columns, self._rows, shared=shared)
        held = self._holds.total()
        if self._rows:
            tally.add(workflow, connection, waiting=len(self._rows) - held, held=held)
        for hold, number in self._holds.items():
            db.execute(
                "UPDATE holds SET waiting = waiting + ? WHERE workflow = ? AND step = ?",
                (number, workflow, hold),
            )


def _apart(runs: Mapping[int, PlannedRun]) -> Iterator[list[tuple[int, PlannedRun]]]:
    """The runs in stretches, in none of which two runs share an identifier: there the order of profiles is free."""
    group: list[tuple[int, PlannedRun]] = []
    taken: set[str] = set()
    for number, run in runs.items():
        if not taken.isdisjoint(run.keys):
            yield group
            group, taken = [], set()
        group.append((number, run))
        taken.update(run.keys)
    if group:
        yield group


def already_ran(db: Transaction, workflow: str, record_seqs: Sequence[int]) -> set[int]:
    """Which of these records already ran under the workflow and are not to be planned again."""
    found = db.execute(
        "SELECT record_seq FROM runs WHERE workflow = ? AND record_seq IN (SELECT value FROM json_each(?)) "
        "AND state <> ?",
        (workflow, json.dumps(list(record_seqs)), REPLAN),
    )
    return {seq for (seq,) in found}


def records_to_replan(db: Transaction, workflow: str, limit: int) -> list[StoredRecord]:
    """Records whose failed plan was ordered to be tried again, in order of receipt."""
    rows = db.execute(
        "SELECT r.seq, r.connection, r.received, r.body FROM runs INDEXED BY runs_replan "
        f"JOIN records r ON r.seq = runs.record_seq WHERE runs.workflow = ? AND runs.state = {REPLAN} "
        "ORDER BY runs.record_seq LIMIT ?",
        (workflow, limit),
    )
    return [stored_record(row) for row in rows]
