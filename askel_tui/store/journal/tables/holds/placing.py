"""Placing holds: a step's operations that wait become held, and what comes back waits for the hold that stands."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from askel_tui.core.hold_causes import Cause, HoldReason, hold_cause
from askel_tui.core.incidents import SEPARATOR
from askel_tui.store.journal.rows import Hold, StoredOperation
from askel_tui.store.journal.states import HELD, OTHER_IDENTITY, UNMATCHED, WAITING
from askel_tui.store.journal.tables import notices, operations
from askel_tui.store.journal.tables.counters import connections_of
from askel_tui.store.journal.tables.holds import history
from askel_tui.store.journal.tables.queue_row import QueueRow
from askel_tui.store.journal.tables.unit_of_work import UnitOfWork
from askel_tui.store.journal.transaction import Transaction

COLUMNS = (
    "connection, workflow, version, step, cause, detail, since, waiting, until, stays, repeats, incident"
)
"""The columns of a new hold, in the order of `Hold`."""

READ_COLUMNS = f"{COLUMNS}, others"
"""The columns of `holds`, in the order of `Hold`."""

OBSTACLE_DETAILS = {
    UNMATCHED: "a newer version refuses records that this one planned",
    OTHER_IDENTITY: "a newer version names other profiles for records that this one planned",
}
"""The detail of such a hold, by mark. It names nobody: the preview of re-planning says what is so of each record."""

OBSTACLE_CAUSES = {UNMATCHED: Cause.UNMATCHED, OTHER_IDENTITY: Cause.OTHER_IDENTITY}
"""The cause of the hold of operations that neither plan may send, by their mark."""

OF_STEP = "workflow = ? AND version = ? AND step = ?"
"""The condition for the hold of a step."""

_HOLD_OWN = (
    f"UPDATE operations SET state = {HELD}, hold = :step WHERE workflow = :workflow AND connection = :connection "
    f"AND version = :version AND state = {WAITING} AND request IS NULL AND step = :step"
)
_HOLD_BEHIND_GATES = (
    f"UPDATE operations SET state = {HELD}, hold = :step WHERE seq IN (SELECT o.seq FROM operations g "
    "JOIN operations o ON o.record_seq = g.record_seq AND o.workflow = g.workflow AND o.version = g.version "
    "AND o.idx > g.idx WHERE g.workflow = :workflow AND g.version = :version AND g.hold = :step "
    f"AND g.state = {HELD} AND g.step = :step AND g.gate = 1 "
    f"AND o.connection = :connection AND o.state = {WAITING} AND o.request IS NULL)"
)
_OLDEST_VERSIONS = (
    "SELECT DISTINCT workflow, version FROM (SELECT workflow, version FROM operations INDEXED BY operations_waiting "
    f"WHERE workflow = ? AND connection = ? AND state = {WAITING} AND request IS NULL ORDER BY seq LIMIT 500)"
)
"""The versions of the oldest waiting operations: newer ones are among them once it is their turn."""


def read_holds(db: Transaction) -> list[Hold]:
    """Reads all holds, oldest first, each with the number of operations that wait for it."""
    return [decode_hold(row) for row in db.execute(f"SELECT {READ_COLUMNS} FROM holds ORDER BY id")]


def _incident(hold: Hold) -> str:
    """Returns the hold's incident; one without a name is an incident of its connection."""
    return hold.incident or SEPARATOR.join([hold.cause, hold.connection, hold.detail])


def decode_hold(row: Sequence[Any]) -> Hold:
    *columns, others = row
    hold = Hold(*columns)
    known = tuple(HoldReason(*each) for each in json.loads(others))
    return replace(hold, stays=bool(hold.stays), others=known)


def find_hold(db: Transaction, key: tuple[str, int, str]) -> Hold | None:
    """Finds the hold of a step of a version."""
    row = db.execute(f"SELECT {READ_COLUMNS} FROM holds WHERE {OF_STEP}", key).fetchone()
    return None if row is None else decode_hold(row)


def set_other_reasons(
    db: Transaction, key: tuple[str, int, str], others: Iterable[HoldReason], now: int
) -> None:
    """Sets what else would hold a held step, beside the cause of its hold."""
    hold = find_hold(db, key)
    if hold is not None:
        left = [each for each in dict.fromkeys(others) if each != hold.reasons[0]]
        kept = [(each.cause, each.detail) for each in left]
        db.execute(f"UPDATE holds SET others = ? WHERE {OF_STEP}", (json.dumps(kept), *key))


def _keep_other_reason(work: UnitOfWork, before: Hold | None, wanted: Hold, *, placed: bool) -> None:
    """Keeps the reason of two that is not the hold's own; one that passes by itself needs no mention."""
    if before is None:
        return
    other = before if placed else wanted
    if not hold_cause(other.cause).is_probed:
        set_other_reasons(work.db, wanted.key, [*before.others, other.reasons[0]], work.now)


def held_steps(db: Transaction, workflow: str, version: int) -> list[str]:
    """Lists the steps of a version that are under a hold, in the order of their holds."""
    rows = db.execute(
        "SELECT step FROM holds WHERE workflow = ? AND version = ? ORDER BY id", (workflow, version)
    )
    return [step for (step,) in rows]


def versions_with_operations(db: Transaction) -> set[tuple[str, int]]:
    """Finds the versions (workflow, version) that have operations left: held ones, or among the oldest that wait."""
    found = set(db.execute("SELECT DISTINCT workflow, version FROM holds WHERE waiting > 0"))
    waiting = db.execute("SELECT workflow, connection FROM counters WHERE waiting > 0").fetchall()
    for queue in waiting:
        found |= set(db.execute(_OLDEST_VERSIONS, queue))
    return found


def attempted_held_operations(
    db: Transaction, workflow: str, version: int, step: str, limit: int
) -> list[StoredOperation]:
    """Lists operations that a hold keeps and that came back from a request (`reason` says why), oldest first."""
    rows = db.execute(
        f"SELECT {operations.STORED_COLUMNS} FROM operations INDEXED BY operations_held WHERE workflow = ? "
        f"AND version = ? AND hold = ? AND state = {HELD} AND reason IS NOT NULL ORDER BY seq LIMIT ?",
        (workflow, version, step, limit),
    )
    return [operations.decode_operation(row) for row in rows]


def add_hold(db: Transaction, hold: Hold, now: int) -> bool:
    """Holds a step: its waiting operations become held; audited and noticed. Returns False if it was held already.

    A cause that needs a person replaces one that may end by itself (`in_doubt` replaces any other, any other replaces
    an `outage`), and is audited and noticed in turn.
    """
    with UnitOfWork(db, now) as work:
        return add_hold_within(work, hold)


def add_hold_within(work: UnitOfWork, hold: Hold) -> bool:
    """Holds a step as `add_hold` does, as part of a larger write."""
    hold = replace(hold, incident=_incident(hold))
    before = find_hold(work.db, hold.key)
    placed = insert_hold(
        work,
        replace(hold, waiting=0),
        "DO UPDATE SET cause = excluded.cause, detail = excluded.detail, until = excluded.until, "
        "incident = excluded.incident "
        "WHERE holds.cause <> excluded.cause AND (excluded.cause = 'in_doubt' OR holds.cause IN ('outage', 'limit'))",
    )
    _keep_other_reason(work, before, hold, placed=placed)
    if not placed:
        return False
    terms = history.begin(work.db, hold, work.now)
    work.db.execute(
        f"UPDATE holds SET stays = ?, repeats = ? WHERE {OF_STEP}", (terms.stays, terms.repeats, *hold.key)
    )
    apply_hold(work, hold.workflow, hold.version, hold.step)
    announce_hold(work, replace(hold, stays=terms.stays))
    if before is not None:
        notices.add_replacement_notice(work.db, before, work.now)
    return True


def change_hold(db: Transaction, hold: Hold, now: int) -> bool:
    """Gives the hold of a step the cause and detail that the account's state has by now; audited and noticed.

    Returns False where the step is not held for a changed account any more.
    """
    with UnitOfWork(db, now) as work:
        found = db.execute(f"SELECT cause, stays FROM holds WHERE {OF_STEP}", hold.key).fetchone()
        if found is None or not hold_cause(found[0]).is_account_change:
            return False
        db.execute(
            f"UPDATE holds SET cause = ?, detail = ?, incident = ? WHERE {OF_STEP}",
            (hold.cause, hold.detail, _incident(hold), *hold.key),
        )
        announce_hold(work, replace(hold, stays=bool(found[1])))
    return True


def insert_hold(
    work: UnitOfWork, hold: Hold, on_conflict: str = "DO NOTHING", entry: int | None = None
) -> bool:
    """Stores a hold, by default as one that begins after the last audit entry; returns False where another stays."""
    placed = work.db.execute(
        f"INSERT INTO holds ({COLUMNS}, entry) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
        "coalesce(?, (SELECT max(seq) FROM audit), 0)) "
        f"ON CONFLICT (workflow, version, step) {on_conflict}",
        (
            hold.connection, hold.workflow, hold.version, hold.step, hold.cause, hold.detail, hold.since, hold.waiting,
            hold.until, hold.stays, hold.repeats, _incident(hold), entry,
        ),
    )  # fmt: skip
    return placed.rowcount == 1


def announce_hold(work: UnitOfWork, hold: Hold) -> None:
    """Writes the audit entry and the notice of a hold that was placed."""
    hold = replace(hold, incident=_incident(hold))
    (waiting,) = work.db.execute(f"SELECT waiting FROM holds WHERE {OF_STEP}", hold.key).fetchone()
    about = {"cause": hold.cause, "detail": hold.detail, "version": hold.version, "waiting": waiting}
    work.audit.append(
        kind="hold",
        status="done",
        connection=hold.connection,
        workflow=hold.workflow,
        step=hold.step,
        response={"detail": about},
    )
    notices.add_hold_notice(work.db, hold, waiting, work.now)


def apply_hold(work: UnitOfWork, workflow: str, version: int, step: str) -> int:
    """Makes the waiting operations of a held step held, and those behind a held gate. Returns how many."""
    held = 0
    # Counters of operations that were just planned may not be written yet.
    work.counters.write(work.db)
    for connection in connections_of(work.db, workflow):
        bounds = {"workflow": workflow, "version": version, "step": step, "connection": connection}
        number = sum(work.db.execute(sql, bounds).rowcount for sql in (_HOLD_OWN, _HOLD_BEHIND_GATES))
        work.counters.add(workflow, connection, waiting=-number, held=number)
        held += number
    work.db.execute(
        f"UPDATE holds SET waiting = waiting + ? WHERE {OF_STEP}", (held, workflow, version, step)
    )
    return held


def apply_holds(work: UnitOfWork, workflow: str) -> int:
    """Applies every hold of a workflow to operations that came back to waiting. Returns how many are held again."""
    holds = work.db.execute("SELECT version, step FROM holds WHERE workflow = ? ORDER BY id", (workflow,))
    return sum(apply_hold(work, workflow, version, step) for version, step in holds.fetchall())


def return_to_queue(work: UnitOfWork, row: QueueRow, step: str | None, reason: str | None = None) -> None:
    """Returns an operation to the queue: behind the hold of `step`, of its own step or of a gate before it.

    Where no such hold exists it waits as usual. A held gate takes the record's later operations along.
    """
    hold = _keeping_hold(work.db, row, step)
    if hold is None:
        operations.set_state(work, row, WAITING, reason=reason)
        return
    operations.set_state(work, row, HELD, hold=hold, reason=reason)
    if row.gate:
        for behind in operations.later_rows(work.db, row, states=(WAITING,)):
            if behind.version == row.version:
                operations.set_state(work, behind, HELD, hold=hold)


def release_behind_gate(work: UnitOfWork, gate: QueueRow) -> None:
    """Releases operations that waited behind a held gate which was answered after all; other holds still keep them."""
    for behind in operations.later_rows(work.db, gate, states=(HELD,)):
        kept_by = (behind.version, behind.hold)
        if kept_by == (gate.version, gate.step) and behind.step != gate.step:
            return_to_queue(work, behind, None)


def _keeping_hold(db: Transaction, row: QueueRow, step: str | None) -> str | None:
    held = held_steps(db, row.workflow, row.version)
    for name in (step, row.step):
        if name in held:
            return name
    if not held:
        return None
    gate = db.execute(
        "SELECT hold FROM operations WHERE record_seq = ? AND workflow = ? AND version = ? AND idx < ? "
        "AND gate = 1 AND state = ? ORDER BY idx LIMIT 1",
        (row.record_seq, row.workflow, row.version, row.idx, HELD),
    ).fetchone()
    return None if gate is None else str(gate[0])


def entry_before(db: Transaction, workflow: str, version: int, step: str) -> int:
    """Returns the `seq` of the last audit entry before a step was held."""
    row = db.execute(f"SELECT entry FROM holds WHERE {OF_STEP}", (workflow, version, step)).fetchone()
    return 0 if row is None else int(row[0])


def hold_for_obstacle(work: UnitOfWork, hold: Hold) -> bool:
    """Holds a step for operations that neither plan may send; returns True where it was not before.

    Where consent is in doubt, that hold keeps them.
    """
    before = find_hold(work.db, hold.key)
    placed = insert_hold(
        work,
        hold,
        "DO UPDATE SET cause = excluded.cause, detail = excluded.detail, until = NULL, stays = 0, repeats = 0, "
        "incident = excluded.incident "
        "WHERE holds.cause NOT IN ('in_doubt', 'unmatched', 'other_identity')",
    )
    _keep_other_reason(work, before, hold, placed=placed)
    return placed


def carry_hold(work: UnitOfWork, hold: Hold, version: int, step: str) -> None:
    """Holds a step of a newer version for the cause for which an older one is held."""
    entry = entry_before(work.db, hold.workflow, hold.version, hold.step)
    insert_hold(work, replace(hold, version=version, step=step, waiting=0), entry=entry)
    apply_hold(work, hold.workflow, version, step)


def count_waiting(db: Transaction, workflow: str, version: int, added: Mapping[str, int]) -> None:
    """Counts operations that were added to a version's holds, by step."""
    db.executemany(
        f"UPDATE holds SET waiting = waiting + ? WHERE {OF_STEP}",
        [(number, workflow, version, step) for step, number in added.items()],
    )
