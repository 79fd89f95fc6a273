"""Import jobs that take unusually long: the team is told once, and once more when it is over.

The memory is the audit: `slow_job` when a job was told of, `slow_job_over` when its rows waited no longer. From there a
restart knows what was told, and `status` what is waited for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from askel_tui.store.journal.interface import Journal
from askel_tui.store.journal.rows import AuditFilter, Decision, StoredOperation, WarningNotice
from askel_tui.text.numbers import pluralize
from askel_tui.text.times import format_timestamp

if TYPE_CHECKING:
    from askel_tui.sync.sending.settlement import Settler

log = logging.getLogger(__name__)

SLOW_JOB_KIND, SLOW_JOB_OVER_KIND = "slow_job", "slow_job_over"
"""Kinds of audit entries."""

SLOW_AFTER_MS = 15 * 60_000
"""After how long a job is told of, in milliseconds."""

MIN_WATCH_MS = 10_000
"""How long a job that was taken up again is looked at before it is told of, however old it is, in milliseconds."""

MAX_RECENT_ENTRIES = 1_000
"""How many of the newest entries are looked through: a connection has four jobs at once."""


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
        """What is told of it."""
        since, profiles = (
            format_timestamp(self.since, zone=" UTC"),
            len({each.operation.profile for each in self.operations}),
        )
        what = (
            f"the import job {self.job}"
            if self.job
            else "an import job that may be the one without an answer"
        )
        who = pluralize(profiles, "profile waits", "profiles wait")
        return f"Klaviyo has been at {what} since {since}; {who} for it, all others go on"


class SlowJobs:
    """Tells of the slow jobs of one connection: one notice while any of them runs, an audit entry for each."""

    def __init__(self, end: Settler) -> None:
        self._end = end
        self._telling = asyncio.Lock()
        """Jobs that began together become slow together."""

    def seconds_until_slow(self, wait: JobWait) -> float:
        """For how many more seconds the wait is nothing unusual."""
        left = wait.since + SLOW_AFTER_MS - self._end.clock()
        return min(max(left, MIN_WATCH_MS), SLOW_AFTER_MS) / 1000

    async def report_slow(self, wait: JobWait) -> None:
        """The wait is an unusual one: said, where it was not said before a restart."""
        async with self._telling:
            told = await self._told()
            if wait.request in told:
                return
            log.warning("%s: %s", self._end.to.name, wait.detail)
            await self._note("warning", SLOW_JOB_KIND, wait, wait.detail, quiet=bool(told))

    async def report_over(self, wait: JobWait) -> None:
        """The wait is over; said where it was said that it is unusual."""
        async with self._telling:
            told = await self._told()
            entry = told.pop(wait.request, None)
            if entry is not None:
                await self._note("over", SLOW_JOB_OVER_KIND, wait, entry["detail"], quiet=bool(told))

    async def _told(self) -> dict[int, Mapping[str, Any]]:
        found = await current_slow_jobs(self._end.journal)
        return {each["request"]: each for each in found if each["connection"] == self._end.to.name}

    async def _note(self, kind: Any, word: str, wait: JobWait, detail: str, *, quiet: bool) -> None:
        connection, first = self._end.to.name, wait.operations[0]
        about = {
            "request": wait.request,
            "job": wait.job,
            "since": wait.since,
            "operations": len(wait.operations),
            "detail": detail,
        }
        decision = Decision(word, "askel", connection, first.workflow, first.operation.step, about)
        now = self._end.clock()
        if quiet:
            await self._end.journal.write_decision(decision, now)
        else:
            notice = WarningNotice(
                kind, connection, first.workflow, first.operation.step, SLOW_JOB_KIND, detail
            )
            await self._end.journal.add_notice(notice, decision, now)


async def current_slow_jobs(journal: Journal) -> list[dict[str, Any]]:
    """The import jobs that were told of and are waited for: {connection, request, job, since, operations, detail}."""
    entries = [
        entry
        for kind in (SLOW_JOB_KIND, SLOW_JOB_OVER_KIND)
        for entry in await journal.audit_entries(
            AuditFilter(kind=kind), newest=True, limit=MAX_RECENT_ENTRIES
        )
    ]
    found: dict[int, dict[str, Any]] = {}
    for entry in sorted(entries, key=lambda each: each.seq):
        detail = (entry.response or {}).get("detail") or {}
        if entry.kind == SLOW_JOB_KIND:
            found[detail["request"]] = {"connection": entry.connection, **detail}
        else:
            found.pop(detail["request"], None)
    return list(found.values())
