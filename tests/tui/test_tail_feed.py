"""The tail's feed over a real journal: what it shows is what the audit holds, and it goes on with what comes."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from askel_tui.store.journal.rows import AuditFilter
from askel_tui.store.journal.tables.audit import tail as audit_tail
from askel_tui.store.journal.tables.audit.tail import TailQuery
from askel_tui.store.paths import journal_file
from askel_tui.store.sqlite.connection import connect_tail
from askel_tui.tui.backend.audit_reader import AuditReader
from askel_tui.tui.screens.live.feed import TailFeed, TailRows
from askel_tui.tui.screens.live.rows import ROWS_PER_PAGE
from tests.benchmarks.audit_filler import INSERT, entry, fill

ENTRIES = 25_000


class Watched:
    """A feed and what it changes."""

    def __init__(self, home: Path) -> None:
        self.changed = threading.Condition()
        self.changes: list[tuple[int, int]] = []
        self.faults: list[Exception] = []
        self.feed = TailFeed(
            partial(AuditReader, journal_file(home)),
            on_rows=self._rows,
            on_page=self._page,
            on_error=self._fault,
        )
        self.feed.open()

    def _rows(self, source: TailRows, older: int, newer: int) -> None:
        with self.changed:
            source.reveal()
            self.changes.append((older, newer))
            self.changed.notify_all()

    def _page(self, source: TailRows, page: Any) -> None:
        with self.changed:
            self.changed.notify_all()

    def _fault(self, error: Exception) -> None:
        with self.changed:
            self.faults.append(error)
            self.changed.notify_all()

    def until(self, true: Callable[[], Any]) -> None:
        end = time.monotonic() + 20
        with self.changed:
            while not true():
                assert self.changed.wait(0.2) or time.monotonic() < end
        assert not self.faults


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("filled")
    fill(home, ENTRIES)
    return home


@pytest.fixture
def watched(filled: Path) -> Iterator[Watched]:
    one = Watched(filled)
    yield one
    one.feed.close()


def all_seqs(source: TailRows) -> list[int]:
    return [source.seq_at(line) for line in range(source.count)]


def expected(keep: Callable[[tuple[Any, ...]], bool]) -> list[int]:
    return [number for number in range(1, ENTRIES + 1) if keep(entry(number))]


def test_the_newest_rows_are_there_with_the_first_word(watched: Watched) -> None:
    source = watched.feed.show_all()
    watched.until(lambda: watched.changes)
    newest = source.row(source.count - 1)
    assert newest is not None
    assert (newest.seq, newest.identifier) == (ENTRIES, f"shopper{ENTRIES // 4}@mapleandember.example")
    assert source.count == ENTRIES


def test_a_page_comes_when_it_is_wanted(watched: Watched) -> None:
    source = watched.feed.show_all()
    watched.until(lambda: source.count)
    assert source.row(1_000) is None
    watched.feed.request_page(source, source.page_of(1_000))
    watched.until(lambda: source.row(1_000))
    found = source.row(1_000)
    assert found is not None
    assert found.seq == 1_001


@pytest.mark.parametrize(
    ("match", "keep"),
    [
        (TailQuery(AuditFilter(workflow="vip-gift")), lambda e: e[4] == "vip-gift"),
        (TailQuery(AuditFilter(status="failed")), lambda e: e[9] == "failed"),
        (TailQuery(AuditFilter(status="written")), lambda e: e[9] == "written"),
        (
            TailQuery(AuditFilter(step="tier", connection="north-star")),
            lambda e: e[5] == "tier" and e[3] == "north-star",
        ),
        (TailQuery(words=("shopper77@",)), lambda e: "shopper77@" in e[16]),
        (TailQuery(words=("VIP-gift", "points")), lambda e: e[4] == "vip-gift" and e[5] == "points"),
        (TailQuery(without=("vip-gift", "written")), lambda e: e[4] != "vip-gift" and e[9] != "written"),
        (TailQuery(words=("nowhere",)), lambda _: False),
        (TailQuery(words=("100%_",)), lambda _: False),
    ],
    ids=["workflow", "rare", "common", "two fields", "word", "two words", "without", "nothing", "wildcards"],
)
def test_a_filter_finds_what_looking_at_each_entry_finds(
    watched: Watched, match: TailQuery, keep: Callable[[tuple[Any, ...]], bool]
) -> None:
    source = watched.feed.show_matches(match)
    watched.until(lambda: source.complete)
    assert all_seqs(source) == expected(keep)


def test_the_newest_matches_come_first(watched: Watched) -> None:
    source = watched.feed.show_matches(TailQuery(AuditFilter(step="tier")))
    watched.until(lambda: watched.changes)
    assert watched.changes[0] == (256, 0)
    newest = source.row(source.count - 1)
    assert newest is not None
    watched.until(lambda: source.complete)
    assert newest.seq == all_seqs(source)[-1]


def test_what_another_process_writes_comes_after_all_and_through_the_filter(tmp_path: Path) -> None:
    fill(tmp_path, 600)
    one = Watched(tmp_path)
    try:
        source = one.feed.show_matches(TailQuery(words=("vip-gift",)))
        one.until(lambda: source.complete)
        before = source.count
        with sqlite3.connect(journal_file(tmp_path)) as other:
            other.executemany(INSERT, [entry(number) for number in range(601, 1_201)])
        other.close()
        one.until(lambda: source.count > before)
        assert all_seqs(source) == [number for number in range(1, 1_201) if number % 5 == 0]
        every = one.feed.show_all()
        one.until(lambda: every.count == 1_200)
    finally:
        one.feed.close()


def test_a_page_in_part_there_is_added_to_and_not_read_again(tmp_path: Path) -> None:
    fill(tmp_path, ROWS_PER_PAGE + 10)
    one = Watched(tmp_path)
    try:
        source = one.feed.show_all()
        one.until(lambda: source.count)
        with sqlite3.connect(journal_file(tmp_path)) as other:
            other.executemany(
                INSERT, [entry(number) for number in range(ROWS_PER_PAGE + 11, ROWS_PER_PAGE * 2 + 6)]
            )
        other.close()
        one.until(lambda: source.count == ROWS_PER_PAGE * 2 + 5)
        shown = [source.row(line) for line in range(ROWS_PER_PAGE, ROWS_PER_PAGE * 2 + 5)]
        assert [row.seq for row in shown if row] == list(range(ROWS_PER_PAGE + 1, ROWS_PER_PAGE * 2 + 6))
    finally:
        one.feed.close()


def test_a_journal_with_gaps_has_lines_for_what_is_there(tmp_path: Path) -> None:
    fill(tmp_path, 1_000)
    with sqlite3.connect(journal_file(tmp_path)) as db:
        db.execute("DELETE FROM audit WHERE seq < 100 OR seq BETWEEN 400 AND 449")
    db.close()
    one = Watched(tmp_path)
    try:
        source = one.feed.show_all()
        one.until(lambda: source.count == 851)
        assert all_seqs(source) == [*range(100, 400), *range(450, 1_001)]
    finally:
        one.feed.close()


def test_a_record_has_its_life(filled: Path) -> None:
    db = connect_tail(journal_file(filled))
    try:
        assert [row.seq for row in audit_tail.record_history(db, "evt-0000010")] == [40, 41, 42, 43]
        whole = audit_tail.read_entry(db, 40)
        assert whole is not None
        assert whole.record == "evt-0000010"
        assert audit_tail.read_entry(db, ENTRIES + 1) is None
    finally:
        db.close()
