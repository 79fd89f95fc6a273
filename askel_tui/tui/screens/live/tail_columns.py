"""What a line of the tail shows, how wide each part is, and the segments it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from rich.segment import Segment
from rich.style import Style

from askel_tui.store.sqlite.tables.audit_tail import TailRow
from askel_tui.tui.text.figures import clock
from askel_tui.tui.text.inert import pad

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
    """Makes the segments of lines, exactly as wide as the columns.

    The styles are a theme's: `text`, `muted`, `good`, `doubt`, `bad`, `cursor`, `blurred`.
    """

    def __init__(self, styles: Mapping[str, Style], columns: Layout) -> None:
        self._styles, self._columns = styles, columns
        self._results = {
            status: (pad(word, RESULT) + " ", styles[part]) for status, (word, part) in RESULTS.items()
        }

    def blank(self) -> list[Segment]:
        """A line without a row."""
        return [Segment(" " * self._columns.width, self._styles["text"])]

    def waiting(self) -> list[Segment]:
        """The line of a row that is being read."""
        return [Segment("…".ljust(self._columns.width), self._styles["muted"])]

    def paint(self, row: TailRow, here: str = "") -> list[Segment]:
        """The line of a row; `here` is `cursor`, `blurred` or nothing."""
        styles, columns = self._styles, self._columns
        result, style = self._results.get(row.status) or (pad(row.status, RESULT) + " ", styles["doubt"])
        time = _time(row.at // 1000)
        who = row.who or (f"{row.kind} by {row.actor}" if row.workflow else f"by {row.actor}")
        rest = _where(row.connection, row.workflow, row.step, row.kind, columns) + pad(who, columns.who)
        last = _last(row, columns)
        if here:
            return [Segment(f"{time}{result}{rest}{last}", styles[here])]
        return [
            Segment(time, styles["muted"]),
            Segment(result, style),
            Segment(rest, styles["text"]),
            Segment(last, styles["muted"]),
        ]


@lru_cache(maxsize=1_024)
def _time(second: int) -> str:
    return clock(second * 1000) + " "


@lru_cache(maxsize=1_024)
def _where(connection: str | None, workflow: str | None, step: str | None, kind: str, columns: Layout) -> str:
    """The columns that many rows have in common."""
    where = f"{workflow} › {step}" if workflow and step else workflow or kind
    parts = []
    if columns.connection:
        parts.append(pad(connection or "", columns.connection))
    if workflow and step and len(where) > columns.step:
        # The step says more than the beginning of a long name.
        room = columns.step - min(len(step), columns.step - 5) - 3
        where = f"{pad(workflow, room).rstrip()} › {step}"
    parts.append(pad(where, columns.step))
    if columns.kind:
        parts.append(pad(kind, columns.kind))
    return " ".join((*parts, ""))


def _last(row: TailRow, columns: Layout) -> str:
    shown = ""
    if columns.about:
        about = row.detail or row.target or (row.record or "")
        shown = " " + pad(about, columns.about)
    if columns.ms:
        shown += pad("" if row.ms is None else f"{row.ms:,} ms", columns.ms, right=True)
    return shown
