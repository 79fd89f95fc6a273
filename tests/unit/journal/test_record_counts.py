"""Counts of records: each record once, under the first word that is true of it, whatever happens to it."""

from __future__ import annotations

from askel_tui.store.journal.rows import RecordCounts
from tests.unit.journal.samples import NOW, WORKFLOW, Desk, decision, hold


async def _records(desk: Desk) -> RecordCounts:
    found = (await desk.journal.record_counts()).get(WORKFLOW, RecordCounts())
    failures = len(await desk.journal.failures())
    assert found.failed == failures == (await desk.journal.failure_counts()).get(WORKFLOW, 0)
    return found


async def test_each_record_counts_once(desk: Desk) -> None:
    planned = await desk.planned(4)
    assert await _records(desk) == RecordCounts(waiting=4)
    await desk.journal.add_hold(hold("list"), NOW)
    assert await _records(desk) == RecordCounts(held=4)
    await desk.send(planned[:1], "failed")
    assert await _records(desk) == RecordCounts(held=3, failed=1)
    await desk.journal.release_hold(WORKFLOW, "list", decision("release"), NOW)
    await desk.send(planned[3:6])
    assert await _records(desk) == RecordCounts(waiting=2, failed=1, done=1)
    (failure,) = await desk.journal.failures()
    await desk.journal.discard_failures([failure.id], decision("discard"), NOW)
    assert await _records(desk) == RecordCounts(waiting=2, done=1, discarded=1)


async def test_a_record_that_is_held_and_failed_counts_as_failed(desk: Desk) -> None:
    planned = await desk.planned(2)
    await desk.journal.add_hold(hold("tier"), NOW)
    await desk.send(planned[1:2], "failed")
    assert await _records(desk) == RecordCounts(held=1, failed=1)
