"""A table for up to about 2,000 rows: sanitized cells, columns that share the width, a cursor that stays on its row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.text import Text
from textual import events
from textual.binding import Binding
from textual.content import Content
from textual.widgets import DataTable

from askel_tui.text.cells import pad
from askel_tui.tui.shell.console import console_of
from askel_tui.tui.widgets.help import Help
from askel_tui.tui.widgets.rows import Cell, Row


@dataclass(frozen=True, slots=True)
class Column:
    """A column: at least `min_width` cells, and a share of the remaining width by `weight`."""

    title: str
    min_width: int
    weight: int = 0
    align_right: bool = False


class Table(DataTable[Content]):
    """A table of rows by key. `set_rows` replaces them; the cursor stays on its row."""

    BINDINGS: ClassVar[list[Any]] = [
        Binding("j", "cursor_down", "Down", show=False, id="table.down"),
        Binding("k", "cursor_up", "Up", show=False, id="table.up"),
        Binding("g,home", "scroll_top", "First", show=False, id="table.first"),
        Binding("G,end", "scroll_bottom", "Last", show=False, id="table.last"),
        Binding("ctrl+d", "page_down", "Page down", show=False, id="table.page_down"),
        Binding("ctrl+u", "page_up", "Page up", show=False, id="table.page_up"),
    ]

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        id: str | None = None,  # noqa: A002 - Textual's name for it
        classes: str | None = None,
        title: str = "",
        hint: str = "",
        jump_key: str | None = None,
        about: Help | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes, cursor_type="row", zebra_stripes=False)
        self._column_specs = tuple(columns)
        self._rows: list[Row] = []
        self._widths: list[int] = []
        self.border_title = title
        self.border_subtitle = hint
        if jump_key is not None:
            self.jump_key = jump_key
        if about is not None:
            self.help = about

    def action_select_cursor(self) -> None:
        """Selects the row; a question that this opens gets the next key."""
        super().action_select_cursor()
        console_of(self).typeahead.hold_keys_behind(self)

    @property
    def cursor_key(self) -> str | None:
        """The key of the row under the cursor; None without rows."""
        return self._rows[self.cursor_row][0] if 0 <= self.cursor_row < len(self._rows) else None

    @property
    def row_keys(self) -> list[str]:
        """The keys of all rows."""
        return [key for key, _ in self._rows]

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Replaces the rows."""
        rows = [(key, tuple(cells)) for key, cells in rows]
        if rows == self._rows and self._widths:
            return
        before, at = self.cursor_key, self.cursor_row
        same = [key for key, _ in rows] == self.row_keys and bool(self._widths)
        old, self._rows = self._rows, rows
        if not self._widths:
            return
        if same:
            for number, ((_, now), (_, was)) in enumerate(zip(rows, old, strict=True)):
                for column, cell in enumerate(now):
                    if cell != was[column]:
                        self.update_cell_at((number, column), self._cell_content(cell, column))  # type: ignore[arg-type]
            return
        top = self.scroll_y
        self.clear()
        self._add_all_rows()
        if rows:
            keys = self.row_keys
            row = keys.index(before) if before in keys else min(at, len(rows) - 1)
            self.move_cursor(row=row, scroll=False)
            self.scroll_to(y=top, animate=False)

    def move_cursor_to_key(self, key: str) -> None:
        """Moves the cursor to the row of `key`, if there is one."""
        if key in self.row_keys:
            self.move_cursor(row=self.row_keys.index(key))

    def on_resize(self, _: events.Resize) -> None:
        """Shares the new width among the columns."""
        # Room for the scroll bar is always kept: else widths would depend on the rows before.
        widths = self._share_width(self.content_region.width - self.styles.scrollbar_size_vertical)
        if widths == self._widths:
            # A table that became lower, by a panel that opened below, keeps the cursor visible.
            self.move_cursor(row=self.cursor_row)
            return
        row = self.cursor_row
        self._widths = widths
        self.clear(columns=True)
        for column, width in zip(self._column_specs, widths, strict=True):
            self.add_column(Text(pad(column.title, width, align_right=column.align_right)), width=width)
        self._add_all_rows()
        if self._rows:
            self.move_cursor(row=min(row, len(self._rows) - 1))

    def _share_width(self, room: int) -> list[int]:
        minimums = [column.min_width for column in self._column_specs]
        free = room - sum(minimums) - 2 * self.cell_padding * len(minimums)
        weight = sum(column.weight for column in self._column_specs)
        if free > 0 and weight:
            return [column.min_width + free * column.weight // weight for column in self._column_specs]
        widths = list(minimums)
        # Too narrow: of the columns that may grow, the widest shrinks first.
        shrinkable = [at for at, column in enumerate(self._column_specs) if column.weight]
        while free < 0 and any(widths[at] > 6 for at in shrinkable):
            widths[max(shrinkable, key=lambda at: widths[at])] -= 1
            free += 1
        return widths

    def _add_all_rows(self) -> None:
        for key, cells in self._rows:
            self.add_row(*(self._cell_content(cell, at) for at, cell in enumerate(cells)), key=key)

    def _cell_content(self, cell: Cell, at: int) -> Content:
        text, style = cell if isinstance(cell, tuple) else (cell, "")
        padded = pad(text, self._widths[at], align_right=self._column_specs[at].align_right)
        return Content.styled(padded, style) if style else Content(padded)
