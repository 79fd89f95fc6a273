"""The feed of a tail: a thread that reads pages of the audit and notices commits, and a few threads that search.

Works as well where the daemon is another process. Callbacks come from the feed's threads.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from askel_tui.store.journal.rows import AuditEntry
from askel_tui.store.journal.tables.audit import tail as audit
from askel_tui.store.journal.tables.audit.tail import PreparedQuery, TailQuery, TailRow
from askel_tui.store.journal.transaction import Transaction
from askel_tui.tui.screens.live.rows import ROWS_PER_PAGE, AllRows, FilteredRows, PageKey

if TYPE_CHECKING:
    from askel_tui.tui.backend.audit_reader import AuditReader

T = TypeVar("T")

POLL_INTERVAL_S = 0.1
"""Interval at which the journal is checked for commits, in seconds."""

FIRST_SEARCH_ROWS = 256
"""The number of matches that are searched for first: a screen full."""

SEARCH_CHUNK_ROWS = 20_000
"""The number of entries that are searched, or of matches that are read, in one read."""

SEARCH_THREADS = min(4, os.cpu_count() or 1)
"""The number of chunks that are searched at once: SQLite does that without Python's lock."""

CLOSE_TIMEOUT_S = 5.0
"""Time that closing waits for a running read, in seconds."""

TailRows = AllRows | FilteredRows


class TailFeed:
    """The reader of one tail: `open`, then `show_all` or `show_matches`; `close` at the end."""

    def __init__(
        self,
        open_reader: Callable[[], AuditReader],
        *,
        on_rows: Callable[[TailRows, int, int], None],
        on_page: Callable[[TailRows, PageKey], None],
        on_error: Callable[[Exception], None],
    ) -> None:
        """Makes a feed.

        `on_rows(rows, older, newer)` reports new lines: before all others (to be revealed), and after them.
        """
        self._open_reader = open_reader
        self._on_rows, self._on_page, self._on_error = on_rows, on_page, on_error
        self._work: SimpleQueue[Callable[[Transaction], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="askel-tail", daemon=True)
        self._search_leader = ThreadPoolExecutor(1, "askel-search-leader", initializer=self._connect)
        self._searchers = ThreadPoolExecutor(SEARCH_THREADS, "askel-search", initializer=self._connect)
        self._local = threading.local()
        self._search_readers: list[AuditReader] = []
        self._requested_pages: set[tuple[int, PageKey]] = set()
        self._shown_rows: TailRows = AllRows()
        self._query: TailQuery | None = None
        self._last_seen_seq = 0
        self._paused = threading.Event()
        self._closed = False

    def open(self) -> None:
        """Starts reading."""
        self._thread.start()

    def close(self) -> None:
        """Ends the threads; running reads are finished first."""
        self._closed = True
        self._paused.clear()
        self._work.put(None)
        self._thread.join(timeout=CLOSE_TIMEOUT_S)
        self._search_leader.shutdown(wait=True, cancel_futures=True)
        self._searchers.shutdown(wait=True, cancel_futures=True)
        for reader in self._search_readers:
            reader.close()

    def pause(self) -> None:
        """Stops noticing commits until `resume`: the tail is not on the screen."""
        self._paused.set()

    def resume(self) -> None:
        """Notices commits again, first the commits since `pause`."""
        self._paused.clear()
        self._work.put(self._read_new_entries)

    # Requests of the screen.

    def show_all(self) -> AllRows:
        """Starts to read all entries, and returns their rows; new lines are reported by `on_rows`."""
        rows = AllRows()
        self._shown_rows, self._query = rows, None
        self._requested_pages.clear()
        self._work.put(lambda db: self._start_rows(db, rows))
        return rows

    def show_matches(self, query: TailQuery) -> FilteredRows:
        """Starts a search, and returns the rows of the entries that match: the newest come first, then the rest."""
        rows = FilteredRows()
        self._shown_rows, self._query = rows, query
        self._requested_pages.clear()
        self._work.put(lambda db: self._search(db, rows, query))
        return rows

    def request_page(self, rows: TailRows, page: PageKey) -> None:
        """Requests a page, unless it is being read; `on_page` reports it."""
        key = (id(rows), page)
        if key not in self._requested_pages:
            self._requested_pages.add(key)
            self._work.put(lambda db: self._serve_page(db, rows, page))

    def read_entry(self, seq: int) -> Future[AuditEntry | None]:
        """Reads a whole entry."""
        return self._run_query(lambda db: audit.read_entry(db, seq))

    def read_history(self, record: str) -> Future[list[TailRow]]:
        """Reads all entries about a record, oldest first."""
        return self._run_query(lambda db: audit.record_history(db, record))

    def _run_query(self, query: Callable[[Transaction], T]) -> Future[T]:
        """Runs a query in the feed's thread, and returns its result."""
        future: Future[T] = Future()

        def run(db: Transaction) -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(query(db))
            except Exception as error:
                future.set_exception(error)

        self._work.put(run)
        return future

    # The reading thread.

    def _run(self) -> None:
        try:
            reader = self._open_reader()
        except Exception as error:
            self._on_error(error)
            return
        try:
            self._work_until_closed(reader)
        finally:
            reader.close()

    def _work_until_closed(self, reader: AuditReader) -> None:
        version = -1
        while not self._closed:
            try:
                work = self._work.get(timeout=None if self._paused.is_set() else POLL_INTERVAL_S)
            except Empty:
                before, version = version, reader.data_version()
                if version == before:
                    continue
                work = self._read_new_entries
            if work is None:
                return
            try:
                work(reader.db)
            except Exception as error:
                self._on_error(error)

    def _start_rows(self, db: Transaction, rows: AllRows) -> None:
        first, last = audit.first_and_last(db)
        rows.reset_to_range(first, last)
        self._last_seen_seq = last
        if rows is not self._shown_rows:
            return
        if last:
            # The newest page comes along, so that the first paint has rows.
            self._read_page(db, rows, rows.page_of(rows.count - 1))
        self._on_rows(rows, 0, rows.count)
        first, last, count = audit.bounds(db)
        if count and count != last - first + 1:
            rows.reset_to_seqs(audit.all_seqs(db))
            self._on_rows(rows, 0, 0)

    def _read_new_entries(self, db: Transaction) -> None:
        first, last = audit.first_and_last(db)
        rows = self._shown_rows
        if isinstance(rows, AllRows):
            if rows.count and first and rows.line_of(first) > 0 and rows.seqs(("all", 0))[0] < first:
                # The oldest entries were pruned: every line moved.
                self._start_rows(db, rows)
                return
            new = rows.extend(last)
            if new:
                self._last_seen_seq = last
                self._extend_pages(db, rows, rows.count - new)
                self._on_rows(rows, 0, new)
        elif self._query is not None and last > self._last_seen_seq:
            prepared = audit.prepare_query(db, self._query)
            first_new, most = self._last_seen_seq + 1, last - self._last_seen_seq
            found = audit.matching_seqs(db, prepared, first_new, last, most)
            self._last_seen_seq = last
            if found and rows is self._shown_rows:
                before = rows.count
                rows.add_newer(found[::-1])
                self._extend_pages(db, rows, before)
                self._on_rows(rows, 0, len(found))

    def _extend_pages(self, db: Transaction, rows: TailRows, first: int) -> None:
        """Adds the lines from `first` on to the first page that they are on, and reads the last one."""
        page = rows.page_of(first)
        kept = rows.pages.get(page)
        seqs = rows.seqs(page)
        if kept is not None and page[0] != "older" and len(kept) < len(seqs):
            rows.pages.put(page, [*kept, *audit.read_rows(db, seqs[len(kept) :])])
        last = rows.page_of(rows.count - 1)
        if last != page or kept is None:
            self._read_page(db, rows, last)

    def _serve_page(self, db: Transaction, rows: TailRows, page: PageKey) -> None:
        self._requested_pages.discard((id(rows), page))
        if rows is self._shown_rows and rows.pages.get(page) is None:
            self._read_page(db, rows, page)
            self._on_page(rows, page)

    @staticmethod
    def _read_page(db: Transaction, rows: TailRows, page: PageKey) -> None:
        found = audit.read_rows(db, rows.seqs(page))
        # Older matches are kept newest first.
        rows.pages.put(page, found[::-1] if page[0] == "older" else found)

    # Searching.

    def _search(self, db: Transaction, rows: FilteredRows, query: TailQuery) -> None:
        first, last = audit.first_and_last(db)
        self._last_seen_seq = last
        prepared = audit.prepare_query(db, query)
        uses_index = query.by_index and prepared.walk.startswith("INDEXED")
        search = self._search_by_index if uses_index else self._search_by_scanning
        self._search_leader.submit(search, rows, prepared, first, last)

    def _search_by_index(self, rows: FilteredRows, query: PreparedQuery, first: int, last: int) -> None:
        high, limit = last, FIRST_SEARCH_ROWS
        while rows is self._shown_rows and not self._closed:
            found = self._find_in_range(query, first, high, limit)
            self._add_matches(rows, found, complete=len(found) < limit)
            if len(found) < limit:
                return
            high, limit = found[-1] - 1, SEARCH_CHUNK_ROWS

    def _search_by_scanning(self, rows: FilteredRows, query: PreparedQuery, first: int, last: int) -> None:
        """Searches all entries, newest first: several chunks side by side, their matches in order."""
        size = SEARCH_CHUNK_ROWS
        chunks = [(max(first, high - size + 1), high) for high in range(last, first - 1, -size)] or [(0, 0)]
        running: deque[Future[list[int]]] = deque()
        started = done = 0
        while done < len(chunks) and rows is self._shown_rows and not self._closed:
            while started < len(chunks) and len(running) < SEARCH_THREADS + 1:
                running.append(self._searchers.submit(self._find_in_range, query, *chunks[started], size))
                started += 1
            found = running.popleft().result()
            done += 1
            if found or done == len(chunks):
                self._add_matches(rows, found, complete=done == len(chunks))

    def _add_matches(self, rows: FilteredRows, found: list[int], *, complete: bool) -> None:
        if rows is not self._shown_rows or self._closed:
            return
        first_matches = bool(found) and not rows.has_matches
        rows.add_older(found)
        rows.search_finished = complete
        if first_matches:
            self._read_page(self._local.db, rows, ("older", 0))
        self._on_rows(rows, len(found), 0)

    def _find_in_range(self, query: PreparedQuery, low: int, high: int, limit: int) -> list[int]:
        return [] if self._closed else audit.matching_seqs(self._local.db, query, low, high, limit)

    def _connect(self) -> None:
        """Opens the connection of a searching thread."""
        reader = self._open_reader()
        self._local.db = reader.db
        self._search_readers.append(reader)


def pages_near(rows: TailRows, first: int, last: int) -> list[PageKey]:
    """Returns the pages of the lines `first` to `last`, and the one before and after, as far as they exist."""
    lines = range(max(0, first - ROWS_PER_PAGE), min(rows.count, last + ROWS_PER_PAGE + 1), ROWS_PER_PAGE)
    edges = {max(0, first), min(rows.count - 1, last)} if rows.count else set()
    found = dict.fromkeys(rows.page_of(line) for line in (*edges, *lines) if 0 <= line < rows.count)
    return list(found)
