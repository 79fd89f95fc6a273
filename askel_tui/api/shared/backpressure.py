"""Backpressure: new records are refused while the disk is nearly full or the backlog is too long."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from askel_tui.services.settings import MAX_BACKLOG_SETTING, MIN_FREE_MB_SETTING, SETTINGS
from askel_tui.sync.backlogs import read_backlogs
from askel_tui.sync.instance import Instance

log = logging.getLogger(__name__)

CHECK_INTERVAL_S = 1.0
"""Interval at which disk and backlog are read, in seconds."""

BYTES_PER_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class BackpressureLimits:
    """Limits at which records are refused: free disk in MB, operations that wait."""

    min_free_mb: int
    max_backlog: int

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Returns the limits of the settings, or their defaults."""
        free, backlog = (
            settings.get(name, SETTINGS[name].default) for name in (MIN_FREE_MB_SETTING, MAX_BACKLOG_SETTING)
        )
        return cls(free, backlog)


class Backpressure:
    """The backpressure of a server: it decides whether more records are accepted, from readings of disk and backlog
    once a second."""

    def __init__(
        self,
        instance: Instance,
        free: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
    ) -> None:
        self._instance = instance
        self._measure_free = free
        self.limits = BackpressureLimits.from_settings({})
        self.backlog = 0
        self.free_bytes = 0
        self.reason: str | None = None
        """The reason why records are refused now; None where they are accepted."""

    async def check(self) -> None:
        """Reads the disk and the backlog once."""
        self.free_bytes = self._measure_free(self._instance.home)
        waiting = sum(count.waiting for count in (await self._instance.journal.counts()).values())
        # A record that is not planned yet makes one operation at least.
        backlogs = await read_backlogs(self._instance, with_age=False)
        self.backlog = waiting + sum(each.unplanned for each in backlogs.values())
        before, self.reason = self.reason, self._find_reason()
        if self.reason != before:
            log.warning("records are refused: %s", self.reason) if self.reason else log.info(
                "records are accepted again"
            )

    def _find_reason(self) -> str | None:
        if self.free_bytes < self.limits.min_free_mb * BYTES_PER_MB:
            return f"the disk has {self.free_bytes // BYTES_PER_MB:,} MB left, less than {self.limits.min_free_mb:,} MB"
        if self.backlog >= self.limits.max_backlog:
            return f"{self.backlog:,} operations wait, as many as may"
        return None

    async def check_periodically(self) -> None:
        """Reads disk and backlog until it is cancelled."""
        while True:
            await asyncio.sleep(CHECK_INTERVAL_S)
            try:
                await self.check()
            except Exception as error:
                # Records are refused while the state of the disk can't be read.
                self.reason = f"disk or journal can't be read: {error}"
                log.warning("records are refused: %s", self.reason)
