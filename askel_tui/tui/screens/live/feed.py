"""Feeds a tail from the journal: a thread that reads pages and notices commits, and a few that search.

Works when the daemon is another process: nothing but the journal's file is shared. Callbacks come from the feed's
threads. Times are in seconds.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from askel_tui.store.journal.tables.audit import tail as store
from askel_tui.store.journal.tables.audit.tail import TailQuery
from askel_tui.store.sqlite.connection import connect_tail, data_version
from askel_tui.tui.screens.live.rows import ROWS_PER_PAGE, AllRows, FilteredRows, PageKey

T = TypeVar("T")

POLL_INTERVAL_S = 0.1
"""How often the journal is asked whether anything was committed."""

FIRST_SEARCH_ROWS = 256
"""Matches that are looked for first."""

SEARCH_CHUNK_ROWS = 20_000
"""Entries looked at, or matches taken, in one read."""

SEARCH_THREADS = min(4, os.cpu_count() or 1)
"""Chunks looked through side by side: SQLite does that without Python's lock."""

TailRows = AllRows | FilteredRows


class TailFeed:
    """Reads for one tail. `open`, then `show_all` or `show`; `close` at the end."""

    def __init__(
        self,
        journal: Path,
        *,
        on_rows: Callable[[TailRows, int, int], None],
        on_page: Callable[[TailRows, PageKey], None],
        on_fault: Callable[[Exception], None],
    ) -> None:
        """`on_rows(source, older, newer)`: so many lines came before all others (to be revealed), and after them."""
        self._journal = journal
        self._on_rows, self._on_page, self._on_fault = on_rows, on_page, on_fault
        self._work: SimpleQueue[Callable[[sqlite3.Connection], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="askel-tail", daemon=True)
        self._leader = ThreadPoolExecutor(1, "askel-search-leader", initializer=self._connect)
        self._searchers = ThreadPoolExecutor(SEARCH_THREADS, "askel-search", initializer=self._connect)
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._requested_pages: set[tuple[int, PageKey]] = set()
        self._shown_rows: TailRows = AllRows()
        self._match: TailQuery | None = None
        self._last_seen_seq = 0
        self._paused = threading.Event()
        self._closed = False

    def open(self) -> None:
        """Starts reading."""
        self._thread.start()

    def close(self) -> None:
        """Ends the threads; what is being read is finished first."""
        self._closed = True
        self._paused.clear()
        self._work.put(None)
        self._thread.join(timeout=5)
        self._leader.shutdown(wait=True, cancel_futures=True)
        self._searchers.shutdown(wait=True, cancel_futures=True)
        for connection in self._connections:
            connection.close()

    def pause(self) -> None:
        """Nobody looks: commits are not noticed until `resume`."""
        self._paused.set()

    def resume(self) -> None:
        """Somebody looks again."""
        self._paused.clear()
        self._work.put(self._read_new_entries)

    # What is shown.

    def show_all(self) -> AllRows:
        """Every entry; lines come with `on_rows`."""
        source = AllRows()
        self._shown_rows, self._match = source, None
        self._requested_pages.clear()
        self._work.put(lambda db: self._start_rows(db, source))
        return source

    def show_matches(self, match: TailQuery) -> FilteredRows:
        """What matches; the newest screen comes first, then the rest."""
        source = FilteredRows()
        self._shown_rows, self._match = source, match
        self._requested_pages.clear()
        self._work.put(lambda db: self._search(db, source, match))
        return source

    def request_page(self, source: TailRows, page: PageKey) -> None:
        """Reads a page, unless that is under way; `on_page` tells."""
        key = (id(source), page)
        if key not in self._requested_pages:
            self._requested_pages.add(key)
            self._work.put(lambda db: self._serve_page(db, source, page))

    def run_query(self, work: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """What `work` gives, read by the feed's thread."""
        future: Future[T] = Future()

        def run(db: sqlite3.Connection) -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(work(db))
            except Exception as error:
                future.set_exception(error)

        self._work.put(run)
        return future

    # The reading thread.

    def _run(self) -> None:
        try:
            db = connect_tail(self._journal)
        except Exception as error:
            self._on_fault(error)
            return
        try:
            version = -1
            while not self._closed:
                try:
                    work = self._work.get(timeout=None if self._paused.is_set() else POLL_INTERVAL_S)
                except Empty:
                    work = self._read_new_entries
                    now = data_version(db)
                    if now == version:
                        continue
                    version = now
                if work is None:
                    return
                try:
                    work(db)
                except Exception as error:
                    self._on_fault(error)
        finally:
            db.close()

    def _start_rows(self, db: sqlite3.Connection, source: AllRows) -> None:
        first, last = store.first_and_last(db)
        source.reset_to_range(first, last)
        self._last_seen_seq = last
        if source is not self._shown_rows:
            return
        if last:
            # The newest page comes along, so that the first paint has rows.
            self._read_page(db, source, source.page_of(source.count - 1))
        self._on_rows(source, 0, source.count)
        first, last, count = store.bounds(db)
        if count and count != last - first + 1:
            source.reset_to_seqs(store.all_seqs(db))
            self._on_rows(source, 0, 0)

    def _read_new_entries(self, db: sqlite3.Connection) -> None:
        first, last = store.first_and_last(db)
        source = self._shown_rows
        if isinstance(source, AllRows):
            if source.count and first and source.line_of(first) > 0 and source.seqs(("all", 0))[0] < first:
                # The front was cut off: every line moved.
                self._start_rows(db, source)
                return
            new = source.extend(last)
            if new:
                self._last_seen_seq = last
                self._extend_pages(db, source, source.count - new)
                self._on_rows(source, 0, new)
        elif self._match is not None and last > self._last_seen_seq:
            query = store.prepare_query(db, self._match)
            found = store.matching_seqs(db, query, self._last_seen_seq + 1, last, last - self._last_seen_seq)
            self._last_seen_seq = last
            if found and source is self._shown_rows:
                before = source.count
                source.add_newer(found[::-1])
                self._extend_pages(db, source, before)
                self._on_rows(source, 0, len(found))

    def _extend_pages(self, db: sqlite3.Connection, source: TailRows, first: int) -> None:
        """Reads the lines from `first` on into the pages that they are on; a page in part there is added to."""
        page = source.page_of(first)
        kept = source.pages.get(page)
        seqs = source.seqs(page)
        if kept is not None and page[0] != "older" and len(kept) < len(seqs):
            source.pages.put(page, [*kept, *store.read_rows(db, seqs[len(kept) :])])
        last = source.page_of(source.count - 1)
        if last != page or kept is None:
            self._read_page(db, source, last)

    def _serve_page(self, db: sqlite3.Connection, source: TailRows, page: PageKey) -> None:
        self._requested_pages.discard((id(source), page))
        if source is self._shown_rows and source.pages.get(page) is None:
            self._read_page(db, source, page)
            self._on_page(source, page)

    @staticmethod
    def _read_page(db: sqlite3.Connection, source: TailRows, page: PageKey) -> None:
        rows = store.read_rows(db, source.seqs(page))
        # Older matches are kept newest first.
        source.pages.put(page, rows[::-1] if page[0] == "older" else rows)

    # Searching.

    def _search(self, db: sqlite3.Connection, source: FilteredRows, match: TailQuery) -> None:
        first, last = store.first_and_last(db)
        self._last_seen_seq = last
        query = store.prepare_query(db, match)
        if match.by_index and query.walk.startswith("INDEXED"):
            self._leader.submit(self._search_by_index, source, query, first, last)
        else:
            self._leader.submit(self._search_by_scanning, source, query, first, last)

    def _search_by_index(
        self, source: FilteredRows, query: store.PreparedQuery, first: int, last: int
    ) -> None:
        high, limit = last, FIRST_SEARCH_ROWS
        while source is self._shown_rows and not self._closed:
            found = self._find_in_range(query, first, high, limit)
            self._add_matches(source, found, complete=len(found) < limit)
            if len(found) < limit:
                return
            high, limit = found[-1] - 1, SEARCH_CHUNK_ROWS

    def _search_by_scanning(
        self, source: FilteredRows, query: store.PreparedQuery, first: int, last: int
    ) -> None:
        """Looks through everything, newest first: several chunks side by side, their matches in order."""
        chunks = [
            (max(first, high - SEARCH_CHUNK_ROWS + 1), high)
            for high in range(last, first - 1, -SEARCH_CHUNK_ROWS)
        ] or [(0, 0)]
        under_way: deque[Future[list[int]]] = deque()
        at = done = 0
        while done < len(chunks) and source is self._shown_rows and not self._closed:
            while at < len(chunks) and len(under_way) < SEARCH_THREADS + 1:
                under_way.append(
                    self._searchers.submit(self._find_in_range, query, *chunks[at], SEARCH_CHUNK_ROWS)
                )
                at += 1
            found = under_way.popleft().result()
            done += 1
            if found or done == len(chunks):
                self._add_matches(source, found, complete=done == len(chunks))

    def _add_matches(self, source: FilteredRows, found: list[int], *, complete: bool) -> None:
        if source is not self._shown_rows or self._closed:
            return
        first_matches = bool(found) and not source.has_matches
        source.add_older(found)
        source.search_finished = complete
        if first_matches:
            self._read_page(self._local.connection, source, ("older", 0))
        self._on_rows(source, len(found), 0)

    def _find_in_range(self, query: store.PreparedQuery, low: int, high: int, limit: int) -> list[int]:
        if self._closed:
            return []
        return store.matching_seqs(self._local.connection, query, low, high, limit)

    def _connect(self) -> None:
        connection: Any = connect_tail(self._journal)
        self._local.connection = connection
        self._connections.append(connection)


def pages_near(source: TailRows, first: int, last: int) -> list[PageKey]:
    """The pages of these lines, and the one before and after, as far as they exist."""
    lines = range(max(0, first - ROWS_PER_PAGE), min(source.count, last + ROWS_PER_PAGE + 1), ROWS_PER_PAGE)
    edges = {max(0, first), min(source.count - 1, last)} if source.count else set()
    found = dict.fromkeys(source.page_of(line) for line in (*edges, *lines) if 0 <= line < source.count)
    return list(found)
