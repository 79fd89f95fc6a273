"""Slow import jobs: the team gets a notice that one takes unusually long, and another when it is over.

The memory is the audit: `slow_job` when a job was reported, `slow_job_over` when its rows waited no longer. From there
a restart knows what was reported, and `status` what is waited for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from askel_tui.store.journal.interface import Clock, Journal
from askel_tui.store.journal.notice_rows import WarningNotice
from askel_tui.store.journal.rows import AuditFilter, Decision, StoredOperation
from askel_tui.text.numbers import pluralize
from askel_tui.text.times import format_timestamp

log = logging.getLogger(__name__)

SLOW_JOB_KIND, SLOW_JOB_OVER_KIND = "slow_job", "slow_job_over"
"""The kinds of audit entries."""

MIN_WATCH_MS = 10_000
"""Time that a job that was taken up again is watched before it is reported, however old it is, in milliseconds."""

MAX_RECENT_ENTRIES = 1_000
"""The number of the newest entries that are searched: a connection has four jobs at once."""


@dataclass(frozen=True, slots=True)
class JobWait:
    """A request whose operations wait for an import job since `since`, in milliseconds since 1970.

    `job` is None where the answer was lost and any job of the account may be the one.
    """

    request: int
    job: str | None
    operations: Sequence[StoredOperation]
    since: int

    @property
    def detail(self) -> str:
        """The wait, in words for the team."""
        since = format_timestamp(self.since, zone=" UTC")
        profiles = len({each.operation.profile for each in self.operations})
        job = (
            f"the import job {self.job}"
            if self.job
            else "an import job that may be the one without an answer"
        )
        waiting = pluralize(profiles, "profile waits", "profiles wait")
        return f"Klaviyo has been at {job} since {since}; {waiting} for it, all others go on"


class SlowJobs:
    """Reports the slow jobs of one connection: one notice while any of them runs, an audit entry for each."""

    def __init__(self, connection: str, journal: Journal, clock: Clock, slow_after_ms: int) -> None:
        self._connection = connection
        self._journal = journal
        self._clock = clock
        self._slow_after_ms = slow_after_ms
        self._reporting = asyncio.Lock()
        """A lock for reports: jobs that began together become slow together."""

    def seconds_until_slow(self, wait: JobWait) -> float:
        """Returns for how many more seconds the wait is nothing unusual."""
        left = wait.since + self._slow_after_ms - self._clock()
        return min(max(left, MIN_WATCH_MS), self._slow_after_ms) / 1000

    async def report_slow(self, wait: JobWait) -> None:
        """Reports that a wait is unusually long, where that was not reported before a restart."""
        async with self._reporting:
            reported = await self._reported()
            if wait.request in reported:
                return
            log.warning("%s: %s", self._connection, wait.detail)
            await self._write("warning", SLOW_JOB_KIND, wait, wait.detail, quiet=bool(reported))

    async def report_over(self, wait: JobWait) -> None:
        """Reports that a wait is over, where it was reported as slow."""
        async with self._reporting:
            reported = await self._reported()
            entry = reported.pop(wait.request, None)
            if entry is not None:
                await self._write("over", SLOW_JOB_OVER_KIND, wait, entry["detail"], quiet=bool(reported))

    async def _reported(self) -> dict[int, Mapping[str, Any]]:
        """Returns the slow jobs of the connection that are waited for, by request."""
        found = await current_slow_jobs(self._journal)
        return {each["request"]: each for each in found if each["connection"] == self._connection}

    async def _write(
        self, notice_kind: Literal["warning", "over"], kind: str, wait: JobWait, detail: str, *, quiet: bool
    ) -> None:
        """Writes an audit entry, and a notice unless it is `quiet`."""
        first = wait.operations[0]
        step = first.operation.step
        about = {
            "request": wait.request,
            "job": wait.job,
            "since": wait.since,
            "operations": len(wait.operations),
            "detail": detail,
        }
        decision = Decision(kind, "askel", self._connection, first.workflow, step, about)
        if quiet:
            await self._journal.write_decision(decision, self._clock())
        else:
            notice = WarningNotice(notice_kind, self._connection, first.workflow, step, SLOW_JOB_KIND, detail)
            await self._journal.add_notice(notice, decision, self._clock())


async def current_slow_jobs(journal: Journal) -> list[dict[str, Any]]:
    """Lists the slow import jobs that are waited for: {connection, request, job, since, operations, detail}."""
    entries = [
        entry
        for kind in (SLOW_JOB_KIND, SLOW_JOB_OVER_KIND)
        for entry in await journal.audit_entries(
            AuditFilter(kind=kind), newest=True, limit=MAX_RECENT_ENTRIES
        )
    ]
    found: dict[int, dict[str, Any]] = {}
    for entry in sorted(entries, key=lambda each: each.position):
        detail = (entry.response or {}).get("detail") or {}
        if entry.kind == SLOW_JOB_KIND:
            found[detail["request"]] = {"connection": entry.connection, **detail}
        else:
            found.pop(detail["request"], None)
    return list(found.values())
