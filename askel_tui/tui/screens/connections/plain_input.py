"""A field whose text is visible: a private key that is typed or pasted into it goes to the masked field instead."""

from __future__ import annotations

from typing import Any

from textual import events
from textual.message import Message
from textual.widgets import Input

from askel_tui.tui.widgets.secret_input import SecretInput

PRIVATE_KEY_PREFIX = "pk_"
"""The beginning of every private key."""


class PlainInput(Input):
    """A line that never holds a private key; a key goes to the screen's field `#form-key`, if there is one."""

    class KeyRedirected(Message):
        """A message that a key was moved to the masked field, or dropped where there is none."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._redirected = False

    def on_focus(self) -> None:
        """Treats typed text as this field's own again."""
        self._redirected = False

    async def _on_key(self, event: events.Key) -> None:
        """Redirects a private key, and the characters of it that arrive before the focus has moved."""
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
        """Redirects a private key before it gets into the field."""
        text = event.text.strip()
        if text.startswith(PRIVATE_KEY_PREFIX):
            event.stop()
            event.prevent_default()
            self._redirect(text)

    def _redirect(self, text: str) -> None:
        is_first, self._redirected = not self._redirected, True
        for secret in self.screen.query("#form-key").results(SecretInput):
            if is_first:
                secret.forget()
                self.screen.set_focus(secret)
            secret.insert_text_at_cursor(text)
        self.post_message(self.KeyRedirected())
