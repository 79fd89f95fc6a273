"""What tests of bad days share: short waits, an engine that runs beside the test, a hand in the sandbox's account."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from askel_tui.klaviyo.retries import RetryPolicy
from askel_tui.sandbox.http import control
from askel_tui.services import connections
from askel_tui.store.locks import OwnershipLock
from askel_tui.sync.engine.command_bus import submit
from askel_tui.sync.engine.engine import Engine
from askel_tui.sync.instance import open_instance
from tests.support.patience import PATIENCE_S
from tests.support.workbench import ACTOR, NAME, Workbench

WELCOME = """\
workflow: welcome
connection: maple-ember
trigger: first_points_earned
profile: {email: data.shopper.email, external_id: data.shopper.id}
steps:
  - id: tier
    upsert_profile: {properties: {LoyaltyTier: data.shopper.tier, Points: data.points}}
  - id: welcome
    add_to_list: Welcome Flow
  - id: points
    track_event: {metric: First Points Earned, value: data.points, properties: {Points: data.points}}
"""


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries wait milliseconds instead of seconds, and Klaviyo's windows are not kept."""
    monkeypatch.setenv("ASKEL_BUDGETS", "off")
    monkeypatch.setattr(Workbench, "retry_policy", RetryPolicy(first_wait_s=0.01, max_wait_s=0.05))


@asynccontextmanager
async def engine(bench: Workbench) -> AsyncIterator[Engine]:
    """An engine that owns the home while the test goes on; stopped as SIGTERM would."""
    with OwnershipLock(bench.instance.home):
        async with open_instance(bench.instance.home, owner=True) as owner:
            bench.hand_on(owner)
            one = Engine(owner)
            running = asyncio.create_task(one.run())
            try:
                yield one
            finally:
                one.stop()
                await running


async def until(bench: Workbench, true: Callable[[], Awaitable[Any]]) -> None:
    """Waits until something is so; asked again after every commit."""
    async with asyncio.timeout(PATIENCE_S):
        while not await true():
            await bench.instance.journal.wait_for_change(0.1)


def change(bench: Workbench, method: str, path: str, **body: Any) -> Any:
    """What a person does in the account: a call to the sandbox's control surface."""
    status, answer = control.respond(
        bench.sandbox.world, method, f"/sandbox/{path}", {}, json.dumps(body).encode()
    )
    assert status == 200, answer
    return answer


async def order(bench: Workbench, name: str, **arguments: Any) -> Any:
    """An order, as the command line gives it."""
    return await submit(bench.instance, name, arguments, ACTOR)


async def rotate(bench: Workbench, key: str) -> None:
    """Gives the connection a new key; its probes are left out of the check of requests, some being wrong on purpose."""
    bench.assert_valid_requests()
    await connections.rotate(bench.instance, NAME, key, ACTOR)
    bench.requests_since = bench.sandbox.world.logged_count


async def held(bench: Workbench) -> dict[tuple[str, str], tuple[str, int]]:
    """Holds: (workflow, step) to (cause, how many operations wait)."""
    return {
        (hold.workflow, hold.step): (hold.cause, hold.waiting)
        for hold in await bench.instance.journal.holds()
    }


async def settled(bench: Workbench) -> Counter[str]:
    """How many operations ended how; fails where one has more than one entry that settles it."""
    entries = [
        entry for entry in await bench.audit() if entry.operation is not None and entry.status != "failed"
    ]
    twice = [key for key, times in Counter(entry.operation for entry in entries).items() if times > 1]
    assert not twice, f"settled more than once: {twice[:3]}"
    return Counter(f"{entry.step} {entry.status}" for entry in entries)


async def assert_in_order(bench: Workbench) -> None:
    """The audit's chain holds, nothing is in doubt, and no event is there twice."""
    checked = await bench.instance.journal.verify_audit()
    assert checked.entries
    assert checked.broken is None
    names = [connection.name for connection in bench.instance.state.connections()]
    assert await bench.instance.journal.requests_in_doubt(names) == []
    ids = Counter(event["unique_id"] for event in bench.state()["events"] if event["unique_id"])
    assert not [each for each, times in ids.items() if times > 1]
