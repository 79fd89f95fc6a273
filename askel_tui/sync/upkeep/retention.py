"""Retention: prunes the journal and `refused/` to `retention_days` and `retention_mb`, once an hour."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

from askel_tui.store.journal.rows import AuditFilter
from askel_tui.store.paths import refused_dir
from askel_tui.sync.instance import Instance
from askel_tui.sync.periodic import Interval

log = logging.getLogger(__name__)

DEFAULT_RETENTION_DAYS = 90
"""The number of days for which audit and records are kept, without a setting."""

MS_PER_DAY = 86_400_000
BYTES_PER_MB = 1_000_000
DEFAULT_REFUSED_MB = 1_000
"""The number of megabytes that the files of what was refused take at most, without a setting."""
MAX_SHRINK_STEPS = 5
"""The number of times that the kept time is shortened in one round to come to the size."""


class Retention:
    """A worker that keeps the journal of an instance within its bounds."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._interval = Interval()

    async def run_round(self) -> None:
        """Prunes entries that are too old or too many, if an hour has passed since the last time."""
        now = self._instance.clock()
        if not self._interval.elapsed(now, self._instance.timing.retention_interval_ms):
            return
        settings = self._instance.state.settings()
        days = float(settings.get("retention_days") or DEFAULT_RETENTION_DAYS)
        youngest = now - self._instance.timing.min_kept_ms
        before = min(now - int(days * MS_PER_DAY), youngest)
        await self._prune(before, now)
        limit = settings.get("retention_mb")
        refused_bytes = int(float(limit or DEFAULT_REFUSED_MB) * BYTES_PER_MB)
        await asyncio.to_thread(
            prune_files, refused_dir(self._instance.home), before, youngest, refused_bytes
        )
        if limit:
            await self._shrink(int(float(limit) * BYTES_PER_MB), now)

    async def _prune(self, before: int, now: int) -> int:
        journal = self._instance.journal
        gone = await journal.prune_bodies(before) + await journal.prune_history(before, now)
        if gone:
            log.info("%d rows of the journal were pruned", gone)
        return gone

    async def _shrink(self, limit: int, now: int) -> None:
        """Shortens the kept time in proportion, until the journal fits or only the last hour is left."""
        for _ in range(MAX_SHRINK_STEPS):
            used = await self._instance.journal.used_bytes()
            oldest = await self._instance.journal.audit_entries(AuditFilter(), limit=1)
            if used <= limit or not oldest or oldest[0].at >= now - self._instance.timing.min_kept_ms:
                return
            kept = int((now - oldest[0].at) * limit / used * 0.9)
            if not await self._prune(min(now - kept, now - self._instance.timing.min_kept_ms), now):
                return


def prune_files(directory: Path, before: int, youngest: int, max_bytes: int) -> None:
    """Deletes the files of a folder that were written last before a time, and then the oldest ones until all take no
    more than `max_bytes`; none that is younger than `youngest`. Times are in milliseconds since 1970."""
    try:
        with os.scandir(directory) as entries:
            files = [(each.stat(), each.path) for each in entries if each.is_file(follow_symlinks=False)]
    except OSError:
        return  # Nothing was refused yet.
    used = sum(state.st_size for state, _ in files)
    for state, path in sorted(files, key=lambda each: each[0].st_mtime_ns):
        written = state.st_mtime_ns // 1_000_000
        if written >= youngest or (written >= before and used <= max_bytes):
            return
        try:
            os.unlink(path)
        except OSError as error:
            log.warning("%s can't be deleted: %s", path, error.strerror)
            continue
        used -= state.st_size
        log.info("%s was pruned", path)
