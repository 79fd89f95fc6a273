"""Bad days that last: pages in a circle, minutes of errors, a clock that jumps."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from askel_tui.sandbox.handlers.context import Context
from askel_tui.sandbox.http import exchange
from askel_tui.sync.instance import now_ms
from tests.support.bad_days import (
    WELCOME,
    assert_in_order,
    brisk,
    engine,
    held,
    settled,
    until,
)
from tests.support.patience import PATIENCE_S
from tests.support.workbench import NAME, Workbench, bench_of, points

__all__ = ["brisk"]

pytestmark = pytest.mark.usefixtures("brisk")

METRIC = "First Points Earned"
HOUR = 3_600_000


@pytest.fixture
def many(request: pytest.FixtureRequest) -> None:
    """Small backlogs go in bulk, and jobs are looked at often."""
    if (bench := bench_of(request)) is not None:
        bench.set_timing(first_poll_s=0.02, max_poll_interval_s=0.05)
        bench.set_limits(max_single_backlog_s=1)


def _all_there(bench: Workbench, count: int) -> None:
    emails = {f"t{number}@mapleandember.example" for number in range(count)}
    assert emails <= set(bench.on_list("Welcome Flow"))
    events = bench.events(METRIC)
    assert sorted(event["properties"]["Points"] for event in events) == [5 + n for n in range(count)]


@pytest.mark.usefixtures("many")
async def test_errors_of_a_job_whose_pages_go_in_a_circle_are_not_read_for_ever(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = {f"t{number}@mapleandember.example": "Invalid phone number" for number in range(150)}
    bench.sandbox.world.change_settings({"import_fail": refused})
    name = "get_errors_for_bulk_import_profiles_job"
    honest, circles = exchange.HANDLERS[name], 0

    def circle(context: Context) -> Any:
        nonlocal circles
        reply = honest(context)
        links: Any = (reply.body or {}).get("links")
        if links["next"] and circles < 2:
            circles += 1
            links["next"] = links["self"]
        return reply

    monkeypatch.setitem(exchange.HANDLERS, name, circle)
    await bench.apply(WELCOME)
    await bench.take(points(number) for number in range(200))
    await bench.drain()
    assert circles
    assert len(bench.requests(name)) < 40
    failed = {failure.record for failure in await bench.instance.journal.failures()}
    assert failed <= {f"t-{number}" for number in range(150)}
    written = {entry.record for entry in await bench.audit(step="tier", status="written")}
    assert written == {f"t-{number}" for number in range(200)} - failed
    assert len(bench.events(METRIC)) == len(written)
    await assert_in_order(bench)


async def test_when_nothing_is_answered_for_long_all_steps_wait_and_go_on_by_themselves(
    either: Workbench,
) -> None:
    """Every call fails, the looks at the account too: nobody has to do anything once Klaviyo is back."""
    either.set_timing(probe_interval_ms=100)
    either.instance.state.save_setting("pause_after", 1)
    await either.apply(WELCOME)
    either.fault("*", status=500)
    await either.take(points(number) for number in range(20))
    async with engine(either):

        async def is_held() -> bool:
            return ("welcome", "tier") in await held(either)

        await until(either, is_held)
        assert {cause for cause, _ in (await held(either)).values()} == {"outage"}
        seen = either.sandbox.world.logged_count

        async def tried_on() -> bool:
            return either.sandbox.world.logged_count > seen + 5

        await until(either, tried_on)
        either.sandbox.world.faults.all.clear()

        async def done() -> bool:
            return len(either.events(METRIC)) == 20 and not await held(either)

        await until(either, done)
    _all_there(either, 20)
    assert await settled(either) == {"tier written": 20, "welcome written": 20, "points written": 20}
    await assert_in_order(either)


@pytest.mark.parametrize("jump", [-HOUR, HOUR, -300 * 24 * HOUR])
@pytest.mark.parametrize("restart", [False, True])
async def test_a_clock_that_jumps_keeps_nothing_waiting(bench: Workbench, jump: int, restart: bool) -> None:
    """What is to be tried again in a second is tried again in a second, whatever the clock says then."""
    offset = 0
    bench.set_clock(lambda: now_ms() + offset)
    await bench.apply(WELCOME)
    bench.fault("create_event", status=503)
    await bench.take(points(number) for number in range(10))
    async with asyncio.timeout(PATIENCE_S):
        async with engine(bench):

            async def tried() -> bool:
                return len(bench.requests("create_event", after=bench.requests_since)) > 10

            await until(bench, tried)
            if not restart:
                offset = jump
                bench.sandbox.world.faults.all.clear()
                await bench.take([points(10)])

                async def done() -> bool:
                    return len(bench.events(METRIC)) == 11

                await until(bench, done)
        if restart:
            offset = jump
            bench.sandbox.world.faults.all.clear()
            await bench.take([points(10)])
            await bench.drain()
    _all_there(bench, 11)
    assert await held(bench) == {}
    assert await settled(bench) == {"tier written": 11, "welcome written": 11, "points written": 11}
    assert await bench.instance.journal.requests_in_doubt([NAME]) == []
    await assert_in_order(bench)
