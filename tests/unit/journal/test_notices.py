"""Notices: one per cause, and how far they were delivered."""

from __future__ import annotations

from dataclasses import replace

from askel_tui.store.journal.interface import Journal
from askel_tui.store.journal.notice_rows import DeliveryPosition, WarningNotice
from tests.unit.journal.samples import CONNECTION, NOW, WORKFLOW, Desk, decision, hold

A, B = "address-a", "address-b"


async def test_a_second_step_of_one_cause_is_quiet_until_all_go_on(desk: Desk) -> None:
    journal = desk.journal
    await journal.add_hold(hold("list"), NOW)
    await journal.add_hold(hold("points"), NOW)
    await journal.add_hold(replace(hold("tier"), detail="another list"), NOW)
    await journal.release_hold(WORKFLOW, "list", decision("release", "list"), NOW)
    await journal.release_hold(WORKFLOW, "points", decision("release", "points"), NOW)
    message = [(each.kind, each.step, each.quiet) for each in await journal.notices()]
    assert message == [
        ("hold", "list", False),
        ("hold", "points", True),
        ("hold", "tier", False),
        ("recovery", "list", True),
        ("recovery", "points", False),
    ]


async def test_the_notice_of_a_release_names_its_actor_and_the_number_of_operations(desk: Desk) -> None:
    await desk.planned(2)
    await desk.journal.add_hold(hold("list"), NOW)
    await desk.journal.release_hold(WORKFLOW, "list", decision("release", "list"), NOW + 60_000)
    text = (await desk.journal.notices())[-1].text
    for word in ("goes on", "released by ada", "2 operations are sent"):
        assert word in text
    await desk.journal.release_hold(WORKFLOW, "list", decision("release", "list"), NOW)
    assert len(await desk.journal.notices()) == 2


async def test_reminders_wait_for_their_time_and_end_with_the_hold(desk: Desk) -> None:
    journal = desk.journal
    await journal.add_hold(hold("list"), NOW)
    await journal.add_hold(hold("points"), NOW)
    assert await journal.add_reminders([10, 60], NOW + 9) == 0
    assert await journal.add_reminders([10, 60], NOW + 10) == 1
    assert await journal.add_reminders([10, 60], NOW + 59) == 0
    [reminder] = [each for each in await journal.notices() if each.kind == "reminder"]
    assert not reminder.quiet
    assert "step list, workflow welcome, step points are held" in reminder.text
    times = [NOW + after for after in range(61, 200) if await journal.add_reminders([10, 60], NOW + after)]
    assert times == [NOW + 61, NOW + 121, NOW + 181]
    for step in ("list", "points"):
        await journal.release_hold(WORKFLOW, step, decision("release", step), NOW)
    assert await journal.add_reminders([10, 60], NOW + 1_000) == 0


async def test_a_warning_comes_with_its_decision(desk: Desk) -> None:
    notice = WarningNotice("warning", CONNECTION, WORKFLOW, "vip", "segment_inactive", "it sleeps")
    await desk.journal.add_notice(notice, decision("drift", "vip"), NOW)
    await desk.journal.add_notice(replace(notice, kind="over"), None, NOW + 1)
    assert [each.kind for each in await desk.journal.notices()] == ["warning", "over"]
    assert [entry.kind for entry in await desk.entries()] == ["drift"]
    assert (await desk.journal.verify_audit())[1] is None


async def test_deliveries_go_forward_only(journal: Journal) -> None:
    assert await journal.delivery(A, None) == DeliveryPosition(0)
    await journal.save_delivery(A, DeliveryPosition(7, 2, 99))
    await journal.save_delivery(A, DeliveryPosition(5))
    assert await journal.delivery(A, None) == DeliveryPosition(7, 2, 99)
    await journal.save_delivery(A, DeliveryPosition(7))
    assert await journal.delivery(A, None) == DeliveryPosition(7)


async def test_a_new_address_begins_with_the_oldest_standing_hold(desk: Desk) -> None:
    journal = desk.journal
    await journal.add_hold(hold("old"), NOW)
    await journal.release_hold(WORKFLOW, "old", decision("release", "old"), NOW)
    assert (await journal.delivery(A, CONNECTION)).seq == 2
    await journal.add_hold(hold("list"), NOW)
    await journal.add_hold(hold("points"), NOW)
    assert (await journal.delivery(B, CONNECTION)).seq == 2
    assert (await journal.delivery("address-c", "another")).seq == 4
