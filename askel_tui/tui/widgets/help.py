"""F1: help for the focused widget and its screen, then the keys that work there."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.dom import DOMNode
from textual.screen import Screen
from textual.widgets import Static

from askel_tui.tui.widgets.modal import Modal


class Help(NamedTuple):
    """A title and plain sentences."""

    title: str
    text: str


def help_for(screen: Screen[Any]) -> tuple[list[Help], list[tuple[str, str]]]:
    """Collects the help of the focused widget and its ancestors, nearest first, and the keys that work now with what
    they do."""
    found: list[Help] = []
    node: DOMNode | None = screen.focused or screen
    while node is not None:
        entry = getattr(node, "help", None)
        if isinstance(entry, Help) and entry not in found:
            found.append(entry)
        node = node.parent
    keys: dict[str, list[str]] = {}
    # The keys of the footer come first.
    for active in sorted(screen.active_bindings.values(), key=lambda each: not each.binding.show):
        binding = active.binding
        if not active.enabled or not binding.description:
            continue
        words = f"{binding.description}: {binding.tooltip}" if binding.tooltip else binding.description
        keys.setdefault(words, []).append(screen.app.get_key_display(binding))
    return found, [(", ".join(dict.fromkeys(shown)), words) for words, shown in keys.items()]


class HelpScreen(Modal[None]):
    """The screen that shows help until it is closed."""

    BINDINGS: ClassVar[list[Any]] = [
        Binding("escape,f1,q,enter", "dismiss", "Close", id="help.close"),
    ]

    def __init__(self, entries: list[Help], keys: list[tuple[str, str]]) -> None:
        super().__init__()
        self._help_entries = entries
        self._keys = keys

    def compose(self) -> ComposeResult:
        """Composes one scrolling box."""
        box = VerticalScroll(id="help-box")
        box.border_title = "Help"
        box.border_subtitle = "Esc closes"
        with box:
            yield Static(self._content())

    def _content(self) -> Content:
        parts: list[Any] = []
        for entry in self._help_entries:
            parts += [(f"{entry.title}\n", "bold $accent"), f"{entry.text}\n\n"]
        parts.append(("Keys\n", "bold $accent"))
        width = max((len(key) for key, _ in self._keys), default=0)
        for key, words in self._keys:
            parts += [(f"{key:<{width}}  ", "bold"), f"{words}\n"]
        return Content.assemble(*parts)
