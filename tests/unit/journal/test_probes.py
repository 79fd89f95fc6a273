"""Holds that end by themselves: releasing one operation, and giving way to a cause that needs a person."""

from __future__ import annotations

from askel_tui.store.journal.rows import DelayedOperation
from tests.unit.journal.samples import CONNECTION, WORKFLOW, Desk, hold, intent


async def test_the_oldest_operation_is_released_and_held_again_if_it_is_to_be_tried_again(desk: Desk) -> None:
    planned = await desk.planned(3, ("points",))
    assert await desk.journal.add_hold(hold("points", "outage"), desk.now)
    assert await desk.journal.release_one(WORKFLOW, "points", desk.now) == planned[0].seq
    assert await desk.waiting_seqs() == [planned[0].seq]
    assert await desk.journal.operation_state(planned[0].seq) == "waiting"
    assert (await desk.counts()).held == 2
    request = await desk.journal.open_request(intent(planned[:1]), desk.now)
    delayed = [DelayedOperation(planned[0], desk.now + 1_000, "503")]
    await desk.journal.answer_request(request, delayed=delayed, connection=CONNECTION, now=desk.now)
    assert await desk.journal.operation_state(planned[0].seq) == "held"
    assert [each.waiting for each in await desk.journal.holds()] == [3]
    assert await desk.journal.release_one(WORKFLOW, "points", desk.now) == planned[0].seq
    await desk.send(planned[:1])
    assert await desk.journal.operation_state(planned[0].seq) is None
    assert [each.waiting for each in await desk.journal.holds()] == [2]


async def test_nothing_is_released_where_nothing_is_held(desk: Desk) -> None:
    await desk.planned(1, ("points",))
    assert await desk.journal.release_one(WORKFLOW, "points", desk.now) is None
    await desk.journal.add_hold(hold("list", "outage"), desk.now)
    assert await desk.journal.release_one(WORKFLOW, "list", desk.now) is None


async def test_a_cause_that_may_end_by_itself_gives_way(desk: Desk) -> None:
    await desk.planned(2, ("points",))
    journal = desk.journal
    assert await journal.add_hold(hold("points", "outage"), desk.now)
    assert not await journal.add_hold(hold("points", "outage"), desk.now)
    assert await journal.add_hold(hold("points", "target_gone"), desk.now)
    assert not await journal.add_hold(hold("points", "outage"), desk.now)
    assert await journal.add_hold(hold("points", "in_doubt"), desk.now)
    assert not await journal.add_hold(hold("points", "target_gone"), desk.now)
    [kept] = await journal.holds()
    assert (kept.cause, kept.waiting) == ("in_doubt", 2)
    kinds = [(each.kind, each.cause) for each in await journal.notices()]
    assert kinds == [
        ("hold", "outage"),
        ("hold", "target_gone"),
        ("recovery", "outage"),  # Klaviyo answers
        ("hold", "in_doubt"),
    ]
    assert (await desk.counts()).held == 2


async def test_what_is_tried_again_at_once_is_no_trouble(desk: Desk) -> None:
    planned = await desk.planned(1, ("points",))
    for due, since in ((desk.now, 0), (desk.now + 1, desk.now), (desk.now + 2, desk.now)):
        request = await desk.journal.open_request(intent(planned), desk.now)
        delayed = [DelayedOperation(planned[0], due, "again")]
        await desk.journal.answer_request(request, delayed=delayed, connection=CONNECTION, now=desk.now)
        [waiting] = await desk.waiting()
        assert waiting.retrying_since == since
