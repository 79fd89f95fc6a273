"""The columns of the tail: their widths, and the segments that a line is painted with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from rich.segment import Segment
from rich.style import Style

from askel_tui.store.journal.tables.audit.tail import TailRow
from askel_tui.text.cells import pad
from askel_tui.text.times import format_time_of_day

RESULT_LABELS: Mapping[str, tuple[str, str]] = {
    "written": ("✓ written", "good"),
    "unconfirmed": ("? unconfirmed", "doubt"),
    "failed": ("✗ failed", "bad"),
    "passed": ("› passed", "good"),
    "skipped": ("» skipped", "muted"),
    "discarded": ("− discarded", "doubt"),
    "done": ("• done", "text"),
}
"""The label of each status, whose sign tells it without colour, and the style it is painted in."""

DIFFERING_LABEL = "≠ written"
"""The label of a write of which Klaviyo's answer differs from what was sent; it is painted as one in doubt."""

TIME_WIDTH, RESULT_WIDTH, DURATION_WIDTH = 8, 13, 8
"""The widths of the fixed columns, in cells."""


@dataclass(frozen=True, slots=True)
class ColumnWidths:
    """The widths of the columns that vary, in cells; 0 leaves one out."""

    width: int
    connection: int
    step: int
    kind: int
    profile: int
    detail: int
    duration: int


def column_widths(width: int) -> ColumnWidths:
    """Computes the widths for a line of `width` cells; columns that matter least are left out first."""
    ms = DURATION_WIDTH if width >= 100 else 0
    kind = 17 if width >= 150 else 0
    connection = 16 if width >= 180 else 0
    left = width - TIME_WIDTH - 1 - RESULT_WIDTH - 1 - ms
    left -= (kind + 1 if kind else 0) + (connection + 1 if connection else 0)
    step = max(12, left * 36 // 100)
    who = max(10, left * 34 // 100)
    about = left - step - who - 2
    if about < 8:
        who, about = left - step - 1, 0
    return ColumnWidths(width, connection, step, kind, max(who, 0), max(about, 0), ms)


class LinePainter:
    """A painter of the segments of lines, exactly as wide as the columns.

    `styles` are the theme's `text`, `muted`, `good`, `doubt`, `bad`, `cursor` and `blurred`.
    """

    def __init__(self, styles: Mapping[str, Style], columns: ColumnWidths) -> None:
        self._styles, self._columns = styles, columns
        self._results = {
            status: (pad(word, RESULT_WIDTH) + " ", styles[part])
            for status, (word, part) in RESULT_LABELS.items()
        }
        self._differing = pad(DIFFERING_LABEL, RESULT_WIDTH) + " ", styles["doubt"]

    def blank(self) -> list[Segment]:
        """Returns the segments of a line without a row."""
        return [Segment(" " * self._columns.width, self._styles["text"])]

    def waiting(self) -> list[Segment]:
        """Returns the segments of a row that is being read."""
        return [Segment("…".ljust(self._columns.width), self._styles["muted"])]

    def paint(self, row: TailRow, cursor_state: str = "") -> list[Segment]:
        """Returns the segments of a row; `cursor_state` is `cursor`, `blurred` or empty."""
        styles, columns = self._styles, self._columns
        result, style = self._results.get(row.status) or (
            pad(row.status, RESULT_WIDTH) + " ",
            styles["doubt"],
        )
        if row.response_json and row.differs:
            result, style = self._differing
        time = _time(row.at // 1000)
        who = row.identifier or (f"{row.kind} by {row.actor}" if row.workflow else f"by {row.actor}")
        rest = _where_column(row.connection, row.workflow, row.step, row.kind, columns) + pad(
            who, columns.profile
        )
        last = _last_columns(row, columns)
        if cursor_state:
            return [Segment(f"{time}{result}{rest}{last}", styles[cursor_state])]
        return [
            Segment(time, styles["muted"]),
            Segment(result, style),
            Segment(rest, styles["text"]),
            Segment(last, styles["muted"]),
        ]


@lru_cache(maxsize=1_024)
def _time(second: int) -> str:
    return format_time_of_day(second * 1000) + " "


@lru_cache(maxsize=1_024)
def _where_column(
    connection: str | None, workflow: str | None, step: str | None, kind: str, columns: ColumnWidths
) -> str:
    """Formats the columns connection, workflow with step, and kind; many rows have the same."""
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


def _last_columns(row: TailRow, columns: ColumnWidths) -> str:
    shown = ""
    if columns.detail:
        about = row.detail or row.target or (row.record or "")
        shown = " " + pad(about, columns.detail)
    if columns.duration:
        shown += pad("" if row.ms is None else f"{row.ms:,} ms", columns.duration, align_right=True)
    return shown
