"""Drift in the account: the affected step is held, nothing of it is sent, nothing is lost, the others go on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from askel_tui.services import connections
from askel_tui.store.journal.rows import AuditEntry
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
from tests.support.workbench import ACTOR, NAME, Workbench, points

__all__ = ["brisk"]

pytestmark = pytest.mark.usefixtures("brisk")

FLOWS = """\
workflow: flows
connection: maple-ember
trigger: first_points_earned
profile: {email: data.shopper.email}
steps:
  - id: series
    trigger_flow: {flow: Welcome Series, list: Welcome Flow}
  - id: thanks
    trigger_flow: {flow: First Points Thanks, metric: First Points Earned}
"""
GATED = """\
workflow: gated
connection: maple-ember
trigger: first_points_earned
profile: {email: data.shopper.email}
steps:
  - id: before
    upsert_profile: {first_name: data.shopper.tier}
  - id: vip
    require_segment: {segment: VIP, member: false}
  - id: after
    track_event: {metric: First Points Earned, value: data.points}
"""


@pytest.fixture(autouse=True)
def at_once(request: pytest.FixtureRequest) -> None:
    name = "either" if "either" in request.fixturenames else "bench"
    bench: Workbench = request.getfixturevalue(name)
    bench.set_timing(property_confirm_delay_s=0.0)


async def _sent(bench: Workbench, numbers: range) -> None:
    await bench.take(points(number) for number in numbers)
    await bench.drain()


async def _found(bench: Workbench, kind: str = "drift") -> list[tuple[str | None, str]]:
    return [
        (entry.step, str((entry.response or {})["detail"]["cause"])) for entry in await _decided(bench, kind)
    ]


async def _decided(bench: Workbench, kind: str) -> list[AuditEntry]:
    return await bench.audit(kind=kind)


async def _detail(bench: Workbench) -> str:
    [hold] = await bench.instance.journal.holds()
    return hold.detail


def _writes(bench: Workbench, after: int, *calls: str) -> list[dict[str, Any]]:
    return [each for call in calls for each in bench.requests(call, after=after)]


LIST_CALLS = ("add_profiles_to_list",)
UPSERTS = ("create_or_update_profile", "bulk_import_profiles")


@pytest.mark.parametrize("cause", ["target_gone", "list_renamed", "made_anew"])
async def test_a_list_that_drifted_holds_only_its_step(either: Workbench, cause: str) -> None:
    await either.apply(WELCOME)
    await _sent(either, range(2))
    list_id = change(either, "PATCH", "lists/Welcome Flow", name="Welcome Flow")["id"]
    if cause == "list_renamed":
        change(either, "PATCH", f"lists/{list_id}", name="Hello")
    else:
        change(either, "DELETE", f"lists/{list_id}")
    if cause == "made_anew":
        change(either, "POST", "lists", name="Welcome Flow")
    before = either.sandbox.world.logged_count
    await _sent(either, range(2, 5))

    assert await held(either) == {("welcome", "welcome"): (cause, 3)}
    assert not _writes(either, before, *LIST_CALLS)
    assert len(either.events("First Points Earned")) == 5
    assert await _found(either) == [("welcome", cause)]
    [notice] = await either.instance.journal.notices()
    assert (notice.kind, notice.step, notice.cause) == ("hold", "welcome", cause)

    if cause != "list_renamed":
        change(either, "POST", f"lists/{list_id}/restore")
    await order(either, "release", workflow="welcome")
    await either.drain()
    [added] = _writes(either, before, *LIST_CALLS)
    waited = [either.profile(f"t{number}@mapleandember.example")["id"] for number in range(2, 5)]
    assert [row["id"] for row in added["body"]["data"]] == waited
    assert await settled(either) == {"tier written": 5, "welcome written": 5, "points written": 5}
    assert await held(either) == {}
    await assert_in_order(either)


async def test_what_a_person_released_knowingly_is_not_held_again(bench: Workbench) -> None:
    await bench.apply(WELCOME)
    change(bench, "PATCH", "lists/Welcome Flow", name="Hello")
    await _sent(bench, range(2))
    assert (await held(bench))["welcome", "welcome"] == ("list_renamed", 2)
    await order(bench, "release")
    await bench.drain()
    # A new engine each time: what was decided is durable.
    await _sent(bench, range(2, 4))
    assert await held(bench) == {}
    assert len([each for each in bench.on_list("Hello") if each.startswith("t")]) == 4
    change(bench, "PATCH", "lists/Hello", name="Once more")
    await _sent(bench, range(4, 5))
    assert (await held(bench))["welcome", "welcome"] == ("list_renamed", 1)


async def test_a_list_that_is_still_gone_is_held_again_after_a_release(bench: Workbench) -> None:
    await bench.apply(WELCOME)
    change(bench, "DELETE", "lists/Welcome Flow")
    await _sent(bench, range(2))
    before = bench.sandbox.world.logged_count
    await order(bench, "release")
    await bench.drain()
    assert await held(bench) == {("welcome", "welcome"): ("target_gone", 2)}
    assert not _writes(bench, before, *LIST_CALLS)


async def test_applying_again_takes_over_what_is_there_now(bench: Workbench) -> None:
    await bench.apply(WELCOME)
    list_id = change(bench, "PATCH", "lists/Welcome Flow", name="Hello")["id"]
    await _sent(bench, range(2))
    await bench.apply(WELCOME.replace("Welcome Flow", "Hello"), unsent="replan")
    await _sent(bench, range(2, 4))
    assert await held(bench) == {}
    assert len([each for each in bench.on_list("Hello") if each.startswith("t")]) == 4
    assert bench.instance.workflow_document("welcome").targets["welcome"].target.id == list_id


async def test_a_gate_whose_segment_was_redefined_is_not_answered(bench: Workbench) -> None:
    await bench.apply(GATED)
    rules = {"type": "profile-property", "property": "properties['Any']", "filter": {"type": "existence"}}
    change(bench, "PATCH", "segments/VIP", definition={"condition_groups": [{"conditions": [rules]}]})
    before = bench.sandbox.world.logged_count
    await _sent(bench, range(3))
    assert await held(bench) == {("gated", "vip"): ("segment_redefined", 6)}
    assert not _writes(bench, before, "get_profiles_for_segment", "create_event")
    assert (await settled(bench)) == {"before written": 3}
    await order(bench, "release")
    await bench.drain()
    assert sum((await settled(bench)).values()) == 9
    assert await held(bench) == {}


async def test_an_inactive_segment_warns_once_and_holds_nothing(bench: Workbench) -> None:
    await bench.apply(GATED)
    change(bench, "PATCH", "segments/VIP", is_active=False)
    await _sent(bench, range(2))
    await _sent(bench, range(2, 4))
    assert await held(bench) == {}
    assert await _found(bench) == [("vip", "segment_inactive")]
    assert [each.kind for each in await bench.instance.journal.notices()] == ["warning"]
    assert len(bench.events("First Points Earned")) == 4


@pytest.mark.parametrize(
    ("how", "cause"),
    [({"status": "draft"}, "flow_not_live"), ({"archived": True}, "flow_archived")],
)
async def test_a_flow_switched_off_holds_what_fires_it(
    either: Workbench, how: dict[str, Any], cause: str
) -> None:
    await either.apply(FLOWS)
    change(either, "PATCH", "flows/Welcome Series", **how)
    before = either.sandbox.world.logged_count
    await _sent(either, range(3))
    # The identifiers of the profile, and the addition: all that the step sends.
    assert await held(either) == {("flows", "series"): (cause, 6)}
    assert not _writes(either, before, *LIST_CALLS)
    assert len(either.events("First Points Earned")) == 3
    change(either, "PATCH", "flows/Welcome Series", status="live", archived=False)
    await order(either, "release")
    await either.drain()
    assert len([each for each in either.on_list("Welcome Flow") if each.startswith("t")]) == 3
    assert await held(either) == {}
    await assert_in_order(either)


async def test_a_flow_whose_trigger_moved_holds_and_says_where_to(bench: Workbench) -> None:
    await bench.apply(FLOWS)
    other = change(bench, "PATCH", "lists/Newsletter", name="Newsletter")["id"]
    change(bench, "PATCH", "flows/Welcome Series", trigger={"type": "list", "id": other})
    before = bench.sandbox.world.logged_count
    await _sent(bench, range(2))
    assert await held(bench) == {("flows", "series"): ("trigger_moved", 4)}
    assert other in await _detail(bench)
    assert not _writes(bench, before, *LIST_CALLS)
    assert len(bench.events("First Points Earned")) == 2


async def test_a_flow_that_another_kind_of_trigger_fires_now_is_found_at_the_oldest_revision(
    either: Workbench,
) -> None:
    await either.apply(FLOWS)
    change(either, "PATCH", "flows/First Points Thanks", trigger={"type": "list", "id": "MeNews"})
    before = either.sandbox.world.logged_count
    await _sent(either, range(2))
    assert await held(either) == {("flows", "thanks"): ("trigger_moved", 2)}
    assert not _writes(either, before, "create_event", "bulk_create_events")
    assert len([each for each in either.on_list("Welcome Flow") if each.startswith("t")]) == 2


async def test_a_metric_that_is_gone_holds_what_fires_a_flow_and_warns_of_events(bench: Workbench) -> None:
    await bench.apply(FLOWS)
    await bench.apply(GATED.replace("workflow: gated", "workflow: told"))
    change(bench, "DELETE", "metrics/First Points Earned")
    await _sent(bench, range(2))
    assert ("flows", "thanks") in await held(bench)
    assert ("told", "after") not in await held(bench)


@pytest.mark.parametrize("renamed", [True, False])
@pytest.mark.parametrize("carriers", [20, 2])
async def test_a_property_of_known_carriers(either: Workbench, carriers: int, renamed: bool) -> None:
    await either.apply(WELCOME)
    await _sent(either, range(carriers))
    if renamed:
        change(either, "POST", "properties/LoyaltyTier/rename", to="Tier of Loyalty")
    else:
        change(either, "DELETE", "properties/LoyaltyTier")
    before = either.sandbox.world.logged_count
    if carriers < 5:
        # With those that are written now they are still too few to tell anything.
        await _sent(either, range(30, 32))
        assert await held(either) == {}
        return
    await _sent(either, range(30, 35))
    cause = "property_renamed" if renamed else "property_vanished"
    assert await held(either) == {("welcome", "tier"): (cause, 5)}
    assert ("Tier of Loyalty" in await _detail(either)) is renamed
    # Whoever has no profile yet is made by the list step or the event: these are steps of their own.
    assert not [each for each in _writes(either, before, *UPSERTS) if "LoyaltyTier" in str(each["body"])]
    assert len(either.events("First Points Earned")) == 25
    assert (await settled(either))["tier written"] == 20

    await order(either, "release")
    await either.drain()
    assert (await settled(either))["tier written"] == 25
    assert await held(either) == {}
    await assert_in_order(either)


@pytest.mark.slow
@pytest.mark.parametrize("known", [0, 6])
async def test_a_property_renamed_in_the_first_seconds_of_a_workflow(bench: Workbench, known: int) -> None:
    """Far fewer carriers than are looked at were written to before; those written to afterwards do not hide it."""

    def check_every(milliseconds: int) -> None:
        bench.set_timing(
            max_check_age_ms=milliseconds,
            recheck_age_ms=milliseconds,
            active_check_interval_ms=milliseconds,
            idle_check_interval_ms=milliseconds,
        )

    async def written(count: int) -> bool:
        return (await settled(bench))["tier written"] == count

    async def read_more(more: int) -> None:
        """Lets carriers be read so many times more."""
        reads = partial(bench.requests, "get_profiles")
        wanted = len(reads()) + more

        async def read() -> bool:
            return len(reads()) >= wanted

        check_every(1)
        bench.hand_on(running.instance)
        await until(bench, read)
        check_every(3_600_000)
        bench.hand_on(running.instance)

    check_every(3_600_000)
    await bench.apply(WELCOME)
    async with engine(bench) as running:
        # The first batch is looked at before it is sent, when nothing is known of anybody.
        await bench.take([points(0)])
        await until(bench, partial(written, 1))
        before = known or 8
        await bench.take(points(number) for number in range(1, before))
        await until(bench, partial(written, before))
        if known:
            await read_more(1)
        change(bench, "POST", "properties/LoyaltyTier/rename", to="Tier of Loyalty")
        await bench.take(points(number) for number in range(before, 40))
        await until(bench, partial(written, 40))
        await read_more(4)
    assert (await held(bench))["welcome", "tier"] == ("property_renamed", 0)
    assert await _found(bench) == [("tier", "property_renamed")]
    assert await _found(bench, "drift_over") == []


async def test_a_property_that_a_workflow_clears_itself_is_not_missed(bench: Workbench) -> None:
    clearing = """\
workflow: clear
connection: maple-ember
trigger: gift_used
profile: {email: data.shopper.email}
steps:
  - id: used
    upsert_profile: {properties: {LoyaltyTier: {value: data.none, clear: true}}}
"""
    await bench.apply(WELCOME)
    await bench.apply(clearing)
    await _sent(bench, range(10))
    await bench.take({**points(n), "id": f"g-{n}", "event": "gift_used"} for n in range(10))
    await bench.drain()
    assert "LoyaltyTier" not in bench.profile("t1@mapleandember.example")["properties"]
    await _sent(bench, range(10, 12))
    assert await held(bench) == {}


async def test_a_revoked_key_holds_every_step_at_once_and_a_new_key_drains(bench: Workbench) -> None:
    await bench.apply(WELCOME)
    await _sent(bench, range(2))
    new = change(bench, "POST", "keys", key="pk_sandbox_maple_ember_second")["key"]
    change(bench, "POST", "keys/revoke", key=bench.sandbox.key)
    before = bench.sandbox.world.logged_count
    await _sent(bench, range(2, 12))
    assert await held(bench) == {
        ("welcome", step): ("key_refused", 10) for step in ("tier", "welcome", "points")
    }
    assert not [each for each in bench.requests(after=before) if each["method"] != "GET"]
    message = [each for each in await bench.instance.journal.notices() if not each.quiet]
    assert len(message) == 1
    await connections.rotate(bench.instance, NAME, new, ACTOR)
    # Probes of scopes are wrong on purpose.
    bench.requests_since = bench.sandbox.world.logged_count
    await bench.drain()
    assert await settled(bench) == {"tier written": 12, "welcome written": 12, "points written": 12}
    await assert_in_order(bench)


async def test_a_flow_that_is_live_again_ends_its_hold_by_itself(bench: Workbench) -> None:
    bench.set_timing(hold_check_interval_ms=0)
    await bench.apply(FLOWS)
    change(bench, "PATCH", "flows/Welcome Series", status="draft")
    await bench.take([points(1)])
    async with engine(bench):
        await until(bench, _holds(bench, True))
        change(bench, "PATCH", "flows/Welcome Series", status="live")
        await until(bench, _holds(bench, False))
        await until(bench, _on_list(bench, "Welcome Flow", "t1@mapleandember.example"))
    assert [entry.actor for entry in await _decided(bench, "release")] == ["askel"]
    assert await _found(bench, "drift_over") == [("series", "flow_not_live")]


async def test_a_running_engine_looks_ahead_and_sends_nothing_after_the_look(bench: Workbench) -> None:
    """The list is renamed while records keep coming: from the look on nothing of its step is sent."""
    bench.set_timing(max_check_age_ms=60, recheck_age_ms=30)
    await bench.apply(WELCOME)
    coming = iter(range(10_000))

    async with engine(bench):

        async def some_added() -> bool:
            await bench.take([points(next(coming))])
            return len(bench.on_list("Welcome Flow")) > 5

        async def is_held() -> bool:
            await bench.take([points(next(coming))])
            return ("welcome", "welcome") in await held(bench)

        await until(bench, some_added)
        change(bench, "PATCH", "lists/Welcome Flow", name="Hello")
        await until(bench, is_held)
        # What was under way had been looked at before: it may still arrive, and is the last of its step.
        [hold] = await bench.instance.journal.holds()
        taken = await bench.take(points(next(coming)) for _ in range(20))
        assert taken.accepted == 20
        events = len(bench.events("First Points Earned"))

        async def events_go_on() -> bool:
            return len(bench.events("First Points Earned")) >= events + 20

        await until(bench, events_go_on)
    total = next(coming)
    late = [each for each in await bench.audit(step="welcome", status="written") if each.at > hold.since + 60]
    assert late == []
    await order(bench, "release")
    await bench.drain()
    assert await settled(bench) == {
        "tier written": total,
        "welcome written": total,
        "points written": total,
    }
    await assert_in_order(bench)


@pytest.mark.slow
async def test_an_account_that_cannot_be_looked_at_is_not_written_to_blindly(bench: Workbench) -> None:
    await bench.apply(WELCOME)
    bench.fault("get_lists", status=503)
    await bench.take([points(1)])
    async with engine(bench):

        async def asked_in_vain() -> bool:
            return len(bench.requests("get_lists")) > 8

        await until(bench, asked_in_vain)
        assert not bench.requests("add_profiles_to_list")
        assert await held(bench) == {}
        bench.sandbox.world.faults.all.clear()
        await until(bench, _on_list(bench, "Welcome Flow", "t1@mapleandember.example"))
    await bench.drain()
    assert await settled(bench) == {"tier written": 1, "welcome written": 1, "points written": 1}


async def test_a_look_takes_few_calls_and_an_idle_connection_almost_none(bench: Workbench) -> None:
    await bench.apply(WELCOME)
    await bench.apply(FLOWS)
    before = bench.sandbox.world.logged_count
    await _sent(bench, range(3))
    reads = [each["endpoint"] for each in bench.requests(after=before) if each["method"] == "GET"]
    assert len(reads) <= 12, reads
    before = bench.sandbox.world.logged_count
    for _ in range(3):
        await bench.drain()
    assert bench.sandbox.world.logged_count == before


async def test_a_workflow_without_targets_to_look_at_waits_for_nobody(bench: Workbench) -> None:
    await bench.apply(WELCOME.replace("  - id: welcome\n    add_to_list: Welcome Flow\n", ""))
    for call in ("get_lists", "get_segments", "get_flows"):
        bench.fault(call, status=503)
    await _sent(bench, range(3))
    assert len(bench.events("First Points Earned")) == 3


def _holds(bench: Workbench, expected: bool) -> Callable[[], Awaitable[bool]]:
    async def true() -> bool:
        await asyncio.sleep(0)
        return bool(await held(bench)) is expected

    return true


def _on_list(bench: Workbench, name: str, email: str) -> Callable[[], Awaitable[bool]]:
    async def true() -> bool:
        return email in bench.on_list(name)

    return true


async def test_a_repaired_version_sends_and_the_older_one_stays_held_until_its_list_is_back(
    bench: Workbench,
) -> None:
    """The list is deleted; the workflow is repaired to name another: looks cover the old version, which does not
    flap."""
    await bench.apply(WELCOME)
    await _sent(bench, range(2))
    change(bench, "DELETE", "lists/Welcome Flow")
    await _sent(bench, range(2, 5))
    change(bench, "POST", "lists", name="Second Start")
    await bench.apply(WELCOME.replace("Welcome Flow", "Second Start"), unsent="keep")
    await _sent(bench, range(5, 7))
    assert bench.on_list("Second Start") == ["t5@mapleandember.example", "t6@mapleandember.example"]
    [hold] = await bench.instance.journal.holds()
    assert (hold.version, hold.cause, hold.waiting) == (1, "target_gone", 3)

    bench.set_timing(hold_check_interval_ms=0)
    before = bench.sandbox.world.logged_count
    async with engine(bench):
        seen = len(await _decided(bench, "drift"))
        await until(bench, lambda: _looked_again(bench, before))
        assert [each.key for each in await bench.instance.journal.holds()] == [hold.key]
        assert len(await _decided(bench, "drift")) == seen
        change(bench, "POST", "lists/Welcome Flow/restore")
        await until(bench, lambda: _sent_to(bench, "Welcome Flow", 3 + 2))
    assert await held(bench) == {}
    await assert_in_order(bench)


async def _looked_again(bench: Workbench, before: int) -> bool:
    return len(bench.requests("get_lists", after=before)) >= 3


async def _sent_to(bench: Workbench, name: str, count: int) -> bool:
    return len(bench.on_list(name)) == count
