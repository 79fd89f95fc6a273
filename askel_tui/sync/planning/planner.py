"""Planning live: records that came in become operations in the journal, workflow by workflow, in order of receipt."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter

from askel_tui.core.planning.ordering import cut_points
from askel_tui.core.planning.steps import AppliedWorkflow
from askel_tui.store.journal.interface import Clock, Journal
from askel_tui.store.journal.rows import PlannedRun, StoredOperation, WorkflowState
from askel_tui.sync.planning.run_builder import build_runs

RECORDS_PER_TRANSACTION = 1_000
"""Records planned in one transaction."""

ActiveWorkflow = tuple[WorkflowState, AppliedWorkflow]
"""An active workflow, and its version that is planned by."""

BuildRuns = Callable[[WorkflowState, AppliedWorkflow, Sequence[int]], Awaitable[Sequence[PlannedRun]]]
"""Makes the runs of a workflow's records: all that it has between the first and the last of these places."""

OfferOperations = Callable[[Sequence[StoredOperation], bool], None]
"""Takes operations that wait since just now; whether there are few of them, so that they count as live."""

MAX_LIVE_OPERATIONS = 50
"""Operations planned at once up to this many count as live: their records have just come in."""

MAX_PASSES_PER_ROUND = 8
"""Batches planned in one round where one after another is full: each is made while the one before is written."""

MAX_PENDING_WRITES = 3
"""Plans on their way into the journal at once."""

BACKFILL_MIN_RECORDS = 2_000
"""So many records that wait for a workflow are a backfill; fewer are planned within half a second."""


@dataclass(slots=True)
class _Batch:
    """What is planned next of one workflow: records (their places) in order of receipt, and the runs they make."""

    state: WorkflowState
    applied: AppliedWorkflow
    seqs: Sequence[int]
    runs: Sequence[PlannedRun] = ()

    def up_to(self, end: int) -> Sequence[int]:
        """The records up to a place in the order."""
        return self.seqs[: bisect_right(self.seqs, end)]

    def take_up_to(self, end: int | None) -> tuple[int, Sequence[PlannedRun]] | None:
        """Takes the records up to a place in the order, or all: the last one's place, and their runs; None if none."""
        taken = self.seqs if end is None else self.up_to(end)
        if not taken:
            return None
        last = taken[-1]
        runs = self.runs[: bisect_right(self.runs, last, key=attrgetter("record_seq"))]
        self.seqs, self.runs = self.seqs[len(taken) :], self.runs[len(runs) :]
        self.state = replace(self.state, position=last)
        return last, runs


class _PlanWriter:
    """Plans on their way into the journal, in order: one is written while the next is made."""

    def __init__(self, journal: Journal, clock: Clock, planned: OfferOperations) -> None:
        self._journal = journal
        self._clock = clock
        self._offer = planned
        self._pending: deque[asyncio.Task[None]] = deque()

    async def put(self, state: WorkflowState, runs: Sequence[PlannedRun], position: int, live: bool) -> None:
        """Hands runs over; waits where many are on their way already."""
        before = self._pending[-1] if self._pending else None
        self._pending.append(asyncio.create_task(self._write(before, state, runs, position, live)))
        while len(self._pending) > MAX_PENDING_WRITES:
            await self._pending.popleft()

    async def flush(self) -> None:
        """Waits until all is written."""
        while self._pending:
            await self._pending.popleft()

    async def _write(
        self,
        before: asyncio.Task[None] | None,
        state: WorkflowState,
        runs: Sequence[PlannedRun],
        position: int,
        live: bool,
    ) -> None:
        waiting = await self._journal.commit_runs(state, runs, position, self._clock())
        if before is not None:
            # Whoever takes operations up takes later ones for all that there was.
            await asyncio.wait({before})
        self._offer(waiting, live)


async def plan_new(
    journal: Journal, state: WorkflowState, applied: AppliedWorkflow, clock: Clock
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
    active: Sequence[ActiveWorkflow],
    clock: Clock,
    offer: OfferOperations,
    is_far_ahead: Callable[[str], bool] = lambda workflow: False,
    build: BuildRuns | None = None,
) -> int:
    """Plans the next batches of records of one connection's active workflows; gives how many were looked at.

    Operations of one profile enter the queue in the order in which their records were accepted, whatever workflow
    they are of. Two things go before that: a workflow that is behind what others have planned already catches up by
    itself, and a few live records don't wait for another workflow's backfill. `far_ahead` tells of a workflow whether
    so much of it waits that planning more has time; it has none where others wait for it. `make` makes the runs of
    records; without one that is done here.
    """
    looked_at = 0
    for state, applied in active:
        again = await journal.records_to_replan(state.workflow, RECORDS_PER_TRANSACTION)
        if again:
            looked_at += len(again)
            runs = build_runs(again, applied, None)
            waiting = await journal.commit_runs(state, runs, state.position or 0, clock())
            offer(waiting, len(waiting) <= MAX_LIVE_OPERATIONS)
    if looked_at:
        return looked_at
    writing = _PlanWriter(journal, clock, offer)
    build = build or partial(build_runs_here, journal)
    try:
        for _ in range(MAX_PASSES_PER_ROUND):
            looked_at_now, active = await _plan_pass(journal, active, build, writing, is_far_ahead)
            looked_at += looked_at_now
            if looked_at_now < RECORDS_PER_TRANSACTION:
                break
    finally:
        await writing.flush()
    return looked_at


async def build_runs_here(
    journal: Journal, state: WorkflowState, applied: AppliedWorkflow, seqs: Sequence[int]
) -> Sequence[PlannedRun]:
    """The runs of records, made in this process."""
    records = await journal.records_after(
        state.connection, seqs[0] - 1, len(seqs), events=applied.workflow.triggers
    )
    return build_runs(records, applied, state.since)


async def _plan_pass(
    journal: Journal,
    active: Sequence[ActiveWorkflow],
    build: BuildRuns,
    writing: _PlanWriter,
    is_far_ahead: Callable[[str], bool],
) -> tuple[int, Sequence[ActiveWorkflow]]:
    """Plans one batch of each workflow: how many records were looked at, and the workflows as they are after it."""
    rest = sorted(active, key=lambda each: each[0].position or 0)
    # What comes in while several workflows are read one after another is for the next pass.
    head = await journal.last_record_seq(rest[0][0].connection) if len(rest) > 1 else None
    looked_at = 0
    moved = {state.workflow: (state, applied) for state, applied in active}
    while rest:
        batches, rest = await _next_batches(journal, rest, head, is_far_ahead)
        looked_at += sum(len(batch.seqs) for batch in batches)
        await _plan_batches(batches, build, writing)
        moved.update({batch.state.workflow: (batch.state, batch.applied) for batch in batches})
    return looked_at, list(moved.values())


async def _next_batches(
    journal: Journal, active: Sequence[ActiveWorkflow], head: int | None, is_far_ahead: Callable[[str], bool]
) -> tuple[list[_Batch], list[ActiveWorkflow]]:
    """The next batches of workflows that are planned in one order, and the workflows that are ahead of these."""
    batches: list[_Batch] = []
    ahead: list[ActiveWorkflow] = []
    horizon = head
    """Up to here the records of all of them are known."""
    passed_over = False
    for number, (state, applied) in enumerate(active):
        position, full = state.position or 0, is_far_ahead(state.workflow)
        if number and horizon is not None and position > horizon:
            ahead.append((state, applied))
            continue
        events, most = applied.workflow.triggers, 1 if full else RECORDS_PER_TRANSACTION
        seqs = await journal.record_seqs_after(state.connection, position, most, events)
        if horizon is not None and len(seqs) == most:
            horizon = min(horizon, seqs[-1] - (1 if full else 0))
        if not full:
            batches.append(_Batch(state, applied, seqs))
        passed_over = passed_over or full
    if head is None or horizon is None:
        return batches, ahead
    wanted = [batch.up_to(head) for batch in batches]
    for batch in batches:
        batch.seqs = _plannable_seqs(batch, horizon, head)
    left = any(len(batch.seqs) < len(all_) for batch, all_ in zip(batches, wanted, strict=True))
    if passed_over and left:
        # Others wait for what a workflow has not planned: it goes on, though it has enough to send.
        return await _next_batches(journal, active, head, lambda workflow: False)
    return batches, ahead


def _plannable_seqs(batch: _Batch, horizon: int, head: int) -> Sequence[int]:
    """The records of a batch that may be planned, where others are known up to a horizon."""
    within = batch.up_to(horizon)
    live = len(batch.seqs) < RECORDS_PER_TRANSACTION and len(batch.seqs) - len(within) <= MAX_LIVE_OPERATIONS
    return batch.up_to(head) if live and head - horizon > BACKFILL_MIN_RECORDS else within


async def _plan_batches(batches: Sequence[_Batch], build: BuildRuns, writing: _PlanWriter) -> None:
    """Plans the records of batches in stretches, so that no profile's operations get out of order."""
    live: list[bool] = []
    for batch in batches:
        batch.runs = await build(batch.state, batch.applied, batch.seqs) if batch.seqs else ()
        live.append(sum(len(run.operations) for run in batch.runs) <= MAX_LIVE_OPERATIONS)
    touched = [[(run.record_seq, run.keys) for run in batch.runs] for batch in batches]
    for end in cut_points(touched):
        for batch, few in zip(batches, live, strict=True):
            taken = batch.take_up_to(end)
            if taken is not None:
                last, runs = taken
                await writing.put(batch.state, runs, last, few)
