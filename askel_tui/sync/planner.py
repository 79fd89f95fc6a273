"""Planning live: records that came in become operations in the journal, workflow by workflow, in order of receipt."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter

from askel_tui.core.arrival import stretches
from askel_tui.core.planning import plan
from askel_tui.core.problems import Problem
from askel_tui.core.step_planning import Applied
from askel_tui.store.journal import Clock, Journal
from askel_tui.store.journal_rows import PlannedRun, StoredOperation, StoredRecord, WorkflowState

BATCH = 1_000
"""Records planned in one transaction."""

Active = tuple[WorkflowState, Applied]
"""An active workflow, and its version that is planned by."""

Planned = Callable[[Sequence[StoredOperation], bool], None]
"""Takes operations that wait since just now; whether there are few of them, so that they count as live."""

FEW = 50
"""Operations planned at once up to this many count as live: their records have just come in."""

BACKFILL = 2_000
"""So many records that wait for a workflow are a backfill; fewer are planned within half a second."""


@dataclass(slots=True)
class _Batch:
    """What is planned next of one workflow: records in order of receipt, and the runs that they make."""

    state: WorkflowState
    applied: Applied
    records: Sequence[StoredRecord]
    runs: Sequence[PlannedRun] = ()

    def before(self, end: int) -> Sequence[StoredRecord]:
        """The records up to a place in the order."""
        return self.records[: bisect_right(self.records, end, key=attrgetter("seq"))]

    def take(self, end: int | None) -> tuple[int, Sequence[PlannedRun]] | None:
        """Takes the records up to a place in the order, or all: the last one's place, and their runs; None if none."""
        taken = self.records if end is None else self.before(end)
        if not taken:
            return None
        last = taken[-1].seq
        runs = self.runs[: bisect_right(self.runs, last, key=attrgetter("record_seq"))]
        self.records, self.runs = self.records[len(taken) :], self.runs[len(runs) :]
        return last, runs


async def plan_new(
    journal: Journal, state: WorkflowState, applied: Applied, clock: Clock
) -> tuple[int, list[StoredOperation]]:
    """Plans the next batch of records of one active workflow.

    Gives how many records were looked at, and the operations that wait because of them.
    """
    found: list[StoredOperation] = []
    looked_at = await plan_round(
        journal, [(state, applied)], clock, lambda operations, _: found.extend(operations)
    )
    return looked_at, found


async def plan_round(
    journal: Journal,
    active: Sequence[Active],
    clock: Clock,
    planned: Planned,
    far_ahead: Callable[[str], bool] = lambda workflow: False,
) -> int:
    """Plans the next batch of records of one connection's active workflows; gives how many were looked at.

    Operations of one profile enter the queue in the order in which their records were accepted, whatever workflow
    they are of. Two things go before that: a workflow that is behind what others have planned already catches up by
    itself, and a few live records don't wait for another workflow's backfill. `far_ahead` tells of a workflow whether
    so much of it waits that planning more has time; it has none where others wait for it.
    """
    looked_at = 0
    for state, applied in active:
        again = await journal.to_replan(state.workflow, BATCH)
        if again:
            looked_at += len(again)
            runs = _runs(again, applied, None)
            waiting = await journal.plan(state, runs, state.position or 0, clock())
            planned(waiting, len(waiting) <= FEW)
    if looked_at:
        return looked_at
    rest = sorted(active, key=lambda each: each[0].position or 0)
    # What comes in while several workflows are read one after another is for the next round.
    head = await journal.last_seq(rest[0][0].connection) if len(rest) > 1 else None
    while rest:
        batches, rest = await _abreast(journal, rest, head, far_ahead)
        looked_at += sum(len(batch.records) for batch in batches)
        await _plan_batches(journal, batches, clock, planned)
    return looked_at


async def _abreast(
    journal: Journal, active: Sequence[Active], head: int | None, far_ahead: Callable[[str], bool]
) -> tuple[list[_Batch], list[Active]]:
    """The next batches of workflows that are planned in one order, and the workflows that are ahead of these."""
    batches: list[_Batch] = []
    ahead: list[Active] = []
    horizon = head
    """Up to here the records of all of them are known."""
    passed_over = False
    for number, (state, applied) in enumerate(active):
        position, full = state.position or 0, far_ahead(state.workflow)
        if number and horizon is not None and position > horizon:
            ahead.append((state, applied))
            continue
        events, most = applied.workflow.triggers, 1 if full else BATCH
        records = await journal.records_after(state.connection, position, most, events=events)
        if horizon is not None and len(records) == most:
            horizon = min(horizon, records[-1].seq - (1 if full else 0))
        if not full:
            batches.append(_Batch(state, applied, records))
        passed_over = passed_over or full
    if head is None or horizon is None:
        return batches, ahead
    wanted = [batch.before(head) for batch in batches]
    for batch in batches:
        batch.records = _in_order(batch, horizon, head)
    left = any(len(batch.records) < len(all_) for batch, all_ in zip(batches, wanted, strict=True))
    if passed_over and left:
        # Others wait for what a workflow has not planned: it goes on, though it has enough to send.
        return await _abreast(journal, active, head, lambda workflow: False)
    return batches, ahead


def _in_order(batch: _Batch, horizon: int, head: int) -> Sequence[StoredRecord]:
    """The records of a batch that may be planned, where others are known up to a horizon."""
    within = batch.before(horizon)
    live = len(batch.records) < BATCH and len(batch.records) - len(within) <= FEW
    return batch.before(head) if live and head - horizon > BACKFILL else within


async def _plan_batches(journal: Journal, batches: Sequence[_Batch], clock: Clock, planned: Planned) -> None:
    """Plans the records of batches in stretches, so that no profile's operations get out of order."""
    live: list[bool] = []
    for batch in batches:
        batch.runs = _runs(batch.records, batch.applied, batch.state.since)
        live.append(sum(len(run.operations) for run in batch.runs) <= FEW)
        await asyncio.sleep(0)
    touched = [[(run.record_seq, _keys(run)) for run in batch.runs] for batch in batches]
    for end in stretches(touched):
        for batch, few in zip(batches, live, strict=True):
            taken = batch.take(end)
            if taken is not None:
                last, runs = taken
                planned(await journal.plan(batch.state, runs, last, clock()), few)


def _keys(run: PlannedRun) -> tuple[str, ...]:
    return run.operations[0].profile.keys() if run.operations else ()


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
