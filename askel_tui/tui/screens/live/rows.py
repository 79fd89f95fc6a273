"""The rows of a tail, whatever their number: which entry is on which line, and pages of them kept for a while.

No Textual here. A source is changed by the feed's threads and read by the screen's; each change is one assignment or
append, so that a reader sees the state before or after it. Lines never wait: a line whose page is not there yet is
None, and its page is wanted. What would move lines waits until the screen's thread reveals it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

from askel_tui.store.journal.tables.audit.tail import TailRow

ROWS_PER_PAGE = 256
MAX_CACHED_PAGES = 64

PageKey = tuple[str, int]
"""Which part of a source, and which page of it. A key always means the same entries."""


class RowSource(Protocol):
    """Rows by line, oldest first. `generation` changes when a line may have become another entry's."""

    @property
    def count(self) -> int: ...

    @property
    def generation(self) -> int: ...

    def row(self, line: int) -> TailRow | None:
        """The row of a line; None while its page is not there."""
        ...

    def page_of(self, line: int) -> PageKey:
        """The page that a line is on."""
        ...

    def seqs(self, page: PageKey) -> Sequence[int]:
        """The entries of a page."""
        ...

    def line_of(self, seq: int) -> int:
        """The line of an entry, or of the first one after it."""
        ...


class PageCache:
    """The pages that were read last."""

    def __init__(self, max_pages: int = MAX_CACHED_PAGES) -> None:
        self._most = max_pages
        self._pages: OrderedDict[PageKey, Sequence[TailRow]] = OrderedDict()

    def get(self, page: PageKey) -> Sequence[TailRow] | None:
        """A page, if it is there."""
        found = self._pages.get(page)
        if found is not None:
            self._pages.move_to_end(page)
        return found

    def put(self, page: PageKey, rows: Sequence[TailRow]) -> None:
        """Keeps a page; the one that was not asked for longest goes."""
        self._pages[page] = rows
        self._pages.move_to_end(page)
        while len(self._pages) > self._most:
            self._pages.popitem(last=False)

    def clear(self) -> None:
        """Forgets all pages."""
        self._pages.clear()

    def __len__(self) -> int:
        return len(self._pages)


class AllRows:
    """Every entry. Kept as runs of consecutive numbers: a journal without gaps is one run."""

    def __init__(self) -> None:
        self.pages = PageCache()
        self.generation = 0
        self._run_lines: list[int] = [0]
        self._run_seqs: list[int] = [1]
        self._count = 0

    @property
    def count(self) -> int:
        """How many lines there are."""
        return self._count

    @property
    def last(self) -> int:
        """The `seq` of the last line; one before the first where there is none."""
        return self._run_seqs[-1] + self._count - self._run_lines[-1] - 1

    def reset_to_range(self, first: int, last: int) -> None:
        """The entries are these, without gaps."""
        self._run_lines, self._run_seqs, self._count = [0], [max(first, 1)], max(0, last - max(first, 1) + 1)
        self.generation += 1
        self.pages.clear()

    def reset_to_seqs(self, seqs: Sequence[int]) -> None:
        """The entries are these, in order."""
        lines, starts = [0], [seqs[0] if seqs else 1]
        for line in range(1, len(seqs)):
            if seqs[line] != seqs[line - 1] + 1:
                lines.append(line)
                starts.append(seqs[line])
        self._run_lines, self._run_seqs, self._count = lines, starts, len(seqs)
        self.generation += 1
        self.pages.clear()

    def extend(self, last: int) -> int:
        """There are entries up to `last` now, without gaps since the end. Gives how many are new."""
        new = max(0, last - self.last)
        self._count += new
        return new

    def reveal(self) -> int:
        """Nothing comes before the first line."""
        return 0

    def row(self, line: int) -> TailRow | None:
        """The row of a line; None while its page is not there."""
        rows = self.pages.get(("all", line // ROWS_PER_PAGE))
        at = line % ROWS_PER_PAGE
        return rows[at] if rows is not None and at < len(rows) else None

    def page_of(self, line: int) -> PageKey:
        """The page that a line is on."""
        return "all", line // ROWS_PER_PAGE

    def seqs(self, page: PageKey) -> Sequence[int]:
        """The entries of a page."""
        first, end = page[1] * ROWS_PER_PAGE, min((page[1] + 1) * ROWS_PER_PAGE, self._count)
        if first >= end:
            return ()
        if self._seq(end - 1) - self._seq(first) == end - 1 - first:
            return range(self._seq(first), self._seq(end - 1) + 1)
        return [self._seq(line) for line in range(first, end)]

    def line_of(self, seq: int) -> int:
        """The line of an entry, or of the first one after it."""
        run = max(0, bisect_right(self._run_seqs, seq) - 1)
        end = self._run_lines[run + 1] if run + 1 < len(self._run_lines) else self._count
        return min(max(self._run_lines[run] + seq - self._run_seqs[run], self._run_lines[run]), end)

    def _seq(self, line: int) -> int:
        run = bisect_right(self._run_lines, line) - 1
        return self._run_seqs[run] + line - self._run_lines[run]


class FilteredRows:
    """The entries that match. Those before the filter are found from the newest on, those after it as they come."""

    def __init__(self) -> None:
        self.pages = PageCache()
        self.generation = 0
        self.search_finished = False
        """Whether all older entries were looked at."""
        self._older = array("q")
        self._newer = array("q")
        self._revealed = 0

    @property
    def count(self) -> int:
        """How many lines there are."""
        return self._revealed + len(self._newer)

    @property
    def complete(self) -> bool:
        """Whether every older match was found and has its line."""
        return self.search_finished and self._revealed == len(self._older)

    @property
    def has_matches(self) -> bool:
        """Whether anything matches, though it may not have lines yet."""
        return bool(self._older or self._newer)

    def add_older(self, seqs: Sequence[int]) -> None:
        """Further matches before all others, newest first; they have lines once they are revealed."""
        self._older.extend(seqs)

    def reveal(self) -> int:
        """Gives lines to older matches: every line moves down by what this returns."""
        before, self._revealed = self._revealed, len(self._older)
        return self._revealed - before

    def add_newer(self, seqs: Sequence[int]) -> None:
        """Further matches after all others, oldest first."""
        self._newer.extend(seqs)

    def row(self, line: int) -> TailRow | None:
        """The row of a line; None while its page is not there."""
        (part, number), at = self._page_and_offset(line)
        rows = self.pages.get((part, number))
        return rows[at] if rows is not None and at < len(rows) else None

    def page_of(self, line: int) -> PageKey:
        """The page that a line is on."""
        return self._page_and_offset(line)[0]

    def seqs(self, page: PageKey) -> Sequence[int]:
        """The entries of a page, in the order they are kept in."""
        part = self._older if page[0] == "older" else self._newer
        return part[page[1] * ROWS_PER_PAGE : (page[1] + 1) * ROWS_PER_PAGE]

    def line_of(self, seq: int) -> int:
        """The line of an entry, or of the first one after it."""
        low, high = 0, self.count
        while low < high:
            middle = (low + high) // 2
            if self._seq(middle) < seq:
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

    def _seq(self, line: int) -> int:
        older = self._revealed
        return self._older[older - 1 - line] if line < older else self._newer[line - older]
