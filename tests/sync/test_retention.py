"""Retention while the engine runs: old entries go, the chain holds, work goes on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.services.ingest import ingest
from askel_tui.store.paths import refused_dir
from askel_tui.sync.upkeep.retention import MS_PER_DAY, Retention, prune_files
from tests.support.bad_days import WELCOME, assert_in_order, brisk, engine, until
from tests.support.workbench import NAME, Workbench, points

__all__ = ["brisk"]

pytestmark = pytest.mark.clock


def _later(bench: Workbench, days: float) -> None:
    now = bench.instance.clock()
    bench.instance.clock = lambda: now + int(days * MS_PER_DAY)


@pytest.mark.usefixtures("brisk")
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


@pytest.mark.usefixtures("brisk")
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


@pytest.mark.usefixtures("brisk")
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


HOUR_MS = 3_600_000


def _files(folder: Path, sizes: Sequence[tuple[float, int]]) -> None:
    for number, (hours, size) in enumerate(sizes):
        file = folder / f"{number}.tsv"
        file.write_bytes(b"x" * size)
        os.utime(file, (NOW_S - hours * 3_600, NOW_S - hours * 3_600))


NOW_S = 1_795_000_000


@given(
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 50)), max_size=8, unique_by=lambda each: each[0]),
    st.integers(0, 200),
    st.integers(0, 200),
)
def test_refused_files_are_bounded_in_age_and_size(
    files: list[tuple[float, int]], days_hours: int, limit: int
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        _files(folder, files)
        now = NOW_S * 1000
        prune_files(folder, now - max(1, days_hours) * HOUR_MS, now - HOUR_MS, limit)
        kept = {int(each.stem) for each in folder.iterdir()}
    for number, (hours, _) in enumerate(files):
        newer = sum(size for at, size in files if at <= hours)
        wanted = hours <= 1 or (hours <= max(1, days_hours) and newer <= limit)
        assert (number in kept) == wanted


@pytest.mark.usefixtures("brisk")
async def test_what_was_refused_long_ago_goes_with_the_records(bench: Workbench) -> None:
    await ingest(bench.instance, NAME, [b"no record"], "jsonl")
    [kept] = refused_dir(bench.instance.home).iterdir()
    os.utime(kept, (bench.instance.clock() / 1000,) * 2)
    keeper = Retention(bench.instance)
    await keeper.run_round()
    assert kept.exists()
    _later(bench, 91)
    await keeper.run_round()
    assert not kept.exists()
