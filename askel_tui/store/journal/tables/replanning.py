"""Re-planning: what a workflow has not sent under older versions is taken out of the queue and put in anew.

It is done in parts. While `workflows.replan` is set, nothing of the workflow is sent or planned, so that a crash in
between changes nothing but when the rest is done. A new operation gets a `seq` behind the one that it takes the slot
of, and never that one: a sender that still has the old one in memory finds it gone.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from askel_tui.core.operations import Identity
from askel_tui.store.journal import statements
from askel_tui.store.journal.rows import Decision, Hold, JoinedLines, StoredRecord, WorkflowState
from askel_tui.store.journal.states import (
    CUT,
    HELD,
    MAY_BE_WRITTEN,
    RETURNED,
    RETURNED_IN_PART,
    REVIVED,
    WAITING,
)
from askel_tui.store.journal.tables import lines, notices, operations, superseded
from askel_tui.store.journal.tables.holds import placing, releasing
from askel_tui.store.journal.tables.queue_row import QUEUE_COLUMNS, QueueRow
from askel_tui.store.journal.tables.records import decode_record
from askel_tui.store.journal.tables.runs import REQUEUED_INDEX_GAP
from askel_tui.store.journal.tables.unit_of_work import UnitOfWork
from askel_tui.store.journal.tables.workflows import set_workflow_state
from askel_tui.store.journal.transaction import Transaction

UNSENT = f"(state IN ({WAITING}, {HELD}) AND mark <> {MAY_BE_WRITTEN} AND (request IS NULL OR gate = 1))"
"""The condition for operations that were certainly never sent. A gate is a read: asking again harms nothing."""

_INSERTED = "seq, record_seq, record, idx, step, gate, actor, state, hold, body, mark"


class QueuedRow(NamedTuple):
    """A queued operation with its encoded body. `unsent`: it was certainly never sent."""

    row: QueueRow
    body: bytes
    unsent: bool


class UnsentRecord(NamedTuple):
    """A record with something unsent under an older version, and all of its operations in the queue, in order."""

    stored: StoredRecord
    queued: Sequence[QueuedRow]


class StoredReplan(NamedTuple):
    """What becomes of a record's operations, encoded: see `core.planning.replanning.RecordReplan`."""

    record_seq: int
    seen: Sequence[tuple[int, int, int | None]]
    """The (seq, state, request) of all of its operations, as the decision was made for them."""
    slots: Sequence[tuple[int | None, tuple[str, bool, bytes] | None]]
    """The operations from now on: the `seq` whose slot each takes, and (step, whether a gate, body) of a new one."""
    closed: Sequence[tuple[int, str]]
    """The operations that are closed, with the reason; with a `mark` those that are held."""
    mark: int = 0
    """`UNMATCHED` or `OTHER_IDENTITY`, where an obstacle keeps the unsent ones held for the `reason`."""
    reason: str = ""
    profile: Mapping[str, str] | None = None
    """The record's identifiers, where they are others than before."""


def unsent_records(
    db: Transaction, workflow: str, version: int, after: int, limit: int, *, revived: bool = False
) -> list[UnsentRecord]:
    """Reads the next records that have unsent operations of another version, in order of receipt; with `revived` only
    those that had failed or were discarded."""
    only = f"AND mark = {REVIVED}" if revived else ""
    seqs = [
        seq
        for (seq,) in db.execute(
            "SELECT DISTINCT record_seq FROM operations INDEXED BY operations_run WHERE record_seq > ? "
            f"AND workflow = ? AND idx < {REQUEUED_INDEX_GAP} AND version <> ? AND {UNSENT} {only} "
            "ORDER BY record_seq LIMIT ?",
            (after, workflow, version, limit),
        )
    ]
    return read_records(db, workflow, version, seqs)


def has_unsent(db: Transaction, workflow: str, version: int) -> bool:
    """Checks whether the workflow has unsent operations of another version."""
    return bool(unsent_records(db, workflow, version, 0, 1))


def read_records(
    db: Transaction, workflow: str, version: int, record_seqs: Sequence[int]
) -> list[UnsentRecord]:
    """Reads records with their operations in the queue; without those that have nothing unsent of another version."""
    listed = statements.json_list(record_seqs)
    queued: dict[int, list[QueuedRow]] = {}
    for *columns, body, unsent in db.execute(
        f"SELECT {QUEUE_COLUMNS}, body, {UNSENT} FROM operations WHERE record_seq IN (SELECT value FROM json_each(?)) "
        f"AND workflow = ? AND idx < {REQUEUED_INDEX_GAP} ORDER BY record_seq, idx",
        (listed, workflow),
    ):
        row = QueueRow._make(columns)
        queued.setdefault(row.record_seq, []).append(
            QueuedRow(row, body, bool(unsent) and row.version != version)
        )
    records = db.execute(
        "SELECT seq, connection, received, body FROM records WHERE seq IN (SELECT value FROM json_each(?)) "
        "ORDER BY seq",
        (listed,),
    )
    found = [UnsentRecord(stored, queued.get(stored.seq, ())) for stored in map(decode_record, records)]
    return [each for each in found if any(row.unsent for row in each.queued)]


def begin_replan(
    db: Transaction,
    state: WorkflowState,
    decision: Decision,
    carried: Iterable[tuple[Hold, str]],
    now: int,
) -> None:
    """Stores a workflow's state, whose `replan` says that it is under way, with the decision.

    `carried` are the holds of older versions that stay, each with the step of the new version that it holds as well.
    """
    with UnitOfWork(db, now) as work:
        set_workflow_state(db, state, None, now)
        work.audit.append_decision(decision)
        for hold, step in carried:
            placing.carry_hold(work, hold, state.version, step)


def apply_replans(
    db: Transaction, state: WorkflowState, replans: Sequence[StoredReplan], actor: str, now: int
) -> tuple[list[int], JoinedLines]:
    """Puts the new operations of records in place of the unsent ones.

    Returns the records that changed meanwhile, and the lines that were joined since records have another profile.
    """
    changed = []
    totals: Counter[str] = Counter()
    with UnitOfWork(db, now) as work:
        queue = _Requeue(work, state, actor)
        for replan in replans:
            rows = {
                row.seq: row
                for row in operations.select_rows(
                    db,
                    f"record_seq = ? AND workflow = ? AND idx < {REQUEUED_INDEX_GAP}",
                    (replan.record_seq, state.workflow),
                )
            }
            if {(row.seq, row.state, row.request) for row in rows.values()} != set(map(tuple, replan.seen)):
                changed.append(replan.record_seq)
            elif replan.mark:
                totals["held"] += queue.hold(rows, replan)
            else:
                totals.update(queue.replace(rows, replan))
        queue.insert()
        joined = lines.link_profiles(work.db, state.connection, queue.new_profiles)
        progress = _progress(db, state.workflow)
        progress["totals"] = dict(Counter(progress["totals"]) + totals)
        progress["obstacles"] += queue.obstacles
        db.execute(
            "UPDATE workflows SET replan = ? WHERE workflow = ?", (json.dumps(progress), state.workflow)
        )
    return changed, joined


def _progress(db: Transaction, workflow: str) -> dict[str, Any]:
    """Reads how far the re-planning of a workflow is: `totals` by outcome, and the `obstacles` that were found."""
    row = db.execute("SELECT replan FROM workflows WHERE workflow = ?", (workflow,)).fetchone()
    found: dict[str, Any] = json.loads(row[0]) if row and row[0] else {}
    return {"totals": {}, "obstacles": [], **found}


def end_replan(
    db: Transaction,
    state: WorkflowState,
    actor: str,
    repaired: Sequence[tuple[int, str, str | None]] | None,
    now: int,
) -> Mapping[str, int]:
    """Lets the workflow go on, and ends the holds of older versions that keep nothing any more; returns the totals.

    `repaired` are the holds (version, step) whose cause the new version does away with, each with the step that goes
    on: their ends make notices. Without it all holds stay: only what had failed or was discarded was planned anew.
    """
    workflow = state.workflow
    progress = _progress(db, workflow)
    totals: Mapping[str, int] = progress["totals"]
    obstacles = {(version, step) for version, step in progress["obstacles"]}
    steps = {(version, step): after for version, step, after in repaired or ()}
    with UnitOfWork(db, now) as work:
        returned = _drop_superseded(work, state, progress.get("since"))
        if totals:
            detail: dict[str, Any] = {"version": state.version, **totals}
            work.audit.append_decision(
                Decision("replanned", actor, state.connection, workflow, detail=detail)
            )
        for hold in placing.read_holds(db):
            if hold.workflow != workflow or hold.version == state.version:
                continue
            if hold.waiting and (hold.version, hold.step) in obstacles:
                placing.announce_hold(work, hold)
            if hold.waiting:
                releasing.name_obstacles(work, hold)
            if hold.waiting or repaired is None:
                continue
            releasing.delete_hold(work, hold)
            if (hold.version, hold.step) in steps:
                detail = {"cause": hold.cause, "version": hold.version}
                work.audit.append_decision(
                    Decision("release", actor, hold.connection, workflow, hold.step, detail)
                )
                going_on = returned[steps[hold.version, hold.step] or ""]
                notices.add_release_notice(db, hold, actor, going_on, now)
        db.execute("UPDATE workflows SET replan = NULL WHERE workflow = ?", (workflow,))
    return totals


def _drop_superseded(work: UnitOfWork, state: WorkflowState, failed_since: int | None) -> Counter[str]:
    """Leaves out of what came back from a hold or a failure what later records have written since. Returns how many
    came back, by step."""
    returned = operations.select_rows(
        work.db,
        f"workflow = ? AND version = ? AND state = {WAITING} AND mark IN ({RETURNED}, {RETURNED_IN_PART})",
        (state.workflow, state.version),
    )
    if not returned:
        return Counter()
    (held_since,) = work.db.execute(
        "SELECT min(entry) FROM holds WHERE workflow = ? AND version <> ?", (state.workflow, state.version)
    ).fetchone()
    since = min((each for each in (held_since, failed_since) if each is not None), default=0)
    if any(row.mark == RETURNED_IN_PART for row in returned):
        since = 0
    work.db.execute(
        f"UPDATE operations SET mark = 0 WHERE workflow = ? AND version = ? AND state = {WAITING} "
        f"AND mark IN ({RETURNED}, {RETURNED_IN_PART})",
        (state.workflow, state.version),
    )
    superseded.drop_superseded(work, returned, since)
    return Counter(row.step for row in returned)


class _Requeue:
    """Takes operations out of the queue, and gathers those that take their slots."""

    def __init__(self, work: UnitOfWork, state: WorkflowState, actor: str) -> None:
        self._work = work
        self._state = state
        self._actor = actor
        self._held_steps = set(placing.held_steps(work.db, state.workflow, state.version))
        self._rows: list[tuple[Any, ...]] = []
        self._held_by_step: Counter[str] = Counter()
        self.obstacles: list[tuple[int, str]] = []
        """The steps (version, step) that were held for an obstacle."""
        self.new_profiles: list[Identity] = []
        """The profiles of records that had another one."""
        self._taken: set[int] = set()
        """The `seq` of operations that were removed or added in this transaction."""

    def hold(self, rows: Mapping[int, QueueRow], replan: StoredReplan) -> int:
        """Holds the unsent operations of a record, which neither plan may send. Returns how many."""
        work, held = self._work, [seq for seq, _ in replan.closed]
        for seq in held:
            row = rows[seq]
            hold = Hold(
                row.connection, row.workflow, row.version, row.step, placing.OBSTACLE_CAUSES[replan.mark],
                placing.OBSTACLE_DETAILS[replan.mark], work.now,
            )  # fmt: skip
            if placing.hold_for_obstacle(work, hold):
                self.obstacles.append((row.version, row.step))
            operations.set_state(work, row, HELD, hold=row.step, reason=replan.reason)
            work.db.execute("UPDATE operations SET mark = ? WHERE seq = ?", (replan.mark, seq))
        return len(held)

    def replace(self, rows: Mapping[int, QueueRow], replan: StoredReplan) -> Counter[str]:
        """Closes and replaces a record's operations. Returns how many, by what became of them."""
        work = self._work
        for seq, reason in replan.closed:
            found = operations.read_operation(work.db, seq)
            work.audit.append_operation(rows[seq], found, "discarded", reason, self._actor)
        leaving = {seq for seq, _ in replan.closed}
        leaving |= {seq for seq, new in replan.slots if seq is not None and new is not None}
        first = rows[min(leaving)]
        operations.remove_rows(work, [rows[seq] for seq in leaving])
        self._taken |= leaving
        kept = [(at, seq) for at, (seq, new) in enumerate(replan.slots) if new is None]
        # Two steps: an index may be taken by another one of them.
        for shift in (-REQUEUED_INDEX_GAP, 0):
            work.db.executemany(
                "UPDATE operations SET idx = ? WHERE seq = ?", [(at + shift, seq) for at, seq in kept]
            )
        if replan.profile is not None:
            self.new_profiles.append(Identity(**replan.profile))
        totals: Counter[str] = Counter(closed=len(replan.closed))
        gate_hold: str | None = None
        cursor = first.seq
        for at, (slot, new) in enumerate(replan.slots):
            if new is None:
                cursor = max(cursor, slot or 0)
                totals["kept"] += 1
                continue
            step, gate, body = new
            before = None if slot is None else rows[slot]
            totals["added" if before is None else "replanned"] += 1
            cursor = self._free_seq(max(cursor, slot or 0))
            hold: str | None = step if step in self._held_steps else gate_hold
            if hold is not None:
                self._held_by_step[hold] += 1
                gate_hold = gate_hold or (hold if gate and step == hold else None)
            self._rows.append(
                (
                    cursor, first.record_seq, first.record, at, step, int(gate), first.actor,
                    WAITING if hold is None else HELD, hold, body, _mark_of(before),
                )
            )  # fmt: skip
        return totals

    def _free_seq(self, after: int) -> int:
        """Finds the first `seq` after another that no operation has, nor had before this transaction."""
        while True:
            after += 1
            taken = self._work.db.execute("SELECT 1 FROM operations WHERE seq = ?", (after,)).fetchone()
            if taken is None and after not in self._taken:
                self._taken.add(after)
                return after

    def insert(self) -> None:
        """Inserts the gathered operations, and counts them."""
        work, workflow, connection = self._work, self._state.workflow, self._state.connection
        shared = {"connection": connection, "workflow": workflow, "version": self._state.version}
        statements.insert_rows(work.db, "operations", _INSERTED, self._rows, shared=shared)
        held = self._held_by_step.total()
        work.counters.add(workflow, connection, waiting=len(self._rows) - held, held=held)
        placing.count_waiting(work.db, workflow, self._state.version, self._held_by_step)


def _mark_of(before: QueueRow | None) -> int:
    """Marks an operation that takes the slot of a held one: what later records have written since is to be left out."""
    if before is None:
        return 0
    if before.mark in (CUT, RETURNED_IN_PART):
        return RETURNED_IN_PART
    return RETURNED if before.state == HELD or before.mark == REVIVED else 0
