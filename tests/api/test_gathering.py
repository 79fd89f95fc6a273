"""Records that come at once are one call of the journal; each request gets its own fates, or the error."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from askel_tui.api.shared.batching import MAX_BATCHED_RECORDS, RecordBatcher
from askel_tui.core.records.record import Record, read_record
from askel_tui.store.journal.errors import JournalError
from askel_tui.store.journal.interface import Journal
from askel_tui.store.journal.rows import AcceptResult
from askel_tui.store.sqlite.journal import open_journal
from tests.support.workbench import points


def record(number: int, value: int = 1) -> Record:
    return read_record({**points(number), "data": {"value": value}}, now="2026-11-23T09:00:00Z")


class Watched:
    """A journal that counts calls, and fails when it is told to."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.calls: list[tuple[str, int]] = []
        self.fails = False

    async def accept_records(
        self, connection: str, records: Sequence[Record], now: int
    ) -> list[AcceptResult]:
        self.calls.append((connection, len(records)))
        if self.fails:
            raise JournalError("the disk is full")
        return await self.journal.accept_records(connection, records, now)


async def test_what_comes_at_once_is_one_call_and_each_gets_its_fates(tmp_path: Path) -> None:
    journal = await open_journal(tmp_path)
    watched = Watched(journal)
    gatherer = RecordBatcher(cast(Journal, watched), lambda: 5)
    many = [record(1_000 + number) for number in range(MAX_BATCHED_RECORDS + 1)]
    given: list[tuple[str, list[Record]]] = [
        ("a", [record(1), record(2)]),
        ("a", [record(1)]),
        ("b", [record(1)]),
        ("a", [record(2, 7), record(3)]),
        ("a", many),
    ]
    fates = await asyncio.gather(*(gatherer.accept(*each) for each in given))
    assert fates == [["new", "new"], ["same"], ["new"], ["other_body", "new"], ["new"] * len(many)]
    assert sorted(watched.calls) == [("a", 5), ("a", len(many)), ("b", 1)]
    watched.fails = True
    failed: list[Any] = await asyncio.gather(
        *(gatherer.accept("a", [record(number)]) for number in (8, 9)), return_exceptions=True
    )
    assert [str(each) for each in failed] == ["the disk is full"] * 2
    watched.fails = False
    assert await gatherer.accept("a", [record(8)]) == ["new"]
    await journal.close()


async def test_one_who_gave_up_harms_no_other(tmp_path: Path) -> None:
    journal = await open_journal(tmp_path)
    gatherer = RecordBatcher(journal, lambda: 5)
    gone, stays = (asyncio.create_task(gatherer.accept("a", [record(number)])) for number in (1, 2))
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays == ["new"]
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert await journal.last_record_seq("a") == 2
    await journal.close()
