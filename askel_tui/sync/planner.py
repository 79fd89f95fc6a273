"""Planning live: records that came in become operations in the journal, workflow by workflow, in order of receipt."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from askel_tui.core.planning import plan
from askel_tui.core.problems import Problem
from askel_tui.core.step_planning import Applied
from askel_tui.store.journal import Clock, Journal, PlannedRun, StoredOperation, StoredRecord, WorkflowState

BATCH = 1_000
"""Records planned in one transaction."""


async def plan_new(
    journal: Journal, state: WorkflowState, applied: Applied, clock: Clock
) -> tuple[int, list[StoredOperation]]:
    """Plans the next batch of records of one active workflow.

    Gives how many records were looked at, and the operations that wait because of them.
    """
    again = await journal.to_replan(state.workflow, BATCH)
    if again:
        runs = _runs(again, applied, None)
        return len(again), await journal.plan(state, runs, state.position or 0, clock())
    position = state.position or 0
    records = await journal.records_after(state.connection, position, BATCH, events=applied.workflow.triggers)
    if not records:
        return 0, []
    runs = _runs(records, applied, state.since)
    return len(records), await journal.plan(state, runs, records[-1].seq, clock())


def _runs(records: Sequence[StoredRecord], applied: Applied, since: str | None) -> list[PlannedRun]:
    floor = datetime.fromisoformat(since) if since else None
    runs = []
    for stored in records:
        if floor is not None and datetime.fromisoformat(stored.record.time) < floor:
            continue
        found = plan(stored.record, applied)
        if found is not None:
            runs.append(
                PlannedRun(
                    record_seq=stored.seq,
                    record=stored.record.id,
                    operations=found.operations,
                    problems=[problem_row(problem) for problem in found.problems],
                )
            )
    return runs


def problem_row(problem: Problem) -> dict[str, str]:
    """A problem as the journal and the JSON of the command line hold it."""
    row = {"step": problem.step or "", "field": problem.field or "", "message": problem.message}
    return {name: value for name, value in row.items() if value or name == "message"}
