"""Ctrl+o: a letter over each part of the screen; pressing it moves the focus there."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Label

from askel_tui.tui.widgets.modal import Modal

JUMP_LETTERS = "asdfghjklqwertyuiopzxcvbnm"


def jump_targets(screen: Screen[Any]) -> dict[str, Widget]:
    """Finds the widgets that can be jumped to, by letter: their own letters first, others in the order of the
    screen."""
    found: dict[str, Widget] = {}
    without: list[Widget] = []
    for widget in screen.focus_chain:
        if not isinstance(widget, Widget) or not widget.region or not widget.display:
            continue
        key = getattr(widget, "jump_key", None)
        if isinstance(key, str) and len(key) == 1 and key not in found:
            found[key] = widget
        else:
            without.append(widget)
    free = [letter for letter in JUMP_LETTERS if letter not in found]
    found.update(zip(free, without, strict=False))
    return found


class JumpScreen(Modal[Widget | None]):
    """The screen that shows the letters over the screen below; gives the chosen widget, or None."""

    BINDINGS: ClassVar[list[Any]] = [Binding("escape,ctrl+o", "dismiss", "Back", id="jump.close")]

    def __init__(self, found: dict[str, Widget]) -> None:
        super().__init__()
        self._found = found

    def compose(self) -> ComposeResult:
        """Composes a label at the corner of each widget."""
        for letter, widget in self._found.items():
            label = Label(letter, classes="jump-key", markup=False)
            label.styles.offset = (max(widget.region.x, 0), max(widget.region.y, 0))
            yield label

    def on_key(self, event: events.Key) -> None:
        """Chooses the widget of the letter; any other key closes."""
        if event.key in ("escape", "ctrl+o"):
            return
        event.stop()
        self.dismiss(self._found.get(event.character or ""))

    def on_click(self) -> None:
        """Closes on a click."""
        self.dismiss(None)
