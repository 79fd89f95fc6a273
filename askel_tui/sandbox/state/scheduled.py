"""What happens in an account after a request was answered: jobs and consent, at their time."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from askel_tui.sandbox.state import consent, import_jobs

if TYPE_CHECKING:
    from askel_tui.sandbox.state.account import Account


def run_due(account: Account, now: float) -> None:
    """Does what is due, in the order of its times. Called before each request and each look at the state."""
    while account.scheduled and account.scheduled[0][0] <= now:
        due, _, deed, what = heapq.heappop(account.scheduled)
        if deed == "consent":
            consent.run_consent_job(account, due, **what)
        else:
            import_jobs.run_import_stage(account, due, **what)


def run_all(account: Account) -> None:
    """Does everything that waits for a time."""
    run_due(account, float("inf"))
