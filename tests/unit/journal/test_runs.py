"""Runs: a record runs once per workflow, its operations wait in order, and a failed plan is kept whole."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.core.operations import Identity
from askel_tui.store.journal.interface import Journal
from askel_tui.store.journal.rows import (
    Decision,
    DelayedOperation,
    Hold,
    SettledOperation,
    WorkflowCounts,
    WorkflowState,
    encode_run,
)
from askel_tui.store.journal.states import SEQ_GAP
from askel_tui.store.sqlite.journal import open_journal
from tests.support.examples import examples
from tests.unit.journal.samples import CONNECTION, NOW, WORKFLOW, Desk, decision, hold, intent, operation


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as running:
        yield running


async def test_operations_come_back_as_they_were_planned(desk: Desk) -> None:
    planned = await desk.planned(3)
    assert [each.seq for each in planned] == [SEQ_GAP * at for at in (1, 4, 7, 2, 5, 8, 3, 6, 9)]
    assert [each.operation.step for each in planned] == ["tier", "points", "list"] * 3
    assert [each.index for each in planned] == [0, 1, 2] * 3
    assert await desk.waiting() == planned
    assert planned[0].operation == operation("evt-000000", "tier")
    assert await desk.counts() == WorkflowCounts(waiting=9)


@examples(40)
@given(
    people=st.lists(st.sampled_from(["ada", "bo", "cy", "di"]), min_size=1, max_size=12), random=st.randoms()
)
def test_the_order_of_a_profile_is_that_of_its_records(
    runner: asyncio.Runner, tmp_path: Path, people: list[str], random: Random
) -> None:
    async def planning() -> None:
        with TemporaryDirectory(dir=tmp_path) as folder:
            journal = await open_journal(Path(folder) / "journal.db")
            desk = Desk(journal)
            await desk.take(len(people))
            records = await journal.records_after(CONNECTION, 0, 100)
            runs = [
                encode_run(
                    each.seq,
                    each.record.id,
                    [
                        replace(operation(each.record.id, step), profile=Identity(email=person))
                        for step in ("tier", "points", "list")[: random.randint(1, 3)]
                    ],
                )
                for each, person in zip(records, people, strict=True)
            ]
            planned = await journal.commit_runs(desk.state(), runs, records[-1].seq, NOW)
            assert sorted(each.seq for each in planned) == [SEQ_GAP * at for at in range(1, len(planned) + 1)]
            for person in people:
                theirs = [each for each in planned if each.operation.profile.email == person]
                assert [each.seq for each in theirs] == sorted(each.seq for each in theirs)
            assert sorted(planned, key=lambda each: each.seq) == await journal.waiting_operations(
                [CONNECTION], 0, 100
            )
            await journal.close()

    runner.run(planning())


async def test_a_record_runs_once_whatever_the_version(desk: Desk) -> None:
    journal = desk.journal
    first = await desk.planned(2)
    run = encode_run(first[0].record_seq, first[0].record, [operation(first[0].record, "tier")])
    newer = replace(desk.state(), version=2)
    assert await journal.commit_runs(newer, [run], desk.position, NOW) == []
    assert await desk.waiting() == first
    seqs = [each.record_seq for each in first]
    assert await journal.already_ran(WORKFLOW, [*seqs, 999]) == set(seqs)
    assert await journal.already_ran("another", seqs) == set()


async def test_another_workflow_runs_the_same_record(desk: Desk) -> None:
    first = await desk.planned(1)
    other = Desk(desk.journal, workflow="second")
    assert len(await other.plan()) == 3
    assert {each.workflow for each in await desk.waiting()} == {WORKFLOW, "second"}
    assert (await desk.waiting(first[-1].seq))[0].workflow == "second"


async def test_the_position_moves_with_the_plan(desk: Desk) -> None:
    await desk.journal.set_workflow_state(desk.state(), decision("activate"), NOW)
    await desk.planned(4)
    (state,) = await desk.journal.workflow_states()
    assert state == WorkflowState(WORKFLOW, CONNECTION, "active", 1, desk.position)
    (entry,) = await desk.entries(kind="activate")
    assert (entry.actor, entry.status, entry.response) == ("ada", "done", {"detail": {"why": "asked"}})


async def test_a_failed_plan_is_kept_audited_and_made_again(desk: Desk) -> None:
    journal = desk.journal
    await desk.plan_fails()
    (failure,) = await journal.failures(WORKFLOW)
    assert failure.problems == [{"step": "tier", "field": "profile.email", "message": "no usable identity"}]
    assert "no usable identity" in failure.reason
    assert failure.operation is None
    assert await desk.counts() == WorkflowCounts(failed=1)
    (entry,) = await desk.entries(status="failed")
    assert (entry.kind, entry.record, entry.actor) == ("plan", failure.record, "rewards-service")
    assert await journal.records_to_replan(WORKFLOW, 10) == []

    assert await journal.retry_failures([failure.id], decision("retry"), NOW) == 1
    (again,) = await journal.records_to_replan(WORKFLOW, 10)
    assert again.record.id == failure.record
    assert await journal.already_ran(WORKFLOW, [again.seq]) == set()
    assert await journal.failures() == []
    run = encode_run(again.seq, again.record.id, [operation(again.record.id, "tier")])
    assert len(await journal.commit_runs(desk.state(), [run], desk.position, NOW)) == 1
    assert await journal.commit_runs(desk.state(), [run], desk.position, NOW) == []
    assert await journal.records_to_replan(WORKFLOW, 10) == []
    assert await desk.counts() == WorkflowCounts(waiting=1)


async def test_a_discarded_plan_is_not_planned_again(desk: Desk) -> None:
    await desk.plan_fails()
    (failure,) = await desk.journal.failures()
    assert await desk.journal.discard_failures([failure.id, 999], decision("discard_failed"), NOW) == 1
    assert await desk.journal.records_to_replan(WORKFLOW, 10) == []
    assert await desk.journal.already_ran(WORKFLOW, [failure.record_seq]) == {failure.record_seq}
    assert await desk.counts() == WorkflowCounts(discarded=1)
    assert [entry.kind for entry in await desk.entries()] == ["plan", "discard_failed", "plan"]


async def test_a_paused_workflow_is_left_out_and_comes_back_in_order(desk: Desk) -> None:
    planned = await desk.planned(2)
    await desk.journal.set_workflow_state(desk.state("paused"), decision("pause"), NOW)
    assert await desk.waiting() == []
    await desk.journal.set_workflow_state(desk.state(), decision("resume"), NOW)
    assert await desk.waiting() == planned


async def test_waiting_operations_are_read_by_connection_and_seq(desk: Desk) -> None:
    planned = await desk.planned(4)
    other = Desk(desk.journal, workflow="other", connection="second")
    await other.planned(4)
    assert await desk.waiting() == planned
    both = await desk.journal.waiting_operations([CONNECTION, "second"], planned[3].seq, 5)
    assert [each.seq for each in both] == [planned[3].seq + SEQ_GAP * number for number in range(1, 6)]
    assert await desk.journal.waiting_operations([], 0, 10) == []


async def test_a_forgotten_workflow_leaves_its_audit_and_never_doubles(desk: Desk, journal: Journal) -> None:
    planned = await desk.planned(3)
    await desk.send(planned[:1])
    await desk.send(planned[3:4], "failed", "refused")
    await journal.add_hold(hold("list"), NOW)
    await desk.plan_fails()
    carried = await journal.open_request(intent([planned[6]]), NOW)
    before = len(await desk.entries())
    await journal.forget_workflow(WORKFLOW, Decision("delete", "ada", CONNECTION, WORKFLOW), NOW)
    assert await journal.workflow_states() == []
    assert await journal.holds() == []
    assert await journal.failures() == []
    assert await desk.waiting() == []
    assert await desk.counts() == WorkflowCounts(waiting=1, sent=1)
    assert len(await desk.entries()) == before + 1
    # What was under way is still settled when its answer comes.
    (open_request,) = await journal.requests_in_doubt([CONNECTION])
    assert (open_request.id, [each.seq for each in open_request.operations]) == (carried, [planned[6].seq])
    desk.position = 0
    again = await desk.plan()
    assert {each.record for each in again} == {"evt-000003"}


@pytest.mark.parametrize("again", ["delayed", "held", "failed"])
async def test_an_operation_that_comes_back_after_its_workflow_was_deleted_is_discarded_with_an_entry(
    desk: Desk, journal: Journal, again: str
) -> None:
    planned = await desk.planned(1)
    carried = await journal.open_request(intent([planned[0]]), NOW)
    await journal.forget_workflow(WORKFLOW, Decision("delete", "ada", CONNECTION, WORKFLOW), NOW)
    if again == "delayed":
        delayed = [DelayedOperation(planned[0], NOW + 1_000, "Klaviyo is away")]
        await journal.answer_request(carried, delayed=delayed, connection=CONNECTION, now=NOW)
    elif again == "failed":
        failed = [SettledOperation(planned[0], "failed", status=400, detail="Klaviyo is away")]
        await journal.answer_request(carried, settled=failed, connection=CONNECTION, now=NOW)
    else:
        outage = Hold(CONNECTION, WORKFLOW, 1, planned[0].operation.step, "outage", "Klaviyo is away", NOW)
        await journal.answer_request(carried, held=planned[:1], hold=outage, connection=CONNECTION, now=NOW)
    assert await journal.holds() == []
    assert await journal.requests_in_doubt([CONNECTION]) == []
    assert await desk.counts() == WorkflowCounts()
    entry = (await desk.entries())[-1]
    ended = "failed" if again == "failed" else "discarded"
    assert (entry.operation, entry.status) == (planned[0].operation.id, ended)
    assert "Klaviyo is away" in str(entry.response)
    assert await journal.failures() == []


async def test_a_hold_that_ends_with_its_workflow_is_noticed(desk: Desk, journal: Journal) -> None:
    await desk.planned(2)
    await journal.add_hold(hold("list"), NOW)
    await journal.forget_workflow(WORKFLOW, Decision("delete", "ada", CONNECTION, WORKFLOW), NOW)
    kinds = [(notice.kind, notice.quiet) for notice in await journal.notices()]
    assert kinds == [("hold", False), ("recovery", False)]
    text = (await journal.notices())[1].text
    for word in ("was deleted by ada", "step list", "2 operations were given up"):
        assert word in text
