"""Retention: what is older than `retention_days`, or too much for `retention_mb`, is folded away, once an hour."""

from __future__ import annotations

import logging

from askel_tui.store.journal.rows import AuditFilter
from askel_tui.sync.instance import Instance

log = logging.getLogger(__name__)

DAYS = 90
"""How long audit and records are kept, without a setting."""

EVERY_MS = 3_600_000
"""How long between two rounds."""

ALWAYS_MS = 3_600_000
"""What is younger than this stays, whatever the size."""

DAY_MS = 86_400_000
MEGABYTE = 1_000_000
TRIES = 5
"""How often the kept stretch is shortened in one round to come to the size."""


class Retention:
    """Keeps the journal of an instance within its bounds."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._last: int | None = None

    async def round(self) -> None:
        """Folds away what is too old or too much, if an hour has passed since the last time."""
        now = self._instance.clock()
        if self._last is not None and 0 <= now - self._last < EVERY_MS:
            return
        self._last = now
        settings = self._instance.state.settings()
        days = float(settings.get("retention_days") or DAYS)
        await self._fold(min(now - int(days * DAY_MS), now - ALWAYS_MS), now)
        limit = settings.get("retention_mb")
        if limit:
            await self._shrink(int(float(limit) * MEGABYTE), now)

    async def _fold(self, before: int, now: int) -> int:
        journal = self._instance.journal
        gone = await journal.fold(before) + await journal.retire(before, now)
        if gone:
            log.info("%d rows of the journal were folded away", gone)
        return gone

    async def _shrink(self, limit: int, now: int) -> None:
        """Shortens the kept stretch in proportion, until the journal fits or only the last hour is left."""
        for _ in range(TRIES):
            used = await self._instance.journal.used()
            oldest = await self._instance.journal.audit(AuditFilter(), limit=1)
            if used <= limit or not oldest or oldest[0].at >= now - ALWAYS_MS:
                return
            kept = int((now - oldest[0].at) * limit / used * 0.9)
            if not await self._fold(min(now - kept, now - ALWAYS_MS), now):
                return
