"""The painted part of a tail: the lines on the screen, from the line cache where they are in it."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from askel_tui.tui.screens.live.columns import LinePainter, column_widths
from askel_tui.tui.screens.live.feed import TailFeed, TailRows, pages_near
from askel_tui.tui.screens.live.lines import LineCache, LineFrame
from askel_tui.tui.screens.live.rows import AllRows

MAX_COPIED_LINES = 2_048


class TailView(ScrollView):
    """The view that paints the visible rows; `Tail` moves them and keeps them up to date."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "tail--text",
        "tail--muted",
        "tail--good",
        "tail--doubt",
        "tail--bad",
        "tail--cursor",
        "tail--blurred",
    }
    follow: reactive[bool] = reactive(True)
    cursor: reactive[int] = reactive(-1, repaint=False)
    """The line under the cursor; -1 without rows."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self.feed: TailFeed | None = None
        self.rows: TailRows = AllRows()
        self.painted_lines = 0
        """The number of lines that were made since the start; benchmarks count them."""
        self._line_cache: LineCache | None = None
        self._painter: LinePainter | None = None
        self._appearance: tuple[Any, ...] | None = None

    def forget_lines(self) -> None:
        """Drops all cached lines."""
        self._appearance = None

    def notify_style_update(self) -> None:
        """Drops all cached lines: the theme has changed."""
        super().notify_style_update()
        self.forget_lines()

    def render_lines(self, crop: Region) -> list[Strip]:
        """Renders the lines of a region, cached ones where there are; missing pages near it are requested."""
        top, height = self.scroll_offset.y, self.size.height
        if self.feed is not None:
            for page in pages_near(self.rows, top, top + height - 1):
                if self.rows.pages.get(page) is None:
                    self.feed.request_page(self.rows, page)
        if height < 1 or self.text_selection is not None:
            return super().render_lines(crop)
        lines = self._current_cache()
        inset = self.gutter.top
        strips: list[Strip] = []
        for y in crop.line_range:
            if inset <= y < inset + height:
                strips.append(self._line_strip(lines, top + y - inset))
            else:
                strips += super().render_lines(Region(0, y, self.outer_size.width, 1))
        if crop.column_span != (0, self.outer_size.width):
            strips = [strip.crop(*crop.column_span) for strip in strips]
        return strips

    def _line_strip(self, lines: LineCache, line: int) -> Strip:
        if line >= self.rows.count:
            return lines.blank
        row = self.rows.row(line)
        if row is None:
            return lines.waiting
        cursor_state = self._cursor_state(line)
        found = lines.get(row, cursor_state)
        if found is None:
            found = lines.make(row, cursor_state)
            self.painted_lines += 1
        return found

    def _cursor_state(self, line: int) -> str:
        return "" if line != self.cursor else "cursor" if self.has_focus else "blurred"

    def _current_cache(self) -> LineCache:
        """Returns the line cache, renewed when the appearance of lines changes."""
        width = self.scrollable_content_region.width
        appearance = (width, self.outer_size.width, self.background_colors, self.styles.border)
        if appearance != self._appearance:
            self._appearance = appearance
            self._painter = LinePainter(self._effective_styles(), column_widths(width))
            inset = self.gutter
            framed = super().render_lines(Region(0, inset.top, self.outer_size.width, 1))[0]
            self._line_cache = LineCache(self._painter, LineFrame(framed, inset.left, width))
        assert self._line_cache is not None
        return self._line_cache

    def _effective_styles(self) -> dict[str, Style]:
        """Computes the styles of a line's parts after Textual's line filters, of which one takes colours away."""
        shown = {}
        for name in self.COMPONENT_CLASSES:
            segments = [Segment(" ", self.get_component_rich_style(name))]
            for each in self.get_line_filters():
                segments = each.apply(segments, self.background_colors[1])
            shown[name.removeprefix("tail--")] = segments[0].style or Style.null()
        return shown

    def render_line(self, y: int) -> Strip:
        """Renders a line without its frame, which Textual needs while text is selected with the mouse."""
        width, line = self.scrollable_content_region.width, self.scroll_offset.y + y
        if self._painter is None or line >= self.rows.count:
            return Strip.blank(width, self.rich_style)
        row = self.rows.row(line)
        selection = self.text_selection
        if row is None:
            return Strip(self._painter.waiting(), width)
        strip = Strip(self._painter.paint(row, "" if selection else self._cursor_state(line)), width)
        if self.follow:
            return strip
        # The position of each character, so that it can be selected.
        strip = strip.apply_offsets(0, line)
        return strip if selection is None else self._selected(strip, line, width, selection)

    def _selected(self, strip: Strip, line: int, width: int, selection: Selection) -> Strip:
        """Renders a line with the text that is selected with the mouse."""
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
        """Returns the text that is selected with the mouse."""
        lines = []
        first = selection.start.y if selection.start else 0
        last = selection.end.y if selection.end else self.rows.count - 1
        for line in range(first, min(last, first + MAX_COPIED_LINES) + 1):
            row = self.rows.row(line)
            if row is None or self._painter is None:
                continue
            text = "".join(segment.text for segment in self._painter.paint(row))
            span = selection.get_span(line)
            if span is not None:
                start, end = span
                lines.append(text[start : None if end == -1 else end].rstrip())
        return "\n".join(lines), "\n"
