"""The base of modal screens: questions, forms, help."""

from __future__ import annotations

from typing import TypeVar

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen

from askel_tui.tui.shell.console import console_of

T = TypeVar("T")


class Modal(ModalScreen[T]):
    """A modal screen that is answered once: keys typed faster than it goes away are not for what lies below it."""

    def on_mount(self) -> None:
        """Keys are taken once the focus is where it belongs."""
        self.call_after_refresh(self.app.call_later, self._can_answer)

    def _can_answer(self) -> None:
        console_of(self).typeahead.question_ready(self)

    def dismiss(self, result: T | None = None) -> AwaitComplete:
        """Goes away with a result; where it is no longer in front, nothing."""
        if not self.is_active:
            return AwaitComplete()
        console_of(self).typeahead.question_closed(self)
        return super().dismiss(result)
