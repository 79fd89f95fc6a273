"""A key that is revoked while an import job runs: the next key follows the job, and its rows are not sent again."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from askel_tui.services.status import read_status
from askel_tui.sync.instance import now_ms
from tests.support.bad_days import (
    WELCOME,
    assert_in_order,
    brisk,
    change,
    engine,
    held,
    order,
    rotate,
    settled,
    until,
)
from tests.support.patience import PATIENCE_S
from tests.support.workbench import NAME, Workbench, bench_of, points

__all__ = ["brisk"]

pytestmark = pytest.mark.usefixtures("brisk")

MANY_RECORDS = 200
IMPORT, JOB_LIST_CALL = "bulk_import_profiles", "get_bulk_import_profiles_jobs"
METRIC = "First Points Earned"
NEVER_S = 3_600.0
HOURS_MS = 36_000_000
TIER, LISTED = ("welcome", "tier"), ("welcome", "welcome")


@pytest.fixture(autouse=True)
def _in_bulk(request: pytest.FixtureRequest) -> None:
    if (bench := bench_of(request)) is not None:
        bench.set_timing(
            first_poll_s=0.02, max_poll_interval_s=0.05, job_visible_after_s=0.1, job_drain_s=0.1
        )
        bench.set_limits(max_single_backlog_s=1)


def _sent(bench: Workbench, *, updates: bool = False) -> Counter[str]:
    """How often each profile was in an import job, or only in those that update it."""
    return Counter(
        row["attributes"]["email"]
        for call in bench.requests(IMPORT)
        if call["status"] in (202, "lost")
        for row in call["body"]["data"]["attributes"]["profiles"]["data"]
        if not updates or row["attributes"].get("properties")
    )


def _later(number: int) -> dict[str, Any]:
    """A newer record of the same profile."""
    record = points(number)
    return {**record, "id": f"later-{number}", "data": {**record["data"], "points": 1_000}}


def _new_key(bench: Workbench, word: str = "second") -> str:
    key: str = change(bench, "POST", "keys", key=f"pk_sandbox_maple_ember_{word}")["key"]
    return key


def _lose(bench: Workbench, how: str) -> None:
    """The key that was connected with is of no use for jobs any more."""
    if how == "revoked":
        change(bench, "POST", "keys/revoke", key=bench.sandbox.key)
        return
    [key] = [key for key in bench.sandbox.world.keys.values() if key.secret == bench.sandbox.key]
    key.scopes = frozenset({"accounts:read", "profiles:read", "profiles:write", "lists:write"})


async def _begin(bench: Workbench) -> None:
    """Records whose jobs do not end by themselves."""
    bench.sandbox.world.change_settings({"job_time": NEVER_S})
    await bench.apply(WELCOME)
    await bench.take(points(number) for number in range(MANY_RECORDS))


async def _followed(bench: Workbench) -> None:
    """Until all profiles are in jobs that are looked at."""

    async def seen() -> bool:
        open_requests = await bench.instance.journal.requests_in_doubt([NAME])
        carried = sum(len(open_request.operations) for open_request in open_requests if open_request.job)
        return carried == 2 * MANY_RECORDS

    await until(bench, seen)
    asked = len(bench.requests(JOB_LIST_CALL))

    async def looked() -> bool:
        return len(bench.requests(JOB_LIST_CALL)) > asked + 2

    await until(bench, looked)


async def _held(bench: Workbench, cause: str) -> None:
    async def so() -> bool:
        found = await held(bench)
        return found.get(TIER) == (cause, MANY_RECORDS) and found.get(LISTED) == (cause, MANY_RECORDS)

    await until(bench, so)


async def _done(bench: Workbench, events: int = MANY_RECORDS) -> None:
    async def so() -> bool:
        return len(bench.events(METRIC)) == events and not await held(bench)

    await until(bench, so)


@pytest.mark.parametrize(("how", "cause"), [("revoked", "key_refused"), ("scope lost", "scope_missing")])
async def test_a_new_key_follows_the_job(either: Workbench, how: str, cause: str) -> None:
    await _begin(either)
    async with engine(either):
        await _followed(either)
        made = len(either.sandbox.account.jobs)
        _lose(either, how)
        await _held(either, cause)
        [message] = [each for each in await either.instance.journal.notices() if not each.quiet]
        assert message.kind == "hold"
        await rotate(either, _new_key(either))
        assert await held(either) == {}
        await either.take([_later(0), points(MANY_RECORDS)])
        either.sandbox.world.change_settings({"job_time": 0.0})

        async def another_is_done() -> bool:
            return len(either.events(METRIC)) == 1

        await until(either, another_is_done)
        assert either.profile(f"t{MANY_RECORDS}@mapleandember.example")
        assert len(either.sandbox.account.jobs) == made
        change(either, "POST", "settle")
        await _done(either, MANY_RECORDS + 2)
    assert max(_sent(either).values()) == 1
    assert either.profile("t0@mapleandember.example")["properties"]["Points"] == 1_000
    assert {word: count for word, count in (await settled(either)).items() if "points" not in word} == {
        "tier written": MANY_RECORDS + 2,
        "welcome written": MANY_RECORDS + 2,
    }
    await assert_in_order(either)


async def test_without_a_new_key_the_run_ends_and_says_what_waits(bench: Workbench) -> None:
    await _begin(bench)
    async with engine(bench):
        await _followed(bench)
    _lose(bench, "revoked")
    for _ in range(2):
        async with asyncio.timeout(PATIENCE_S):
            await bench.drain()
        assert (await held(bench))[TIER] == ("key_refused", MANY_RECORDS)
        assert (await held(bench))[LISTED] == ("key_refused", MANY_RECORDS)
    shown = await read_status(bench.instance)
    assert shown.connections[0].state == "key_refused"
    assert shown.workflows[0].held >= 2 * MANY_RECORDS
    loud = [each.kind for each in await bench.instance.journal.notices() if not each.quiet]
    assert loud == ["hold"]
    assert len({each.job for each in await bench.instance.journal.requests_in_doubt([NAME])} - {None}) >= 1

    await rotate(bench, _new_key(bench))
    change(bench, "POST", "settle")
    bench.sandbox.world.change_settings({"job_time": 0.0})
    await bench.drain()
    assert len(bench.events(METRIC)) == MANY_RECORDS
    assert max(_sent(bench).values()) == 1
    assert await held(bench) == {}
    await assert_in_order(bench)


async def test_two_keys_may_be_lost_before_the_job_is_over(bench: Workbench) -> None:
    await _begin(bench)
    second, third = _new_key(bench), _new_key(bench, "third")
    async with engine(bench):
        await _followed(bench)
        _lose(bench, "revoked")
        await _held(bench, "key_refused")
        await rotate(bench, second)
        await _followed(bench)
        change(bench, "POST", "keys/revoke", key=second)
        await _held(bench, "key_refused")
    async with engine(bench):
        await rotate(bench, third)
        await _followed(bench)
        change(bench, "POST", "settle")
        bench.sandbox.world.change_settings({"job_time": 0.0})
        await _done(bench)
    assert max(_sent(bench).values()) == 1
    await assert_in_order(bench)


async def test_an_old_key_that_goes_after_the_new_one_came_holds_nothing(bench: Workbench) -> None:
    await _begin(bench)
    async with engine(bench):
        await _followed(bench)
        await rotate(bench, _new_key(bench))
        # The new key is known before an order is carried out.
        await order(bench, "pause", workflow="welcome")
        await order(bench, "resume", workflow="welcome")
        _lose(bench, "revoked")

        async def looked() -> bool:
            asked = [each["status"] for each in bench.requests(JOB_LIST_CALL)]
            return 401 in asked and asked[-1] == 200

        await until(bench, looked)
        change(bench, "POST", "settle")
        bench.sandbox.world.change_settings({"job_time": 0.0})
        await _done(bench)
    assert max(_sent(bench).values()) == 1
    assert await bench.instance.journal.notices() == []


@pytest.mark.parametrize("end", ["gone", "cancelled"])
async def test_a_job_that_came_to_nothing_meanwhile_has_its_rows_sent_again(
    bench: Workbench, end: str
) -> None:
    await _begin(bench)
    async with engine(bench):
        await _followed(bench)
        _lose(bench, "revoked")
        await _held(bench, "key_refused")
        for ident in list(bench.sandbox.account.jobs):
            change(bench, "POST", f"jobs/{ident}/cancel")
        if end == "gone":
            bench.sandbox.account.jobs.clear()
        bench.sandbox.world.change_settings({"job_time": 0.0})
        await rotate(bench, _new_key(bench))
        await _done(bench)
    # The list may be released after the updates: then it goes in a job of its own.
    assert set(_sent(bench, updates=True).values()) == {2}
    assert (await settled(bench))["tier written"] == MANY_RECORDS
    await assert_in_order(bench)


async def test_errors_of_rows_are_read_with_the_new_key(bench: Workbench) -> None:
    bench.sandbox.world.change_settings({"import_fail": {"t7@mapleandember.example": "Invalid phone number"}})
    bench.fault("get_errors_for_bulk_import_profiles_job", status=401, times=1)
    await bench.apply(WELCOME)
    await bench.take(points(number) for number in range(MANY_RECORDS))
    await bench.drain()
    assert {cause for cause, _ in (await held(bench)).values()} == {"key_refused"}
    await rotate(bench, _new_key(bench))
    await bench.drain()
    assert max(_sent(bench).values()) == 1
    assert [failure.record for failure in await bench.instance.journal.failures()] == ["t-7"]
    assert (await settled(bench))["tier written"] == MANY_RECORDS - 1


async def test_a_job_without_an_answer_is_waited_for_with_the_new_key(bench: Workbench) -> None:
    bench.fault(IMPORT, lost=True)
    await _begin(bench)
    async with engine(bench):

        async def looked() -> bool:
            return len(bench.requests(JOB_LIST_CALL)) > 2

        await until(bench, looked)
        made = len(bench.sandbox.account.jobs)
        _lose(bench, "revoked")
        bench.sandbox.world.faults.all.clear()

        async def is_held() -> bool:
            return (await held(bench)).get(TIER, ("", 0))[0] == "key_refused"

        await until(bench, is_held)
        asked = len(bench.requests(JOB_LIST_CALL))
        await rotate(bench, _new_key(bench))

        async def looked_again() -> bool:
            return len([each for each in bench.requests(JOB_LIST_CALL)[asked:] if each["status"] == 200]) > 5

        await until(bench, looked_again)
        assert len(bench.sandbox.account.jobs) == made
        change(bench, "POST", "settle")
        bench.sandbox.world.change_settings({"job_time": 0.0})
        await _done(bench)
    assert (await settled(bench))["tier written"] == MANY_RECORDS
    await assert_in_order(bench)


async def test_what_is_given_up_meanwhile_keeps_nothing_waiting(bench: Workbench) -> None:
    await _begin(bench)
    async with engine(bench):
        await _followed(bench)
        _lose(bench, "revoked")
        await _held(bench, "key_refused")
        await order(bench, "discard", workflow="welcome", step="tier")
        await order(bench, "discard", workflow="welcome", step="welcome")
        await rotate(bench, _new_key(bench))
        await _done(bench)
    assert max(_sent(bench).values()) == 1
    assert (await settled(bench))["tier discarded"] == MANY_RECORDS
    await assert_in_order(bench)


async def test_a_job_of_long_ago_that_is_over_is_not_reported(bench: Workbench) -> None:
    await _begin(bench)
    async with engine(bench):
        await _followed(bench)
    change(bench, "POST", "settle")
    bench.sandbox.world.change_settings({"job_time": 0.0})
    bench.set_timing(slow_job_after_ms=2_000)
    bench.set_clock(lambda: now_ms() + HOURS_MS)
    await bench.drain()
    assert len(bench.events(METRIC)) == MANY_RECORDS
    assert await bench.instance.journal.notices() == []
