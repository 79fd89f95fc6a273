"""Processes that help with a backlog: one writes the journal, one makes runs of records; sending has this one.

They come when there is a backlog and go when there was none for a while. Without them all is done here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from askel_tui.core.planning.steps import AppliedWorkflow
from askel_tui.store.errors import StoreError
from askel_tui.store.journal.interface import Journal
from askel_tui.store.journal.rows import PlannedRun, WorkflowState
from askel_tui.store.paths import journal_file
from askel_tui.sync.planning.planner import build_runs_here
from askel_tui.worker_process.errors import WorkerEnded, WorkerError
from askel_tui.worker_process.parent import WorkerProcess

log = logging.getLogger(__name__)

WORKER_MODULE = "askel_tui.sync.planning.worker_main"

BACKLOG_MIN_COUNT = 1_000
"""So many operations or records at once are a backlog."""

IDLE_TIMEOUT_S = 60.0
"""How long the processes stay without a backlog, in seconds."""


class BacklogWorkers:
    """The processes that help one engine."""

    def __init__(self, journal: Journal, home: Path) -> None:
        self._journal = journal
        self._journal_file = journal_file(home)
        self._starting_planner: WorkerProcess | None = None
        self._planner: WorkerProcess | None = None
        """The process that plans, once it is ready."""
        self._wanted = False
        """Whether they were told to come, and not yet to go."""
        self._transition: asyncio.Task[None] | None = None
        self._last_backlog_at = 0.0

    def update(self, has_backlog: bool) -> None:
        """Has them come or go; nobody waits for that."""
        if has_backlog:
            self._last_backlog_at = time.monotonic()
        wanted = time.monotonic() - self._last_backlog_at < IDLE_TIMEOUT_S
        if wanted != self._wanted and (self._transition is None or self._transition.done()):
            self._wanted = wanted
            self._transition = asyncio.create_task(self._start_workers() if wanted else self._stop_workers())

    async def build_runs(
        self, state: WorkflowState, applied: AppliedWorkflow, seqs: Sequence[int]
    ) -> Sequence[PlannedRun]:
        """The runs of the records with these places: all that the workflow has between the first and the last."""
        planning = self._planner
        if planning is not None and len(seqs) >= BACKLOG_MIN_COUNT:
            try:
                runs: Sequence[PlannedRun] = await planning.ask(
                    (state.connection, seqs[0] - 1, len(seqs), applied, state.since)
                )
            except WorkerEnded:
                log.warning("planning goes on without help: the process that plans ended")
                await self._end_planner()
            else:
                return runs
        return await build_runs_here(self._journal, state, applied, seqs)

    async def close(self) -> None:
        """Ends the process that plans; the one that writes ends with the journal."""
        if self._transition is not None:
            await self._transition
        await self._end_planner()

    async def _start_workers(self) -> None:
        try:
            await self._journal.enter_bulk_mode()
            self._starting_planner = await WorkerProcess.start(WORKER_MODULE, str(self._journal_file))
            await self._starting_planner.ask(None)  # answered when all is loaded
        except (OSError, StoreError, WorkerError) as error:
            log.warning("no process can be started to help with the backlog: %s", error)
            await self._end_planner()
        else:
            self._planner = self._starting_planner

    async def _stop_workers(self) -> None:
        await self._end_planner()
        # A journal that can't be opened any more tells whoever writes to it next.
        with suppress(StoreError):
            await self._journal.leave_bulk_mode()

    async def _end_planner(self) -> None:
        planning, self._starting_planner, self._planner = self._starting_planner, None, None
        if planning is not None:
            await planning.close()
