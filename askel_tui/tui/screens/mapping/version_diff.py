"""The question that shows the differences between versions of a workflow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from askel_tui.text.sanitizing import sanitize
from askel_tui.tui.widgets.help import Help
from askel_tui.tui.widgets.modal import Modal


class VersionDiff(Modal[bool | None]):
    """A diff; True where the older version is to be taken into the editor."""

    DEFAULT_CSS = """
    VersionDiff { align: center middle; }
    VersionDiff > VerticalScroll {
        width: 100; max-width: 96%; height: auto; max-height: 90%;
        background: $surface; border: round $border; border-title-color: $accent; padding: 0 1;
    }
    """
    help = Help(
        "What changed", "- was in the version, + is new. r takes the version into the editor; u undoes that."
    )
    BINDINGS: ClassVar[list[Any]] = [
        Binding("escape", "dismiss(None)", "Back", id="difference.back"),
        Binding("r", "dismiss(True)", "Take the version back", id="difference.take"),
    ]

    def __init__(self, title: str, lines: Sequence[tuple[str, str]], version: str) -> None:
        """Makes the question; `lines` are (text, style)."""
        super().__init__()
        self._title, self._lines, self._version = title, lines, version

    def compose(self) -> ComposeResult:
        """Composes the lines."""
        box = VerticalScroll()
        box.border_title = self._title
        box.border_subtitle = f"r takes version {self._version} into the editor · Esc leaves"
        with box:
            parts: list[Any] = [(sanitize(text) + "\n", style) for text, style in self._lines]
            yield Static(Content.assemble(*parts).rstrip())
