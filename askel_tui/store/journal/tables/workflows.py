"""Workflows while they run: reading and changing their states, and forgetting a workflow."""

from __future__ import annotations

from dataclasses import replace

from askel_tui.store.journal.rows import Decision, WorkflowState
from askel_tui.store.journal.states import FAILED, HELD, PLAN_FAILED, REPLAN, WAITING
from askel_tui.store.journal.tables import notices
from askel_tui.store.journal.tables.audit.chain import write_decision
from askel_tui.store.journal.tables.counters import connections_of
from askel_tui.store.journal.tables.failures.discarded import forget_discarded
from askel_tui.store.journal.tables.holds import placing
from askel_tui.store.journal.tables.order import passed
from askel_tui.store.journal.tables.unit_of_work import UnitOfWork
from askel_tui.store.journal.transaction import Transaction


def workflow_states(db: Transaction) -> list[WorkflowState]:
    """Reads the states of all workflows, by name."""
    rows = db.execute(
        "SELECT workflow, connection, status, version, position, since, replan, first, history FROM workflows "
        "ORDER BY workflow"
    )
    return [WorkflowState(*row) for row in rows]


def set_workflow_state(db: Transaction, state: WorkflowState, decision: Decision | None, now: int) -> None:
    """Stores the state of a workflow (its position included) with the decision that changed it.

    What is written while it is paused is known when it goes on (`tables.order.passed`).
    """
    before = db.execute("SELECT status FROM workflows WHERE workflow = ?", (state.workflow,)).fetchone()
    db.execute(
        "INSERT INTO workflows (workflow, connection, status, version, position, since, replan, first, history) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET connection = excluded.connection, status = excluded.status, "
        "version = excluded.version, position = excluded.position, since = excluded.since, "
        "replan = excluded.replan, first = excluded.first, history = excluded.history",
        (
            state.workflow, state.connection, state.status, state.version, state.position, state.since, state.replan,
            state.first, state.history,
        ),
    )  # fmt: skip
    if before is not None and before[0] != state.status:
        if state.status == "paused":
            passed.begin_pause(db, state.workflow)
        elif before[0] == "paused":
            passed.note_passed(db, state.workflow)
    if decision is not None:
        write_decision(db, decision, now)


def forget_workflow(db: Transaction, workflow: str, decision: Decision, now: int) -> None:
    """Deletes a workflow's state, holds, failures and unsent operations; the audit stays.

    Each hold that ends this way leaves a notice. Operations that a request carries are settled with its answer; where
    one would have to be tried again, it is discarded with an entry.
    """
    ended = [hold for hold in placing.read_holds(db) if hold.workflow == workflow]
    forgotten = 0
    with UnitOfWork(db, now) as work:
        for connection in connections_of(db, workflow):
            deleted = {}
            for state, name in ((WAITING, "waiting"), (HELD, "held"), (FAILED, "failed")):
                deleted[name] = db.execute(
                    "DELETE FROM operations WHERE workflow = ? AND connection = ? AND state = ? AND request IS NULL",
                    (workflow, connection, state),
                ).rowcount
            forgotten += sum(deleted.values())
            # Failed plans count among the failed ones too, and they are deleted as well.
            deleted["failed"] += db.execute(
                "DELETE FROM failures WHERE workflow = ? AND connection = ? AND operation IS NULL",
                (workflow, connection),
            ).rowcount
            work.counters.add(workflow, connection, **{name: -number for name, number in deleted.items()})
        db.execute("DELETE FROM failures WHERE workflow = ?", (workflow,))
        forget_discarded(db, "workflow", [workflow])
        db.execute("UPDATE counters SET discarded = 0 WHERE workflow = ?", (workflow,))
        for table in ("holds", "hold_history", "warnings"):
            db.execute(f"DELETE FROM {table} WHERE workflow = ?", (workflow,))
        db.execute("DELETE FROM runs WHERE workflow = ? AND state IN (?, ?)", (workflow, PLAN_FAILED, REPLAN))
        db.execute("DELETE FROM workflows WHERE workflow = ?", (workflow,))
        db.execute(
            "UPDATE backfills SET state = 'discarded', ended = ? WHERE workflow = ? AND ended IS NULL",
            (now, workflow),
        )
        passed.forget_passed(db)
        detail = {**decision.detail, "forgotten": forgotten}
        if ended:
            detail["holds"] = [hold.step for hold in ended]
        work.audit.append_decision(replace(decision, detail=detail))
    for hold in ended:
        notices.add_deletion_notice(db, hold, decision.actor, now)
