"""A canary: the first people are written at the new revision and read back before all others follow."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from askel_tui.services.revisions.canary import CanaryStopped
from askel_tui.services.revisions.moving import back, move
from askel_tui.services.revisions.rehearsal import rehearse
from askel_tui.sync.instance import now_ms
from tests.support.bad_days import WELCOME, assert_in_order, brisk, engine, settled, until
from tests.support.workbench import ACTOR, NAME, Workbench, points

__all__ = ["brisk"]

pytestmark = pytest.mark.usefixtures("brisk")

OLD, NEW, COUNT = "2026-07-15", "2026-10-15", 40


async def _moving(bench: Workbench) -> asyncio.Task[Mapping[str, Any]]:
    """Starts a move of a connection, which takes records then."""
    moving = asyncio.create_task(move(bench.instance, NAME, ACTOR, yes=True))

    async def begun() -> bool:
        return bench.instance.state.connection(NAME).canary is not None

    await until(bench, begun)
    await bench.take(points(number) for number in range(COUNT))
    return moving


async def _prepare(bench: Workbench) -> None:
    """A rehearsed workflow; a minute of the clock is two seconds."""
    began = now_ms()
    bench.set_clock(lambda: began + (now_ms() - began) * 30)
    await bench.apply(WELCOME)
    bench.instance.state.change_connection(NAME, revision=OLD)
    assert (await rehearse(bench.instance, NAME, ACTOR)).is_safe


def _revisions_by_person(bench: Workbench) -> dict[str, list[str]]:
    """The revisions of each person's writes, in their order."""
    found: dict[str, list[str]] = {}
    for entry in bench.requests(after=bench.requests_since):
        text = json.dumps(entry["body"])
        if entry["method"] == "POST" and "@" in text:
            for number in range(COUNT):
                if f'"t{number}@mapleandember.example"' in text:
                    found.setdefault(f"t{number}", []).append(entry["revision"])
    return found


@pytest.mark.slow
async def test_the_first_people_go_first_and_all_others_follow(bench: Workbench) -> None:
    await _prepare(bench)
    async with engine(bench):
        moving = await _moving(bench)
        moved = await moving
        assert (moved["revision"], moved["canary"]["records"], moved["canary"]["unchecked"]) == (NEW, 20, {})

        async def done() -> bool:
            return len(bench.events("First Points Earned")) == COUNT

        await until(bench, done)
    by_person = _revisions_by_person(bench)
    assert len(by_person) == COUNT
    first = [person for person, revisions in by_person.items() if set(revisions) == {NEW}]
    assert len(first) == 20
    assert all(revisions == sorted(revisions) for revisions in by_person.values())
    assert await settled(bench) == dict.fromkeys(("tier written", "welcome written", "points written"), COUNT)
    await assert_in_order(bench)


async def test_a_canary_whose_events_are_lost_stops_before_the_move(bench: Workbench) -> None:
    await _prepare(bench)
    bench.sandbox.world.change_settings({"lose_events_at": NEW})
    async with engine(bench):
        moving = await _moving(bench)
        with pytest.raises(CanaryStopped, match="20 of what was sent are missing as events"):
            await moving
        document = bench.instance.state.connection(NAME)
        assert (document.revision, document.canary, document.before_move) == (OLD, None, None)

        async def done() -> bool:
            return len(bench.events("First Points Earned")) == COUNT - 20

        await until(bench, done)
        since = bench.sandbox.world.logged_count
        await bench.take([points(COUNT)])

        async def one_more() -> bool:
            return len(bench.events("First Points Earned")) == COUNT - 19

        await until(bench, one_more)
    assert {each["revision"] for each in bench.requests("create_event", after=since)} == {OLD}
    kinds = [each.kind for each in await bench.audit() if each.kind.startswith("revision")]
    assert kinds == ["revision_canary", "revision_canary_end"]


async def test_a_canary_that_was_left_is_taken_back(bench: Workbench) -> None:
    await _prepare(bench)
    async with engine(bench):
        moving = await _moving(bench)
        moving.cancel()
        await asyncio.gather(moving, return_exceptions=True)
        assert bench.instance.state.connection(NAME).canary is None
        with pytest.raises(Exception, match="nothing to take back"):
            await back(bench.instance, NAME, ACTOR, yes=True)


async def test_without_a_daemon_nobody_goes_first(bench: Workbench) -> None:
    await _prepare(bench)
    moved = await move(bench.instance, NAME, ACTOR, yes=True)
    assert (moved["revision"], moved["canary"]) == (NEW, None)


async def test_a_write_that_fails_at_the_new_revision_stops_it(bench: Workbench) -> None:
    await _prepare(bench)
    bench.fault("create_event", status=400)
    async with engine(bench):
        moving = await _moving(bench)
        with pytest.raises(CanaryStopped, match="failed at 2026-10-15"):
            await moving
        assert bench.instance.state.connection(NAME).canary is None
