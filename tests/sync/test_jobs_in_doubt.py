"""An import job whose answer was lost is waited for: its rows never run beside it, nor behind something newer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from askel_tui.contract.calls import Call
from askel_tui.sandbox.state.model import Job
from askel_tui.sync.import_jobs import polling
from tests.support.bad_days import WELCOME, assert_in_order, brisk, change, settled
from tests.support.patience import PATIENCE_S
from tests.support.workbench import Workbench, bench_of, points

__all__ = ["brisk"]

pytestmark = pytest.mark.usefixtures("brisk")

RECORDS_SENT = 150
IMPORT = Call.BULK_IMPORT_PROFILES
LOST: Mapping[str, Mapping[str, Any]] = {
    "reply lost": {"lost": True},
    "503 after the write": {"after": True, "status": 503},
    "malformed after the write": {"after": True, "body": "malformed"},
    "empty after the write": {"after": True, "body": "empty"},
}


@pytest.fixture(autouse=True)
def _in_bulk(request: pytest.FixtureRequest) -> None:
    if (bench := bench_of(request)) is not None:
        bench.set_timing(first_poll_s=0.05, max_poll_interval_s=0.2, job_visible_after_s=0.3)
        bench.set_limits(max_single_backlog_s=1)


def _jobs(bench: Workbench) -> list[Job]:
    return sorted(bench.sandbox.account.jobs.values(), key=lambda job: job.created)


def _emails(job: Mapping[str, Any]) -> set[str]:
    return {row["attributes"]["email"] for row in job["body"]["data"]["attributes"]["profiles"]["data"]}


def _later(number: int) -> dict[str, Any]:
    """A newer record of the same profile."""
    record = points(number)
    return {**record, "id": f"later-{number}", "data": {**record["data"], "points": 1_000 + number}}


@pytest.mark.parametrize(
    "fault", [each if each == "reply lost" else pytest.param(each, marks=pytest.mark.slow) for each in LOST]
)
async def test_a_second_job_starts_when_the_first_one_is_over(either: Workbench, fault: str) -> None:
    either.sandbox.world.change_settings({"job_time": 0.8})
    either.fault(IMPORT, **LOST[fault], times=1)
    await either.apply(WELCOME)
    await either.take(
        [points(number) for number in range(RECORDS_SENT)]
        + [_later(number) for number in range(RECORDS_SENT)]
    )
    await either.drain()
    calls = either.requests(IMPORT, after=either.requests_since)
    made = _jobs(either)
    assert len(made) == len(calls) >= 2
    first, *others = made
    assert first.ended is not None
    again = [job for job, call in zip(others, calls[1:], strict=True) if _emails(call) & _emails(calls[0])]
    assert again
    assert all(job.created >= first.ended for job in again)
    for number in (0, RECORDS_SENT - 1):
        assert either.profile(f"t{number}@mapleandember.example")["properties"]["Points"] == 1_000 + number
    assert await settled(either) == {
        "tier written": 2 * RECORDS_SENT,
        "welcome written": 2 * RECORDS_SENT,
    } | {f"points {word}": count for word, count in _messages(await settled(either)).items()}
    assert len(either.events("First Points Earned")) == 2 * RECORDS_SENT
    await assert_in_order(either)


def _messages(ends: Mapping[str, int]) -> dict[str, int]:
    found = {word: ends.get(f"points {word}", 0) for word in ("written", "unconfirmed")}
    assert sum(found.values()) == 2 * RECORDS_SENT
    return {word: count for word, count in found.items() if count}


async def test_what_never_arrived_is_sent_once_more_and_runs_once(bench: Workbench) -> None:
    bench.fault(IMPORT, reset=True, times=1)
    await bench.apply(WELCOME)
    await bench.take(points(number) for number in range(RECORDS_SENT))
    await bench.drain()
    assert (await settled(bench))["tier written"] == RECORDS_SENT
    calls = [each for each in bench.requests(IMPORT, after=bench.requests_since) if each["status"] == 202]
    assert len(calls) == len(_jobs(bench))
    seen = [email for call in calls for email in _emails(call)]
    assert len(seen) == len(set(seen))


async def test_jobs_of_others_are_not_waited_for(bench: Workbench) -> None:
    """Another integration's job has another number of rows, or was made long before."""
    client = await bench.instance.client("maple-ember")
    assert client is not None
    bench.sandbox.world.change_settings({"job_time": 3_600.0})
    row = {"type": "profile", "attributes": {"email": "someone@mapleandember.example"}}
    data = {"type": "profile-bulk-import-job", "attributes": {"profiles": {"data": [row]}}}
    await client.call(IMPORT, body={"data": data})
    now = bench.instance.clock()
    far = polling.MAX_CLOCK_SKEW_MS + 10_000
    [job] = _jobs(bench)

    async def slow() -> None:
        raise AssertionError("it was waited for")

    for opened, lost, rows, followed in (
        (now, now, 2, set[str]()),
        (now + far, now + far, 1, set()),
        (now - 2 * far, now - far, 1, set()),
        (now, now, 1, {job.id}),
    ):
        await polling.wait_for_possible_jobs(
            client, opened, lost, rows, followed, slow, 0.5, bench.instance.timing
        )


async def test_what_may_be_the_job_is_waited_for_however_long_it_takes(bench: Workbench) -> None:
    client = await bench.instance.client("maple-ember")
    assert client is not None
    bench.sandbox.world.change_settings({"job_time": 3_600.0})
    row = {"type": "profile", "attributes": {"email": "someone@mapleandember.example"}}
    data = {"type": "profile-bulk-import-job", "attributes": {"profiles": {"data": [row]}}}
    await client.call(IMPORT, body={"data": data})
    now, message = bench.instance.clock(), asyncio.Event()

    async def slow() -> None:
        assert not message.is_set()
        message.set()

    waiting = asyncio.create_task(
        polling.wait_for_possible_jobs(client, now, now, 1, (), slow, 0.2, bench.instance.timing)
    )
    async with asyncio.timeout(PATIENCE_S):
        await message.wait()
        asked = len(bench.requests(Call.GET_BULK_IMPORT_PROFILES_JOBS))
        while len(bench.requests(Call.GET_BULK_IMPORT_PROFILES_JOBS)) < asked + 3:
            await bench.instance.journal.wait_for_change(0.02)
        assert not waiting.done()
        change(bench, "POST", "settle")
        await waiting


async def test_a_job_is_followed_although_klaviyo_cannot_be_asked_for_a_while(bench: Workbench) -> None:
    bench.fault(Call.GET_BULK_IMPORT_PROFILES_JOBS, status=503, times=12)
    await bench.apply(WELCOME)
    await bench.take(points(number) for number in range(RECORDS_SENT))
    await bench.drain()
    seen = [email for call in bench.requests(IMPORT, after=bench.requests_since) for email in _emails(call)]
    assert len(seen) == len(set(seen))
    assert (await settled(bench))["tier written"] == RECORDS_SENT
