"""An outage is shown while it lasts: in the status, at the top of the console, in the metrics and by `/readyz`."""

from __future__ import annotations

import pytest

from askel_tui.services.outages import describe_outages, read_outages
from askel_tui.services.status import read_status
from askel_tui.store.locks import OwnershipLock
from askel_tui.sync.upkeep.silences import Silences
from askel_tui.tui.backend import queries
from tests.support.bad_days import WELCOME, brisk, engine, until
from tests.support.workbench import NAME, Workbench, points

__all__ = ["brisk"]

pytestmark = pytest.mark.usefixtures("brisk")


async def test_an_outage_shows_with_what_waits_and_goes_when_it_is_over(bench: Workbench) -> None:
    bench.set_timing(silence_ms=100)
    await bench.apply(WELCOME)
    bench.fault("*", status=503)
    await bench.take(points(number) for number in range(20))

    async def shown() -> bool:
        return any(outage.waiting == 60 for outage in await read_outages(bench.instance))

    async def over() -> bool:
        return await read_outages(bench.instance) == ()

    async with engine(bench):
        await until(bench, shown)
        [outage] = (await read_status(bench.instance)).outages
        assert outage.connections == (NAME,)
        text = describe_outages([outage], outage.since + 40_000)
        assert text == "Klaviyo has not answered for 40 s: 60 operations wait"
        assert "Klaviyo has not answered" in str(await queries.outage(bench.instance))
        bench.sandbox.world.faults.all.clear()
        await until(bench, over)
    assert await queries.outage(bench.instance) is None


async def test_import_jobs_that_cannot_be_read_show_with_the_rows_that_wait_for_them(
    bench: Workbench,
) -> None:
    bench.set_timing(silence_ms=100, first_poll_s=0.02, max_poll_interval_s=0.05, job_drain_s=0.1)
    bench.set_limits(max_single_backlog_s=0)
    await bench.apply(WELCOME)
    for call in ("get_bulk_import_profiles_jobs", "get_bulk_import_profiles_job"):
        bench.fault(call, status=503)
    await bench.take(points(number) for number in range(200))

    async def shown() -> bool:
        return any(outage.waiting > 50 for outage in await read_outages(bench.instance))

    async with engine(bench):
        await until(bench, shown)
        outages = await read_outages(bench.instance)
        assert "import jobs can't be looked at" in str(describe_outages(outages, bench.instance.clock()))
        bench.sandbox.world.faults.all.clear()
    await bench.drain()


@pytest.mark.parametrize("attempt_ms", [None, 40, 3_000])
async def test_within_ten_seconds_whatever_an_attempt_takes(bench: Workbench, attempt_ms: int | None) -> None:
    """By a clock that is handed in: attempts that hang, and that fail at once or after a while, one after another."""
    with OwnershipLock(bench.instance.home):
        await _watch_silence(bench, attempt_ms)


async def _watch_silence(bench: Workbench, attempt_ms: int | None) -> None:
    start = bench.instance.clock()
    now = start
    bench.instance.clock = lambda: now
    watch, silences = bench.instance.answers, Silences(bench.instance)
    began, number = now, watch.begin("MpEmbr", "get_lists")
    while not (outages := await read_outages(bench.instance)):
        now += 250
        assert now - start <= 10_000
        if attempt_ms is not None and now - began >= attempt_ms:
            watch.end("MpEmbr", "get_lists", number, answered=False)
            began, number = now, watch.begin("MpEmbr", "get_lists")
        await silences.run_round()
    assert [(each.account, each.since) for each in outages] == [("MpEmbr", start)]
    assert now - start >= bench.instance.timing.silence_ms
    watch.end("MpEmbr", "get_lists", number, answered=True)
    now += 1_000
    await silences.run_round()
    assert await read_outages(bench.instance) == ()
