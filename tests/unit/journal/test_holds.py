"""Holds: a held step's operations wait in order, nothing else does, and nothing is sent past a held gate."""

from __future__ import annotations

from dataclasses import replace

from askel_tui.core.hold_causes import HoldReason
from askel_tui.store.journal.interface import Journal
from askel_tui.store.journal.rows import Decision, DelayedOperation, SettledOperation, WorkflowCounts
from askel_tui.store.journal.states import SEQ_GAP
from tests.unit.journal.samples import CONNECTION, NOW, WORKFLOW, Desk, decision, hold, intent


async def test_a_hold_keeps_its_step_and_is_noticed_once(desk: Desk) -> None:
    await desk.planned(2)
    assert await desk.journal.add_hold(hold("list"), NOW) is True
    assert [each.operation.step for each in await desk.waiting()] == ["tier", "points"] * 2
    assert await desk.counts() == WorkflowCounts(waiting=4, held=2)
    (kept,) = await desk.journal.holds()
    assert (kept.step, kept.cause, kept.waiting) == ("list", "target_gone", 2)
    (notice,) = await desk.journal.notices()
    assert (notice.kind, notice.workflow, notice.step) == ("hold", WORKFLOW, "list")
    for said in (
        "gone from the account",
        "Welcome Flow",
        "2 operations wait",
        f"askel hold release {WORKFLOW} list",
    ):
        assert said in notice.text
    (entry,) = await desk.entries()
    assert (entry.kind, entry.step, entry.status) == ("hold", "list", "done")

    assert await desk.journal.add_hold(hold("list", "key_refused"), NOW + 5) is False
    assert await desk.journal.holds() == [replace(kept, others=(HoldReason("key_refused", kept.detail),))]
    assert await desk.journal.notices(notice.seq) == []
    assert len(await desk.entries()) == 1


async def test_what_is_planned_under_a_hold_waits_for_it(desk: Desk) -> None:
    await desk.journal.add_hold(hold("list"), NOW)
    planned = await desk.planned(2)
    assert [each.operation.step for each in planned] == ["tier", "points"] * 2
    (kept,) = await desk.journal.holds()
    assert kept.waiting == 2


async def test_a_release_brings_all_back_in_their_order(desk: Desk) -> None:
    planned = await desk.planned(2)
    await desk.journal.add_hold(hold("points"), NOW)
    await desk.planned(1)
    assert await desk.journal.release_hold(WORKFLOW, "points", decision("release", "points"), NOW) == 3
    assert await desk.waiting_seqs() == [planned[0].seq + SEQ_GAP * number for number in range(9)]
    assert await desk.journal.holds() == []
    assert await desk.counts() == WorkflowCounts(waiting=9)
    assert [entry.kind for entry in await desk.entries()] == ["hold", "release"]
    assert await desk.journal.release_hold(WORKFLOW, "points", decision("release", "points"), NOW) == 0
    assert len(await desk.entries()) == 2


async def test_discarding_empties_a_hold_and_leaves_it(desk: Desk) -> None:
    planned = await desk.planned(2)
    await desk.journal.add_hold(hold("list"), NOW)
    assert await desk.journal.discard_held(WORKFLOW, "list", decision("discard", "list"), NOW) == 2
    assert [hold.waiting for hold in await desk.journal.holds()] == [0]
    assert await desk.counts() == WorkflowCounts(waiting=4, discarded=2)
    discarded = await desk.entries(status="discarded")
    assert [entry.operation for entry in discarded] == [planned[2].operation.id, planned[5].operation.id]
    assert {entry.actor for entry in discarded} == {"ada"}
    assert await desk.journal.discard_held(WORKFLOW, "list", decision("discard", "list"), NOW) == 0
    assert await desk.journal.discard_held(WORKFLOW, "tier", decision("discard", "tier"), NOW) == 0
    assert await desk.journal.release_hold(WORKFLOW, "list", decision("release", "list"), NOW) == 0
    assert await desk.journal.holds() == []


async def test_a_settlement_with_a_hold_is_one_commit(desk: Desk) -> None:
    planned = await desk.planned(2)
    request = await desk.journal.open_request(intent([planned[2]]), NOW)
    await desk.journal.answer_request(request, held=[planned[2]], hold=hold("list"), now=NOW)
    (kept,) = await desk.journal.holds()
    assert kept.waiting == 2
    assert "2 operations wait" in (await desk.journal.notices())[0].text
    assert await desk.counts() == WorkflowCounts(waiting=4, held=2)
    # A second answer of the same step finds the hold in place.
    third = (await desk.planned(1))[0]
    request = await desk.journal.open_request(intent([third]), NOW)
    await desk.journal.answer_request(request, held=[third], hold=hold("list"), now=NOW)
    assert [hold.waiting for hold in await desk.journal.holds()] == [4]
    assert len(await desk.journal.notices()) == 1
    assert await desk.journal.release_hold(WORKFLOW, "list", decision("release"), NOW) == 4


async def test_what_was_under_way_joins_the_hold_when_it_is_delayed(desk: Desk) -> None:
    planned = await desk.planned(1)
    request = await desk.journal.open_request(intent([planned[2]]), NOW)
    await desk.journal.add_hold(hold("list"), NOW)
    assert [hold.waiting for hold in await desk.journal.holds()] == [0]
    await desk.journal.answer_request(
        request, delayed=[DelayedOperation(planned[2], NOW + 9, "503")], now=NOW
    )
    assert [hold.waiting for hold in await desk.journal.holds()] == [1]
    assert await desk.waiting() == planned[:2]


async def test_nothing_is_sent_past_a_held_gate(desk: Desk) -> None:
    planned = await desk.planned(2, ["tier", "vip", "points", "list"], gates=["vip"])
    # The first record's gate was passed before: what is below it is free.
    await desk.decide_gate(planned[1], "passed")
    await desk.journal.add_hold(hold("vip", "gate_unreadable"), NOW)
    free = [planned[0], planned[2], planned[3], planned[4]]
    assert await desk.waiting() == free
    assert [kept.waiting for kept in await desk.journal.holds()] == [3]
    later = await desk.planned(1, ["tier", "vip", "points", "list"], gates=["vip"])
    assert [each.operation.step for each in later] == ["tier"]
    assert await desk.journal.release_hold(WORKFLOW, "vip", decision("release", "vip"), NOW) == 6
    last = later[0].seq + 3 * SEQ_GAP
    answered = planned[1].seq
    assert await desk.waiting_seqs() == [
        seq for seq in range(planned[0].seq, last + 1, SEQ_GAP) if seq != answered
    ]


async def test_a_gate_that_answers_after_its_hold_frees_what_is_behind_it(desk: Desk) -> None:
    planned = await desk.planned(2, ["vip", "points", "list"], gates=["vip"])
    await desk.journal.add_hold(hold("list"), NOW)
    await desk.journal.add_hold(hold("vip", "gate_unreadable"), NOW)
    assert await desk.waiting() == []
    await desk.decide_gate(planned[0], "passed")
    assert await desk.waiting() == [planned[1]]
    await desk.decide_gate(planned[3], "skipped", "is no member")
    assert {kept.step: kept.waiting for kept in await desk.journal.holds()} == {"list": 1, "vip": 0}
    assert await desk.counts() == WorkflowCounts(waiting=1, held=1)


async def test_two_holds_on_one_record_are_released_one_by_one(desk: Desk) -> None:
    await desk.planned(1, ["vip", "points", "list"], gates=["vip"])
    await desk.journal.add_hold(hold("points"), NOW)
    await desk.journal.add_hold(hold("vip", "gate_unreadable"), NOW)
    # The operation of `points` comes back, but its gate is still held.
    assert await desk.journal.release_hold(WORKFLOW, "points", decision("release"), NOW) == 0
    assert await desk.waiting() == []
    assert await desk.journal.release_hold(WORKFLOW, "vip", decision("release"), NOW) == 3
    assert len(await desk.waiting()) == 3


async def test_holds_are_listed_in_the_order_they_came(journal: Journal) -> None:
    desk, other = Desk(journal), Desk(journal, workflow="alone")
    await desk.planned(1)
    await other.plan()
    for step, at in (("tier", NOW + 10), ("list", NOW - 10)):
        await journal.add_hold(hold(step), at)
    await journal.add_hold(hold("list", workflow="alone"), NOW)
    assert [(kept.workflow, kept.step) for kept in await journal.holds()] == [
        (WORKFLOW, "tier"),
        (WORKFLOW, "list"),
        ("alone", "list"),
    ]
    assert await journal.release_hold(WORKFLOW, "list", decision("release"), NOW) == 1
    assert [kept.waiting for kept in await journal.holds()] == [1, 1]


async def test_a_held_operation_may_still_be_settled(desk: Desk) -> None:
    planned = await desk.planned(1)
    await desk.journal.add_hold(hold("list"), NOW)
    await desk.journal.answer_request(
        None, settled=[SettledOperation(planned[2], "written", detail="read back")], now=NOW
    )
    assert [kept.waiting for kept in await desk.journal.holds()] == [0]
    assert await desk.counts() == WorkflowCounts(waiting=2, sent=1)


async def test_a_release_for_a_cause_leaves_a_hold_that_has_another_by_now(desk: Desk) -> None:
    await desk.planned(1)
    await desk.journal.add_hold(hold("list", "outage"), NOW)
    await desk.journal.add_hold(hold("list", "in_doubt"), NOW)
    over = Decision("release", "askel", CONNECTION, WORKFLOW, "list", {"cause": "outage"})
    assert await desk.journal.release_hold(WORKFLOW, "list", over, NOW) == 0
    assert [kept.cause for kept in await desk.journal.holds()] == ["in_doubt"]
    right = Decision("release", "ada", CONNECTION, WORKFLOW, "list", {"cause": "in_doubt"})
    assert await desk.journal.release_hold(WORKFLOW, "list", right, NOW) == 1
    assert await desk.journal.holds() == []


async def test_what_is_held_and_still_carried_is_not_sent_when_the_hold_ends(desk: Desk) -> None:
    planned = await desk.planned(2)
    request = await desk.journal.open_request(intent(planned[:1]), NOW)
    await desk.journal.answer_request(
        request, held=planned[:1], hold=hold("tier"), keep_carrying=True, now=NOW
    )
    [placed] = await desk.journal.holds()
    assert placed.waiting == 2
    assert await desk.counts() == WorkflowCounts(waiting=4, held=2)
    await desk.journal.release_hold(WORKFLOW, "tier", decision("release"), NOW)
    assert [each.seq for each in await desk.waiting()] == [each.seq for each in planned[1:]]
    [open_request] = await desk.journal.requests_in_doubt([CONNECTION])
    assert (open_request.id, [each.seq for each in open_request.operations]) == (request, [planned[0].seq])
    settled = [SettledOperation(planned[0], "written", 202)]
    await desk.journal.answer_request(request, settled=settled, now=NOW)
    assert await desk.journal.requests_in_doubt([CONNECTION]) == []
    assert await desk.counts() == WorkflowCounts(waiting=5, sent=1)


async def test_a_hold_is_of_one_version_and_keeps_nothing_of_the_others(desk: Desk) -> None:
    await desk.planned(2)
    await desk.journal.add_hold(hold("list"), NOW)
    desk.version = 2
    later = await desk.planned(2)
    assert [each.operation.step for each in later] == ["tier", "points", "list"] * 2
    await desk.journal.add_hold(hold("list", "list_renamed", version=2), NOW)
    assert await desk.counts() == WorkflowCounts(waiting=8, held=4)
    assert [(*each.key, each.waiting) for each in await desk.journal.holds()] == [
        (WORKFLOW, 1, "list", 2),
        (WORKFLOW, 2, "list", 2),
    ]
    assert await desk.journal.versions_with_operations() == {(WORKFLOW, 1), (WORKFLOW, 2)}

    released = decision("release", "list")
    assert await desk.journal.release_hold(WORKFLOW, "list", released, NOW, version=2) == 2
    (kept,) = await desk.journal.holds()
    assert (kept.version, kept.waiting) == (1, 2)
    assert await desk.journal.release_one(WORKFLOW, "list", NOW, version=2) is None
    assert await desk.journal.discard_held(WORKFLOW, "list", decision("discard"), NOW, version=1) == 2
    assert await desk.counts() == WorkflowCounts(waiting=10, discarded=2)


async def test_an_operation_that_comes_back_waits_for_its_own_versions_hold(desk: Desk) -> None:
    first = (await desk.planned(1, steps=("list",)))[0]
    await desk.journal.add_hold(hold("list", version=2), NOW)
    delayed = [DelayedOperation(first, NOW + 5, "busy")]
    request = await desk.journal.open_request(intent([first]), NOW)
    await desk.journal.answer_request(request, delayed=delayed, now=NOW)
    assert await desk.counts() == WorkflowCounts(waiting=1)
    await desk.journal.add_hold(hold("list", version=1), NOW)
    assert {each.version: each.waiting for each in await desk.journal.holds()} == {2: 0, 1: 1}
