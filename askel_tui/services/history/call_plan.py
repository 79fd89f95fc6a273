"""The calls that many writes take, and the time that the account's budgets give them at least. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from askel_tui.contract.calls import Call
from askel_tui.contract.endpoints import Endpoint, endpoint
from askel_tui.core.requests.bulk import BULK_CALL_OF, revision_has_call
from askel_tui.core.requests.packing import GATHERING_CALLS, batch_capacity

OWNER_SHARE = 0.9
"""The share of each budget that the daemon uses; the rest is for other processes."""

MAX_SINGLE_S = 15
"""Time that single calls may take before bulk calls carry the writes, in seconds."""


@dataclass(frozen=True, slots=True)
class CallEstimate:
    """A call of Klaviyo's, how often it is made, and the shortest time for that, in seconds."""

    call: str
    calls: int
    seconds: float


def estimate_calls(operations: Mapping[str, int], revision: str) -> tuple[CallEstimate, ...]:
    """Estimates the calls for numbers of operations by their single call; the slowest is first.

    Calls have budgets of their own and run side by side, so all of them take about as long as the slowest. Rows that
    are large make more calls.
    """
    found = []
    for name, count in operations.items():
        call = Call(name)
        at = endpoint(revision, call)
        calls = count
        bulk = BULK_CALL_OF.get(call)
        if call in GATHERING_CALLS:
            calls = math.ceil(count / batch_capacity(call, revision))
        elif bulk and revision_has_call(bulk, revision) and _seconds(at, count) > MAX_SINGLE_S:
            call, at = bulk, endpoint(revision, bulk)
            calls = math.ceil(count / (at.max_items or 1))
        found.append(CallEstimate(str(call), calls, round(_seconds(at, calls), 1)))
    return tuple(sorted(found, key=lambda each: -each.seconds))


def _seconds(at: Endpoint, calls: int) -> float:
    """Returns the shortest time for a number of calls: what a window gives at once goes out at its burst's rate."""
    slowest = 0.0
    for window in at.windows:
        share = max(1.0, window.limit * OWNER_SHARE)
        slowest = max(slowest, (calls / share - 1) * window.seconds)
    burst = at.windows[0] if at.windows else None
    return max(slowest, calls * burst.seconds / burst.limit if burst else 0.0)
