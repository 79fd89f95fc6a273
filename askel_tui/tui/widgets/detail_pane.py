"""The pane that shows details: labels and values, and a longer text. Everything is sanitized."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from askel_tui.text.sanitizing import sanitize, sanitize_lines
from askel_tui.tui.widgets.help import Help

MIN_LABEL_CELLS = 10

DetailLine = tuple[str, str] | tuple[str, str, str]
"""A label, a value, and perhaps the value's style."""


class DetailPane(VerticalScroll, can_focus=True):
    """A scrolling pane with a title, lines of label and value, and a longer text below them."""

    help = Help("Details", "Scroll with the arrows.")

    def __init__(
        self,
        *,
        id: str | None = None,  # noqa: A002 - Textual's name for it
        classes: str | None = None,
        jump_key: str | None = None,
        about: Help | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.jump_key = jump_key
        if about is not None:
            self.help = about

    def compose(self) -> ComposeResult:
        """Composes the one text that the pane holds."""
        yield Static()

    def show(self, title: str, lines: Sequence[DetailLine], text: str = "") -> None:
        """Replaces the content by a title, lines, and a longer text."""
        self.show_content(detail_content(title, lines, text))

    def show_content(self, content: Content) -> None:
        """Replaces the content."""
        self.query_one(Static).update(content)


def detail_content(title: str, lines: Sequence[DetailLine], text: str = "") -> Content:
    """Composes the title in bold, a line per fact, then the text."""
    width = max([MIN_LABEL_CELLS, *(len(line[0]) + 1 for line in lines)])
    parts: list[Any] = [(f"{sanitize(title)}\n", "bold $accent")] if title else []
    for label, value, *style in lines:
        parts += [
            (f"{sanitize(label):<{width}} ", "$foreground-muted"),
            (sanitize(value) + "\n", style[0] if style else ""),
        ]
    if text:
        parts.append("\n" + sanitize_lines(text, 20_000))
    return Content.assemble(*parts).rstrip()
