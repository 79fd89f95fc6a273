"""Identifiers of one record that belong to two profiles: the connection says what becomes of it."""

from __future__ import annotations

from typing import Any

import pytest

from askel_tui.services import connections
from tests.support.bad_days import WELCOME, assert_in_order, brisk, change, engine, settled, until
from tests.support.workbench import ACTOR, NAME, Workbench, points

__all__ = ["brisk"]

pytestmark = pytest.mark.usefixtures("brisk")

IMPORT, MERGE = "create_or_update_profile", "merge_profiles"
EMAIL = "t1@mapleandember.example"


def _two(bench: Workbench, number: int = 1) -> tuple[str, str]:
    """Profiles that have the e-mail and the external id of a record between them; their ids."""
    email, reference = f"t{number}@mapleandember.example", f"T-{number}"
    people = [{"email": email}, {"external_id": reference, "first_name": "Ada"}]
    first, second = change(bench, "POST", "profiles", profiles=people)["profiles"]
    return first, second


def _policy(bench: Workbench, policy: str) -> None:
    bench.instance.state.change_connection(NAME, on_conflict=policy)


async def test_it_fails_and_names_both_profiles(either: Workbench) -> None:
    first, second = _two(either)
    await either.apply(WELCOME)
    await either.take([points(1), points(2)])
    await either.drain()
    [failure] = await either.instance.journal.failures()
    assert (failure.record, failure.step) == ("t-1", "tier")
    assert first in failure.reason
    assert second in failure.reason
    assert len(either.events("First Points Earned")) == 1
    assert not either.requests(MERGE, after=either.requests_since)


async def test_the_strongest_identifier_is_written_alone(either: Workbench) -> None:
    _, second = _two(either)
    _policy(either, "strongest")
    await either.apply(WELCOME)
    await either.take([points(1)])
    await either.drain()
    assert await either.instance.journal.failures() == []
    profile = either.profile(EMAIL)
    assert profile["properties"]["LoyaltyTier"] == "gold"
    assert profile.get("external_id") is None
    other = next(each for each in either.state()["profiles"] if each["id"] == second)
    assert other["external_id"] == "T-1"
    assert "LoyaltyTier" not in other["properties"]
    assert await settled(either) == {"tier written": 1, "welcome written": 1, "points written": 1}
    [entry] = await either.audit(step="tier", status="written")
    assert entry.profile == {"email": EMAIL}
    await assert_in_order(either)


async def test_a_running_engine_goes_by_a_policy_that_is_changed(bench: Workbench) -> None:
    _two(bench)
    _two(bench, 2)
    await bench.apply(WELCOME)
    async with engine(bench):
        await bench.take([points(1)])

        async def failed() -> bool:
            return bool(await bench.instance.journal.failures())

        await until(bench, failed)
        await connections.change(bench.instance, NAME, ACTOR, on_conflict="strongest")
        await bench.take([points(2)])

        async def written() -> bool:
            return len(bench.events("First Points Earned")) == 1

        await until(bench, written)
    assert [failure.record for failure in await bench.instance.journal.failures()] == ["t-1"]


async def test_merging_makes_them_one_and_writes_it(either: Workbench) -> None:
    first, second = _two(either)
    _policy(either, "merge")
    await either.apply(WELCOME)
    await either.take([points(1)])
    await either.drain()
    [merge] = either.requests(MERGE, after=either.requests_since)
    assert merge["body"]["data"]["id"] == first
    assert [each["id"] for each in merge["body"]["data"]["relationships"]["profiles"]["data"]] == [second]
    profile = either.profile(EMAIL)
    assert (profile["id"], profile["external_id"], profile["first_name"]) == (first, "T-1", "Ada")
    assert profile["properties"]["LoyaltyTier"] == "gold"
    assert await settled(either) == {"tier written": 1, "welcome written": 1, "points written": 1}
    [decision] = await either.audit(kind="merge")
    message: Any = decision.response
    assert (message["detail"]["destination"], message["detail"]["source"]) == (first, second)
    assert (decision.workflow, decision.step, decision.actor) == ("welcome", "tier", "askel")
    assert decision in await either.audit(record="t-1")
    await assert_in_order(either)


async def test_a_merge_that_takes_its_time_is_ordered_once(bench: Workbench) -> None:
    """The conflict stays for a while after the merge was accepted."""
    _two(bench)
    _policy(bench, "merge")
    await bench.apply(WELCOME)
    bench.fault(MERGE, status=202, times=1)
    await bench.take([points(1)])
    bench.set_limits(max_merge_attempts=4)
    await bench.drain()
    assert len(bench.requests(MERGE, after=bench.requests_since)) == 1
    [failure] = await bench.instance.journal.failures()
    assert failure.step == "tier"
    assert len(bench.requests(IMPORT, after=bench.requests_since)) == 4


async def test_a_merge_that_may_not_be_done_holds_the_step(bench: Workbench) -> None:
    _two(bench)
    _policy(bench, "merge")
    await bench.apply(WELCOME)
    bench.fault(MERGE, status=403, times=1)
    await bench.take([points(1)])
    await bench.drain()
    [hold] = await bench.instance.journal.holds()
    assert (hold.step, hold.cause) == ("tier", "scope_missing")


@pytest.mark.parametrize("policy", ["fail", "strongest", "merge"])
async def test_a_conflict_in_an_import_job_comes_to_the_same(bench: Workbench, policy: str) -> None:
    bench.set_limits(max_single_backlog_s=1)
    first, second = _two(bench, 7)
    _policy(bench, policy)
    await bench.apply(WELCOME)
    await bench.take(points(number) for number in range(300))
    await bench.drain()
    assert bench.requests("bulk_import_profiles", after=bench.requests_since)
    failures = await bench.instance.journal.failures()
    if policy == "fail":
        [failure] = failures
        assert failure.record == "t-7"
        assert first in failure.reason
        assert second in failure.reason
    else:
        assert failures == []
        assert bench.profile("t7@mapleandember.example")["properties"]["LoyaltyTier"] == "gold"
    assert len(bench.events("First Points Earned")) == 300 - len(failures)
    assert len(bench.requests(MERGE, after=bench.requests_since)) == (policy == "merge")
    await assert_in_order(bench)
