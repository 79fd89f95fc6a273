"""Holds: steps that may not send, and the operations that wait behind these.

A held operation names the step whose hold keeps it: its own, or a held gate before it in the same record.
"""

from __future__ import annotations

from askel_tui.store.journal.rows import Decision, Hold, StoredOperation
from askel_tui.store.journal.states import HELD, WAITING
from askel_tui.store.journal.tables import notices, operations, superseded
from askel_tui.store.journal.tables.counters import connections_of
from askel_tui.store.journal.tables.queue_row import QueueRow
from askel_tui.store.journal.tables.unit_of_work import UnitOfWork
from askel_tui.store.journal.transaction import Transaction

_HOLD_OWN = (
    f"UPDATE operations SET state = {HELD}, hold = :step WHERE workflow = :workflow AND connection = :connection "
    f"AND state = {WAITING} AND request IS NULL AND step = :step"
)
_HOLD_BEHIND_GATES = (
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
    """Reads all holds, oldest first, each with the number of operations that wait for it."""
    rows = db.execute(
        "SELECT connection, workflow, step, cause, detail, since, waiting FROM holds ORDER BY id"
    )
    return [Hold(*row) for row in rows]


def held_steps(db: Transaction, workflow: str) -> list[str]:
    """Lists the steps of a workflow that are under a hold, in the order of their holds."""
    rows = db.execute("SELECT step FROM holds WHERE workflow = ? ORDER BY id", (workflow,))
    return [step for (step,) in rows]


def attempted_held_operations(db: Transaction, workflow: str, step: str, limit: int) -> list[StoredOperation]:
    """Lists operations that a hold keeps and that came back from a request (`reason` says why), oldest first."""
    rows = db.execute(
        f"SELECT {operations.STORED_COLUMNS} FROM operations INDEXED BY operations_held "
        f"WHERE workflow = ? AND hold = ? AND state = {HELD} AND reason IS NOT NULL ORDER BY seq LIMIT ?",
        (workflow, step, limit),
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
    placed = work.db.execute(
        "INSERT INTO holds (connection, workflow, step, cause, detail, since) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (workflow, step) DO UPDATE SET cause = excluded.cause, detail = excluded.detail "
        "WHERE holds.cause <> excluded.cause AND (excluded.cause = 'in_doubt' OR holds.cause = 'outage')",
        (hold.connection, hold.workflow, hold.step, hold.cause, hold.detail, hold.since),
    )
    if placed.rowcount != 1:
        return False
    apply_hold(work, hold.workflow, hold.step)
    _announce(work, hold)
    return True


def _announce(work: UnitOfWork, hold: Hold) -> None:
    """Writes the audit entry and the notice of a hold that was placed."""
    (waiting,) = work.db.execute(
        "SELECT waiting FROM holds WHERE workflow = ? AND step = ?", (hold.workflow, hold.step)
    ).fetchone()
    work.audit.append(
        kind="hold",
        status="done",
        connection=hold.connection,
        workflow=hold.workflow,
        step=hold.step,
        response={"detail": {"cause": hold.cause, "detail": hold.detail, "waiting": waiting}},
    )
    notices.add_hold_notice(work.db, hold, waiting, work.now)


def apply_hold(work: UnitOfWork, workflow: str, step: str) -> int:
    """Makes the waiting operations of a held step held, and those behind a held gate. Returns how many."""
    held = 0
    # Counters of operations that were just planned may not be written yet.
    work.counters.write(work.db)
    for connection in connections_of(work.db, workflow):
        bounds = {"workflow": workflow, "step": step, "connection": connection}
        number = sum(work.db.execute(sql, bounds).rowcount for sql in (_HOLD_OWN, _HOLD_BEHIND_GATES))
        work.counters.add(workflow, connection, waiting=-number, held=number)
        held += number
    work.db.execute(
        "UPDATE holds SET waiting = waiting + ? WHERE workflow = ? AND step = ?", (held, workflow, step)
    )
    return held


def apply_holds(work: UnitOfWork, workflow: str) -> int:
    """Applies every hold of a workflow to operations that came back to waiting. Returns how many are held again."""
    return sum(apply_hold(work, workflow, step) for step in held_steps(work.db, workflow))


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
            operations.set_state(work, behind, HELD, hold=hold)


def release_behind_gate(work: UnitOfWork, gate: QueueRow) -> None:
    """Releases operations that waited behind a held gate which was answered after all; other holds still keep them."""
    for behind in operations.later_rows(work.db, gate, states=(HELD,)):
        if behind.hold == gate.step and behind.step != gate.step:
            return_to_queue(work, behind, None)


def _keeping_hold(db: Transaction, row: QueueRow, step: str | None) -> str | None:
    held = held_steps(db, row.workflow)
    for name in (step, row.step):
        if name in held:
            return name
    if not held:
        return None
    gate = db.execute(
        "SELECT hold FROM operations "
        "WHERE record_seq = ? AND workflow = ? AND idx < ? AND gate = 1 AND state = ? ORDER BY idx LIMIT 1",
        (row.record_seq, row.workflow, row.idx, HELD),
    ).fetchone()
    return None if gate is None else str(gate[0])


def release_one(db: Transaction, workflow: str, step: str, now: int) -> int | None:
    """Lets the oldest operation of a held step wait again and returns its `seq`, None without one; the hold stays.

    An operation that is to be tried again is held again.
    """
    with UnitOfWork(db, now) as work:
        since = superseded.hold_entry_seq(db, workflow, step)
        while (row := _oldest_held(db, workflow, step)) is not None:
            superseded.drop_superseded(work, [row], since)
            if operations.find_row(db, row.seq) is not None:
                operations.set_state(work, row, WAITING)
                return row.seq
    return None


def _oldest_held(db: Transaction, workflow: str, step: str) -> QueueRow | None:
    """Finds the oldest operation of a step among those that its hold keeps."""
    found = db.execute(
        f"SELECT seq FROM operations WHERE workflow = ? AND hold = ? AND step = ? AND state = {HELD} "
        "ORDER BY seq LIMIT 1",
        (workflow, step, step),
    ).fetchone()
    return None if found is None else operations.find_row(db, found[0])


def release_hold(db: Transaction, workflow: str, step: str, decision: Decision, now: int) -> int:
    """Ends a hold: its operations wait again, in order, unless another hold keeps them. Returns how many wait.

    Where the decision names a cause, a hold that has another one by now stays.
    """
    ended = db.execute(
        "DELETE FROM holds WHERE workflow = ? AND step = ? AND cause = coalesce(?, cause) "
        "RETURNING connection, workflow, step, cause, detail, since",
        (workflow, step, decision.detail.get("cause")),
    ).fetchall()
    if not ended:
        return 0
    with UnitOfWork(db, now) as work:
        work.audit.append_decision(decision)
        since = superseded.hold_entry_seq(db, workflow, step)
        superseded.drop_superseded(work, superseded.superseded_candidates(db, workflow, step, since), since)
        released = 0
        for connection in connections_of(db, workflow):
            bounds = {"workflow": workflow, "step": step, "connection": connection}
            number = db.execute(_RELEASE, bounds).rowcount
            work.counters.add(workflow, connection, waiting=number, held=-number)
            released += number
        released -= apply_holds(work, workflow)
    notices.add_release_notice(db, Hold(*ended[0]), decision.actor, released, now)
    return released


def discard_held(db: Transaction, workflow: str, step: str, decision: Decision, now: int) -> int:
    """Discards the operations that a hold keeps, with one audit entry each after the decision's. The hold stays.

    Returns how many.
    """
    held = operations.select_rows(db, f"workflow = ? AND hold = ? AND state = {HELD}", (workflow, step))
    if not held:
        return 0
    with UnitOfWork(db, now) as work:
        work.audit.append_decision(decision)
        for row in held:
            operation = operations.read_operation(db, row.seq)
            why = f"held step {step} discarded"
            work.audit.append_operation(row, operation, "discarded", why, decision.actor)
            operations.remove_row(work, row)
    return len(held)
