"""Retention while the engine runs: old entries go, the chain holds, work goes on."""

from __future__ import annotations

import pytest

from askel_tui.sync.upkeep.retention import MS_PER_DAY, Retention
from tests.support.bad_days import WELCOME, assert_in_order, brisk, engine, until
from tests.support.workbench import Workbench, points

__all__ = ["brisk"]

pytestmark = [pytest.mark.clock, pytest.mark.usefixtures("brisk")]


def _later(bench: Workbench, days: float) -> None:
    now = bench.instance.clock()
    bench.instance.clock = lambda: now + int(days * MS_PER_DAY)


async def test_what_is_older_than_the_setting_goes(bench: Workbench) -> None:
    await bench.apply(WELCOME)
    await bench.take(points(number) for number in range(5))
    await bench.drain()
    keeper = Retention(bench.instance)
    await keeper.run_round()
    assert len(await bench.audit(status="written")) == 15
    _later(bench, 91)
    await keeper.run_round()
    assert [entry.kind for entry in await bench.audit()] == ["fold"]
    assert (await bench.instance.journal.verify_audit())[:2] == (1, None)
    # Once an hour.
    bench.instance.state.save_setting("retention_days", 1)
    await keeper.run_round()
    assert len(await bench.audit()) == 1


async def test_a_size_is_kept_and_the_last_hour_always_stays(bench: Workbench) -> None:
    await bench.apply(WELCOME)
    await bench.take(points(number) for number in range(20))
    await bench.drain()
    bench.instance.state.save_setting("retention_mb", 0.001)
    keeper = Retention(bench.instance)
    await keeper.run_round()
    assert len(await bench.audit(status="written")) == 60
    _later(bench, 1)
    await keeper.run_round()
    assert await bench.audit(status="written") == []
    assert (await bench.instance.journal.verify_audit())[1] is None


async def test_the_daemon_goes_on_while_it_folds(bench: Workbench) -> None:
    await bench.apply(WELCOME)
    await bench.take(points(number) for number in range(20))
    await bench.drain()
    bench.set_timing(retention_interval_ms=0, min_kept_ms=0)
    bench.instance.state.save_setting("retention_days", 0.000_001)
    async with engine(bench):
        await bench.take(points(number) for number in range(20, 60))

        async def done() -> bool:
            return len(bench.events("First Points Earned")) == 60

        await until(bench, done)

        async def folded() -> bool:
            return (await bench.audit())[0].seq > 60

        await until(bench, folded)
    await assert_in_order(bench)
