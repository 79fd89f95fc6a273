"""Live planning: records that came in become operations in the journal, in the order in which they were accepted."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter

from askel_tui.core.planning.ordering import TouchedLines, cut_points
from askel_tui.core.planning.steps import AppliedWorkflow
from askel_tui.store.journal.interface import Clock, Journal
from askel_tui.store.journal.rows import PlannedRun, StoredOperation, WorkflowState
from askel_tui.sync.planning.run_builder import build_runs
from askel_tui.sync.timing import Limits

ActiveWorkflow = tuple[WorkflowState, AppliedWorkflow]
"""An active workflow, and the version by which its records are planned."""

BuildRuns = Callable[[WorkflowState, AppliedWorkflow, Sequence[int]], Awaitable[Sequence[PlannedRun]]]
"""A function that builds the runs of a workflow's records, given the seqs of all records that it has from the first
to the last."""

OfferOperations = Callable[[Sequence[StoredOperation], bool], None]
"""A function that takes newly planned operations, and whether they are so few that they count as live."""

IsFarAhead = Callable[[str], bool]
"""A function that checks whether enough operations of a workflow wait that more of it need not be planned now."""


@dataclass(slots=True)
class _Batch:
    """The next records of one workflow to be planned (their seqs, in order), and the runs that they make."""

    state: WorkflowState
    applied: AppliedWorkflow
    seqs: Sequence[int]
    runs: Sequence[PlannedRun] = ()

    def up_to(self, end: int) -> Sequence[int]:
        """Returns the records up to a seq."""
        return self.seqs[: bisect_right(self.seqs, end)]

    def take_up_to(self, end: int | None) -> tuple[int, Sequence[PlannedRun]] | None:
        """Takes out the records up to a seq, or all: returns the last one's seq and their runs; None for no record."""
        first = self.seqs if end is None else self.up_to(end)
        if not first:
            return None
        last = first[-1]
        runs = self.runs[: bisect_right(self.runs, last, key=attrgetter("record_seq"))]
        self.seqs, self.runs = self.seqs[len(first) :], self.runs[len(runs) :]
        left = self.state.first
        self.state = replace(self.state, position=last, first=None if left is None else left - len(runs))
        return last, runs

    def limit(self, ran: Collection[int]) -> None:
        """Keeps no more records than the workflow may still plan before it pauses by itself; `ran` are those that ran
        before."""
        if self.state.first is not None:
            self.runs = [run for run in self.runs if run.record_seq not in ran]
            if len(self.runs) > self.state.first:
                self.runs = self.runs[: self.state.first]
                self.seqs = self.up_to(self.runs[-1].record_seq) if self.runs else ()


class Planner:
    """Plans the active workflows of one connection, a few batches a round."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        offer: OfferOperations,
        is_far_ahead: IsFarAhead = lambda workflow: False,
        build: BuildRuns | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._offer = offer
        self._is_far_ahead = is_far_ahead
        self._build = build or partial(build_runs_here, journal)
        self._limits = limits or Limits()

    async def plan_round(self, active: Sequence[ActiveWorkflow]) -> int:
        """Plans the next batches of the workflows `active`. Returns the number of records that were processed.

        Operations of one profile enter the queue in the order in which their records were accepted, also over several
        workflows. There are two exceptions: a workflow that is behind what others have planned catches up by itself,
        and a few live records don't wait for another workflow's backfill.
        """
        count = await self._replan(active)
        if count:
            return count
        writer = _PlanWriter(self._journal, self._clock, self._offer, self._limits.max_pending_writes)
        try:
            for _ in range(self._limits.max_passes_per_round):
                planned, active = await self._plan_pass(active, writer)
                count += planned
                if planned < self._limits.records_per_transaction:
                    break
        finally:
            await writer.flush()
        return count

    async def _replan(self, active: Sequence[ActiveWorkflow]) -> int:
        """Plans records again whose operations were planned under an older version."""
        count = 0
        for state, applied in active:
            records = await self._journal.records_to_replan(
                state.workflow, self._limits.records_per_transaction
            )
            if records:
                count += len(records)
                rules = await self._journal.record_histories(state.workflow, [each.seq for each in records])
                runs = [
                    run for each in records for run in build_runs([each], applied, None, rules.get(each.seq))
                ]
                waiting = await self._journal.commit_runs(state, runs, state.position or 0, self._clock())
                self._offer(waiting, len(waiting) <= self._limits.max_live_operations)
        return count

    async def _plan_pass(
        self, active: Sequence[ActiveWorkflow], writer: _PlanWriter
    ) -> tuple[int, Sequence[ActiveWorkflow]]:
        """Plans one batch of each workflow. Returns the number of records, and the workflows as they are after it."""
        remaining = sorted(
            (each for each in active if each[0].first != 0), key=lambda each: each[0].position or 0
        )
        if not remaining:
            return 0, active
        # Records that come in while several workflows are read one after another are for the next pass.
        head = await self._journal.last_record_seq(remaining[0][0].connection) if len(remaining) > 1 else None
        count = 0
        moved = {state.workflow: (state, applied) for state, applied in active}
        while remaining:
            batches, remaining = await self._next_batches(remaining, head, self._is_far_ahead)
            count += sum(len(batch.seqs) for batch in batches)
            await self._plan_batches(batches, writer)
            moved.update({batch.state.workflow: (batch.state, batch.applied) for batch in batches})
        return count, list(moved.values())

    async def _next_batches(
        self, active: Sequence[ActiveWorkflow], head: int | None, is_far_ahead: IsFarAhead
    ) -> tuple[list[_Batch], list[ActiveWorkflow]]:
        """Returns the next batches of workflows that are planned in one order, and the workflows that are ahead of
        these."""
        batches: list[_Batch] = []
        ahead: list[ActiveWorkflow] = []
        horizon = head
        """The seq up to which the records of all workflows are known."""
        passed_over = False
        for number, (state, applied) in enumerate(active):
            position, enough = state.position or 0, is_far_ahead(state.workflow)
            if number and horizon is not None and position > horizon:
                ahead.append((state, applied))
                continue
            events, limit = applied.workflow.triggers, 1 if enough else self._limits.records_per_transaction
            seqs = await self._journal.record_seqs_after(state.connection, position, limit, events)
            if horizon is not None and len(seqs) == limit:
                horizon = min(horizon, seqs[-1] - (1 if enough else 0))
            if not enough:
                batches.append(_Batch(state, applied, seqs))
            passed_over = passed_over or enough
        if head is None or horizon is None:
            return batches, ahead
        wanted = [batch.up_to(head) for batch in batches]
        for batch in batches:
            batch.seqs = self._plannable_seqs(batch, horizon, head)
        waits = any(len(batch.seqs) < len(seqs) for batch, seqs in zip(batches, wanted, strict=True))
        if passed_over and waits:
            # Other workflows wait for records that a workflow has not planned: it goes on, though it has enough.
            return await self._next_batches(active, head, lambda workflow: False)
        return batches, ahead

    def _plannable_seqs(self, batch: _Batch, horizon: int, head: int) -> Sequence[int]:
        """Finds the records of a batch that may be planned while those of other workflows are known up to a horizon."""
        within = batch.up_to(horizon)
        is_live = (
            len(batch.seqs) < self._limits.records_per_transaction
            and len(batch.seqs) - len(within) <= self._limits.max_live_operations
        )
        is_behind_backfill = head - horizon > self._limits.backfill_min_records
        return batch.up_to(head) if is_live and is_behind_backfill else within

    async def _plan_batches(self, batches: Sequence[_Batch], writer: _PlanWriter) -> None:
        """Plans the records of batches in parts, so that no profile's operations get out of order."""
        live: list[bool] = []
        for batch in batches:
            batch.runs = await self._build(batch.state, batch.applied, batch.seqs) if batch.seqs else ()
            if batch.state.first is not None:
                batch.limit(await self._journal.already_ran(batch.state.workflow, batch.seqs))
            operations = sum(len(run.operations) for run in batch.runs)
            live.append(operations <= self._limits.max_live_operations)
        for end in cut_points(await self._touched_lines(batches)):
            for batch, is_live in zip(batches, live, strict=True):
                before, part = batch.state, batch.take_up_to(end)
                if part is not None:
                    last, runs = part
                    await writer.put(before, runs, last, is_live)

    async def _touched_lines(self, batches: Sequence[_Batch]) -> list[list[TouchedLines]]:
        """Finds the lines that each record of each batch touches. A batch alone keeps its order whatever they are."""
        if sum(bool(batch.runs) for batch in batches) < 2:
            return [[(run.record_seq, ()) for run in batch.runs] for batch in batches]
        connection = batches[0].state.connection
        keys = [run.keys for batch in batches for run in batch.runs]
        lines = iter(await self._journal.lines_of(connection, keys))
        return [[(run.record_seq, next(lines)) for run in batch.runs] for batch in batches]


class _PlanWriter:
    """A writer of runs into the journal, in order: one is written while the next is built."""

    def __init__(self, journal: Journal, clock: Clock, offer: OfferOperations, max_pending: int) -> None:
        self._journal = journal
        self._clock = clock
        self._offer = offer
        self._max_pending = max_pending
        self._pending: deque[asyncio.Task[None]] = deque()

    async def put(self, state: WorkflowState, runs: Sequence[PlannedRun], position: int, live: bool) -> None:
        """Hands runs over; waits where many are pending."""
        before = self._pending[-1] if self._pending else None
        self._pending.append(asyncio.create_task(self._write(before, state, runs, position, live)))
        while len(self._pending) > self._max_pending:
            await self._pending[0]
            self._pending.popleft()

    async def flush(self) -> None:
        """Waits until all runs are written. Raises what the first of them that failed raised: the others follow it."""
        written = await asyncio.gather(*self._pending, return_exceptions=True)
        self._pending.clear()
        for failed in filter(None, written):
            raise failed

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
            # A dispatcher assumes that no older operations exist than those it is offered, so the order is kept.
            await asyncio.wait({before})
        self._offer(waiting, live)


async def build_runs_here(
    journal: Journal, state: WorkflowState, applied: AppliedWorkflow, seqs: Sequence[int]
) -> Sequence[PlannedRun]:
    """Builds the runs of records in this process."""
    records = await journal.records_after(
        state.connection, seqs[0] - 1, len(seqs), events=applied.workflow.triggers
    )
    return build_runs(records, applied, state.since, state.history)
