"""Commands, and noticing that something changed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from askel_tui.store.journal.interface import Journal
from askel_tui.store.journal.rows import Command
from tests.unit.journal.samples import CONNECTION, NOW, Desk, Opener, record


async def test_a_command_is_finished_once(journal: Journal) -> None:
    ordered = await journal.submit_command("pause", {"workflow": "welcome"}, "ada", NOW)
    later = await journal.submit_command("retry", {"ids": [1, 2]}, "ada", NOW - 5)
    first, second = await journal.open_commands()
    assert first == Command(ordered, "pause", {"workflow": "welcome"}, "ada", NOW)
    assert second.id == later
    await journal.finish_command(ordered, "refused", {"why": "it is a draft"})
    await journal.finish_command(ordered, "done", {})
    finished = await journal.find_command(ordered)
    assert (finished.state, finished.result) == ("refused", {"why": "it is a draft"})
    assert [command.id for command in await journal.open_commands()] == [later]
    with pytest.raises(LookupError):
        await journal.find_command(99)
    with pytest.raises(LookupError):
        await journal.finish_command(99, "done", {})


async def test_own_commits_are_noticed_and_silence_too(desk: Desk) -> None:
    journal = desk.journal
    assert await journal.wait_for_change(0.01) is False
    waiter = asyncio.create_task(journal.wait_for_change(30))
    await desk.take(1)
    assert await waiter is True
    # This task has not heard of it yet.
    assert await journal.wait_for_change(30) is True
    assert await journal.wait_for_change(0.01) is False


async def test_a_commit_between_two_waits_is_not_missed(desk: Desk) -> None:
    """Also where every wait is a task of its own, as in a loop that waits for several things."""
    assert await asyncio.create_task(desk.journal.wait_for_change(0.01)) is False
    await desk.take(1)
    assert await asyncio.create_task(desk.journal.wait_for_change(30)) is True
    assert await asyncio.create_task(desk.journal.wait_for_change(0.01)) is False


async def test_every_waiter_is_woken(desk: Desk) -> None:
    waiters = [asyncio.create_task(desk.journal.wait_for_change(30)) for _ in range(3)]
    await asyncio.sleep(0)
    await desk.take(1)
    assert await asyncio.gather(*waiters) == [True] * 3


async def test_commits_of_others_are_noticed(opener: Opener, tmp_path: Path) -> None:
    mine, theirs = await opener(tmp_path), await opener(tmp_path)
    waiter = asyncio.create_task(mine.wait_for_change(30))
    await theirs.accept_records(CONNECTION, [record(1)], NOW)
    assert await waiter is True
    assert await mine.last_record_seq(CONNECTION) == await theirs.last_record_seq(CONNECTION) != 0
    await mine.close()
    await theirs.close()


async def test_closing_ends_waiting_and_may_be_repeated(opener: Opener, tmp_path: Path) -> None:
    journal = await opener(tmp_path)
    waiter = asyncio.create_task(journal.wait_for_change(30))
    await asyncio.sleep(0)
    await journal.close()
    assert await waiter is False
    await journal.close()


async def test_what_was_handed_in_before_closing_is_kept(opener: Opener, tmp_path: Path) -> None:
    journal = await opener(tmp_path)
    accepting = [
        asyncio.create_task(journal.accept_records(CONNECTION, [record(number)], NOW)) for number in range(50)
    ]
    await asyncio.sleep(0)
    await journal.close()
    assert await asyncio.gather(*accepting) == [["new"]] * 50
    again = await opener(tmp_path)
    assert len(await again.records_after(CONNECTION, 0, 100)) == 50
    await again.close()
