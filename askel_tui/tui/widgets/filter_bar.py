"""The line behind `/`: what is typed filters at once; Enter keeps it, Esc takes it back."""

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
    """A filter in place. Posts `Changed` with every change."""

    help = Help(
        "Filter",
        'Words that must be there; !word for words that must not; "two words" in quotes. '
        "Where fields are known, field:value. Enter keeps the filter, Esc takes it back.",
    )

    class Changed(Message):
        """The text of the filter is another one."""

        def __init__(self, value: str) -> None:
            super().__init__()
            self.value = value

        def can_replace(self, message: Message) -> bool:
            """Only the newest text counts."""
            return isinstance(message, FilterBar.Changed)

    class Kept(Message):
        """The filter stays; `before` had the focus when it was opened."""

        def __init__(self, before: Widget | None) -> None:
            super().__init__()
            self.before = before

    def __init__(self) -> None:
        super().__init__()
        self._count_text = ""
        self._previous_focus: Widget | None = None

    def compose(self) -> ComposeResult:
        """The sign, the line, and how much was found."""
        yield Label("/", id="filter-sign")
        yield Input(id="filter-input", select_on_focus=False)
        yield Label("", id="filter-count")

    @property
    def value(self) -> str:
        """What is typed."""
        return self.query_one(Input).value if self.is_mounted else ""

    def open(self) -> None:
        """Shows the line and puts the cursor in it."""
        self.add_class("-open")
        if self.screen.focused is not self.query_one(Input):
            self._previous_focus = self.screen.focused
        self.query_one(Input).focus()

    def set_text(self, text: str) -> None:
        """Sets the filter, as if it had been typed and kept."""
        self.query_one(Input).value = text
        self.set_class(bool(text), "-open")

    def show_count(self, words: str) -> None:
        """Says how much was found."""
        if words == self._count_text:
            return
        # While a search goes on it counts many times a second: the screen is laid out anew only where the width is.
        same = cell_len(words) == cell_len(self._count_text)
        self._count_text = words
        self.query_one("#filter-count", Label).update(Content(words), layout=not same)

    def leave(self) -> bool:
        """Takes the filter back; False where none was open."""
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
        """Filters while one types."""
        event.stop()
        self.post_message(self.Changed(event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keeps the filter and goes back to what is filtered."""
        event.stop()
        if not event.value:
            self.leave()
        else:
            self.post_message(self.Kept(self._previous_focus))
