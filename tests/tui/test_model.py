"""Rows of a tail: every line is the entry it should be, however the entries came."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.store.journal.tables.audit.tail import TailRow
from askel_tui.tui.screens.live.feed import TailRows, pages_near
from askel_tui.tui.screens.live.rows import ROWS_PER_PAGE, AllRows, FilteredRows, PageCache

pytestmark = pytest.mark.clock

NUMBERS = st.sets(st.integers(1, 3_000), max_size=1_500).map(sorted)


def row(seq: int) -> TailRow:
    return TailRow(seq, seq, "a", None, None, None, None, "hold", "done", "", "", None, "")


def read(source: TailRows) -> list[int | None]:
    """The entries on all lines, each page read as the feed reads it."""
    shown = []
    for line in range(source.count):
        page = source.page_of(line)
        if source.pages.get(page) is None:
            source.pages.put(page, [row(seq) for seq in source.seqs(page)])
        found = source.row(line)
        shown.append(found.seq if found else None)
    return shown


@given(NUMBERS)
def test_gaps_are_no_lines(numbers: list[int]) -> None:
    source = AllRows()
    source.reset_to_seqs(numbers)
    assert read(source) == numbers
    assert [source.line_of(number) for number in numbers] == list(range(len(numbers)))


@given(st.integers(1, 5_000), st.integers(0, 700), st.integers(0, 700))
def test_a_whole_journal_is_one_run_that_grows(first: int, count: int, more: int) -> None:
    source = AllRows()
    source.reset_to_range(first, first + count - 1)
    assert source.extend(first + count + more - 1) == more
    assert read(source) == list(range(first, first + count + more))


@given(NUMBERS, st.integers(0, 3_000), st.integers(1, 300))
def test_matches_come_from_the_newest_on_and_go_on_coming(numbers: list[int], now: int, chunk: int) -> None:
    older, newer = [n for n in numbers if n <= now], [n for n in numbers if n > now]
    source = FilteredRows()
    found = older[::-1]
    for at in range(0, len(found), chunk):
        source.add_older(found[at : at + chunk])
        assert source.reveal() == len(found[at : at + chunk])
    for at in range(0, len(newer), chunk):
        source.add_newer(newer[at : at + chunk])
    assert read(source) == numbers
    assert [source.line_of(number) for number in numbers] == list(range(len(numbers)))


def test_older_matches_leave_the_pages_that_were_read_as_they_are() -> None:
    source = FilteredRows()
    source.add_older(list(range(1_000, 700, -1)))
    source.reveal()
    read(source)
    page = source.page_of(source.count - 1)
    kept = source.pages.get(page)
    newest = source.row(source.count - 1)
    source.add_older(list(range(700, 100, -1)))
    # The lines are moved by the one that paints them.
    assert source.row(source.count - 1) is newest
    assert source.reveal() == 600
    assert source.row(source.count - 1) is newest
    assert source.page_of(source.count - 1) == page
    assert source.pages.get(page) is kept


def test_pages_are_forgotten_by_the_time_they_were_last_used() -> None:
    pages = PageCache(2)
    pages.put(("all", 1), [row(1)])
    pages.put(("all", 2), [row(2)])
    pages.get(("all", 1))
    pages.put(("all", 3), [row(3)])
    assert pages.get(("all", 2)) is None
    assert pages.get(("all", 1)) is not None
    assert len(pages) == 2


def test_the_pages_around_a_screen_are_the_neighbours_and_no_others() -> None:
    source = AllRows()
    source.reset_to_range(1, ROWS_PER_PAGE * 10)
    wanted = {number for _, number in pages_near(source, ROWS_PER_PAGE * 5 + 10, ROWS_PER_PAGE * 5 + 60)}
    assert wanted == {4, 5, 6}
    assert pages_near(AllRows(), 0, 50) == []
