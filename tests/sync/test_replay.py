"""Replay: events once more, with the ids they had, and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from askel_tui.contract.dialects import dialect
from askel_tui.services.replay import (
    ReplayableEvent,
    ReplayRange,
    UnreplayableEvent,
    replay,
    replayable_events,
)
from askel_tui.store.journal.rows import Decision
from askel_tui.sync.engine.commands import CommandRefused
from tests.support.bad_days import WELCOME, brisk, change, engine, held, until
from tests.support.patience import PATIENCE_S
from tests.support.workbench import ACTOR, NAME, Workbench, points

__all__ = ["brisk"]

pytestmark = [pytest.mark.clock, pytest.mark.usefixtures("brisk")]

METRIC = "First Points Earned"
FIRED = """\
workflow: fired
connection: maple-ember
trigger: first_points_earned
profile: {email: data.shopper.email}
steps:
  - id: thanks
    trigger_flow: {flow: First Points Thanks, metric: First Points Earned}
  - id: series
    trigger_flow: {flow: Welcome Series, list: Welcome Flow}
"""


async def _sent(bench: Workbench, count: int = 5) -> None:
    await bench.apply(WELCOME)
    await bench.take(points(number) for number in range(count))
    await bench.drain()


async def _found(bench: Workbench, **wanted: Any) -> list[ReplayableEvent | UnreplayableEvent]:
    return [each async for each in replayable_events(bench.instance, ReplayRange(NAME, **wanted))]


def _single_events(bench: Workbench, after: int) -> list[dict[str, Any]]:
    return [entry["body"]["data"]["attributes"] for entry in bench.requests("create_event", after=after)]


async def test_events_go_again_with_their_ids_and_nothing_else_does(either: Workbench) -> None:
    await _sent(either)
    before = either.events(METRIC)
    requests = either.sandbox.world.logged_count
    assert await replay(either.instance, ReplayRange(NAME), ACTOR) == (5, [])
    await either.drain()
    again = _single_events(either, requests)
    assert {event["unique_id"] for event in again} == {event["unique_id"] for event in before}
    revision = either.instance.state.connection(NAME).revision
    assert {event.get("backfill") for event in again} == {True if dialect(revision).has_backfill else None}
    assert either.events(METRIC) == before
    written = [entry for entry in either.requests(after=requests) if entry["method"] != "GET"]
    assert {entry["endpoint"] for entry in written} == {"create_event"}
    replayed = [entry for entry in await either.audit(step="points") if entry.actor == ACTOR]
    assert [entry.kind for entry in replayed if entry.status == "written"] == ["track_event"] * 5
    assert {(entry.response or {}).get("detail") for entry in replayed} == {"replay"}
    [decision] = await either.audit(kind="replay")
    assert decision.response is not None
    assert decision.response["detail"]["events"] == 5


async def test_entries_of_other_chains_do_not_make_it_read_for_ever(bench: Workbench) -> None:
    await _sent(bench)
    for _ in range(3):
        await bench.instance.journal.write_decision(Decision("setting", ACTOR), bench.instance.clock())
    await _sent(bench, 6)
    async with asyncio.timeout(PATIENCE_S):
        assert len(await _found(bench)) == 6


async def test_what_the_account_lost_is_there_again(bench: Workbench) -> None:
    await _sent(bench)
    metric = next(each for each in bench.sandbox.account.metrics.values() if each.name == METRIC)
    before = {(event["email"], event["unique_id"], event["time"]) for event in bench.events(METRIC)}
    change(bench, "DELETE", f"metrics/{metric.id}")
    bench.sandbox.account.events.clear()
    bench.sandbox.account.event_keys.clear()
    assert bench.events(METRIC) == []
    await replay(bench.instance, ReplayRange(NAME), ACTOR)
    await bench.drain()
    assert {(event["email"], event["unique_id"], event["time"]) for event in bench.events(METRIC)} == before


async def test_a_second_replay_replays_the_originals_not_the_replay(bench: Workbench) -> None:
    await _sent(bench, 3)
    for _ in range(2):
        assert (await replay(bench.instance, ReplayRange(NAME), ACTOR))[0] == 3
        await bench.drain()
    assert len(await _found(bench)) == 3
    # Two at once: a bulk call would hold a unique_id twice.
    await replay(bench.instance, ReplayRange(NAME), ACTOR)
    assert (await replay(bench.instance, ReplayRange(NAME), ACTOR))[0] == 3
    await bench.drain()
    assert await bench.instance.journal.failures() == []
    assert len(bench.events(METRIC)) == 3


async def test_stretches(bench: Workbench) -> None:
    await _sent(bench)
    await bench.apply(FIRED)
    await bench.take(points(number) for number in range(5, 7))
    await bench.drain()

    async def records(**wanted: Any) -> list[str | None]:
        return [each.entry.record for each in await _found(bench, **wanted)]

    assert await records(workflow="welcome", first="t-1", last="t-3") == ["t-1", "t-2", "t-3"]
    assert await records(first="t-5", last="t-5", step="points") == ["t-5"]
    # A flow fired through a list is no event; one fired through its metric is.
    assert await records(workflow="fired") == ["t-5", "t-6"]
    assert await records(workflow="fired", step="series") == []
    entries = await bench.audit(step="points", status="written")
    assert await records(since=entries[-1].at + 1, workflow="welcome") == []
    assert len(await records(until=entries[-1].at, workflow="welcome")) == 7
    with pytest.raises(CommandRefused, match="no record nobody"):
        await _found(bench, first="nobody")


async def test_events_are_made_by_the_version_that_sent_them(bench: Workbench) -> None:
    await _sent(bench, 2)
    await bench.apply(
        WELCOME.replace("properties: {Points: data.points}}", "properties: {New: data.points}}")
    )
    requests = bench.sandbox.world.logged_count
    await replay(bench.instance, ReplayRange(NAME), ACTOR)
    await bench.drain()
    assert sorted(event["properties"]["Points"] for event in _single_events(bench, requests)) == [5, 6]


async def test_what_cannot_be_made_again_is_reported(bench: Workbench) -> None:
    await _sent(bench, 2)
    bench.instance.state.remove_workflow("welcome")
    count, unfit = await replay(bench.instance, ReplayRange(NAME), ACTOR)
    assert count == 0
    assert {each.reason for each in unfit} == {"the version that sent it is no longer kept"}
    assert await bench.audit(kind="replay") == []


@pytest.mark.slow
async def test_a_running_daemon_takes_a_replay_up_and_a_long_one_goes_in_bulk(bench: Workbench) -> None:
    bench.set_limits(max_single_backlog_s=1)
    await _sent(bench, 250)
    requests = bench.sandbox.world.logged_count
    async with engine(bench):
        await replay(bench.instance, ReplayRange(NAME), ACTOR)

        async def done() -> bool:
            entries = await bench.audit(step="points")
            return len([each for each in entries if (each.response or {}).get("detail") == "replay"]) == 250

        await until(bench, done)
    assert bench.requests("bulk_create_events", after=requests)
    assert len(bench.events(METRIC)) == 250
    assert await held(bench) == {}


async def test_without_backfill_flows_may_fire(bench: Workbench) -> None:
    await _sent(bench, 1)
    requests = bench.sandbox.world.logged_count
    await replay(bench.instance, ReplayRange(NAME), ACTOR, backfill=False)
    await bench.drain()
    assert [event.get("backfill") for event in _single_events(bench, requests)] == [None]


async def test_a_held_step_holds_its_replay_too(bench: Workbench) -> None:
    await _sent(bench, 2)
    bench.fault("create_event", status=403, times=1)
    await bench.take([points(9)])
    await bench.drain()
    assert ("welcome", "points") in await held(bench)
    await replay(bench.instance, ReplayRange(NAME), ACTOR)
    await bench.drain()
    assert (await held(bench))["welcome", "points"][1] == 3
