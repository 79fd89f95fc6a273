"""The tail: any number of rows, following or held, with a cursor.

Only the lines on the screen are painted, from pages that a feed reads. While it follows, new rows only mark it as
dirty, and a timer brings it up to date at most fifteen times a second.
"""

from __future__ import annotations

from typing import Any, ClassVar

from textual import events
from textual.binding import Binding
from textual.geometry import Region, Size
from textual.message import Message
from textual.scrollbar import ScrollBar
from textual.timer import Timer

from askel_tui.store.journal.tables.audit.tail import TailRow
from askel_tui.tui.screens.live.feed import TailRows
from askel_tui.tui.screens.live.rows import PageKey
from askel_tui.tui.screens.live.scrollbar import LongScrollBar
from askel_tui.tui.screens.live.tail_view import TailView
from askel_tui.tui.shell.textual_internals import (
    has_vertical_scrollbar,
    set_vertical_scrollbar,
    set_virtual_size,
)
from askel_tui.tui.widgets.help import Help

MIN_REPAINT_INTERVAL_S = 1 / 15


class Tail(TailView, can_focus=True):
    """The widget that shows rows; `follow` keeps the newest one on the screen."""

    jump_key = "t"
    help = Help(
        "The tail",
        "Every write and decision, oldest first. End follows what comes; any move upwards holds it, and nothing is "
        "missed meanwhile. Enter shows an entry whole; y copies it as JSON, c its request as curl.",
    )
    BINDINGS: ClassVar[list[Any]] = [
        Binding("up,k", "move(-1)", "Up", show=False, id="tail.up"),
        Binding("down,j", "move(1)", "Down", show=False, id="tail.down"),
        Binding("pageup,ctrl+u", "page(-1)", "Page up", show=False, id="tail.page_up"),
        Binding("pagedown,ctrl+d", "page(1)", "Page down", show=False, id="tail.page_down"),
        Binding("home,g", "first", "First", show=False, id="tail.first"),
        Binding("end,G", "follow", "Follow", id="tail.follow", tooltip="Keeps to the newest entry"),
        Binding("enter", "open", "Details", id="tail.open"),
    ]

    class Opened(Message):
        """A message that an entry is to be shown whole."""

        def __init__(self, row: TailRow) -> None:
            super().__init__()
            self.row = row

    class Moved(Message):
        """A message that the cursor is on another line, or its row was read."""

        def can_replace(self, message: Message) -> bool:
            """Returns True for an older message: only the present line counts."""
            return isinstance(message, Tail.Moved)

    class Rows(Message):
        """A message that there are new lines: `newer` of them after all others, perhaps some before."""

        def __init__(self, rows: TailRows, newer: int) -> None:
            super().__init__()
            self.rows, self.newer = rows, newer

    class Page(Message):
        """A message that a page was read."""

        def __init__(self, rows: TailRows, page: PageKey) -> None:
            super().__init__()
            self.rows, self.page = rows, page

        def can_replace(self, message: Message) -> bool:
            """Returns True for the same page."""
            return isinstance(message, Tail.Page) and message.page == self.page

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._unseen_rows = 0
        self._dirty = False
        self._timer: Timer | None = None
        self._generation = -1

    @property
    def vertical_scrollbar(self) -> ScrollBar:
        """A scroll bar that is painted less often than Textual's own."""
        if not has_vertical_scrollbar(self):
            bar = LongScrollBar(vertical=True, name="vertical", thickness=self.scrollbar_size_vertical)
            set_vertical_scrollbar(self, bar)
        return super().vertical_scrollbar

    # Showing rows.

    def show(self, rows: TailRows) -> None:
        """Shows other rows, from the newest one on."""
        self.rows = rows
        self._unseen_rows = 0
        self.follow = True
        self._update(scroll=True)
        self.cursor = rows.count - 1

    @property
    def selected_row(self) -> TailRow | None:
        """The row under the cursor."""
        return self.rows.row(self.cursor) if 0 <= self.cursor < self.rows.count else None

    def on_tail_rows(self, message: Rows) -> None:
        """Shows new lines, at most fifteen times a second."""
        message.stop()
        if message.rows is not self.rows:
            return
        if not self.follow:
            self._unseen_rows += message.newer
        self._dirty = True
        if self._timer is None:
            # The first rows are shown at once, later ones together.
            self._flush()
            self._timer = self.set_timer(MIN_REPAINT_INTERVAL_S, self._flush_again)

    def on_tail_page(self, message: Page) -> None:
        """Paints the lines of a page that was read."""
        message.stop()
        if message.rows is not self.rows:
            return
        top, height = self.scroll_offset.y, self.size.height
        lines = [
            line
            for line in range(top, min(top + height, self.rows.count))
            if self.rows.page_of(line) == message.page
        ]
        if lines:
            self.refresh(Region(0, lines[0] - top, self.size.width, len(lines)))
        if 0 <= self.cursor < self.rows.count and self.rows.page_of(self.cursor) == message.page:
            self.post_message(self.Moved())

    def _flush_again(self) -> None:
        self._timer = None
        if self._dirty:
            self._flush()
            self._timer = self.set_timer(MIN_REPAINT_INTERVAL_S, self._flush_again)

    def _flush(self) -> None:
        self._dirty = False
        if self._generation != self.rows.generation:
            self._generation = self.rows.generation
            self.forget_lines()
        older = self.rows.reveal()
        if older and not self.follow:
            # The visible lines stay where they are on the screen.
            self._shift(older)
        self._update(scroll=self.follow)
        if self.follow or self.cursor < 0:
            self.cursor = self.rows.count - 1
        self._subtitle()

    def _update(self, *, scroll: bool) -> None:
        size = Size(self.size.width, self.rows.count)
        if size != self.virtual_size:
            # Nothing else on the screen depends on it: no layout, the scroll bar only.
            set_virtual_size(self, size)
        if scroll:
            self.scroll_to(
                y=max(0, self.rows.count - self.size.height), animate=False, immediate=True, force=True
            )
        self.refresh()

    def _shift(self, lines: int) -> None:
        self.set_reactive(Tail.cursor, self.cursor + lines)
        set_virtual_size(self, Size(self.size.width, self.rows.count))
        self.scroll_to(y=self.scroll_offset.y + lines, animate=False, immediate=True, force=True)

    def _subtitle(self) -> None:
        if self.follow:
            words = "▶ following"
        elif self._unseen_rows:
            words = f"‖ held · {self._unseen_rows:,} new, End to follow"
        else:
            words = "‖ held · End to follow"
        if words != self.border_subtitle:
            self.border_subtitle = words

    # Moving.

    def watch_follow(self, follow: bool) -> None:
        """Goes to the newest row when the tail begins to follow, and shows whether it follows."""
        self._unseen_rows = 0
        if follow and self.is_mounted:
            self._update(scroll=True)
            self.cursor = self.rows.count - 1
        elif self.is_mounted:
            self.refresh()
        self._subtitle()

    def watch_cursor(self, before: int, now: int) -> None:
        """Paints the lines with and without the cursor anew."""
        for line in (before, now):
            self._repaint(line)
        self.post_message(self.Moved())

    def on_focus(self) -> None:
        """Paints the cursor's line anew: its style depends on the focus."""
        self._repaint(self.cursor)

    def on_blur(self) -> None:
        """Paints the cursor's line anew: its style depends on the focus."""
        self._repaint(self.cursor)

    def _repaint(self, line: int) -> None:
        at = line - self.scroll_offset.y
        if 0 <= at < self.size.height:
            self.refresh(Region(0, at, self.size.width, 1))

    def action_move(self, by: int) -> None:
        """Moves the cursor by a line."""
        self.go_to(self.cursor + by)

    def action_page(self, by: int) -> None:
        """Moves the cursor and the view by a page."""
        height = max(1, self.size.height - 1)
        self.scroll_to(y=self.scroll_offset.y + by * height, animate=False, immediate=True, force=True)
        self.go_to(self.cursor + by * height)

    def action_first(self) -> None:
        """Goes to the oldest row."""
        self.go_to(0)

    def action_follow(self) -> None:
        """Goes to the newest row and follows."""
        self.follow = True

    def action_open(self) -> None:
        """Shows the row under the cursor whole."""
        if (row := self.selected_row) is not None:
            self.post_message(self.Opened(row))

    def go_to(self, line: int) -> None:
        """Moves the cursor to a line and the line onto the screen; any but the newest line holds the tail."""
        last = self.rows.count - 1
        line = max(0, min(line, last))
        if last < 0:
            return
        if line < last:
            self.follow = False
        self.cursor = line
        top, height = self.scroll_offset.y, self.size.height
        if line < top:
            self.scroll_to(y=line, animate=False, immediate=True, force=True)
        elif line >= top + height:
            self.scroll_to(y=line - height + 1, animate=False, immediate=True, force=True)

    def on_mouse_scroll_up(self) -> None:
        """Holds the tail."""
        self.follow = False

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Holds the tail when it is scrolled up by any means."""
        super().watch_scroll_y(old_value, new_value)
        if new_value < old_value and self.follow and new_value < self.rows.count - self.size.height - 1:
            self.follow = False

    def on_click(self, event: events.Click) -> None:
        """Moves the cursor to a clicked line; a double click shows its row whole."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        line = self.scroll_offset.y + offset.y
        if line < self.rows.count:
            self.go_to(line)
            if event.chain == 2:
                self.action_open()

    def on_resize(self) -> None:
        """Keeps the newest row, or the cursor of a held tail, on the screen."""
        self._update(scroll=self.follow)
        if not self.follow:
            self.go_to(self.cursor)
