"""Worker processes for a backlog: one writes the journal, one builds runs of records.

They start with a backlog and stop when there was none for a while; this process then has its time for sending.
Without them this process does all of it.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Sequence
from contextlib import suppress

from askel_tui.core.planning.steps import AppliedWorkflow
from askel_tui.store.errors import StoreError
from askel_tui.store.journal.rows import PlannedRun, WorkflowState
from askel_tui.store.paths import journal_file
from askel_tui.sync.instance import Instance
from askel_tui.sync.planning.planner import build_runs_here
from askel_tui.worker_process.errors import WorkerEnded, WorkerError
from askel_tui.worker_process.parent import WorkerProcess

log = logging.getLogger(__name__)

WORKER_MODULE = "askel_tui.sync.planning.worker_main"


class BacklogWorkers:
    """The worker processes that help one engine."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._journal = instance.journal
        self._starting_planner: WorkerProcess | None = None
        self._planner: WorkerProcess | None = None
        """The planning process, once it is ready."""
        self._wanted = False
        """True if the workers are to run."""
        self._transition: asyncio.Task[None] | None = None
        self._last_backlog_at = -math.inf

    def update(self, has_backlog: bool) -> None:
        """Starts or stops the workers in the background, as there is a backlog or none."""
        now = asyncio.get_running_loop().time()
        if has_backlog:
            self._last_backlog_at = now
        wanted = now - self._last_backlog_at < self._instance.timing.worker_idle_timeout_s
        if wanted != self._wanted and (self._transition is None or self._transition.done()):
            self._wanted = wanted
            self._transition = asyncio.create_task(self._start_workers() if wanted else self._stop_workers())

    async def build_runs(
        self, state: WorkflowState, applied: AppliedWorkflow, seqs: Sequence[int]
    ) -> Sequence[PlannedRun]:
        """Builds the runs of records, given the seqs of all that the workflow has from the first to the last."""
        planner = self._planner
        if planner is not None and len(seqs) >= self._instance.limits.backlog_min_count:
            try:
                runs: Sequence[PlannedRun] = await planner.ask(
                    (state.connection, seqs[0] - 1, len(seqs), applied, state.since, state.history)
                )
            except WorkerEnded:
                log.warning("planning goes on without help: the planning process ended")
                await self._end_planner()
            else:
                return runs
        return await build_runs_here(self._journal, state, applied, seqs)

    async def close(self) -> None:
        """Ends the planning process; the writing process ends with the journal."""
        if self._transition is not None:
            await self._transition
        await self._end_planner()

    async def _start_workers(self) -> None:
        try:
            await self._journal.enter_bulk_mode()
            self._starting_planner = await WorkerProcess.start(
                WORKER_MODULE, str(journal_file(self._instance.home))
            )
            await self._starting_planner.ask(None)  # answered once its modules are loaded
        except (OSError, StoreError, WorkerError) as error:
            log.warning("no process can be started to help with the backlog: %s", error)
            await self._end_planner()
        else:
            self._planner = self._starting_planner

    async def _stop_workers(self) -> None:
        await self._end_planner()
        # A journal that can't be opened any more fails at the next write.
        with suppress(StoreError):
            await self._journal.leave_bulk_mode()

    async def _end_planner(self) -> None:
        planner, self._starting_planner, self._planner = self._starting_planner, None, None
        if planner is not None:
            await planner.close()
