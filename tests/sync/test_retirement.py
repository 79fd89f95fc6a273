"""Retirement: a revision that Klaviyo no longer serves is one hold of its connection, and says how to move."""

from __future__ import annotations

from datetime import datetime

import pytest

from askel_tui.sync.upkeep.retirement_notices import RetirementNotices
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


def _at(day: str) -> int:
    return int(datetime.fromisoformat(f"{day}T12:00:00+00:00").timestamp() * 1000)


DAYS = (
    "2026-07-18", "2026-07-19", "2026-07-30", "2026-11-16", "2026-12-20", "2027-01-01", "2027-01-14", "2027-01-16",
)  # fmt: skip
NOTICES = ["in 180 days", "in 60 days", "in 14 days"]
NOTICES_OF_SERVING = [
    "served as 2024-10-15, which retires on 2026-10-15, in 89 days",
    "it is served as 2025-01-15 now",
    "served as 2025-01-15, which retires on 2027-01-15, in 60 days",
    "in 14 days",
    "it is served as 2025-04-15 now",
    "served as 2025-04-15, which retires on 2027-04-15, in 89 days",
]


@pytest.mark.parametrize(
    ("revision", "accepted", "expected"),
    [("2025-01-15", False, NOTICES), ("2024-02-15", True, NOTICES_OF_SERVING), ("2026-10-15", False, [])],
)
async def test_notices_come_before_a_revision_retires(
    bench: Workbench, revision: str, accepted: bool, expected: list[str]
) -> None:
    bench.instance.state.change_connection(NAME, revision=revision, accept_retired=accepted)
    for day in DAYS:
        bench.set_clock(lambda day=day: _at(day))  # type: ignore[misc]
        for _ in range(2):  # Two lives a day: each notice comes once.
            await RetirementNotices(bench.instance).run_round()
    texts = [each.text for each in await bench.instance.journal.notices()]
    assert len(texts) == len(expected), texts
    for text, words in zip(texts, expected, strict=True):
        assert words in text
        assert f"askel revision rehearse {NAME}" in text


async def test_the_engine_adds_the_notice(bench: Workbench) -> None:
    bench.instance.state.change_connection(NAME, revision="2025-01-15")
    bench.set_clock(lambda: _at("2027-01-14"))
    async with engine(bench):

        async def noticed() -> bool:
            notices = await bench.instance.journal.notices()
            return any("retires on 2027-01-15, in 1 day." in each.text for each in notices)

        await until(bench, noticed)


async def test_what_serves_a_retired_revision_moves_on_with_the_day(bench: Workbench) -> None:
    await bench.apply(WELCOME)
    bench.instance.state.change_connection(NAME, revision="2024-02-15", accept_retired=True)
    bench.sandbox.world.change_settings({"today": "2027-01-16"})
    await bench.take([points(1)])
    await bench.drain()
    (sent,) = bench.requests("create_event", after=bench.requests_since)
    assert (sent["revision"], sent["served"]) == ("2024-02-15", "2025-04-15")
