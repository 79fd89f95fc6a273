"""A step that is held for two reasons: both are named, and what stays after a release."""

from __future__ import annotations

import pytest

from askel_tui.core.hold_causes import Cause
from askel_tui.core.planning.replanning import Consents
from askel_tui.services import workflows
from askel_tui.services.status import read_status
from askel_tui.store.journal.rows import Decision, Hold
from askel_tui.store.journal.tables.holds.releasing import OWN_ACTOR
from askel_tui.sync.engine.command_bus import submit
from tests.support.bad_days import WELCOME, brisk
from tests.support.workbench import ACTOR, NAME, Workbench, points

__all__ = ["brisk"]

pytestmark = pytest.mark.usefixtures("brisk")

GONE = "the list Welcome Flow"


async def held(bench: Workbench) -> Hold:
    [hold] = [each for each in await bench.instance.journal.holds() if each.waiting]
    return hold


def causes(hold: Hold) -> list[str]:
    return [each.cause for each in hold.reasons]


async def test_what_is_wrong_besides_is_named_and_holds_after_a_release(bench: Workbench) -> None:
    await bench.apply(WELCOME)
    await submit(bench.instance, "hold", {"workflow": "welcome", "step": "welcome"}, ACTOR)
    await bench.take([points(1)])
    bench.delete_list("Welcome Flow")
    await bench.drain()
    assert causes(await held(bench)) == [Cause.PERSON, Cause.TARGET_GONE]
    [shown] = (await read_status(bench.instance)).holds
    assert [GONE in each.detail for each in shown.reasons] == [False, True]
    released = await submit(bench.instance, "release", {"workflow": "welcome"}, ACTOR)
    [stays] = released["holds"][0]["stays"]
    assert GONE in stays["detail"]
    await bench.drain()
    assert causes(await held(bench)) == [Cause.TARGET_GONE]
    # The other way round: a person holds what the account holds already.
    await submit(bench.instance, "hold", {"workflow": "welcome", "step": "welcome"}, ACTOR)
    assert causes(await held(bench)) == [Cause.TARGET_GONE, Cause.PERSON]
    await bench.drain()
    assert causes(await held(bench)) == [Cause.TARGET_GONE, Cause.PERSON]


async def test_what_a_person_holds_stays_where_another_cause_ends_by_itself(bench: Workbench) -> None:
    await bench.apply(WELCOME)
    journal, now = bench.instance.journal, bench.instance.clock()
    await journal.add_hold(Hold(NAME, "welcome", 1, "welcome", Cause.TARGET_GONE, GONE, now), now)
    await bench.take([points(1)])
    await submit(bench.instance, "hold", {"workflow": "welcome", "step": "welcome"}, ACTOR)
    by_itself = Decision("release", OWN_ACTOR, NAME, "welcome", "welcome", {"cause": Cause.TARGET_GONE})
    await journal.release_hold("welcome", "welcome", by_itself, now)
    assert [causes(each) for each in await journal.holds()] == [[Cause.PERSON]]
    await bench.drain()
    assert (await held(bench)).waiting == 1
    assert bench.on_list("Welcome Flow") == []
    counts = (await journal.counts())["welcome"]
    assert (counts.held, counts.waiting) == (1, 0)
    released = await submit(bench.instance, "release", {"workflow": "welcome"}, ACTOR)
    assert released["holds"][0]["stays"] == []
    await bench.drain()
    assert bench.on_list("Welcome Flow") == ["t1@mapleandember.example"]


async def test_both_decisions_that_re_planning_waits_for_are_named(bench: Workbench) -> None:
    await bench.apply(WELCOME)
    await submit(bench.instance, "hold", {"workflow": "welcome", "step": "tier"}, ACTOR)
    moved = points(2, new="moved@mapleandember.example")
    await bench.take([points(1), moved])
    await bench.drain()
    newer = WELCOME.replace(
        "{email: data.shopper.email", '{email: "coalesce(data.shopper.new, data.shopper.email)"'
    )
    newer = newer.replace(
        "trigger: first_points_earned\n", "trigger: first_points_earned\nwhen: data.points != `6`\n"
    )
    await bench.apply(newer, unsent="replan")
    hold = await held(bench)
    assert (hold.version, hold.step) == (1, "tier")
    assert sorted(causes(hold)) == [Cause.OTHER_IDENTITY, Cause.PERSON, Cause.UNMATCHED]
    await workflows.replan(bench.instance, "welcome", ACTOR, Consents(accept_identity=True))
    holds = {each.version: each for each in await bench.instance.journal.holds() if each.waiting}
    assert sorted(causes(holds[1])) == [Cause.PERSON, Cause.UNMATCHED]
    assert causes(holds[2]) == [Cause.PERSON]
    await workflows.replan(bench.instance, "welcome", ACTOR, Consents(close_unmatched=True))
    await submit(bench.instance, "release", {"workflow": "welcome"}, ACTOR)
    await bench.drain()
    assert await bench.instance.journal.holds() == []
    assert bench.profile("moved@mapleandember.example")["properties"]["LoyaltyTier"] == "gold"
