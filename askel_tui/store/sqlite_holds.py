"""Holds in the embedded journal: a step that may not send, and the operations that wait for it.

A held operation names the step whose hold keeps it: its own, or a held gate before it in the same record.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime

from askel_tui.store import sqlite_operations as operations
from askel_tui.store.journal import HOLD_CAUSES, Decision, Hold
from askel_tui.store.sqlite_audit import Chain
from askel_tui.store.sqlite_counters import Tally, connections_of
from askel_tui.store.sqlite_schema import HELD, WAITING

_HOLD_OWN = (
    f"UPDATE operations SET state = {HELD}, hold = :step WHERE workflow = :workflow AND connection = :connection "
    f"AND state = {WAITING} AND request IS NULL AND step = :step"
)
_HOLD_BEHIND = (
    f"UPDATE operations SET state = {HELD}, hold = :step WHERE seq IN (SELECT o.seq FROM operations g "
    "JOIN operations o ON o.record_seq = g.record_seq AND o.workflow = g.workflow AND o.idx > g.idx "
    f"WHERE g.workflow = :workflow AND g.hold = :step AND g.state = {HELD} AND g.step = :step AND g.gate = 1 "
    f"AND o.connection = :connection AND o.state = {WAITING} AND o.request IS NULL)"
)
_RELEASE = (
    f"UPDATE operations SET state = {WAITING}, hold = NULL, due = 0, since = 0 "
    f"WHERE workflow = :workflow AND hold = :step AND state = {HELD} AND connection = :connection"
)


def all_holds(db: sqlite3.Connection) -> list[Hold]:
    """All holds, oldest first."""
    rows = db.execute(
        "SELECT connection, workflow, step, cause, detail, since, waiting FROM holds ORDER BY id"
    )
    return [Hold(*row) for row in rows]


def place(db: sqlite3.Connection, hold: Hold, now: int) -> bool:
    """Holds a step, audited and noticed. False if it was held already."""
    tally, chain = Tally(), Chain(db)
    placed = place_within(db, hold, now, tally, chain)
    tally.write(db)
    chain.close()
    return placed


def place_within(db: sqlite3.Connection, hold: Hold, now: int, tally: Tally, chain: Chain) -> bool:
    """Holds a step as part of a larger change. False if it was held already."""
    placed = db.execute(
        "INSERT INTO holds (connection, workflow, step, cause, detail, since) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING",
        (hold.connection, hold.workflow, hold.step, hold.cause, hold.detail, hold.since),
    )
    if placed.rowcount != 1:
        return False
    apply(db, hold.workflow, hold.step, tally)
    _tell(db, hold, now, chain)
    return True


def apply(db: sqlite3.Connection, workflow: str, step: str, tally: Tally) -> int:
    """Makes the waiting operations of a held step held, and those behind a held gate. Gives how many."""
    moved = 0
    # Counters of operations that were just planned may not be written yet.
    tally.write(db)
    for connection in connections_of(db, workflow):
        of = {"workflow": workflow, "step": step, "connection": connection}
        number = db.execute(_HOLD_OWN, of).rowcount + db.execute(_HOLD_BEHIND, of).rowcount
        tally.add(workflow, connection, waiting=-number, held=number)
        moved += number
    db.execute(
        "UPDATE holds SET waiting = waiting + ? WHERE workflow = ? AND step = ?", (moved, workflow, step)
    )
    return moved


def apply_all(db: sqlite3.Connection, workflow: str, tally: Tally) -> int:
    """Applies every hold of a workflow to operations that came back to waiting. Gives how many are held again."""
    steps = [
        step for (step,) in db.execute("SELECT step FROM holds WHERE workflow = ? ORDER BY id", (workflow,))
    ]
    return sum(apply(db, workflow, step, tally) for step in steps)


def _tell(db: sqlite3.Connection, hold: Hold, now: int, chain: Chain) -> None:
    """Writes the audit entry and the notice of a hold that was placed."""
    (waiting,) = db.execute(
        "SELECT waiting FROM holds WHERE workflow = ? AND step = ?", (hold.workflow, hold.step)
    ).fetchone()
    chain.append(
        at=now,
        kind="hold",
        status="done",
        connection=hold.connection,
        workflow=hold.workflow,
        step=hold.step,
        response={"detail": {"cause": hold.cause, "detail": hold.detail, "waiting": waiting}},
    )
    db.execute(
        "INSERT INTO notices (at, connection, workflow, step, kind, text) VALUES (?, ?, ?, ?, 'hold', ?)",
        (now, hold.connection, hold.workflow, hold.step, notice(hold, waiting)),
    )


def notice(hold: Hold, waiting: int) -> str:
    """What happened, since when, what waits, and what to do."""
    since = datetime.fromtimestamp(hold.since / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    cause = HOLD_CAUSES.get(hold.cause, hold.cause)
    waits = "1 operation waits" if waiting == 1 else f"{waiting:,} operations wait"
    return (
        f"Workflow {hold.workflow}, step {hold.step} is held since {since}: {cause} ({hold.detail}). "
        f"{waits}, in order; nothing is lost. Once it is put right: `askel hold release {hold.workflow} {hold.step}`"
    )


def keep(
    db: sqlite3.Connection, of: operations.Row, step: str | None, tally: Tally, reason: str | None = None
) -> None:
    """Brings an operation to where it waits: behind the hold of `step`, of its own step or of a gate before it.

    Where no such hold exists it waits as usual. A held gate takes the record's later operations along.
    """
    held_by = _held_by(db, of, step)
    if held_by is None:
        operations.move(db, of, WAITING, tally, reason=reason)
        return
    operations.move(db, of, HELD, tally, hold=held_by, reason=reason)
    if of.gate:
        for behind in operations.later(db, of, states=(WAITING,)):
            operations.move(db, behind, HELD, tally, hold=held_by)


def free_behind(db: sqlite3.Connection, gate: operations.Row, tally: Tally) -> None:
    """A held gate was answered after all: what waited behind it waits for other holds only."""
    for behind in operations.later(db, gate, states=(HELD,)):
        if behind.hold == gate.step and behind.step != gate.step:
            keep(db, behind, None, tally)


def _held_by(db: sqlite3.Connection, of: operations.Row, step: str | None) -> str | None:
    held = {name for (name,) in db.execute("SELECT step FROM holds WHERE workflow = ?", (of.workflow,))}
    for name in (step, of.step):
        if name in held:
            return name
    if not held:
        return None
    gate = db.execute(
        "SELECT hold FROM operations "
        "WHERE record_seq = ? AND workflow = ? AND idx < ? AND gate = 1 AND state = ? ORDER BY idx LIMIT 1",
        (of.record_seq, of.workflow, of.idx, HELD),
    ).fetchone()
    return None if gate is None else str(gate[0])


def release(db: sqlite3.Connection, workflow: str, step: str, decision: Decision, now: int) -> int:
    """Ends a hold: its operations wait again, in order, unless another hold keeps them. Gives how many wait."""
    if db.execute("DELETE FROM holds WHERE workflow = ? AND step = ?", (workflow, step)).rowcount == 0:
        return 0
    tally = Tally()
    released = 0
    for connection in connections_of(db, workflow):
        number = db.execute(_RELEASE, {"workflow": workflow, "step": step, "connection": connection}).rowcount
        tally.add(workflow, connection, waiting=number, held=-number)
        released += number
    released -= apply_all(db, workflow, tally)
    tally.write(db)
    chain = Chain(db)
    chain.decision(decision, now)
    chain.close()
    return released


def discard(db: sqlite3.Connection, workflow: str, step: str, decision: Decision, now: int) -> int:
    """Discards what a hold keeps, one audit entry each, after the decision's. The hold stays."""
    kept = operations.rows(db, f"workflow = ? AND hold = ? AND state = {HELD}", (workflow, step))
    if not kept:
        return 0
    tally, chain = Tally(), Chain(db)
    chain.decision(decision, now)
    for each in kept:
        chain.operation(
            each,
            operations.operation(db, each.seq),
            "discarded",
            now,
            f"held step {step} discarded",
            decision.actor,
        )
        operations.leave(db, each, tally)
    tally.write(db)
    chain.close()
    return len(kept)
