"""Scheduled effects: import jobs, consent and segments that show later than the response."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from askel_tui.sandbox.state import consent, import_jobs

if TYPE_CHECKING:
    from askel_tui.sandbox.state.account import Account


def run_due(account: Account, now: float) -> None:
    """Runs the effects that are due, in the order of their times. Called before each request."""
    while account.scheduled and account.scheduled[0][0] <= now:
        due, _, effect, what = heapq.heappop(account.scheduled)
        if effect == "consent":
            consent.run_consent_job(account, due, **what)
        elif effect == "segments":
            account.shown_segments.pop(what["profile"], None)
            account.mark_changed("profiles")
        else:
            import_jobs.run_import_stage(account, due, **what)


def run_all(account: Account) -> None:
    """Runs all scheduled effects now."""
    run_due(account, float("inf"))
