"""A field for secrets: masked, never copied, in no message, and emptied once its text was taken."""

from __future__ import annotations

from typing import Any

from textual import events
from textual.message import Message
from textual.widgets import Input

from askel_tui.tui.widgets.help import Help


class SecretInput(Input):
    """A masked line. Its messages `Edited` and `Entered` hold no text; `take` gives the text and empties the field."""

    class Edited(Message):
        """A message that the text has changed."""

        def __init__(self, control: SecretInput) -> None:
            super().__init__()
            self.secret = control

    class Entered(Message):
        """A message that Enter was pressed."""

    def __init__(self, **arguments: Any) -> None:
        # No suggestions and no selection: both would show or copy the text.
        super().__init__(password=True, select_on_focus=False, **arguments)
        self.help = Help("A secret", "Paste it; it is shown as dots, kept in the keyring and nowhere else.")

    def __repr__(self) -> str:
        return f"SecretInput(id={self.id!r})"

    def take(self) -> str:
        """Returns the text, stripped, and empties the field."""
        text = self.value.strip()
        self.forget()
        return text

    def forget(self) -> None:
        """Empties the field."""
        self.value = ""

    def post_message(self, message: Message) -> bool:
        """Replaces the messages of an input, which carry its text, by ones without it."""
        if isinstance(message, Input.Changed):
            return super().post_message(self.Edited(self))
        if isinstance(message, Input.Submitted):
            return super().post_message(self.Entered())
        return super().post_message(message)

    def _on_paste(self, event: events.Paste) -> None:
        """Inserts the pasted text without line ends."""
        event.stop()
        event.prevent_default()
        self.replace(event.text.strip().replace("\r", "").replace("\n", " "), *self.selection)

    def action_copy(self) -> None:
        """Copies nothing."""

    def action_cut(self) -> None:
        """Deletes the selection without copying it."""
        self.delete_selection()
