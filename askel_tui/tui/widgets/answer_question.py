"""The base of questions with several answers, none of which is the default: Esc and Enter change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Static

from askel_tui.tui.widgets.modal import Modal, question_content

Variant = Literal["default", "primary", "success", "warning", "error"]


class AnswerQuestion(Modal[str | None]):
    """Asks for one of `ANSWERS`; None for Esc. Subclasses bind a key to `answer('…')` for each."""

    DEFAULT_CSS = """
    AnswerQuestion { align: center middle; }
    AnswerQuestion > VerticalScroll {
        width: 92; max-width: 96%; height: auto; max-height: 90%;
        background: $surface; border: round $warning; padding: 0 1;
    }
    AnswerQuestion Horizontal { height: 1; margin-top: 1; }
    AnswerQuestion Button { margin-right: 2; }
    """
    ANSWERS: ClassVar[Sequence[tuple[str, str, Variant]]] = ()
    """The answers: each one's word, its button, and the button's variant."""

    def __init__(self, question: str, detail: str, more: Content | None = None) -> None:
        super().__init__()
        self._question = question
        self._detail = detail
        self._more = more

    def compose(self) -> ComposeResult:
        """Composes the question, its detail, the answers, and what else there is to see."""
        with VerticalScroll():
            yield Static(question_content(self._question, self._detail, gap="\n\n"))
            with Horizontal():
                yield Button("Back (Esc)", id="back", variant="primary", compact=True)
                for word, label, variant in self.ANSWERS:
                    yield Button(label, id=word, variant=variant, compact=True)
            if self._more is not None:
                yield Static(self._more)

    def on_mount(self) -> None:
        """Puts the focus where Enter does no harm."""
        self.query_one("#back").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answers by a button."""
        self.action_answer("" if event.button.id == "back" else event.button.id or "")

    def action_answer(self, answer: str = "") -> None:
        """Answers; nothing is no answer."""
        self.dismiss(answer or None)
