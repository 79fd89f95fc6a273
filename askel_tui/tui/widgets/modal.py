"""The base of modal screens: questions, forms, help."""

from __future__ import annotations

from typing import Any, TypeVar

from textual.await_complete import AwaitComplete
from textual.content import Content
from textual.screen import ModalScreen

from askel_tui.text.sanitizing import sanitize_lines
from askel_tui.tui.shell.console import console_of

T = TypeVar("T")


class Modal(ModalScreen[T]):
    """A modal screen that is answered once; keys that are typed before it is gone never reach the screen below."""

    def on_mount(self) -> None:
        """Lets keys through once the focus is set."""
        self.call_after_refresh(self.app.call_later, self._can_answer)

    def _can_answer(self) -> None:
        console_of(self).typeahead.question_ready(self)

    def dismiss(self, result: T | None = None) -> AwaitComplete:
        """Closes with a result; does nothing where it is closed already."""
        if not self.is_active:
            return AwaitComplete()
        console_of(self).typeahead.question_closed(self)
        return super().dismiss(result)


def question_content(question: str, detail: str = "", *, gap: str = "\n", detail_style: str = "") -> Content:
    """Composes a question in bold, and its detail below it."""
    parts: list[Any] = [(sanitize_lines(question), "bold")]
    if detail:
        parts.append((gap + sanitize_lines(detail), detail_style))
    return Content.assemble(*parts)
