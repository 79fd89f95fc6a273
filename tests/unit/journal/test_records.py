"""Records: each id once, in the order of receipt, whatever the clock says."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from askel_tui.core.records.record import Record
from askel_tui.store.journal.interface import Journal
from askel_tui.store.sqlite.journal import open_journal
from tests.support.examples import examples
from tests.unit.journal.samples import CONNECTION, NOW, Opener, record


async def test_an_id_is_stored_once_and_the_first_body_wins(journal: Journal) -> None:
    first, other = record(1), record(1, tier="gold")
    assert await journal.accept_records(CONNECTION, [first, first, record(2)], NOW) == ["new", "same", "new"]
    assert await journal.accept_records(CONNECTION, [other, first], NOW + 1) == ["other_body", "same"]
    kept = await journal.find_record(CONNECTION, first.id)
    assert kept is not None
    assert kept.record == first
    assert kept.received == NOW


async def test_the_same_id_in_another_connection_is_another_record(journal: Journal) -> None:
    assert await journal.accept_records("a", [record(1)], NOW) == ["new"]
    assert await journal.accept_records("b", [record(1)], NOW) == ["new"]
    assert await journal.find_record("c", record(1).id) is None
    assert await journal.last_record_seq("c") == 0


async def test_order_is_that_of_receipt_when_the_clock_steps_back(journal: Journal) -> None:
    for number, moment in enumerate([NOW, NOW - 3_600_000, NOW + 5]):
        await journal.accept_records(CONNECTION, [record(number)], moment)
    after = await journal.records_after(CONNECTION, 0, 10)
    assert [stored.record.data["points"] for stored in after] == [0, 1, 2]
    newest = await journal.newest_records(CONNECTION, 2)
    assert [stored.record.data["points"] for stored in newest] == [2, 1]
    assert newest[0].seq == await journal.last_record_seq(CONNECTION)


async def test_records_survive_closing(opener: Opener, tmp_path: Path) -> None:
    journal = await opener(tmp_path)
    await journal.accept_records(CONNECTION, [record(7, note="O'Neil – 😀 \\ \" \x7f")], NOW)
    await journal.close()
    again = await opener(tmp_path)
    kept = await again.find_record(CONNECTION, record(7).id)
    await again.close()
    assert kept is not None
    assert kept.record == record(7, note="O'Neil – 😀 \\ \" \x7f")


async def test_many_producers_lose_nothing(journal: Journal) -> None:
    async def produce(producer: int) -> None:
        for batch in range(5):
            first = (producer * 5 + batch) * 20
            fates = await journal.accept_records(
                CONNECTION, [record(first + number) for number in range(20)], NOW
            )
            assert fates == ["new"] * 20

    await asyncio.gather(*(produce(producer) for producer in range(20)))
    kept = await journal.records_after(CONNECTION, 0, 10_000)
    assert sorted(stored.record.data["points"] for stored in kept) == list(range(2_000))
    assert [stored.seq for stored in kept] == sorted({stored.seq for stored in kept})


EVENTS = ("bought", "left", "came")
arrivals = st.lists(st.tuples(st.sampled_from(("a", "b")), st.sampled_from(EVENTS)), max_size=30)


@examples(25)
@given(
    arrivals, st.none() | st.sets(st.sampled_from((*EVENTS, "never"))), st.integers(0, 31), st.integers(1, 31)
)
def test_reading_is_a_window_on_what_arrived(
    arrived: list[tuple[str, str]], events: set[str] | None, start: int, limit: int
) -> None:
    async def check(directory: Path) -> None:
        journal = await open_journal(directory / "journal.db")
        try:
            for number, (connection, event) in enumerate(arrived):
                await journal.accept_records(connection, [record(number, event=event)], NOW)
            expected: list[Record] = [
                record(number, event=event)
                for number, (connection, event) in enumerate(arrived)
                if connection == "a" and (events is None or event in events)
            ]
            kept = await journal.records_after("a", 0, 1_000, events=events)
            assert [stored.record for stored in kept] == expected
            after = await journal.records_after("a", start, limit, events=events)
            assert after == [stored for stored in kept if stored.seq > start][:limit]
            newest = await journal.newest_records("a", limit, events=events, before=start)
            assert newest == [stored for stored in reversed(kept) if stored.seq < start][:limit]
        finally:
            await journal.close()

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(check(Path(directory)))
