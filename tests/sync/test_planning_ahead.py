"""Planning keeps only so far ahead of sending, and says what it has not looked at yet."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from askel_tui.services.status import read_status
from askel_tui.store.paths import journal_file
from askel_tui.sync.backlogs import read_backlogs
from tests.support.bad_days import brisk
from tests.support.workbench import Workbench

__all__ = ["brisk"]

pytestmark = pytest.mark.usefixtures("brisk")

MANY_RECORDS = 1_200
BATCH = 100

WORKFLOW = """\
workflow: many
connection: maple-ember
trigger: earned
profile: {email: data.email}
steps:
  - id: tier
    upsert_profile: {properties: {Points: data.points}}
"""


def _records() -> list[dict[str, Any]]:
    return [
        {
            "id": f"r-{number}",
            "event": "earned",
            "data": {"email": f"p{number}@shop.example", "points": number},
        }
        for number in range(MANY_RECORDS)
    ]


@pytest.mark.slow
async def test_a_backlog_is_planned_as_it_is_sent(bench: Workbench) -> None:
    bench.set_limits(max_planned_ahead=100)
    bench.set_limits(records_per_transaction=BATCH)
    most = 0
    await bench.apply(WORKFLOW)
    await bench.take(_records())
    assert (await read_backlogs(bench.instance))["many"].unplanned == MANY_RECORDS

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, (await read_status(bench.instance)).workflows[0].waiting)
            await asyncio.sleep(0.005)

    watching = asyncio.create_task(watch())
    await bench.drain()
    watching.cancel()
    (row,) = (await read_status(bench.instance)).workflows
    assert (row.unplanned, row.waiting, row.sent) == (0, 0, MANY_RECORDS)
    assert 0 < most <= 100 + (bench.instance.limits.max_pending_writes + 1) * BATCH
    points = {
        each["properties"]["Points"] for each in bench.state()["profiles"] if "Points" in each["properties"]
    }
    assert points >= set(range(MANY_RECORDS))


@pytest.mark.parametrize("record", [1, BATCH + 1, 3 * BATCH, MANY_RECORDS])
async def test_a_plan_that_cannot_be_written_keeps_its_records(bench: Workbench, record: int) -> None:
    """The next parts of a plan are handed in before the first is written: none of them may pass over its records."""
    bench.set_limits(records_per_transaction=BATCH)
    await bench.apply(WORKFLOW)
    await bench.take(_records())
    with closing(sqlite3.connect(journal_file(bench.instance.home))) as file:
        file.execute(
            f"CREATE TRIGGER refusal BEFORE INSERT ON runs WHEN NEW.record_seq = {record} "
            "BEGIN SELECT RAISE(ABORT, 'no room'); END"
        )
        with pytest.raises(sqlite3.IntegrityError, match="no room"):
            await bench.drain()
        file.execute("DROP TRIGGER refusal")
    await bench.drain()
    (row,) = (await read_status(bench.instance)).workflows
    assert (row.unplanned, row.waiting, row.sent) == (0, 0, MANY_RECORDS)
