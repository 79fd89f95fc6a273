"""Pressure: new records are refused before the disk is full or the backlog is more than can be worked off."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from askel_tui.services.settings import BACKLOG, MIN_FREE_MB, SETTINGS
from askel_tui.sync.instance import Instance
from askel_tui.sync.planning.unplanned import unplanned

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""How often disk and backlog are looked at."""

MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on records are refused: free disk in MB, operations that wait."""

    min_free_mb: int
    backlog: int

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """What the settings say."""
        free, backlog = (settings.get(name, SETTINGS[name].default) for name in (MIN_FREE_MB, BACKLOG))
        return cls(free, backlog)


class Pressure:
    """What stands against taking more records in; asked for each request, looked at once a second."""

    def __init__(
        self,
        instance: Instance,
        free: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
    ) -> None:
        self._instance = instance
        self._free = free
        self.limits = Limits.of({})
        self.backlog = 0
        self.free = 0
        self.why: str | None = None
        """Why records are refused now; None where they are not."""

    async def look(self) -> None:
        """Looks at the disk and the backlog."""
        self.free = self._free(self._instance.home)
        waiting = sum(count.waiting for count in (await self._instance.journal.counts()).values())
        # A record that is not planned yet makes one operation at least.
        self.backlog = waiting + sum((await unplanned(self._instance)).values())
        before, self.why = self.why, self._reason()
        if self.why != before:
            log.warning("records are refused: %s", self.why) if self.why else log.info(
                "records are taken again"
            )

    def _reason(self) -> str | None:
        if self.free < self.limits.min_free_mb * MB:
            return f"the disk has {self.free // MB:,} MB left, less than {self.limits.min_free_mb:,} MB"
        if self.backlog >= self.limits.backlog:
            return f"{self.backlog:,} operations wait, as many as may"
        return None

    async def watch(self) -> None:
        """Looks for as long as it is let."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.look()
            except Exception as error:
                # A disk that can't be asked takes no records either.
                self.why = f"disk or journal can't be read: {error}"
                log.warning("records are refused: %s", self.why)
