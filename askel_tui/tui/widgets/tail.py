"""The tail: any number of rows, following or held, painted line by line.

Only the lines on the screen are made, from pages that a feed reads; painted lines are kept. While it follows, new rows
only mark it as dirty, and a timer brings it up to date at most fifteen times a second.
"""

from __future__ import annotations

from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.scrollbar import ScrollBar
from textual.selection import Selection
from textual.strip import Strip
from textual.timer import Timer

from askel_tui.store.sqlite_tail import TailRow
from askel_tui.tui.model import AllRows, PageKey
from askel_tui.tui.tail_feed import Source, TailFeed, pages_around
from askel_tui.tui.widgets.help import Help
from askel_tui.tui.widgets.long_bar import LongBar
from askel_tui.tui.widgets.tail_columns import Painter, layout
from askel_tui.tui.widgets.tail_lines import Frame, Lines

FRAME_S = 1 / 15
SELECTED = 2_048
"""Lines that can be copied at once."""


class Tail(ScrollView, can_focus=True):
    """Rows of a source; a cursor; `follow` keeps to the newest row."""

    jump_key = "t"
    help = Help(
        "The tail",
        "Every write and decision, oldest first. End follows what comes; any move upwards holds it, and nothing is "
        "missed meanwhile. Enter shows an entry whole; y copies it as JSON, c its request as curl.",
    )
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "tail--text",
        "tail--muted",
        "tail--good",
        "tail--doubt",
        "tail--bad",
        "tail--cursor",
        "tail--blurred",
    }
    BINDINGS: ClassVar[list[Any]] = [
        Binding("up,k", "move(-1)", "Up", show=False, id="tail.up"),
        Binding("down,j", "move(1)", "Down", show=False, id="tail.down"),
        Binding("pageup,ctrl+u", "page(-1)", "Page up", show=False, id="tail.page_up"),
        Binding("pagedown,ctrl+d", "page(1)", "Page down", show=False, id="tail.page_down"),
        Binding("home,g", "first", "First", show=False, id="tail.first"),
        Binding("end,G", "follow", "Follow", id="tail.follow", tooltip="Keeps to the newest entry"),
        Binding("enter", "open", "Details", id="tail.open"),
    ]

    follow: reactive[bool] = reactive(True)
    cursor: reactive[int] = reactive(-1, repaint=False)
    """The line under the cursor; -1 without rows."""

    class Opened(Message):
        """An entry is to be shown whole."""

        def __init__(self, row: TailRow) -> None:
            super().__init__()
            self.row = row

    class Moved(Message):
        """The cursor is on another line, or the line's row has come."""

        def can_replace(self, message: Message) -> bool:
            """Only where it is now counts."""
            return isinstance(message, Tail.Moved)

    class Rows(Message):
        """Lines came: so many after all others, perhaps some before them."""

        def __init__(self, source: Source, newer: int) -> None:
            super().__init__()
            self.source, self.newer = source, newer

    class Page(Message):
        """A page is there."""

        def __init__(self, source: Source, page: PageKey) -> None:
            super().__init__()
            self.source, self.page = source, page

        def can_replace(self, message: Message) -> bool:
            """The same page once is enough."""
            return isinstance(message, Tail.Page) and message.page == self.page

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self.feed: TailFeed | None = None
        self.source: Source = AllRows()
        self._lines: Lines | None = None
        self._painter: Painter | None = None
        self._look: tuple[Any, ...] | None = None
        self._unseen = 0
        self._dirty = False
        self._timer: Timer | None = None
        self._generation = -1
        self.painted = 0
        """How many lines were made since the start: what a benchmark counts."""

    @property
    def vertical_scrollbar(self) -> ScrollBar:
        """Textual's own, but for how often it is painted."""
        if self._vertical_scrollbar is None:
            bar = LongBar(vertical=True, name="vertical", thickness=self.scrollbar_size_vertical)
            self._vertical_scrollbar = bar
            bar.display = False
            self.app._start_widget(self, bar)
        return self._vertical_scrollbar

    # What is shown.

    def show(self, source: Source) -> None:
        """Shows another source, from its newest row on."""
        self.source = source
        self._unseen = 0
        self.follow = True
        self._update(scroll=True)
        self.cursor = source.count - 1

    @property
    def row(self) -> TailRow | None:
        """The row under the cursor."""
        return self.source.row(self.cursor) if 0 <= self.cursor < self.source.count else None

    def on_tail_rows(self, message: Rows) -> None:
        """Takes note; the timer paints."""
        message.stop()
        if message.source is not self.source:
            return
        if not self.follow:
            self._unseen += message.newer
        self._dirty = True
        if self._timer is None:
            # The first rows are shown at once, what follows together.
            self._flush()
            self._timer = self.set_timer(FRAME_S, self._rest)

    def on_tail_page(self, message: Page) -> None:
        """Paints the lines that waited for the page."""
        message.stop()
        if message.source is not self.source:
            return
        top, height = self.scroll_offset.y, self.size.height
        lines = [
            line
            for line in range(top, min(top + height, self.source.count))
            if self.source.page_of(line) == message.page
        ]
        if lines:
            self.refresh(Region(0, lines[0] - top, self.size.width, len(lines)))
        if 0 <= self.cursor < self.source.count and self.source.page_of(self.cursor) == message.page:
            self.post_message(self.Moved())

    def _rest(self) -> None:
        self._timer = None
        if self._dirty:
            self._flush()
            self._timer = self.set_timer(FRAME_S, self._rest)

    def _flush(self) -> None:
        self._dirty = False
        if self._generation != self.source.generation:
            self._generation = self.source.generation
            self._look = None
        older = self.source.reveal()
        if older and not self.follow:
            # What one looks at moves down with its line.
            self._shift(older)
        self._update(scroll=self.follow)
        if self.follow or self.cursor < 0:
            self.cursor = self.source.count - 1
        self._subtitle()

    def _update(self, *, scroll: bool) -> None:
        size = Size(self.size.width, self.source.count)
        if size != self.virtual_size:
            # Nothing else on the screen depends on it: no layout, the scroll bar only.
            self.set_reactive(Tail.virtual_size, size)
            self._scroll_update(size)
        if scroll:
            self.scroll_to(
                y=max(0, self.source.count - self.size.height), animate=False, immediate=True, force=True
            )
        self.refresh()

    def _shift(self, lines: int) -> None:
        self.set_reactive(Tail.cursor, self.cursor + lines)
        self.set_reactive(Tail.virtual_size, Size(self.size.width, self.source.count))
        self._scroll_update(self.virtual_size)
        self.scroll_to(y=self.scroll_offset.y + lines, animate=False, immediate=True, force=True)

    def _subtitle(self) -> None:
        if self.follow:
            words = "▶ following"
        elif self._unseen:
            words = f"‖ held · {self._unseen:,} new, End to follow"
        else:
            words = "‖ held · End to follow"
        if words != self.border_subtitle:
            self.border_subtitle = words

    # Moving.

    def watch_follow(self, follow: bool) -> None:
        """Says whether it follows."""
        self._unseen = 0
        if follow and self.is_mounted:
            self._update(scroll=True)
            self.cursor = self.source.count - 1
        elif self.is_mounted:
            self.refresh()
        self._subtitle()

    def watch_cursor(self, before: int, now: int) -> None:
        """Paints the two lines anew."""
        for line in (before, now):
            self._repaint(line)
        self.post_message(self.Moved())

    def on_focus(self) -> None:
        """The cursor's line looks another way."""
        self._repaint(self.cursor)

    def on_blur(self) -> None:
        """The cursor's line looks another way."""
        self._repaint(self.cursor)

    def _repaint(self, line: int) -> None:
        at = line - self.scroll_offset.y
        if 0 <= at < self.size.height:
            self.refresh(Region(0, at, self.size.width, 1))

    def action_move(self, by: int) -> None:
        """The cursor goes a line up or down."""
        self.go_to(self.cursor + by)

    def action_page(self, by: int) -> None:
        """The cursor goes a page up or down, and the page with it."""
        height = max(1, self.size.height - 1)
        self.scroll_to(y=self.scroll_offset.y + by * height, animate=False, immediate=True, force=True)
        self.go_to(self.cursor + by * height)

    def action_first(self) -> None:
        """To the oldest row."""
        self.go_to(0)

    def action_follow(self) -> None:
        """To the newest row, and stays with it."""
        self.follow = True

    def action_open(self) -> None:
        """Shows the row under the cursor whole."""
        if (row := self.row) is not None:
            self.post_message(self.Opened(row))

    def go_to(self, line: int) -> None:
        """The cursor goes to a line, which is then on the screen; anywhere but on the newest one holds the tail."""
        last = self.source.count - 1
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
        """Looking back holds the tail."""
        self.follow = False

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Scrolling up by whatever means holds the tail."""
        super().watch_scroll_y(old_value, new_value)
        if new_value < old_value and self.follow and new_value < self.source.count - self.size.height - 1:
            self.follow = False

    def on_click(self, event: events.Click) -> None:
        """A click puts the cursor there; a second one shows the row whole."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        line = self.scroll_offset.y + offset.y
        if line < self.source.count:
            self.go_to(line)
            if event.chain == 2:
                self.action_open()

    # Painting.

    def on_resize(self) -> None:
        """Keeps to the newest row where it follows, else to the cursor."""
        self._update(scroll=self.follow)
        if not self.follow:
            self.go_to(self.cursor)

    def notify_style_update(self) -> None:
        """Another theme: every line looks another way."""
        super().notify_style_update()
        self._look = None

    def render_lines(self, crop: Region) -> list[Strip]:
        """The lines of a region, from what was painted before if it can be; the pages around are asked for."""
        top, height = self.scroll_offset.y, self.size.height
        if self.feed is not None:
            for page in pages_around(self.source, top, top + height - 1):
                if self.source.pages.get(page) is None:
                    self.feed.want(self.source, page)
        if height < 1 or self.text_selection is not None:
            return super().render_lines(crop)
        lines = self._ready()
        inset = self.gutter.top
        strips: list[Strip] = []
        for y in crop.line_range:
            if inset <= y < inset + height:
                strips.append(self._line(lines, top + y - inset))
            else:
                strips += super().render_lines(Region(0, y, self.outer_size.width, 1))
        if crop.column_span != (0, self.outer_size.width):
            strips = [strip.crop(*crop.column_span) for strip in strips]
        return strips

    def _line(self, lines: Lines, line: int) -> Strip:
        if line >= self.source.count:
            return lines.blank
        row = self.source.row(line)
        if row is None:
            return lines.waiting
        here = self._here(line)
        found = lines.kept(row, here)
        if found is None:
            found = lines.make(row, here)
            self.painted += 1
        return found

    def _here(self, line: int) -> str:
        return "" if line != self.cursor else "cursor" if self.has_focus else "blurred"

    def _ready(self) -> Lines:
        """What makes lines, renewed when they look another way."""
        width = self.scrollable_content_region.width
        look = (width, self.outer_size.width, self.background_colors, self.styles.border)
        if look != self._look:
            self._look = look
            self._painter = Painter(self._styles_shown(), layout(width))
            inset = self.gutter
            framed = super().render_lines(Region(0, inset.top, self.outer_size.width, 1))[0]
            self._lines = Lines(self._painter, Frame(framed, inset.left, width))
        assert self._lines is not None
        return self._lines

    def _styles_shown(self) -> dict[str, Style]:
        """The styles of a line's parts as they reach the terminal: filters (no colours, for one) change them."""
        shown = {}
        for name in self.COMPONENT_CLASSES:
            segments = [Segment(" ", self.get_component_rich_style(name))]
            for each in self.get_line_filters():
                segments = each.apply(segments, self.background_colors[1])
            shown[name.removeprefix("tail--")] = segments[0].style or Style.null()
        return shown

    def render_line(self, y: int) -> Strip:
        """A line without its frame, by the way that Textual takes while text is selected with the mouse."""
        width, line = self.scrollable_content_region.width, self.scroll_offset.y + y
        if self._painter is None or line >= self.source.count:
            return Strip.blank(width, self.rich_style)
        row = self.source.row(line)
        selection = self.text_selection
        if row is None:
            return Strip(self._painter.waiting(), width)
        strip = Strip(self._painter.paint(row, "" if selection else self._here(line)), width)
        if self.follow:
            return strip
        # Where a character is, so that it can be selected.
        strip = strip.apply_offsets(0, line)
        return strip if selection is None else self._selected(strip, line, width, selection)

    def _selected(self, strip: Strip, line: int, width: int, selection: Selection) -> Strip:
        """A line while text is being selected with the mouse."""
        span = selection.get_span(line)
        if span is None:
            return strip
        start, end = span
        end = width if end == -1 else end
        style = self.screen.get_component_rich_style("screen--selection")
        cut = strip.divide([start, end, width]) if start else [Strip([]), *strip.divide([end, width])]
        middle = Strip(Segment(text, (own or Style.null()) + style) for text, own, _ in cut[1])
        return Strip.join([cut[0], middle, *cut[2:]])

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The text that was selected with the mouse."""
        lines = []
        first = selection.start.y if selection.start else 0
        last = selection.end.y if selection.end else self.source.count - 1
        for line in range(first, min(last, first + SELECTED) + 1):
            row = self.source.row(line)
            if row is None or self._painter is None:
                continue
            text = "".join(segment.text for segment in self._painter.paint(row))
            span = selection.get_span(line)
            if span is not None:
                start, end = span
                lines.append(text[start : None if end == -1 else end].rstrip())
        return "\n".join(lines), "\n"
