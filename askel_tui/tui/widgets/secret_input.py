"""A field for what nobody may see: masked, never copied, told to no message, gone once taken."""

from __future__ import annotations

from typing import Any

from textual import events
from textual.message import Message
from textual.widgets import Input

from askel_tui.tui.widgets.help import Help


class SecretInput(Input):
    """A masked line. It posts `Edited` and `Entered`, which hold no text; `take` gives the text and forgets it."""

    class Edited(Message):
        """The text is another one."""

        def __init__(self, control: SecretInput) -> None:
            super().__init__()
            self.secret = control

    class Entered(Message):
        """Enter was pressed."""

    def __init__(self, **arguments: Any) -> None:
        # No suggestions and no selection: both would be ways out.
        super().__init__(password=True, select_on_focus=False, **arguments)
        self.help = Help("A secret", "Paste it; it is shown as dots, kept in the keyring and nowhere else.")

    def __repr__(self) -> str:
        return f"SecretInput(id={self.id!r})"

    def take(self) -> str:
        """The text without the blanks around it; the field is empty afterwards."""
        text = self.value.strip()
        self.forget()
        return text

    def forget(self) -> None:
        """Empties the field."""
        self.value = ""

    def post_message(self, message: Message) -> bool:
        """Messages of an input carry its text; those that are posted instead carry none."""
        if isinstance(message, Input.Changed):
            return super().post_message(self.Edited(self))
        if isinstance(message, Input.Submitted):
            return super().post_message(self.Entered())
        return super().post_message(message)

    def _on_paste(self, event: events.Paste) -> None:
        """Takes what was pasted without the line ends that came along."""
        event.stop()
        event.prevent_default()
        self.replace(event.text.strip().replace("\r", "").replace("\n", " "), *self.selection)

    def action_copy(self) -> None:
        """Nothing leaves the field."""

    def action_cut(self) -> None:
        """Cutting is deleting: nothing leaves the field."""
        self.delete_selection()
