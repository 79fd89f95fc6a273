"""Retirement: a revision that Klaviyo no longer serves is one hold of its connection, and says how to move."""

from __future__ import annotations

import pytest

from tests.support.bad_days import WELCOME, assert_in_order, brisk, engine, held, settled, until
from tests.support.workbench import NAME, Workbench, bench_of, points

__all__ = ["brisk"]

pytestmark = pytest.mark.usefixtures("brisk")

METRIC = "First Points Earned"


@pytest.fixture(autouse=True)
def _soon(request: pytest.FixtureRequest) -> None:
    if (bench := bench_of(request)) is not None:
        bench.set_timing(probe_interval_ms=100)


async def test_a_retired_revision_is_one_notice_and_goes_on_by_itself_at_another(bench: Workbench) -> None:
    await bench.apply(WELCOME)
    state = bench.instance.state
    state.change_connection(NAME, revision="2024-02-15", accept_retired=False)
    await bench.take(points(number) for number in range(6))
    async with engine(bench):

        async def all_wait() -> bool:
            counts = (await bench.instance.journal.counts()).get("welcome")
            return counts is not None and counts.held == 18

        await until(bench, all_wait)
        assert {cause for cause, _ in (await held(bench)).values()} == {"retired"}
        (notice,) = [each for each in await bench.instance.journal.notices() if not each.quiet]
        assert f"askel revision move {NAME}" in notice.text
        assert "nothing is lost" in notice.text
        assert not bench.events(METRIC)
        state.change_connection(NAME, revision="2026-07-15")

        async def done() -> bool:
            return len(bench.events(METRIC)) == 6 and not await held(bench)

        await until(bench, done)
    assert await settled(bench) == {"tier written": 6, "welcome written": 6, "points written": 6}
    await assert_in_order(bench)


async def test_what_is_accepted_is_served_forward(bench: Workbench) -> None:
    await bench.apply(WELCOME)
    bench.sandbox.world.change_settings({"today": "2026-12-01"})
    bench.instance.state.change_connection(NAME, revision="2024-02-15", accept_retired=True)
    await bench.take([points(1)])
    await bench.drain()
    assert len(bench.events(METRIC)) == 1
    (sent,) = bench.requests("create_event", after=bench.requests_since)
    assert (sent["revision"], sent["served"]) == ("2024-02-15", "2025-01-15")
