"""Notices of a revision's retirement: the team is told 180, 60 and 14 days before. Dates warn, the 410 decides."""

from __future__ import annotations

from datetime import date

from askel_tui.contract.revisions import days_left, retired_on, serving_revision
from askel_tui.core.notices import retirement_notice, served_anew_notice
from askel_tui.store.state.documents import ConnectionDoc
from askel_tui.sync.instance import Instance
from askel_tui.sync.periodic import Interval
from askel_tui.text.times import utc_day

ROUND_INTERVAL_MS = 3_600_000
"""The time between two rounds, in milliseconds."""

DAYS_BEFORE = (14, 60, 180)
"""The days before a retirement at which the team is told."""


class RetirementNotices:
    """A worker that adds each notice of a connection's revision once.

    A retired one that somebody accepted goes by the revision that serves it: when that retires, another one's rules
    hold from one day to the next.
    """

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._interval = Interval()

    async def run_round(self) -> None:
        """Adds the notices that are due."""
        now = self._instance.clock()
        if not self._interval.elapsed(now, ROUND_INTERVAL_MS):
            return
        for document in self._instance.state.connections():
            await self._add_due(document, utc_day(now), now)

    async def _add_due(self, document: ConnectionDoc, today: date, now: int) -> None:
        journal, name, revision = self._instance.journal, document.name, document.revision
        serving = serving_revision(revision, today)
        if serving != revision:
            if not document.accept_retired:
                return
            served = f"revision {revision} is served as "
            if await journal.has_retirement_notice(name, served, f"{served}{serving}"):
                text = served_anew_notice(name, revision, serving)
                await journal.add_retirement_notice(name, f"{served}{serving} now", text, now)
        left = days_left(serving, today)
        stage = next((days for days in DAYS_BEFORE if 0 < left <= days), None)
        if stage is None:
            return
        subject = (
            f"revision {revision}"
            if serving == revision
            else f"revision {revision} is served as {serving}, which"
        )
        detail = f"{subject} retires on {retired_on(serving)}: {stage} days or less are left"
        text = retirement_notice(name, subject, str(retired_on(serving)), left, document.accept_retired)
        await journal.add_retirement_notice(name, detail, text, now)
