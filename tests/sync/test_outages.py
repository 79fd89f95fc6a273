"""An outage: what is backed off for too long is held, and goes on by itself once Klaviyo answers."""

from __future__ import annotations

import pytest

from tests.support.bad_days import (
    WELCOME,
    assert_in_order,
    brisk,
    engine,
    held,
    settled,
    until,
)
from tests.support.workbench import NAME, Workbench, bench_of, points

__all__ = ["brisk"]

pytestmark = pytest.mark.usefixtures("brisk")

METRIC = "First Points Earned"
RELATED = WELCOME.replace("workflow: welcome", "workflow: related").replace(
    "add_to_list: Welcome Flow", "add_to_list: Promotions"
)


@pytest.fixture(autouse=True)
def _soon(request: pytest.FixtureRequest) -> None:
    if (bench := bench_of(request)) is not None:
        bench.set_timing(probe_interval_ms=100)


async def test_a_step_is_held_once_and_goes_on_by_itself(bench: Workbench) -> None:
    bench.instance.state.save_setting("pause_after", 1)
    await bench.apply(WELCOME)
    bench.fault("create_event", status=503)
    await bench.take(points(number) for number in range(30))
    async with engine(bench):

        async def is_held() -> bool:
            return ("welcome", "points") in await held(bench)

        await until(bench, is_held)
        [(cause, _)] = (await held(bench)).values()
        assert cause == "outage"
        assert len(bench.on_list("Welcome Flow")) == 30
        seen = bench.sandbox.world.logged_count

        async def probed() -> bool:
            return len(bench.requests("create_event", after=seen)) > 12

        await until(bench, probed)
        assert await is_held()
        # New records wait with the others.
        await bench.take(points(number) for number in range(30, 33))
        bench.sandbox.world.faults.all.clear()

        async def done() -> bool:
            return len(bench.events(METRIC)) == 33 and not await held(bench)

        await until(bench, done)
    assert await settled(bench) == {"tier written": 33, "welcome written": 33, "points written": 33}
    notices = await bench.instance.journal.notices()
    assert [notice.kind for notice in notices if notice.step == "points"].count("hold") == 1
    assert "goes on by itself" in notices[0].text
    kinds = [entry.kind for entry in await bench.audit() if entry.kind in ("hold", "release")]
    assert kinds == ["hold", "release"]
    await assert_in_order(bench)


async def test_a_refusal_is_an_answer_too(bench: Workbench) -> None:
    """The probe fails for a reason of its own: the outage is over, and the others are sent."""
    bench.instance.state.change_connection(NAME, pause_after=1)
    await bench.apply(WELCOME)
    bench.fault("create_event", status=500)
    await bench.take(points(number) for number in range(4))
    async with engine(bench):

        async def is_held() -> bool:
            return bool(await held(bench))

        await until(bench, is_held)
        bench.sandbox.world.faults.all.clear()
        bench.fault("create_event", status=400, times=1)

        async def done() -> bool:
            return len(bench.events(METRIC)) == 3 and not await held(bench)

        await until(bench, done)
    assert len(await bench.instance.journal.failures()) == 1


async def test_short_trouble_holds_nothing(bench: Workbench) -> None:
    await bench.apply(WELCOME)
    bench.fault("create_event", status=503, times=60)
    await bench.take(points(number) for number in range(10))
    await bench.drain()
    assert await held(bench) == {}
    assert not [entry for entry in await bench.audit() if entry.kind == "hold"]
    assert len(bench.events(METRIC)) == 10


async def test_what_waits_long_for_other_reasons_is_not_in_trouble(bench: Workbench) -> None:
    """An operation that is tried again at once, and later fails once, has not been in trouble since then."""
    bench.instance.state.save_setting("pause_after", 1)
    await bench.apply(WELCOME)
    await bench.take([points(1)])
    journal = bench.instance.journal
    async with engine(bench):

        async def written() -> bool:
            return len(bench.events(METRIC)) == 1

        await until(bench, written)
    assert await journal.waiting_operations([NAME], 0, 10) == []
    assert await held(bench) == {}
