"""An import job that takes long is waited for, however long: its rows are never sent beside it, and people are told."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any, cast

import pytest

from askel_tui.klaviyo.client import Client, Response
from askel_tui.klaviyo.errors import NotInAccount
from askel_tui.services.status import read_status
from askel_tui.sync.import_jobs import polling, slow_jobs
from askel_tui.sync.timing import Timing
from tests.support.askel import Askel
from tests.support.bad_days import WELCOME, assert_in_order, brisk, change, engine, settled, until
from tests.support.patience import PATIENCE_S
from tests.support.workbench import Workbench, bench_of, points

__all__ = ["brisk"]

pytestmark = pytest.mark.usefixtures("brisk")

MANY_RECORDS = 200
IMPORT = "bulk_import_profiles"
METRIC = "First Points Earned"
NEVER_S = 3_600.0
OFTEN = Timing(first_poll_s=0.02, max_poll_interval_s=0.05, job_visible_after_s=0.1)


@pytest.fixture(autouse=True)
def _in_bulk(request: pytest.FixtureRequest) -> None:
    if (bench := bench_of(request)) is not None:
        bench.set_timing(
            first_poll_s=0.02, max_poll_interval_s=0.05, job_visible_after_s=0.1, slow_job_after_ms=300
        )
        bench.set_limits(max_single_backlog_s=1)


async def _messages(bench: Workbench) -> list[str]:
    """The notices so far, by kind."""
    return [notice.kind for notice in await bench.instance.journal.notices()]


async def _is_notified(bench: Workbench) -> bool:
    return bool(await slow_jobs.current_slow_jobs(bench.instance.journal))


def _sent(bench: Workbench) -> Counter[str]:
    """How often each profile was in an import job."""
    return Counter(
        row["attributes"]["email"]
        for call in bench.requests(IMPORT, after=bench.requests_since)
        for row in call["body"]["data"]["attributes"]["profiles"]["data"]
    )


def _later(number: int) -> dict[str, Any]:
    record = points(number)
    return {**record, "id": f"later-{number}", "data": {**record["data"], "points": 1_000}}


async def test_its_profiles_wait_for_it_and_nobody_else_does(either: Workbench) -> None:
    either.sandbox.world.change_settings({"job_time": NEVER_S})
    await either.apply(WELCOME)
    await either.take(points(number) for number in range(MANY_RECORDS))
    async with engine(either):
        await until(either, lambda: _is_notified(either))
        await either.take([_later(0), points(MANY_RECORDS)])

        async def another_is_done() -> bool:
            return (await settled(either))["points written"] == 1

        await until(either, another_is_done)
        assert either.profile(f"t{MANY_RECORDS}@mapleandember.example")
        waiting = (await read_status(either.instance)).jobs
        assert sum(row.operations for row in waiting) >= MANY_RECORDS
        calls = either.requests(IMPORT, after=either.requests_since)
        assert len(calls) == len(waiting) == len({row.job for row in waiting})
        assert await _messages(either) == ["warning"]
        assert await settled(either) == {"tier written": 1, "welcome written": 1, "points written": 1}
        change(either, "POST", "settle")
        either.sandbox.world.change_settings({"job_time": 0.0})

        async def all_are_done() -> bool:
            return len(either.events(METRIC)) == MANY_RECORDS + 2

        await until(either, all_are_done)
    assert max(_sent(either).values()) == 1
    assert either.profile("t0@mapleandember.example")["properties"]["Points"] == 1_000
    assert await _messages(either) == ["warning", "over"]
    assert (await read_status(either.instance)).jobs == ()
    assert (await settled(either))["tier written"] == MANY_RECORDS + 2
    await assert_in_order(either)


async def test_a_restart_follows_it_and_tells_nothing_twice(bench: Workbench) -> None:
    bench.set_timing(job_drain_s=0.1)
    bench.sandbox.world.change_settings({"job_time": NEVER_S})
    await bench.apply(WELCOME)
    await bench.take(points(number) for number in range(MANY_RECORDS))
    async with asyncio.timeout(PATIENCE_S), engine(bench):
        await until(bench, lambda: _is_notified(bench))
    asked = len(bench.requests("get_bulk_import_profiles_jobs"))
    async with engine(bench):

        async def is_followed() -> bool:
            return len(bench.requests("get_bulk_import_profiles_jobs")) > asked + 20

        await until(bench, is_followed)
        assert await _messages(bench) == ["warning"]
        change(bench, "POST", "settle")

        async def done() -> bool:
            return len(bench.events(METRIC)) == MANY_RECORDS

        await until(bench, done)
    assert max(_sent(bench).values()) == 1
    assert await _messages(bench) == ["warning", "over"]
    assert (await settled(bench))["tier written"] == MANY_RECORDS


async def test_one_that_is_gone_has_its_rows_sent_again(bench: Workbench) -> None:
    bench.sandbox.world.change_settings({"job_time": NEVER_S})
    await bench.apply(WELCOME)
    await bench.take(points(number) for number in range(MANY_RECORDS))
    async with engine(bench):
        await until(bench, lambda: _is_notified(bench))
        bench.sandbox.world.change_settings({"job_time": 0.0})
        gone = set(_sent(bench))
        bench.sandbox.account.jobs.clear()

        async def done() -> bool:
            return len(bench.events(METRIC)) == MANY_RECORDS

        await until(bench, done)
    assert {email for email, times in _sent(bench).items() if times > 1} == gone
    assert await _messages(bench) == ["warning", "over"]
    assert (await settled(bench))["tier written"] == MANY_RECORDS


async def test_errors_that_cannot_be_read_for_a_while_are_read_later(bench: Workbench) -> None:
    bench.sandbox.world.change_settings({"import_fail": {"t7@mapleandember.example": "Invalid phone number"}})
    bench.fault("get_errors_for_bulk_import_profiles_job", status=503, times=10)
    await bench.apply(WELCOME)
    await bench.take(points(number) for number in range(MANY_RECORDS))
    await bench.drain()
    assert max(_sent(bench).values()) == 1
    assert [failure.record for failure in await bench.instance.journal.failures()] == ["t-7"]
    assert (await settled(bench))["tier written"] == MANY_RECORDS - 1


async def test_status_says_since_when_it_waits(bench: Workbench) -> None:
    bench.sandbox.world.change_settings({"job_time": NEVER_S})
    await bench.apply(WELCOME)
    await bench.take(points(number) for number in range(MANY_RECORDS))
    async with engine(bench):
        await until(bench, lambda: _is_notified(bench))
        [row, *_] = (await read_status(bench.instance)).jobs
        askel = Askel(bench.instance.home, bench.sandbox.url, bench.sandbox.key)
        shown = await asyncio.to_thread(askel, "status")
        [found, *_] = (await asyncio.to_thread(askel.json, "status"))["jobs"]
        change(bench, "POST", "settle")
    assert f"the import job {row.job} since 20" in " ".join(shown.stdout.split())
    assert found["job"] == row.job
    assert found["since"].endswith("Z")


class OneJob:
    """A client to whom every job is the same one: not listed, and what the test says it is when asked for."""

    def __init__(self) -> None:
        self.status: str | None = "processing"
        self.asked = 0

    async def pages(self, name: str, **how: Any) -> AsyncIterator[dict[str, Any]]:
        for resource in list[dict[str, Any]]():
            yield resource

    async def call(self, name: str, *, ids: Mapping[str, str]) -> Response:
        self.asked += 1
        if self.status is None:
            raise NotInAccount("there is no such job")
        return Response(200, {"data": {"attributes": {"status": self.status}}}, b"", 1, 1, None)


async def _nothing() -> None:
    return


async def _asked(client: OneJob, times: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while client.asked < times:
            await asyncio.sleep(0)


async def test_all_who_follow_a_job_hear_of_its_end() -> None:
    client = OneJob()
    followed = polling.JobPoller(cast(Client, client), OFTEN)
    first, second, third = (
        asyncio.create_task(followed.wait_until_ended("J", _nothing, 60)) for _ in range(3)
    )
    await _asked(client, 2)
    second.cancel()
    await asyncio.wait({second})
    await _asked(client, 4)
    client.status = "complete"
    async with asyncio.timeout(PATIENCE_S):
        assert await first == await third == {"status": "complete"}
    assert "J" not in followed


async def test_jobs_that_keep_coming_do_not_delay_the_poll_of_an_older_one() -> None:
    client = OneJob()
    followed = polling.JobPoller(cast(Client, client), replace(OFTEN, first_poll_s=0.2))
    first = asyncio.create_task(followed.wait_until_ended("J", _nothing, 60))
    others: list[asyncio.Task[Mapping[str, Any]]] = []
    while not client.asked:
        assert len(others) < 100, "nobody asked while others came"
        others.append(asyncio.create_task(followed.wait_until_ended(f"J{len(others)}", _nothing, 60)))
        await asyncio.wait({first}, timeout=0.05)
    client.status = "complete"
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(first, *others)


async def test_one_that_does_not_show_yet_is_not_gone() -> None:
    client = OneJob()
    client.status = None
    followed = polling.JobPoller(cast(Client, client), replace(OFTEN, job_visible_after_s=0.5))
    ended = asyncio.create_task(followed.wait_until_ended("J", _nothing, 60))
    await _asked(client, 2)
    assert not ended.done()
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(NotInAccount):
            await ended


def test_polls_of_a_job_of_hours_are_few() -> None:
    waits = [polling.poll_interval_s(age, OFTEN) for age in (0.0, 10.0, 600.0, 3_600.0, 86_400.0)]
    assert waits == sorted(waits)
    assert waits[-1] == polling.MAX_SLOW_POLL_INTERVAL_S
