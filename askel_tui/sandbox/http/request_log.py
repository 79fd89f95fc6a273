"""A summary of the requests that the sandbox answers: one line a second at most, so that load makes no noise."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from askel_tui.sandbox.state.world import World

REPORT_INTERVAL_S = 1.0

RequestCounts = Counter[tuple[str, str]]
"""The number of responses by call and status."""


async def report_requests(world: World, say: Callable[[str], None]) -> None:
    """Calls `say` with a line about the requests since the last one, until it is cancelled."""
    before = count_requests(world)
    while True:
        await asyncio.sleep(REPORT_INTERVAL_S)
        now = count_requests(world)
        line = describe_new_requests(before, now)
        if line:
            say(f"{time.strftime('%H:%M:%S')}  {line}")
        before = now


def count_requests(world: World) -> RequestCounts:
    """Counts all responses so far, of all accounts."""
    found: RequestCounts = Counter()
    for account in world.accounts.values():
        for call, statuses in account.requests.items():
            for status, count in statuses.items():
                found[call, status] += count
    return found


def describe_new_requests(before: RequestCounts, now: RequestCounts) -> str:
    """Describes the responses between two counts in a line, in the order of their names; empty where there were
    none."""
    more = now - before
    return ", ".join(
        f"{call} {status}{f' × {count:,}' if count > 1 else ''}"
        for (call, status), count in sorted(more.items())
    )
