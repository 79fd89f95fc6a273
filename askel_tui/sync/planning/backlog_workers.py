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

from askel_tui.core.planning.steps import Applied
from askel_tui.store.errors import StoreError
from askel_tui.store.journal.interface import Journal
from askel_tui.store.journal.rows import PlannedRun, WorkflowState
from askel_tui.store.paths import journal_file
from askel_tui.sync.planning.planner import made_here
from askel_tui.worker_process.parent import Apart

log = logging.getLogger(__name__)

MODULE = "askel_tui.sync.planning.worker_main"

BACKLOG = 1_000
"""So many operations or records at once are a backlog."""

REST_S = 60.0
"""How long the processes stay without a backlog, in seconds."""


class Helpers:
    """The processes that help one engine."""

    def __init__(self, journal: Journal, home: Path) -> None:
        self._journal = journal
        self._file = journal_file(home)
        self._starting: Apart | None = None
        self._planning: Apart | None = None
        """The process that plans, once it is ready."""
        self._there = False
        """Whether they were told to come, and not yet to go."""
        self._changing: asyncio.Task[None] | None = None
        self._backlog_at = 0.0

    def look(self, backlog: bool) -> None:
        """Has them come or go; nobody waits for that."""
        if backlog:
            self._backlog_at = time.monotonic()
        wanted = time.monotonic() - self._backlog_at < REST_S
        if wanted != self._there and (self._changing is None or self._changing.done()):
            self._there = wanted
            self._changing = asyncio.create_task(self._come() if wanted else self._go())

    async def runs(self, state: WorkflowState, applied: Applied, seqs: Sequence[int]) -> Sequence[PlannedRun]:
        """The runs of the records with these places: all that the workflow has between the first and the last."""
        planning = self._planning
        if planning is not None and len(seqs) >= BACKLOG:
            try:
                runs: Sequence[PlannedRun] = await planning.ask(
                    (state.connection, seqs[0] - 1, len(seqs), applied, state.since)
                )
            except _Ended:
                log.warning("planning goes on without help: the process that plans ended")
                await self._end_planning()
            else:
                return runs
        return await made_here(self._journal, state, applied, seqs)

    async def close(self) -> None:
        """Ends the process that plans; the one that writes ends with the journal."""
        if self._changing is not None:
            await self._changing
        await self._end_planning()

    async def _come(self) -> None:
        try:
            await self._journal.hurry()
            self._starting = await Apart.start(MODULE, str(self._file), _ended)
            await self._starting.ask(None)  # answered when all is loaded
        except (OSError, StoreError) as error:
            log.warning("no process can be started to help with the backlog: %s", error)
            await self._end_planning()
        else:
            self._planning = self._starting

    async def _go(self) -> None:
        await self._end_planning()
        # A journal that can't be opened any more tells whoever writes to it next.
        with suppress(StoreError):
            await self._journal.rest()

    async def _end_planning(self) -> None:
        planning, self._starting, self._planning = self._starting, None, None
        if planning is not None:
            await planning.close()


class _Ended(StoreError):
    """The process that plans ended."""


def _ended() -> _Ended:
    return _Ended("the process that plans ended")
