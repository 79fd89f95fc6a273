"""The base of questions with several answers, none of which is the default: Esc and Enter change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Static

from askel_tui.text.sanitizing import sanitize_lines
from askel_tui.tui.widgets.modal import Modal, question_content

Variant = Literal["default", "primary", "success", "warning", "error"]


class AnswerQuestion(Modal[str | None]):
    """Asks for one of `ANSWERS`; None for Esc. Subclasses bind a key to `answer('…')` for each."""

    DEFAULT_CSS = """
    AnswerQuestion { align: center middle; }
    AnswerQuestion > Vertical {
        width: 92; max-width: 96%; height: auto; max-height: 100%;
        background: $surface; border: round $warning; padding: 0 1;
    }
    AnswerQuestion VerticalScroll { height: auto; max-height: 50vh; }
    AnswerQuestion #note { height: auto; margin-top: 1; }
    AnswerQuestion Horizontal { height: 1; margin-top: 1; }
    AnswerQuestion Button { margin-right: 2; }
    """
    ANSWERS: ClassVar[Sequence[tuple[str, str, Variant]]] = ()
    """The answers: each one's word, its button, and the button's variant."""

    def __init__(self, question: str, detail: str, more: Content | None = None, note: str = "") -> None:
        super().__init__()
        self._question = question
        self._detail = detail
        self._more = more
        self._note = note

    def compose(self) -> ComposeResult:
        """Composes the question and what else there is to see, which scroll, then a note and the answers."""
        with Vertical():
            with VerticalScroll():
                yield Static(question_content(self._question, self._detail, gap="\n\n"))
                if self._more is not None:
                    yield Static(self._more)
            if self._note:
                yield Static(Content(sanitize_lines(self._note)), id="note")
            with Horizontal():
                yield Button("Back (Esc)", id="back", variant="primary", compact=True)
                for word, label, variant in self.ANSWERS:
                    if self.check_action("answer", (word,)):
                        yield Button(label, id=word, variant=variant, compact=True)

    def on_mount(self) -> None:
        """Puts the focus where Enter does no harm."""
        self.query_one("#back").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answers by a button."""
        self.action_answer("" if event.button.id == "back" else event.button.id or "")

    def action_answer(self, answer: str = "") -> None:
        """Answers; nothing is no answer."""
        self.dismiss(answer or None)
