"""The cache of painted lines of a tail, each in its frame, kept for as long as their appearance stays the same.

Textual would put every line into its border, filter its colours and cut it for the compositor, each time it is on
another place of the screen: that costs more than the line itself. Here the frame is taken from Textual once, and a
line is put together, filtered and cut once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.segment import Segment
from textual.cache import LRUCache
from textual.strip import Strip

from askel_tui.store.journal.tables.audit.tail import TailRow
from askel_tui.tui.screens.live.columns import LinePainter

MAX_CACHED_LINES = 2_048


class LineFrame:
    """The cells left and right of every line: border, padding, the scroll bar's room."""

    def __init__(self, line: Strip, left: int, content: int) -> None:
        """Makes a frame from `line`, any line as Textual has framed it; `left` and `content` are cells."""
        self.left = list(line.crop(0, left))
        self.end = left + content
        self.width = line.cell_length
        self._right = line.crop(self.end)
        self.right = list(self._right)
        self._ends: dict[tuple[int, ...], tuple[list[Segment], list[Strip]]] = {}

    def split_after_content(self, cuts: tuple[int, ...]) -> tuple[list[Segment], list[Strip]]:
        """Divides the cells right of the content at `cuts`: the segments of the first part, and the other parts."""
        if cuts not in self._ends:
            first, *others = self._right.divide([cut - self.end for cut in cuts]) if cuts else [self._right]
            self._ends[cuts] = list(first), others
        return self._ends[cuts]


class TailLine(Strip):
    """A line in its frame; the compositor's cuts, which are behind the content, cost next to nothing."""

    __slots__ = ("_content", "_cuts", "_frame", "_parts")

    def __init__(self, content: list[Segment], frame: LineFrame) -> None:
        super().__init__([*frame.left, *content, *frame.right], frame.width)
        self._content, self._frame = content, frame
        self._cuts: tuple[int, ...] = ()
        self._parts: Sequence[Strip] = ()

    def divide(self, cuts: Iterable[int]) -> Sequence[Strip]:
        """Divides the line at `cuts`, as a strip does."""
        wanted = tuple(cuts)
        if wanted == self._cuts:
            return self._parts
        frame = self._frame
        if not wanted or wanted[0] < frame.end or wanted[-1] > frame.width:
            return super().divide(wanted)
        behind, others = frame.split_after_content(wanted)
        first = Strip([*frame.left, *self._content, *behind], wanted[0])
        self._cuts, self._parts = wanted, [first, *others]
        return self._parts


class LineCache:
    """Makes lines with a painter and a frame, and caches the last ones."""

    def __init__(self, painter: LinePainter, frame: LineFrame) -> None:
        self._painter, self._frame = painter, frame
        self._cache: LRUCache[tuple[int, str], TailLine] = LRUCache(MAX_CACHED_LINES)
        self.blank = TailLine(painter.blank(), frame)
        """The line below the last row."""
        self.waiting = TailLine(painter.waiting(), frame)
        """The line of a row that is being read."""

    def get(self, row: TailRow, cursor_state: str) -> TailLine | None:
        """Returns the cached line of a row; `cursor_state` is `cursor`, `blurred` or empty."""
        return self._cache.get((row.seq, cursor_state))

    def make(self, row: TailRow, cursor_state: str) -> TailLine:
        """Makes and caches the line of a row."""
        line = self._cache[row.seq, cursor_state] = TailLine(
            self._painter.paint(row, cursor_state), self._frame
        )
        return line
