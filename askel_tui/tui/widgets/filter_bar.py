"""The filter line that `/` opens: it filters while one types, Enter keeps the filter, Esc removes it."""

from __future__ import annotations

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, Label

from askel_tui.tui.widgets.help import Help


class FilterBar(Horizontal):
    """The line and the number of matches. Posts `Changed` with every change, and `Kept` on Enter."""

    help = Help(
        "Filter",
        'Words that must be there; !word for words that must not; "two words" in quotes. '
        "Where fields are known, field:value. Enter keeps the filter, Esc takes it back.",
    )

    class Changed(Message):
        """A message that the text of the filter has changed."""

        def __init__(self, value: str) -> None:
            super().__init__()
            self.value = value

        def can_replace(self, message: Message) -> bool:
            """Lets a newer text replace one that was not handled yet."""
            return isinstance(message, FilterBar.Changed)

    class Kept(Message):
        """A message that the filter stays; `before` had the focus until the line was opened."""

        def __init__(self, before: Widget | None) -> None:
            super().__init__()
            self.before = before

    def __init__(self) -> None:
        super().__init__()
        self._count_text = ""
        self._previous_focus: Widget | None = None

    def compose(self) -> ComposeResult:
        """Composes the sign, the line, and the number of matches."""
        yield Label("/", id="filter-sign")
        yield Input(id="filter-input", select_on_focus=False)
        yield Label("", id="filter-count")

    @property
    def value(self) -> str:
        """The text of the filter."""
        return self.query_one(Input).value if self.is_mounted else ""

    def open(self) -> None:
        """Shows the line and puts the cursor in it."""
        self.add_class("-open")
        if self.screen.focused is not self.query_one(Input):
            self._previous_focus = self.screen.focused
        self.query_one(Input).focus()

    def set_text(self, text: str) -> None:
        """Sets the filter, as if it were typed and kept."""
        self.query_one(Input).value = text
        self.set_class(bool(text), "-open")

    def show_count(self, words: str) -> None:
        """Shows the number of matches."""
        if words == self._count_text:
            return
        # A search counts many times a second: the screen is laid out again only where the width changes.
        same = cell_len(words) == cell_len(self._count_text)
        self._count_text = words
        self.query_one("#filter-count", Label).update(Content(words), layout=not same)

    def leave(self) -> bool:
        """Removes the filter and closes the line; returns False where it was not open."""
        if not self.has_class("-open"):
            return False
        self.query_one(Input).value = ""
        self.remove_class("-open")
        if self.screen.focused is self.query_one(Input):
            if self._previous_focus is not None and self._previous_focus.is_attached:
                self._previous_focus.focus()
            else:
                self.screen.focus_next()
        return True

    def on_input_changed(self, event: Input.Changed) -> None:
        """Posts the new text."""
        event.stop()
        self.post_message(self.Changed(event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keeps the filter; an empty one closes the line."""
        event.stop()
        if not event.value:
            self.leave()
        else:
            self.post_message(self.Kept(self._previous_focus))
