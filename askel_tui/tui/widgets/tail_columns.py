"""What a line of the tail shows, how wide each part is, and the segments it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from askel_tui.store.sqlite_tail import TailRow
from askel_tui.tui.figures import clock
from askel_tui.tui.inert import pad

RESULTS: Mapping[str, tuple[str, str]] = {
    "written": ("✓ written", "good"),
    "unconfirmed": ("? unconfirmed", "doubt"),
    "failed": ("✗ failed", "bad"),
    "passed": ("› passed", "good"),
    "skipped": ("» skipped", "muted"),
    "discarded": ("− discarded", "doubt"),
    "done": ("• done", "text"),
}
"""By status: the sign and the word, and the part of the theme; the sign says it without colour."""

TIME, RESULT, MS = 8, 13, 8


@dataclass(frozen=True, slots=True)
class Layout:
    """Widths of the columns that vary; 0 leaves one out."""

    width: int
    connection: int
    step: int
    kind: int
    who: int
    about: int
    ms: int


def layout(width: int) -> Layout:
    """How the columns share the width: what is dropped first matters least."""
    ms = MS if width >= 100 else 0
    kind = 17 if width >= 150 else 0
    connection = 16 if width >= 180 else 0
    left = width - TIME - 1 - RESULT - 1 - ms
    left -= (kind + 1 if kind else 0) + (connection + 1 if connection else 0)
    step = max(12, left * 36 // 100)
    who = max(10, left * 34 // 100)
    about = left - step - who - 2
    if about < 8:
        who, about = left - step - 1, 0
    return Layout(width, connection, step, kind, max(who, 0), max(about, 0), ms)


class Painter:
    """Makes lines in the styles of a theme: `text`, `muted`, `good`, `doubt`, `bad`, `cursor`, `blurred`."""

    def __init__(self, styles: Mapping[str, Style]) -> None:
        self.styles = styles
        self._waiting: dict[int, Strip] = {}

    def waiting(self, width: int) -> Strip:
        """The line of a row that is being read."""
        if width not in self._waiting:
            self._waiting[width] = Strip([Segment("…".ljust(width), self.styles["muted"])], width)
        return self._waiting[width]

    def paint(self, row: TailRow, columns: Layout, here: str = "") -> Strip:
        """The line of a row, exactly as wide as the layout; `here` is `cursor`, `blurred` or nothing."""
        word, part = RESULTS.get(row.status, (row.status, "doubt"))
        result = pad(word, RESULT)
        rest = _rest(row, columns)
        last = _last(row, columns)
        time = clock(row.at)
        if here:
            style = self.styles[here]
            return Strip([Segment(f"{time} {result} {rest}{last}", style)], columns.width)
        styles = self.styles
        return Strip(
            [
                Segment(f"{time} ", styles["muted"]),
                Segment(f"{result} ", styles[part]),
                Segment(rest, styles["text"]),
                Segment(last, styles["muted"]),
            ],
            columns.width,
        )


def _rest(row: TailRow, columns: Layout) -> str:
    where = f"{row.workflow} › {row.step}" if row.workflow and row.step else row.workflow or row.kind
    parts = []
    if columns.connection:
        parts.append(pad(row.connection or "", columns.connection))
    if row.workflow and row.step and len(where) > columns.step:
        # The step says more than the beginning of a long name.
        room = columns.step - min(len(row.step), columns.step - 5) - 3
        where = f"{pad(row.workflow, room).rstrip()} › {row.step}"
    parts.append(pad(where, columns.step))
    if columns.kind:
        parts.append(pad(row.kind, columns.kind))
    who = row.who or (f"{row.kind} by {row.actor}" if row.workflow else f"by {row.actor}")
    parts.append(pad(who, columns.who))
    return " ".join(parts)


def _last(row: TailRow, columns: Layout) -> str:
    shown = ""
    if columns.about:
        about = row.detail or row.target or (row.record or "")
        shown = " " + pad(about, columns.about)
    if columns.ms:
        shown += pad("" if row.ms is None else f"{row.ms:,} ms", columns.ms, right=True)
    return shown
