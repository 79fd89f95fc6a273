"""Plans the records of backfills, under the version that their workflow runs, a few parts a round."""

from __future__ import annotations

from collections.abc import Mapping

from askel_tui.store.journal.backfill_rows import Backfill
from askel_tui.store.journal.interface import Clock, Journal
from askel_tui.sync.planning.planner import ActiveWorkflow, IsFarAhead, OfferOperations
from askel_tui.sync.planning.run_builder import build_runs
from askel_tui.sync.timing import Limits

MAX_PARTS_PER_ROUND = 4
"""The number of parts of a backfill that are planned before live records get their turn again."""


class BackfillPlanner:
    """Plans running backfills of active workflows, and ends those of which nothing waits any more."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        offer: OfferOperations,
        is_far_ahead: IsFarAhead,
        limits: Limits | None = None,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._offer = offer
        self._is_far_ahead = is_far_ahead
        self._limits = limits or Limits()

    async def plan_round(self, active: Mapping[str, ActiveWorkflow]) -> int:
        """Plans the next parts of backfills; `active` are the workflows that may plan. Returns how many records."""
        count = 0
        for backfill in await self._journal.backfills(running=True):
            workflow = active.get(backfill.workflow)
            if workflow is not None:
                count += await self._plan(backfill, workflow)
        return count

    async def _plan(self, backfill: Backfill, workflow: ActiveWorkflow) -> int:
        state, applied = workflow
        count = 0
        for _ in range(MAX_PARTS_PER_ROUND):
            if self._is_far_ahead(backfill.workflow):
                break
            records = await self._journal.backfill_records(
                backfill.id, backfill.position, self._limits.records_per_transaction
            )
            if not records:
                await self._end(backfill)
                break
            runs = build_runs(records, applied, None, backfill.history)
            position = records[-1].seq
            waiting = await self._journal.commit_runs(state, runs, position, self._clock(), backfill)
            self._offer(waiting, False)
            backfill = backfill._replace(position=position)
            count += len(records)
        return count

    async def _end(self, backfill: Backfill) -> None:
        """Ends a backfill once nothing of it waits; what is held or has failed is decided elsewhere."""
        if not await self._journal.is_backfill_waiting(backfill):
            await self._journal.set_backfill_state(backfill.id, "done", None, self._clock())
