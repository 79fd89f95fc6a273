"""Repaired workflows: what was held or waited goes out as the new version plans it, and never as the old one did."""

from __future__ import annotations

from typing import Any

import pytest

from askel_tui.core.planning.replanning import Consents
from askel_tui.services import workflows
from askel_tui.services.replanning import UnsentOperations
from askel_tui.services.replay import ReplayRange, replay
from askel_tui.store.sqlite.journal import SqliteJournal
from askel_tui.sync.engine.commands import CommandRefused
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

REPAIRED = WELCOME.replace("LoyaltyTier:", "LoyaltyLevel:")


@pytest.fixture(autouse=True)
def at_once(bench: Workbench) -> None:
    bench.set_timing(property_confirm_delay_s=0.0)


async def _sent(bench: Workbench, numbers: range) -> None:
    await bench.take(points(number) for number in numbers)
    await bench.drain()


async def _activate(bench: Workbench, unsent: Any = "replan", **agreed: bool) -> dict[str, Any]:
    return dict(
        await workflows.activate(bench.instance, "welcome", ACTOR, unsent=unsent, consents=Consents(**agreed))
    )


async def _rename_and_hold(bench: Workbench) -> None:
    """Twenty shoppers with a tier; the property is renamed, and the tiers of five more are held."""
    await bench.apply(WELCOME)
    await _sent(bench, range(20))
    change(bench, "POST", "properties/LoyaltyTier/rename", to="LoyaltyLevel")
    await _sent(bench, range(20, 25))
    assert await held(bench) == {("welcome", "tier"): ("property_renamed", 5)}


async def test_a_renamed_property_is_repaired_and_everybody_gets_the_new_one(bench: Workbench) -> None:
    await _rename_and_hold(bench)
    await bench.apply(REPAIRED, activate=False)
    before = bench.sandbox.world.logged_count
    result = await _activate(bench)
    assert result["replanned"] == {"replanned": 5}
    assert await held(bench) == {}
    await _sent(bench, range(25, 27))

    for number in range(27):
        properties = bench.profile(f"t{number}@mapleandember.example")["properties"]
        assert properties["LoyaltyLevel"] == "gold"
        assert "LoyaltyTier" not in properties
    writes = [str(each["body"]) for each in bench.requests(after=before) if each["method"] == "POST"]
    assert not [body for body in writes if "LoyaltyTier" in body]
    assert await held(bench) == {}
    notices = await bench.instance.journal.notices()
    assert [each.kind for each in notices] == ["hold", "recovery"]
    assert await settled(bench) == {"tier written": 27, "welcome written": 27, "points written": 27}
    await assert_in_order(bench)


async def test_a_list_made_anew_is_repaired_and_everybody_is_put_on_it(bench: Workbench) -> None:
    await bench.apply(WELCOME)
    await _sent(bench, range(2))
    change(bench, "DELETE", "lists/Welcome Flow")
    change(bench, "POST", "lists", name="Welcome Flow")
    await _sent(bench, range(2, 5))
    assert await held(bench) == {("welcome", "welcome"): ("made_anew", 3)}

    await bench.apply(WELCOME, activate=False)
    assert (await _activate(bench))["replanned"] == {"replanned": 3}
    before = bench.sandbox.world.logged_count
    await _sent(bench, range(5, 6))
    waited = [f"t{number}@mapleandember.example" for number in range(2, 6)]
    assert bench.on_list("Welcome Flow") == waited
    assert await held(bench) == {}
    assert {each["status"] for each in bench.requests(after=before)} <= {200, 201, 202, 204}
    await assert_in_order(bench)


async def test_plans_that_are_kept_stay_in_their_hold_and_do_not_stop_the_new_version(
    bench: Workbench,
) -> None:
    await _rename_and_hold(bench)
    await bench.apply(REPAIRED, activate=False)
    with pytest.raises(UnsentOperations) as asked:
        await _activate(bench, unsent=None)
    totals = asked.value.preview.totals
    assert (totals.records, dict(totals.replanned)) == (5, {"tier": 5})
    [first, *_] = asked.value.preview.records
    [tier] = first.operations
    assert tier.before is not None
    assert tier.after is not None
    assert (tier.before.body["properties"], tier.after.body["properties"]) == (
        {"LoyaltyTier": "gold", "Points": 25},
        {"LoyaltyLevel": "gold", "Points": 25},
    )

    await _activate(bench, unsent="keep")
    await _sent(bench, range(25, 27))
    assert await held(bench) == {("welcome", "tier"): ("property_renamed", 5)}
    assert bench.profile("t26@mapleandember.example")["properties"]["LoyaltyLevel"] == "gold"

    # What was kept may be planned anew later on, and leaves out what later records have written since.
    await bench.take([{**points(20), "id": "newer", "data": {**points(20)["data"], "points": 99}}])
    await bench.drain()
    await order(bench, "replan", workflow="welcome")
    await bench.drain()
    assert await held(bench) == {}
    assert bench.profile("t20@mapleandember.example")["properties"] == {"LoyaltyLevel": "gold", "Points": 99}
    assert bench.profile("t21@mapleandember.example")["properties"] == {"LoyaltyLevel": "gold", "Points": 26}


async def test_other_holds_stay_and_what_was_planned_anew_waits_in_them(bench: Workbench) -> None:
    await bench.apply(WELCOME)
    await order(bench, "hold", workflow="welcome", step="tier")
    await _sent(bench, range(3))
    assert await held(bench) == {("welcome", "tier"): ("person", 3)}
    await bench.apply(REPAIRED, activate=False)
    await _activate(bench)
    [hold] = await bench.instance.journal.holds()
    assert (hold.version, hold.cause, hold.waiting) == (2, "person", 3)
    await bench.drain()
    assert "LoyaltyLevel" not in str(bench.state()["profiles"])
    await order(bench, "release")
    await bench.drain()
    assert bench.profile("t2@mapleandember.example")["properties"] == {"LoyaltyLevel": "gold", "Points": 7}


async def test_what_waits_in_a_running_engine_goes_out_as_the_new_version_plans_it(bench: Workbench) -> None:
    """Operations of one profile that wait in memory, behind one that Klaviyo refuses for its limit, in order."""
    await bench.apply(WELCOME)
    bench.fault("create_or_update_profile", status=429, times=10_000)
    async with engine(bench):
        await bench.take(points(number, email="one@mapleandember.example", id="one") for number in range(8))
        await until(bench, lambda: _waiting(bench, 24))
        await bench.apply(REPAIRED, activate=False)
        result = await _activate(bench)
        bench.sandbox.world.faults.all.clear()
        await until(bench, lambda: _waiting(bench, 0))
    replanned = result["replanned"]
    assert replanned["replanned"] + replanned.get("kept", 0) == 24
    assert replanned.get("kept", 0) <= 1
    one = bench.profile("one@mapleandember.example")
    assert (one["properties"]["LoyaltyLevel"], one["properties"]["Points"]) == ("gold", 12)
    events = bench.events("First Points Earned")
    assert [event["value"] for event in events] == sorted(event["value"] for event in events)
    await assert_in_order(bench)


PHONE = WELCOME.replace("email: data.shopper.email", "email: data.shopper.mail")


async def _holds(bench: Workbench) -> set[tuple[int, str, int]]:
    return {(each.version, each.cause, each.waiting) for each in await bench.instance.journal.holds()}


async def _held_tiers(bench: Workbench, **shopper: Any) -> None:
    """Three records whose tier a person holds under version 1; the rest of them was sent."""
    await bench.apply(WELCOME)
    await order(bench, "hold", workflow="welcome", step="tier")
    await bench.take(
        points(number, mail=f"new{number}@mapleandember.example", **shopper) for number in range(3)
    )
    await bench.drain()


async def test_a_record_that_gets_another_profile_is_sent_to_neither_until_a_person_says_so(
    bench: Workbench,
) -> None:
    await _held_tiers(bench)
    await bench.apply(PHONE, activate=False)
    assert (await _activate(bench))["replanned"] == {"held": 3}
    before = bench.sandbox.world.logged_count
    assert await _holds(bench) == {(1, "other_identity", 3), (2, "person", 0)}
    with pytest.raises(CommandRefused, match="--accept-identity"):
        await order(bench, "release", workflow="welcome", version=1)
    await bench.drain()
    assert not [each for each in bench.requests(after=before) if each["method"] == "POST"]

    await order(bench, "replan", workflow="welcome", consents={"accept_identity": True})
    await order(bench, "release", workflow="welcome")
    await bench.drain()
    assert await held(bench) == {}
    for number in range(3):
        assert bench.profile(f"new{number}@mapleandember.example")["properties"]["LoyaltyTier"] == "gold"
    await assert_in_order(bench)


async def test_a_record_that_the_new_version_refuses_is_held_until_it_is_closed(bench: Workbench) -> None:
    await _held_tiers(bench)
    await bench.apply(WELCOME.replace("\nprofile:", "\nwhen: data.points > `6`\nprofile:"), activate=False)
    assert (await _activate(bench))["replanned"] == {"held": 2, "replanned": 1}
    assert await _holds(bench) == {(1, "unmatched", 2), (2, "person", 1)}
    await order(bench, "release")
    await bench.drain()
    assert await _holds(bench) == {(1, "unmatched", 2)}
    await order(bench, "replan", workflow="welcome", consents={"close_unmatched": True})
    assert await held(bench) == {}
    closed = await bench.audit(status="discarded")
    assert [(each.record, each.actor) for each in closed] == [("t-0", ACTOR), ("t-1", ACTOR)]
    assert "version 2 refuses the record" in str(closed[0].response)
    assert (await bench.instance.journal.counts())["welcome"].held == 0
    await assert_in_order(bench)


async def test_a_step_that_is_gone_is_closed_and_a_new_one_is_added_once(bench: Workbench) -> None:
    await _held_tiers(bench)
    changed = WELCOME.replace("  - id: tier\n    upsert", "  - id: level\n    upsert") + (
        "  - id: promotions\n    add_to_list: Newsletter\n"
    )
    await bench.apply(changed, activate=False)
    # The tier step goes on under its new name: it is the only one of its kind.
    assert (await _activate(bench))["replanned"] == {"replanned": 3, "added": 3}
    await order(bench, "release")
    await bench.drain()
    assert len(bench.on_list("Newsletter")) >= 3
    await bench.apply(
        WELCOME.replace("- id: tier", "- id: other").replace("LoyaltyTier", "X"), activate=False
    )
    assert (await _activate(bench, unsent=None))["replanned"] == {}
    assert (await settled(bench))["promotions written"] == 3
    await assert_in_order(bench)


@pytest.mark.parametrize("parts", [0, 1, 2])
async def test_re_planning_that_was_interrupted_goes_on_before_anything_is_sent(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, parts: int
) -> None:
    await _rename_and_hold(bench)
    await bench.apply(REPAIRED, activate=False)
    bench.set_limits(records_per_transaction=2)
    done: list[Any] = []

    async def interrupted(journal: SqliteJournal, *given: Any) -> list[int]:
        if len(done) == parts:
            raise Interrupted
        done.append(given)
        return await apply(journal, *given)

    apply = SqliteJournal.apply_replans
    with monkeypatch.context() as patched:
        patched.setattr(SqliteJournal, "apply_replans", interrupted)
        with pytest.raises(Interrupted):
            await _activate(bench)
    assert len(done) == parts
    before = bench.sandbox.world.logged_count
    await _sent(bench, range(25, 27))
    for number in range(27):
        assert bench.profile(f"t{number}@mapleandember.example")["properties"]["LoyaltyLevel"] == "gold"
    assert "LoyaltyTier" not in str([each["body"] for each in bench.requests(after=before)])
    [ended] = await bench.audit(kind="replanned")
    assert (ended.response or {})["detail"] == {"version": 2, "replanned": 5}
    assert await held(bench) == {}
    await assert_in_order(bench)


async def _failed_tiers(bench: Workbench) -> list[int]:
    """Three records whose tier Klaviyo refused under version 1; version 2 is active. Returns the failures' ids."""
    await bench.apply(WELCOME)
    bench.fault("create_or_update_profile", status=400, times=3)
    await _sent(bench, range(3))
    bench.sandbox.world.faults.all.clear()
    await bench.apply(REPAIRED)
    return [each.id for each in await bench.instance.journal.failures("welcome")]


@pytest.mark.parametrize("as_planned", [False, True])
async def test_failures_are_retried_as_the_version_that_runs_plans_them(
    bench: Workbench, as_planned: bool
) -> None:
    failures = await _failed_tiers(bench)
    # Written since, by a later record: it stays.
    await bench.take([{**points(0), "id": "newer", "data": {**points(0)["data"], "points": 99}}])
    await bench.drain()
    result = await order(bench, "retry", ids=failures, as_planned=as_planned)
    assert (result["retried"], result["replanned"]) == (3, {} if as_planned else {"replanned": 9})
    await bench.drain()
    name = "LoyaltyTier" if as_planned else "LoyaltyLevel"
    for number in range(1, 3):
        assert bench.profile(f"t{number}@mapleandember.example")["properties"] == {
            name: "gold",
            "Points": 5 + number,
        }
    newer = bench.profile("t0@mapleandember.example")["properties"]
    assert (newer["Points"], newer["LoyaltyLevel"]) == (99, "gold")
    assert await bench.instance.journal.failures("welcome") == []
    assert len(bench.events("First Points Earned")) == 4
    await assert_in_order(bench)


async def test_what_was_discarded_is_kept_and_can_be_taken_up_again(bench: Workbench) -> None:
    await _held_tiers(bench)
    await order(bench, "discard", workflow="welcome")
    bench.fault("create_or_update_profile", status=400, times=1)
    await order(bench, "release")
    await _sent(bench, range(5, 6))
    await order(bench, "discard_failed", ids=[each.id for each in await bench.instance.journal.failures()])
    counts = (await bench.instance.journal.counts())["welcome"]
    assert (counts.held, counts.failed, counts.discarded) == (0, 0, 6)
    kept = await bench.instance.journal.failures("welcome", discarded=True)
    assert [(each.record, each.step) for each in kept] == [(f"t-{n}", "tier") for n in (0, 1, 2, 5)]
    assert len(await bench.audit(status="discarded")) == 6

    bench.sandbox.world.faults.all.clear()
    await bench.apply(REPAIRED)
    result = await order(bench, "retry", ids=[each.id for each in kept])
    assert (result["retried"], result["replanned"]) == (4, {"replanned": 6})
    await bench.drain()
    for number in (0, 1, 2, 5):
        assert bench.profile(f"t{number}@mapleandember.example")["properties"]["LoyaltyLevel"] == "gold"
    counts = (await bench.instance.journal.counts())["welcome"]
    assert (counts.waiting, counts.held, counts.failed, counts.discarded) == (0, 0, 0, 0)
    assert await bench.instance.journal.failures("welcome", discarded=True) == []
    await assert_in_order(bench)


async def test_what_may_have_been_written_stays_as_it_was_planned(bench: Workbench) -> None:
    """An answer was lost: the upsert may have arrived. It is tried again as it was, the rest is planned anew."""
    await bench.apply(WELCOME)
    bench.fault("create_or_update_profile", status=503, times=100)
    async with engine(bench):
        await bench.take([points(1)])
        await until(bench, lambda: _tried(bench))
        await bench.apply(
            REPAIRED.replace("value: data.points,", "value: data.points, value_currency: \"'EUR'\","),
            activate=False,
        )
        result = await _activate(bench)
        bench.sandbox.world.faults.all.clear()
        await until(bench, lambda: _waiting(bench, 0))
    assert result["replanned"] == {"kept": 1, "replanned": 2}
    assert bench.profile("t1@mapleandember.example")["properties"] == {"LoyaltyTier": "gold", "Points": 6}
    [event] = bench.requests("create_event", after=bench.requests_since)
    assert "EUR" in str(event["body"])
    assert await settled(bench) == {"tier written": 1, "welcome written": 1, "points written": 1}
    await assert_in_order(bench)


async def _tried(bench: Workbench) -> bool:
    waiting = await bench.instance.journal.waiting_operations([NAME], 0, 10)
    return any(each.attempts > 0 for each in waiting)


async def test_consent_in_doubt_stays_and_the_consent_behind_it_waits_with_it(bench: Workbench) -> None:
    consent = WELCOME + "  - id: opt-in\n    subscribe: {channels: [email], custom_source: Till}\n"
    await bench.apply(consent)
    bench.fault("bulk_subscribe_profiles", reset=True, times=1)
    await _sent(bench, range(1))
    await _sent(bench, range(1, 3))
    assert await held(bench) == {("welcome", "opt-in"): ("in_doubt", 3)}
    await bench.apply(consent.replace("Till", "Web"), activate=False)
    assert (await _activate(bench))["replanned"] == {"replanned": 2}
    await bench.drain()
    assert await _holds(bench) == {(1, "in_doubt", 1), (2, "in_doubt", 2)}
    before = bench.sandbox.world.logged_count
    await order(bench, "release")
    await bench.drain()
    sent = {
        profile["attributes"]["email"][:2]: "Web" in str(each["body"])
        for each in bench.requests("bulk_subscribe_profiles", after=before)
        for profile in each["body"]["data"]["attributes"]["profiles"]["data"]
    }
    assert sent == {"t0": False, "t1": True, "t2": True}
    assert await held(bench) == {}
    await assert_in_order(bench)


async def test_the_event_of_a_renamed_step_is_the_same_event_and_can_be_replayed(bench: Workbench) -> None:
    """The id that its unique ids come from stays with the step, and a new step of the old name gets one of its own."""
    await bench.apply(WELCOME)
    await order(bench, "hold", workflow="welcome", step="points")
    await _sent(bench, range(2))
    renamed = WELCOME.replace("id: points", "id: earned")
    await bench.apply(renamed, unsent="replan")
    await order(bench, "release")
    await _sent(bench, range(2, 3))
    applied = await bench.instance.applied_version("welcome", 2)
    assert applied is not None
    assert applied.event_steps == {"earned": "points"}
    before = bench.events("First Points Earned")
    assert len({event["unique_id"] for event in before}) == 3
    assert await replay(bench.instance, ReplayRange(NAME), ACTOR) == (3, [])
    await bench.drain()
    assert bench.events("First Points Earned") == before
    again = WELCOME.replace("id: points", "id: earned") + WELCOME[WELCOME.index("  - id: points") :]
    await bench.apply(again)
    applied = await bench.instance.applied_version("welcome", 3)
    assert applied is not None
    assert applied.event_steps == {"earned": "points", "points": "points@3"}


class Interrupted(Exception):
    """Stands for kill -9."""


async def _waiting(bench: Workbench, wanted: int) -> bool:
    counts = (await bench.instance.journal.counts()).get("welcome")
    return counts is not None and counts.waiting == wanted
