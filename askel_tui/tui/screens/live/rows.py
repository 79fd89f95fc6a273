"""The rows of a tail, any number of them: the entry on each line, and a cache of pages. Pure.

Rows are changed by the feed's threads and read by the screen's. Each change is one assignment or append, so that a
reader sees the state before or after it. No line waits for its page: the row of one whose page is not cached is None.
Changes that would move lines wait until the screen's thread calls `reveal`.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence

from askel_tui.store.journal.tables.audit.tail import TailRow

ROWS_PER_PAGE = 256

MAX_CACHED_PAGES = 64

PageKey = tuple[str, int]
"""The key of a page: a part of the rows (`all`, `older`, `newer`) and a number in it; its entries never change."""


class PageCache:
    """A cache of the pages that were used last."""

    def __init__(self, max_pages: int = MAX_CACHED_PAGES) -> None:
        self._most = max_pages
        self._pages: OrderedDict[PageKey, Sequence[TailRow]] = OrderedDict()

    def get(self, page: PageKey) -> Sequence[TailRow] | None:
        """Returns a page, if it is cached."""
        found = self._pages.get(page)
        if found is not None:
            self._pages.move_to_end(page)
        return found

    def put(self, page: PageKey, rows: Sequence[TailRow]) -> None:
        """Caches a page; the one that was not used for longest goes."""
        self._pages[page] = rows
        self._pages.move_to_end(page)
        while len(self._pages) > self._most:
            self._pages.popitem(last=False)

    def clear(self) -> None:
        """Drops all pages."""
        self._pages.clear()

    def __len__(self) -> int:
        return len(self._pages)


class AllRows:
    """Rows of every entry, kept as runs of consecutive `seq`s: a journal without gaps is one run."""

    def __init__(self) -> None:
        self.pages = PageCache()
        self.generation = 0
        self._run_lines: list[int] = [0]
        self._run_seqs: list[int] = [1]
        self._count = 0

    @property
    def count(self) -> int:
        """The number of lines."""
        return self._count

    @property
    def last(self) -> int:
        """The `seq` of the last line; one less than the first where there is none."""
        return self._run_seqs[-1] + self._count - self._run_lines[-1] - 1

    def reset_to_range(self, first: int, last: int) -> None:
        """Starts anew with the entries `first` to `last`, without gaps."""
        self._run_lines, self._run_seqs, self._count = [0], [max(first, 1)], max(0, last - max(first, 1) + 1)
        self.generation += 1
        self.pages.clear()

    def reset_to_seqs(self, seqs: Sequence[int]) -> None:
        """Starts anew with the entries `seqs`, in order."""
        lines, starts = [0], [seqs[0] if seqs else 1]
        for line in range(1, len(seqs)):
            if seqs[line] != seqs[line - 1] + 1:
                lines.append(line)
                starts.append(seqs[line])
        self._run_lines, self._run_seqs, self._count = lines, starts, len(seqs)
        self.generation += 1
        self.pages.clear()

    def extend(self, last: int) -> int:
        """Adds the entries up to `last`, without gaps. Returns how many are new."""
        new = max(0, last - self.last)
        self._count += new
        return new

    def reveal(self) -> int:
        """Does nothing and returns 0: no line comes before the first one."""
        return 0

    def row(self, line: int) -> TailRow | None:
        """Returns the row of a line; None while its page is not cached."""
        rows = self.pages.get(("all", line // ROWS_PER_PAGE))
        at = line % ROWS_PER_PAGE
        return rows[at] if rows is not None and at < len(rows) else None

    def page_of(self, line: int) -> PageKey:
        """Returns the page of a line."""
        return "all", line // ROWS_PER_PAGE

    def seqs(self, page: PageKey) -> Sequence[int]:
        """Returns the entries of a page."""
        first, end = page[1] * ROWS_PER_PAGE, min((page[1] + 1) * ROWS_PER_PAGE, self._count)
        if first >= end:
            return ()
        if self.seq_at(end - 1) - self.seq_at(first) == end - 1 - first:
            return range(self.seq_at(first), self.seq_at(end - 1) + 1)
        return [self.seq_at(line) for line in range(first, end)]

    def line_of(self, seq: int) -> int:
        """Returns the line of an entry, or of the first one after it."""
        run = max(0, bisect_right(self._run_seqs, seq) - 1)
        end = self._run_lines[run + 1] if run + 1 < len(self._run_lines) else self._count
        return min(max(self._run_lines[run] + seq - self._run_seqs[run], self._run_lines[run]), end)

    def seq_at(self, line: int) -> int:
        """Returns the entry of a line."""
        run = bisect_right(self._run_lines, line) - 1
        return self._run_seqs[run] + line - self._run_lines[run]


class FilteredRows:
    """Rows of the entries that match: older ones are found from the newest on, newer ones as they come."""

    def __init__(self) -> None:
        self.pages = PageCache()
        self.generation = 0
        self.search_finished = False
        """True if all older entries were searched."""
        self._older = array("q")
        self._newer = array("q")
        self._revealed = 0

    @property
    def count(self) -> int:
        """The number of lines."""
        return self._revealed + len(self._newer)

    @property
    def complete(self) -> bool:
        """True if every older match was found and has its line."""
        return self.search_finished and self._revealed == len(self._older)

    @property
    def has_matches(self) -> bool:
        """True if any entry matches, though it may have no line yet."""
        return bool(self._older or self._newer)

    def add_older(self, seqs: Sequence[int]) -> None:
        """Adds matches before all others, newest first; `reveal` gives them lines."""
        self._older.extend(seqs)

    def reveal(self) -> int:
        """Gives lines to older matches. Returns by how many every line moves down."""
        before, self._revealed = self._revealed, len(self._older)
        return self._revealed - before

    def add_newer(self, seqs: Sequence[int]) -> None:
        """Adds matches after all others, oldest first."""
        self._newer.extend(seqs)

    def row(self, line: int) -> TailRow | None:
        """Returns the row of a line; None while its page is not cached."""
        (part, number), at = self._page_and_offset(line)
        rows = self.pages.get((part, number))
        return rows[at] if rows is not None and at < len(rows) else None

    def page_of(self, line: int) -> PageKey:
        """Returns the page of a line."""
        return self._page_and_offset(line)[0]

    def seqs(self, page: PageKey) -> Sequence[int]:
        """Lists the entries of a page, in the order in which its rows are cached."""
        part = self._older if page[0] == "older" else self._newer
        return part[page[1] * ROWS_PER_PAGE : (page[1] + 1) * ROWS_PER_PAGE]

    def line_of(self, seq: int) -> int:
        """Returns the line of an entry, or of the first one after it."""
        low, high = 0, self.count
        while low < high:
            middle = (low + high) // 2
            if self.seq_at(middle) < seq:
                low = middle + 1
            else:
                high = middle
        return low

    def _page_and_offset(self, line: int) -> tuple[PageKey, int]:
        older = self._revealed
        if line < older:
            number, at = divmod(older - 1 - line, ROWS_PER_PAGE)
            return ("older", number), at
        number, at = divmod(line - older, ROWS_PER_PAGE)
        return ("newer", number), at

    def seq_at(self, line: int) -> int:
        """Returns the entry of a line."""
        older = self._revealed
        return self._older[older - 1 - line] if line < older else self._newer[line - older]
