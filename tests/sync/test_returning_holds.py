"""Holds that end by themselves, and those that come back: what was renamed, what flaps, what Klaviyo asks to wait."""

from __future__ import annotations

from functools import partial

import pytest

from askel_tui.services.dry_run import dry_run
from askel_tui.services.workflow_notes import unguarded_properties
from askel_tui.store.journal.rows import Hold
from askel_tui.sync.instance import now_ms
from askel_tui.text.times import format_timestamp
from tests.support.bad_days import (
    WELCOME,
    assert_in_order,
    brisk,
    change,
    engine,
    held,
    order,
    settled,
    until,
)
from tests.support.workbench import NAME, Workbench, points

__all__ = ["brisk"]

pytestmark = pytest.mark.usefixtures("brisk")

DAY_MS = 86_400_000


@pytest.fixture(autouse=True)
def soon(request: pytest.FixtureRequest) -> None:
    bench: Workbench = request.getfixturevalue("bench")
    bench.set_timing(property_confirm_delay_s=0.0, hold_check_interval_ms=0)


async def _cause_is(bench: Workbench, cause: str | None) -> bool:
    return {each for each, _ in (await held(bench)).values()} == ({cause} if cause else set())


async def test_a_list_that_has_its_name_again_ends_its_hold(bench: Workbench) -> None:
    await bench.apply(WELCOME)
    change(bench, "PATCH", "lists/Welcome Flow", name="Hello")
    await bench.take([points(1)])
    async with engine(bench):
        await until(bench, partial(_cause_is, bench, "list_renamed"))
        change(bench, "PATCH", "lists/Hello", name="Welcome Flow")
        await until(bench, partial(_cause_is, bench, None))
    await bench.drain()
    assert (await settled(bench))["welcome written"] == 1
    assert [entry.actor for entry in await bench.audit(kind="release")] == ["askel"]
    await assert_in_order(bench)


async def test_a_property_that_has_its_name_again_ends_its_hold(bench: Workbench) -> None:
    await bench.apply(WELCOME)
    await bench.take(points(number) for number in range(8))
    await bench.drain()
    change(bench, "POST", "properties/LoyaltyTier/rename", to="Tier")
    await bench.take([points(9)])
    async with engine(bench):
        await until(bench, partial(_cause_is, bench, "property_renamed"))
        change(bench, "POST", "properties/Tier/rename", to="LoyaltyTier")
        await until(bench, partial(_cause_is, bench, None))
    await bench.drain()
    assert (await settled(bench))["tier written"] == 9


async def test_a_list_made_anew_changes_the_advice_and_the_old_one_ends_the_hold(bench: Workbench) -> None:
    await bench.apply(WELCOME)
    change(bench, "DELETE", "lists/Welcome Flow")
    await bench.take([points(1)])
    async with engine(bench):
        await until(bench, partial(_cause_is, bench, "target_gone"))
        change(bench, "POST", "lists", name="Welcome Flow")
        await until(bench, partial(_cause_is, bench, "made_anew"))
        first, second = [each for each in await bench.instance.journal.notices() if not each.quiet]
        assert "Once it is back under the same id" in first.text
        assert "Once it is back under the same id" not in second.text
        assert "another one of that name was made" in second.text
        seen = bench.sandbox.world.logged_count

        async def looked_on() -> bool:
            return len(bench.requests("get_lists", after=seen)) > 3

        await until(bench, looked_on)
        assert len([each for each in await bench.instance.journal.notices() if not each.quiet]) == 2
        change(bench, "POST", "lists/MeWelc/restore")
        await until(bench, partial(_cause_is, bench, None))


async def test_what_a_person_released_and_flaps_stays_until_a_person_acts(bench: Workbench) -> None:
    bench.set_timing(max_check_age_ms=50, recheck_age_ms=30)
    await bench.apply(WELCOME)
    await bench.take([points(1)])
    change(bench, "DELETE", "lists/Welcome Flow")
    async with engine(bench):
        await until(bench, partial(_cause_is, bench, "target_gone"))
        await order(bench, "release")
        await until(bench, partial(_cause_is, bench, "target_gone"))
        [hold] = await bench.instance.journal.holds()
        assert not hold.stays
        change(bench, "POST", "lists/MeWelc/restore")
        await until(bench, partial(_cause_is, bench, None))
        change(bench, "DELETE", "lists/Welcome Flow")
        await bench.take([points(2)])
        await until(bench, partial(_cause_is, bench, "target_gone"))
        [hold] = await bench.instance.journal.holds()
        assert hold.stays
        change(bench, "POST", "lists/MeWelc/restore")
        seen = bench.sandbox.world.logged_count

        async def looked_on() -> bool:
            return len(bench.requests("get_lists", after=seen)) > 3

        await bench.take([points(8)])
        await until(bench, looked_on)
        [hold] = await bench.instance.journal.holds()
        assert hold.stays
        notices = [each for each in await bench.instance.journal.notices() if each.kind == "hold"]
        assert "it stays until somebody acts" in notices[-1].text
        await order(bench, "release")
        await until(bench, partial(_cause_is, bench, None))
    await bench.drain()
    await assert_in_order(bench)


async def test_a_hold_of_a_version_with_nothing_left_ends_by_itself(bench: Workbench) -> None:
    await bench.apply(WELCOME)
    await bench.apply(WELCOME.replace("Points: data.points}}", "Earned: data.points}}", 1))
    at, refused = now_ms(), "Klaviyo refuses the key"
    hold = Hold(NAME, "welcome", 1, "tier", "key_refused", refused, at)
    await bench.instance.journal.add_hold(hold, at)
    async with engine(bench):
        await until(bench, partial(_cause_is, bench, None))
    assert [entry.actor for entry in await bench.audit(kind="release")] == ["askel"]


async def test_a_wait_of_a_day_is_a_hold_with_a_notice_and_ends_by_itself(bench: Workbench) -> None:
    offset = 0
    bench.set_clock(lambda: now_ms() + offset)
    await bench.apply(WELCOME)
    bench.fault("create_event", status=429, retry_after=86_400)
    await bench.take(points(number) for number in range(5))
    await bench.drain()
    assert await held(bench) == {("welcome", "points"): ("limit", 5)}
    [hold] = await bench.instance.journal.holds()
    assert hold.until is not None
    assert abs(hold.until - hold.since - DAY_MS) < 1_000
    [notice] = [each for each in await bench.instance.journal.notices() if not each.quiet]
    assert notice.cause == "limit"
    assert f"wait until {format_timestamp(hold.until, zone=' UTC')}" in notice.text
    assert len(bench.requests("create_event", after=bench.requests_since)) <= 5

    bench.sandbox.world.faults.all.clear()
    bench.set_timing(probe_interval_ms=0)
    before = bench.sandbox.world.logged_count
    async with engine(bench):
        await bench.take([points(7)])
        await until(bench, lambda: _waiting_is(bench, 6))
        assert not bench.requests("create_event", after=before)
        offset = DAY_MS
        await until(bench, partial(_cause_is, bench, None))
    await bench.drain()
    assert (await settled(bench))["points written"] == 6
    await assert_in_order(bench)


async def _waiting_is(bench: Workbench, count: int) -> bool:
    return [hold.waiting for hold in await bench.instance.journal.holds()] == [count]


async def test_a_gate_that_could_not_be_read_goes_on_once_it_can(bench: Workbench) -> None:
    gated = WELCOME.replace(
        "  - id: welcome", "  - id: vip\n    require_segment: {segment: VIP, member: false}\n  - id: welcome"
    )
    bench.set_timing(probe_interval_ms=20)
    await bench.apply(gated)
    bench.fault("get_profiles_for_segment", status=404)
    bench.fault("get_profiles", status=404)
    await bench.take(points(number) for number in range(3))
    async with engine(bench):
        await until(bench, partial(_cause_is, bench, "gate_unreadable"))
        bench.sandbox.world.faults.all.clear()
        await until(bench, partial(_cause_is, bench, None))
    await bench.drain()
    assert (await settled(bench))["points written"] == 3
    await assert_in_order(bench)


async def test_a_property_with_too_few_carriers_says_that_it_is_not_guarded(bench: Workbench) -> None:
    await bench.apply(WELCOME)
    applied = await bench.instance.applied_version("welcome")
    assert applied is not None
    await bench.take(points(number) for number in range(4))
    await bench.drain()
    unguarded = await unguarded_properties(bench.instance, applied.workflow)
    assert [each.step for each in unguarded] == ["tier", "tier"]
    assert "the property LoyaltyTier is not guarded" in unguarded[0].message
    run = await dry_run(bench.instance, "welcome", last=5)
    assert set(map(str, unguarded)) <= set(map(str, run.warnings))
    await bench.take([points(5)])
    await bench.drain()
    assert await unguarded_properties(bench.instance, applied.workflow) == []
