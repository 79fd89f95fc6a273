"""Bulk mode: a process of its own writes the journal, and nothing else is different."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from askel_tui.store.errors import AlreadyOwned
from askel_tui.store.journal.errors import JournalError, StaleOperations
from askel_tui.store.journal.interface import Journal
from askel_tui.store.locks import OwnershipLock
from askel_tui.store.sqlite.journal import open_journal
from tests.support.patience import PATIENCE_S
from tests.support.processes import children, line, python
from tests.unit.journal.samples import CONNECTION, NOW, WORKFLOW, Desk, decision, intent, record


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    with OwnershipLock(tmp_path) as lock:
        opened = await open_journal(tmp_path, lock=lock.descriptor)
        yield opened
        await opened.close()


async def test_what_is_written_stays_in_order_while_the_writer_changes(journal: Journal) -> None:
    ends: list[int] = []

    async def decide(number: int) -> None:
        await journal.write_decision(replace(decision("connect"), detail={"number": number}), NOW)
        ends.append(number)

    async def some(first: int) -> None:
        """Decisions that keep coming, each handed in before the one before it is written."""
        deciding = []
        for number in range(first, first + 200):
            deciding.append(asyncio.create_task(decide(number)))
            await asyncio.sleep(0)
        await asyncio.gather(*deciding)

    await asyncio.gather(some(0), journal.enter_bulk_mode())
    assert len(children(os.getpid())) == 1
    await some(200)
    await asyncio.gather(some(400), journal.leave_bulk_mode())
    assert children(os.getpid()) == []
    await asyncio.gather(some(600), journal.enter_bulk_mode())
    entries = await Desk(journal).entries(kind="connect")
    numbers = [(entry.response or {})["detail"]["number"] for entry in entries]
    assert numbers == ends == list(range(800))
    assert (await journal.verify_audit())[:2] == (800, None)


async def test_an_error_and_its_facts_come_back(journal: Journal) -> None:
    await journal.enter_bulk_mode()
    desk = Desk(journal)
    planned = await desk.planned(2)
    await desk.send(planned[:2])
    with pytest.raises(StaleOperations) as caught:
        await journal.open_request(intent(planned[1:3]), NOW)
    assert caught.value.seqs == (planned[1].seq,)
    with pytest.raises(LookupError, match="no request 77"):
        await journal.answer_request(77, now=NOW)


async def test_a_writer_that_dies_is_an_error_and_acknowledged_writes_are_kept(journal: Journal) -> None:
    await journal.enter_bulk_mode()
    assert await journal.accept_records(CONNECTION, [record(1)], NOW) == ["new"]
    for pid in children(os.getpid()):
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(
        JournalError, match=r"the process that writes it ended\. What was acknowledged is kept"
    ):
        # It may die with what was handed in, or before that.
        await journal.accept_records(CONNECTION, [record(2)], NOW)
    assert [each.record.id for each in await journal.records_after(CONNECTION, 0, 10)] == ["evt-000001"]


async def test_entering_or_leaving_bulk_mode_twice_is_once(journal: Journal) -> None:
    for change in (
        journal.leave_bulk_mode,
        journal.enter_bulk_mode,
        journal.enter_bulk_mode,
        journal.leave_bulk_mode,
        journal.leave_bulk_mode,
    ):
        await change()
        assert len(children(os.getpid())) == (change == journal.enter_bulk_mode)
        await Desk(journal, workflow=WORKFLOW).take(1)


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from askel_tui.store.locks import OwnershipLock
from askel_tui.store.sqlite.journal import open_journal
from tests.unit.journal.samples import CONNECTION, NOW, record

async def main(home):
    lock = OwnershipLock(home)
    lock.acquire()
    journal = await open_journal(home, lock=lock.descriptor)
    await journal.enter_bulk_mode()
    pad = "x" * 1_000
    many = [[record(each, pad=pad) for each in range(n, n + 500)] for n in range(0, 20_000, 500)]
    writing = [asyncio.create_task(journal.accept_records(CONNECTION, each, NOW)) for each in many]
    await writing[0]
    print("written", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main(Path(sys.argv[1])))
"""


async def test_the_next_owner_waits_until_the_writer_of_one_that_was_killed_has_ended(tmp_path: Path) -> None:
    with python(KILLED, tmp_path) as process:
        assert line(process) == "written"
        process.wait(PATIENCE_S)
        with OwnershipLock(tmp_path) as lock:
            journal = await open_journal(tmp_path, lock=lock.descriptor)
            found = len(await journal.records_after(CONNECTION, 0, 100_000))
            # Whole transactions, and nothing more comes now that there is another owner.
            assert found >= 500
            assert found % 500 == 0
            await journal.write_decision(decision("connect"), NOW)
            assert len(await journal.records_after(CONNECTION, 0, 100_000)) == found
            await journal.close()


async def test_no_other_process_owns_the_home_while_its_owner_lives(journal: Journal, tmp_path: Path) -> None:
    await journal.enter_bulk_mode()
    with pytest.raises(AlreadyOwned, match=f"process {os.getpid()}"):
        OwnershipLock(tmp_path).acquire()
