"""Drift while records keep coming: within 15 s nothing more of the step is sent, and nothing is lost."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from tests.support.bad_days import WELCOME, assert_in_order, change, engine, held, order, settled, until
from tests.support.receiver import receiver
from tests.support.workbench import NAME, Workbench, points

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

IN_TIME_MS = 15_000
"""How long after a change its step may still be sent."""
AFTERWARDS_MS = 4_000
"""How long records keep coming after that."""
CARRIERS = 20
EVERY_S = 0.06
SERIES = """\
workflow: welcome
connection: maple-ember
trigger: first_points_earned
profile: {email: data.shopper.email, external_id: data.shopper.id}
steps:
  - id: tier
    upsert_profile: {properties: {Points: data.points}}
  - id: welcome
    trigger_flow: {flow: Welcome Series, list: Welcome Flow}
  - id: points
    track_event: {metric: First Points Earned, value: data.points, properties: {Points: data.points}}
"""


def _added(bench: Workbench, after: int) -> Iterator[tuple[int, list[str]]]:
    """When a list call came in, and whom it adds."""
    emails = {profile["id"]: profile["email"] for profile in bench.state()["profiles"]}
    for entry in bench.requests("add_profiles_to_list", after=after):
        yield entry["received_ms"], [emails[row["id"]] for row in entry["body"]["data"]]


def _upserted(bench: Workbench, after: int) -> Iterator[tuple[int, list[str]]]:
    """When an upsert of the tier came in, and whom it is about."""
    for entry in bench.requests(after=after):
        if entry["endpoint"] == "create_or_update_profile":
            rows = [entry["body"]["data"]]
        elif entry["endpoint"] == "bulk_import_profiles":
            rows = entry["body"]["data"]["attributes"]["profiles"]["data"]
        else:
            continue
        tiers = [row for row in rows if "LoyaltyTier" in row["attributes"].get("properties", {})]
        if tiers:
            yield entry["received_ms"], [row["attributes"]["email"] for row in tiers]


def _delete_list(bench: Workbench) -> None:
    change(bench, "DELETE", "lists/Welcome Flow")


def _restore_list(bench: Workbench) -> None:
    change(bench, "POST", "lists/Welcome Flow/restore")


def _flow_off(bench: Workbench) -> None:
    change(bench, "PATCH", "flows/Welcome Series", status="draft")


def _flow_on(bench: Workbench) -> None:
    change(bench, "PATCH", "flows/Welcome Series", status="live")


def _rename(bench: Workbench) -> None:
    change(bench, "POST", "properties/LoyaltyTier/rename", to="Tier of Loyalty")


def _leave(bench: Workbench) -> None:
    """What was renamed stays so: a person decides that what waits is sent all the same."""


Way = Callable[[Workbench], None]
Sent = Callable[[Workbench, int], Iterator[tuple[int, list[str]]]]

CHANGES: Mapping[str, tuple[str, str, str, Way, Way, Sent]] = {
    "a list is deleted": (WELCOME, "welcome", "target_gone", _delete_list, _restore_list, _added),
    "a flow is switched off": (SERIES, "welcome", "flow_not_live", _flow_off, _flow_on, _added),
    "a property is renamed": (WELCOME, "tier", "property_renamed", _rename, _leave, _upserted),
}


class _Coming:
    """Records that keep coming, every third one of the same person."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self.count = CARRIERS
        self._stop = asyncio.Event()

    async def run(self) -> None:
        while not self._stop.is_set():
            number = self.count
            self.count += 1
            same = {"id": "T-0", "email": "t0@mapleandember.example"} if number % 3 == 0 else {}
            await self._bench.take([points(number, **same)])
            try:
                async with asyncio.timeout(EVERY_S):
                    await self._stop.wait()
            except TimeoutError:
                continue

    def stop(self) -> None:
        self._stop.set()


@pytest.mark.parametrize("what", CHANGES)
async def test_within_fifteen_seconds_its_step_is_held_and_all_of_it_arrives_in_the_end(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    workflow, step, cause, change_it, put_right, sent = CHANGES[what]
    monkeypatch.setenv("ASKEL_BUDGETS", "off")
    await bench.apply(workflow)
    await bench.take(points(number) for number in range(CARRIERS))
    await bench.drain()
    coming = _Coming(bench)
    async with receiver() as hook:
        bench.instance.state.change_connection(NAME, notify=(hook.url("s3cret"),))
        async with engine(bench):
            feeding = asyncio.create_task(coming.run())

            async def goes() -> bool:
                return len(bench.events("First Points Earned")) > CARRIERS + 5

            await until(bench, goes)
            begun = bench.sandbox.world.logged_count
            change_it(bench)
            changed = time.time() * 1000

            async def notified_and_late() -> bool:
                late = time.time() * 1000 > changed + IN_TIME_MS + AFTERWARDS_MS
                return late and bool(hook.taken)

            await until(bench, notified_and_late)
            assert (await held(bench))["welcome", step][0] == cause
            at = [received for received, _ in sent(bench, begun)]
            assert not [each for each in at if each > changed + IN_TIME_MS]
            assert {hold.step for hold in await bench.instance.journal.holds()} == {step}
            coming.stop()
            await feeding

            async def others_are_done() -> bool:
                return len(bench.events("First Points Earned")) == coming.count

            await until(bench, others_are_done)
            [message] = hook.taken
            assert (message["kind"], message["cause"]) == ("hold", cause)
            assert [each["step"] for each in message["steps"]] == [step]
            assert hook.signed_with("s3cret")

            put_right(bench)
            released = bench.sandbox.world.logged_count
            if await held(bench):
                await order(bench, "release", workflow="welcome", step=step)

            async def done() -> bool:
                ended = await settled(bench)
                return ended[f"{step} written"] >= coming.count

            await until(bench, done)
        await bench.drain()
        assert [each["kind"] for each in hook.taken] == ["hold", "recovery"]
    ended = await settled(bench)
    assert {each: ended[f"{each} written"] for each in ("tier", "welcome", "points")} == {
        "tier": coming.count,
        "welcome": coming.count,
        "points": coming.count,
    }
    assert await bench.instance.journal.failures() == []
    _assert_order(bench, released, sent)
    await assert_in_order(bench)


def _assert_order(bench: Workbench, released: int, sent: Sent) -> None:
    """What waited is sent in the order of its arrival: whoever came first, and of one person the older first."""
    emails = [email for _, group in sent(bench, released) for email in group]
    numbers = [int(email.partition("@")[0][1:]) for email in dict.fromkeys(emails)]
    others = [number for number in numbers if number]
    assert len(others) > 20
    if sent is _added:
        assert others == sorted(others)
    values: dict[str, list[int]] = defaultdict(list)
    for entry in bench.requests("create_or_update_profile"):
        attributes: dict[str, Any] = entry["body"]["data"]["attributes"]
        if "Points" in attributes.get("properties", {}):
            values[attributes["email"]].append(attributes["properties"]["Points"])
    for email, found in values.items():
        assert found == sorted(found), email
