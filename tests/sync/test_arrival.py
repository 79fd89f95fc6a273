"""One profile's operations are sent in the order in which its records were accepted, whatever workflow they are of."""

from __future__ import annotations

from typing import Any

import pytest

from askel_tui.core.planning.steps import AppliedWorkflow
from askel_tui.store.journal.rows import WorkflowState
from askel_tui.sync.planning.planner import Planner
from tests.support.bad_days import assert_in_order, brisk, order, settled
from tests.support.workbench import Workbench

__all__ = ["brisk"]

pytestmark = pytest.mark.usefixtures("brisk")

PEOPLE = [f"p{number}@mapleandember.example" for number in range(7)]
EARNED = """\
workflow: earned
connection: maple-ember
trigger: earned
profile: {email: data.email}
steps:
  - id: profile
    upsert_profile: {properties: {Points: data.points}}
  - id: told
    track_event: {metric: Points Moved, properties: {Points: data.points}}
"""
SPENT = EARNED.replace("earned", "spent")
JOINED = """\
workflow: joined
connection: maple-ember
trigger: earned
profile: {email: data.email}
steps:
  - id: join
    add_to_list: Promotions
"""
LEFT = (
    JOINED.replace("joined", "left")
    .replace("trigger: earned", "trigger: spent")
    .replace("add_to_list", "remove_from_list")
)


def _moved(number: int, event: str, email: str) -> dict[str, Any]:
    return {"id": f"m-{number}", "event": event, "data": {"email": email, "points": number}}


def _sent(bench: Workbench, email: str) -> list[int]:
    """The points in the events of a profile, in the order in which they arrived."""
    return [
        each["body"]["data"]["attributes"]["properties"]["Points"]
        for each in bench.requests("create_event", after=bench.requests_since)
        if each["body"]["data"]["attributes"]["profile"]["data"]["attributes"]["email"] == email
    ]


@pytest.fixture
def small_batches(bench: Workbench) -> None:
    bench.set_limits(records_per_transaction=10, max_passes_per_round=1)


async def test_records_that_two_workflows_take_in_turn(either: Workbench) -> None:
    await either.apply(EARNED)
    await either.apply(SPENT)
    events = ("earned", "spent")
    await either.take([_moved(number, events[number % 2], PEOPLE[0]) for number in range(20)])
    await either.drain()
    assert _sent(either, PEOPLE[0]) == list(range(20))
    assert either.profile(PEOPLE[0])["properties"]["Points"] == 19
    await assert_in_order(either)


@pytest.mark.usefixtures("small_batches")
async def test_a_workflow_with_few_records_does_not_run_ahead_of_one_with_many(bench: Workbench) -> None:
    """`spent` finds all of its records in the first batch, which spans five batches of `earned`."""
    await bench.apply(EARNED)
    await bench.apply(SPENT)
    records = [
        _moved(number, "spent" if number % 9 == 8 else "earned", PEOPLE[number % 7]) for number in range(63)
    ]
    await bench.take(records)
    await bench.drain()
    for which, email in enumerate(PEOPLE):
        assert _sent(bench, email) == [number for number in range(63) if number % 7 == which]
    assert await settled(bench) == {"profile written": 63, "told written": 63}


async def test_who_leaves_after_joining_is_off_the_list(bench: Workbench) -> None:
    await bench.apply(LEFT)
    await bench.apply(JOINED)
    await bench.take(
        [
            _moved(1, "earned", PEOPLE[0]),
            _moved(2, "spent", PEOPLE[0]),
            _moved(3, "earned", PEOPLE[1]),
            _moved(4, "spent", PEOPLE[1]),
            _moved(5, "earned", PEOPLE[1]),
        ]
    )
    await bench.drain()
    assert set(bench.on_list("Promotions")) & set(PEOPLE) == {PEOPLE[1]}


@pytest.mark.usefixtures("small_batches")
async def test_a_workflow_that_catches_up_keeps_no_other_one_waiting(bench: Workbench) -> None:
    await bench.apply(EARNED)
    await bench.apply(SPENT)
    await order(bench, "pause", workflow="earned")
    records = [_moved(number, "earned", PEOPLE[0]) for number in range(30)]
    await bench.take([*records, _moved(30, "spent", PEOPLE[1]), _moved(31, "spent", PEOPLE[0])])
    await bench.drain()
    assert _sent(bench, PEOPLE[0]) == [31]
    await order(bench, "resume", workflow="earned")
    await bench.take([_moved(32, "spent", PEOPLE[1])])
    await bench.drain()
    assert _sent(bench, PEOPLE[1]) == [30, 32]
    assert _sent(bench, PEOPLE[0]) == [31, *range(30)]


@pytest.mark.usefixtures("small_batches")
async def test_a_live_record_does_not_wait_for_the_backfill_of_another_workflow(bench: Workbench) -> None:
    """`earned` is planned no further than it can be sent; what comes for `spent` goes first, unless it is many."""
    bench.set_limits(backfill_min_records=20, max_live_operations=3)
    names = [await bench.apply(EARNED), await bench.apply(SPENT)]
    journal = bench.instance.journal
    await bench.take([_moved(number, "earned", PEOPLE[number % 7]) for number in range(60)])
    await bench.take([_moved(60 + number, "spent", PEOPLE[number]) for number in range(2)])

    async def round_of(full: str | None = None) -> list[str]:
        """The records that one round plans while a workflow has enough waiting."""
        states = {state.workflow: state for state in await journal.workflow_states()}
        active = [(states[name], await _applied(bench, states[name])) for name in names]
        found: list[str] = []
        await Planner(
            journal,
            bench.instance.clock,
            lambda planned, _: found.extend(each.record for each in planned if each.index == 0),
            lambda workflow: workflow == full,
            limits=bench.instance.limits,
        ).plan_round(active)
        return found

    assert await round_of("earned") == ["m-60", "m-61"]
    assert await round_of() == [f"m-{number}" for number in range(10)]
    await bench.drain()
    assert await settled(bench) == {"profile written": 62, "told written": 62}


@pytest.mark.usefixtures("small_batches")
async def test_many_records_wait_for_the_backfill_of_another_workflow(bench: Workbench) -> None:
    bench.set_limits(backfill_min_records=20, max_live_operations=3)
    names = [await bench.apply(EARNED), await bench.apply(SPENT)]
    journal = bench.instance.journal
    records = [_moved(number, "spent" if number % 6 == 5 else "earned", PEOPLE[0]) for number in range(60)]
    await bench.take(records)
    states = {state.workflow: state for state in await journal.workflow_states()}
    active = [(states[name], await _applied(bench, states[name])) for name in names]
    found: list[str] = []
    await Planner(
        journal,
        bench.instance.clock,
        lambda planned, _: found.extend(each.record for each in planned if each.index == 0),
        lambda workflow: workflow == "earned",
        limits=bench.instance.limits,
    ).plan_round(active)
    # What has enough to send is planned on all the same, and nothing of the other goes before it.
    assert found == [f"m-{number}" for number in range(len(found))]
    assert len(found) > 10
    await bench.drain()
    assert _sent(bench, PEOPLE[0]) == list(range(60))


async def _applied(bench: Workbench, state: WorkflowState) -> AppliedWorkflow:
    found = await bench.instance.applied_version(state.workflow, state.version)
    assert found is not None
    return found
