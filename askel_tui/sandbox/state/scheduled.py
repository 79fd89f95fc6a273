"""What happens in an account after a request was answered: jobs and consent, at their time."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from askel_tui.sandbox.state import consent, import_jobs

if TYPE_CHECKING:
    from askel_tui.sandbox.state.account import Account


def settle(account: Account, now: float) -> None:
    """Does what is due, in the order of its times. Called before each request and each look at the state."""
    while account.due and account.due[0][0] <= now:
        due, _, deed, what = heapq.heappop(account.due)
        if deed == "consent":
            consent.carry_out(account, due, **what)
        else:
            import_jobs.carry_out(account, due, **what)


def settle_all(account: Account) -> None:
    """Does everything that waits for a time."""
    settle(account, float("inf"))
