"""Failures: a failed operation keeps the later ones of its record with it; retried, they have their old order."""

from __future__ import annotations

from dataclasses import replace

from askel_tui.store.journal.rows import DelayedOperation, SettledOperation, WorkflowCounts
from tests.unit.journal.samples import CONNECTION, NOW, WORKFLOW, Desk, decision, hold, intent


async def test_a_failed_operation_takes_the_later_ones_along(desk: Desk) -> None:
    planned = await desk.planned(2)
    await desk.send(planned[:1])
    await desk.send(planned[1:2], "failed", "400 invalid e-mail")
    assert await desk.waiting() == planned[3:]
    (failure,) = await desk.journal.failures()
    assert (failure.workflow, failure.record, failure.step) == (WORKFLOW, "evt-000000", "points")
    assert failure.reason == "400 invalid e-mail"
    assert failure.operation == replace(planned[1], state="failed", attempts=1, reason="400 invalid e-mail")
    assert await desk.counts() == WorkflowCounts(waiting=3, failed=2, sent=1)
    assert [(entry.step, entry.status) for entry in await desk.entries()] == [
        ("tier", "written"),
        ("points", "failed"),
    ]
    assert await desk.journal.failures("another") == []


async def test_a_retry_puts_all_back_in_order(desk: Desk) -> None:
    planned = await desk.planned(2)
    await desk.send(planned[:1], "failed")
    await desk.send(planned[3:4], "failed")
    first, second = await desk.journal.failures()
    assert await desk.journal.retry_failures([second.id, first.id, 99], decision("retry"), NOW) == 2
    assert await desk.waiting() == planned
    assert await desk.counts() == WorkflowCounts(waiting=6)
    assert await desk.journal.retry_failures([first.id], decision("retry"), NOW) == 0
    assert [entry.kind for entry in await desk.entries()] == ["upsert_profile", "upsert_profile", "retry"]
    await desk.send(planned[:1])
    assert await desk.counts() == WorkflowCounts(waiting=5, sent=1)


async def test_retried_operations_of_a_held_step_join_its_hold(desk: Desk) -> None:
    planned = await desk.planned(1)
    await desk.send(planned[:1], "failed")
    await desk.journal.add_hold(hold("points"), NOW)
    (failure,) = await desk.journal.failures()
    await desk.journal.retry_failures([failure.id], decision("retry"), NOW)
    assert await desk.waiting() == [planned[0], planned[2]]
    assert [kept.waiting for kept in await desk.journal.holds()] == [1]


async def test_held_operations_fail_with_the_ones_before_them(desk: Desk) -> None:
    planned = await desk.planned(1)
    await desk.journal.add_hold(hold("list"), NOW)
    await desk.send(planned[:1], "failed")
    assert [kept.waiting for kept in await desk.journal.holds()] == [0]
    assert await desk.counts() == WorkflowCounts(failed=3)
    assert await desk.journal.release_hold(WORKFLOW, "list", decision("release"), NOW) == 0
    assert await desk.waiting() == []


async def test_discarding_a_failure_audits_each_operation(desk: Desk) -> None:
    planned = await desk.planned(1)
    await desk.send(planned[:1], "failed", "409 conflict")
    (failure,) = await desk.journal.failures()
    assert await desk.journal.discard_failures([failure.id], decision("discard_failed"), NOW) == 1
    message = await desk.entries(status="discarded")
    assert [entry.operation for entry in message] == [each.operation.id for each in planned]
    assert await desk.counts() == WorkflowCounts(discarded=3)
    assert await desk.journal.failures() == []


async def test_members_of_one_request_may_end_differently(desk: Desk) -> None:
    """A step carried by another one's request is settled by what was said of it, not by its neighbour's fate."""
    planned = await desk.planned(2)
    request = await desk.journal.open_request(intent([planned[0], planned[1], planned[3], planned[4]]), NOW)
    await desk.journal.answer_request(
        request,
        settled=[
            SettledOperation(planned[0], "failed", 400, detail="bad row"),
            SettledOperation(planned[1], "written", 202),
            SettledOperation(planned[3], "failed", 400, detail="bad row"),
        ],
        delayed=[DelayedOperation(planned[4], NOW + 1, "again")],
        now=NOW,
    )
    assert await desk.counts() == WorkflowCounts(failed=5, sent=1)
    assert await desk.waiting() == []
    assert await desk.journal.requests_in_doubt([CONNECTION]) == []


async def test_a_delay_behind_a_failure_joins_the_failure(desk: Desk) -> None:
    planned = await desk.planned(1)
    request = await desk.journal.open_request(intent([planned[2]]), NOW)
    await desk.send(planned[:1], "failed")
    assert await desk.counts() == WorkflowCounts(waiting=1, failed=2)
    await desk.journal.answer_request(
        request, delayed=[DelayedOperation(planned[2], NOW + 1, "503")], now=NOW
    )
    assert await desk.counts() == WorkflowCounts(failed=3)
    (failure,) = await desk.journal.failures()
    await desk.journal.retry_failures([failure.id], decision("retry"), NOW)
    assert await desk.waiting_seqs() == [each.seq for each in planned]


async def test_a_failed_gate_keeps_what_it_decides_about(desk: Desk) -> None:
    planned = await desk.planned(1, ["vip", "points"], gates=["vip"])
    await desk.decide_gate(planned[0], "failed", "the answer made no sense")
    assert await desk.waiting() == []
    assert await desk.counts() == WorkflowCounts(failed=2)
