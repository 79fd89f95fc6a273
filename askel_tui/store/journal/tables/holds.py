"""Holds in the embedded journal: a step that may not send, and the operations that wait for it.

A held operation names the step whose hold keeps it: its own, or a held gate before it in the same record.
"""

from __future__ import annotations

from askel_tui.store.journal.rows import Decision, Hold, StoredOperation
from askel_tui.store.journal.states import HELD, WAITING
from askel_tui.store.journal.tables import notices, operations
from askel_tui.store.journal.tables import superseded as overtaken
from askel_tui.store.journal.tables.audit.chain import AuditChain
from askel_tui.store.journal.tables.counters import CounterChanges, connections_of
from askel_tui.store.journal.transaction import Transaction

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


def read_holds(db: Transaction) -> list[Hold]:
    """All holds, oldest first."""
    rows = db.execute(
        "SELECT connection, workflow, step, cause, detail, since, waiting FROM holds ORDER BY id"
    )
    return [Hold(*row) for row in rows]


def attempted_held_operations(db: Transaction, workflow: str, step: str, limit: int) -> list[StoredOperation]:
    """Operations that a hold keeps and that came back from a request, oldest first."""
    rows = db.execute(
        f"SELECT {operations.STORED_COLUMNS} FROM operations INDEXED BY operations_held "
        "WHERE workflow = ? AND hold = ? "
        f"AND state = {HELD} AND reason IS NOT NULL ORDER BY seq LIMIT ?",
        (workflow, step, limit),
    )
    return [operations.decode_operation(row) for row in rows]


def place_hold(db: Transaction, hold: Hold, now: int) -> bool:
    """Holds a step, audited and noticed. False if it was held already."""
    tally, chain = CounterChanges(), AuditChain(db)
    placed = place_hold_within(db, hold, now, tally, chain)
    tally.write(db)
    chain.flush()
    return placed


def place_hold_within(
    db: Transaction, hold: Hold, now: int, tally: CounterChanges, chain: AuditChain
) -> bool:
    """Holds a step as part of a larger change. False if it was held already.

    What needs a person takes the place of a cause that may end by itself: consent in doubt that of any other, and
    any other that of an outage.
    """
    placed = db.execute(
        "INSERT INTO holds (connection, workflow, step, cause, detail, since) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (workflow, step) DO UPDATE SET cause = excluded.cause, detail = excluded.detail "
        "WHERE holds.cause <> excluded.cause AND (excluded.cause = 'in_doubt' OR holds.cause = 'outage')",
        (hold.connection, hold.workflow, hold.step, hold.cause, hold.detail, hold.since),
    )
    if placed.rowcount != 1:
        return False
    apply_hold(db, hold.workflow, hold.step, tally)
    _tell(db, hold, now, chain)
    return True


def apply_hold(db: Transaction, workflow: str, step: str, tally: CounterChanges) -> int:
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


def apply_holds(db: Transaction, workflow: str, tally: CounterChanges) -> int:
    """Applies every hold of a workflow to operations that came back to waiting. Gives how many are held again."""
    steps = [
        step for (step,) in db.execute("SELECT step FROM holds WHERE workflow = ? ORDER BY id", (workflow,))
    ]
    return sum(apply_hold(db, workflow, step, tally) for step in steps)


def _tell(db: Transaction, hold: Hold, now: int, chain: AuditChain) -> None:
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
    notices.add_hold_notice(db, hold, waiting, now)


def return_to_queue(
    db: Transaction,
    of: operations.QueueRow,
    step: str | None,
    tally: CounterChanges,
    reason: str | None = None,
) -> None:
    """Brings an operation to where it waits: behind the hold of `step`, of its own step or of a gate before it.

    Where no such hold exists it waits as usual. A held gate takes the record's later operations along.
    """
    held_by = _held_by(db, of, step)
    if held_by is None:
        operations.set_state(db, of, WAITING, tally, reason=reason)
        return
    operations.set_state(db, of, HELD, tally, hold=held_by, reason=reason)
    if of.gate:
        for behind in operations.later_rows(db, of, states=(WAITING,)):
            operations.set_state(db, behind, HELD, tally, hold=held_by)


def release_behind_gate(db: Transaction, gate: operations.QueueRow, tally: CounterChanges) -> None:
    """A held gate was answered after all: what waited behind it waits for other holds only."""
    for behind in operations.later_rows(db, gate, states=(HELD,)):
        if behind.hold == gate.step and behind.step != gate.step:
            return_to_queue(db, behind, None, tally)


def _held_by(db: Transaction, of: operations.QueueRow, step: str | None) -> str | None:
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


def release_one(db: Transaction, workflow: str, step: str, now: int) -> int | None:
    """Lets the oldest operation of a held step go, while the hold stays; gives its `seq`, None where none waits."""
    tally, chain = CounterChanges(), AuditChain(db)
    since = overtaken.hold_entry_seq(db, workflow, step)
    gone = None
    while (kept := _oldest(db, workflow, step)) is not None:
        overtaken.drop_superseded(db, [kept], since, now, tally, chain)
        if operations.find_row(db, kept.seq) is not None:
            operations.set_state(db, kept, WAITING, tally)
            gone = kept.seq
            break
    tally.write(db)
    chain.flush()
    return gone


def _oldest(db: Transaction, workflow: str, step: str) -> operations.QueueRow | None:
    """The oldest operation of a step among those that its hold keeps."""
    found = db.execute(
        f"SELECT seq FROM operations WHERE workflow = ? AND hold = ? AND step = ? AND state = {HELD} "
        "ORDER BY seq LIMIT 1",
        (workflow, step, step),
    ).fetchone()
    return None if found is None else operations.find_row(db, found[0])


def release_hold(db: Transaction, workflow: str, step: str, decision: Decision, now: int) -> int:
    """Ends a hold: its operations wait again, in order, unless another hold keeps them. Gives how many wait.

    Where the decision names a cause, a hold that has another one by now stays.
    """
    ended = db.execute(
        "DELETE FROM holds WHERE workflow = ? AND step = ? AND cause = coalesce(?, cause) "
        "RETURNING connection, workflow, step, cause, detail, since",
        (workflow, step, decision.detail.get("cause")),
    ).fetchall()
    if not ended:
        return 0
    tally, chain = CounterChanges(), AuditChain(db)
    chain.append_decision(decision, now)
    since = overtaken.hold_entry_seq(db, workflow, step)
    overtaken.drop_superseded(
        db, overtaken.superseded_candidates(db, workflow, step, since), since, now, tally, chain
    )
    released = 0
    for connection in connections_of(db, workflow):
        number = db.execute(_RELEASE, {"workflow": workflow, "step": step, "connection": connection}).rowcount
        tally.add(workflow, connection, waiting=number, held=-number)
        released += number
    released -= apply_holds(db, workflow, tally)
    tally.write(db)
    chain.flush()
    notices.add_release_notice(db, Hold(*ended[0]), decision.actor, released, now)
    return released


def discard_held(db: Transaction, workflow: str, step: str, decision: Decision, now: int) -> int:
    """Discards what a hold keeps, one audit entry each, after the decision's. The hold stays."""
    kept = operations.select_rows(db, f"workflow = ? AND hold = ? AND state = {HELD}", (workflow, step))
    if not kept:
        return 0
    tally, chain = CounterChanges(), AuditChain(db)
    chain.append_decision(decision, now)
    for each in kept:
        chain.append_operation(
            each,
            operations.read_operation(db, each.seq),
            "discarded",
            now,
            f"held step {step} discarded",
            decision.actor,
        )
        operations.remove_row(db, each, tally)
    tally.write(db)
    chain.flush()
    return len(kept)
