"""A field that shows what it holds, beside one for a secret: a private key that comes into it is handed on at once."""

from __future__ import annotations

from typing import Any

from textual import events
from textual.message import Message
from textual.widgets import Input

from askel_tui.tui.widgets.secret_input import SecretInput

PRIVATE_KEY_PREFIX = "pk_"
"""What every private key begins with."""


class PlainInput(Input):
    """A line that never holds a private key; where the screen has a field `#form-key`, the key goes there."""

    class KeyRedirected(Message):
        """A key was handed on, or thrown away."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._redirected = False

    def on_focus(self) -> None:
        """What is typed now is for this field again."""
        self._redirected = False

    async def _on_key(self, event: events.Key) -> None:
        """Keys that came faster than the focus went are the key's as well."""
        if self._redirected and event.is_printable:
            event.stop()
            event.prevent_default()
            self._redirect(event.character or "")
            return
        await super()._on_key(event)
        if self.value.strip().startswith(PRIVATE_KEY_PREFIX):
            key, self.value = self.value.strip(), ""
            self._redirect(key)

    def _on_paste(self, event: events.Paste) -> None:
        """A key never gets into the field."""
        text = event.text.strip()
        if text.startswith(PRIVATE_KEY_PREFIX):
            event.stop()
            event.prevent_default()
            self._redirect(text)

    def _redirect(self, text: str) -> None:
        begins, self._redirected = not self._redirected, True
        for secret in self.screen.query("#form-key").results(SecretInput):
            if begins:
                secret.forget()
                self.screen.set_focus(secret)
            secret.insert_text_at_cursor(text)
        self.post_message(self.KeyRedirected())
