"""A question that is answered with a line of text."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.widgets import Input, Static

from askel_tui.tui.widgets.help import Help
from askel_tui.tui.widgets.modal import Modal, question_content
from askel_tui.tui.widgets.secret_input import SecretInput


class TextPrompt(Modal[str | None]):
    """A question that gives the typed line, stripped; None for Esc, and for an empty line.

    With `secret` the line is masked.
    """

    DEFAULT_CSS = """
    TextPrompt { align: center middle; }
    TextPrompt > VerticalScroll {
        width: 68; max-width: 96%; height: auto; max-height: 90%;
        background: $surface; border: round $border; border-title-color: $accent; padding: 0 1;
    }
    """
    help = Help("A question", "Type the answer; Enter takes it, Esc goes back without one.")
    BINDINGS: ClassVar[list[Any]] = [Binding("escape", "dismiss(None)", "Back", id="ask.back")]

    def __init__(
        self, question: str, detail: str = "", *, value: str = "", placeholder: str = "", secret: bool = False
    ) -> None:
        super().__init__()
        self._secret = secret
        self._question = question
        self._detail = detail
        self._value = value
        self._placeholder = placeholder

    def compose(self) -> ComposeResult:
        """Composes the question and the line."""
        box = VerticalScroll(can_focus=False)
        box.border_subtitle = "Enter takes it · Esc leaves"
        with box:
            yield Static(question_content(self._question, self._detail))
            if self._secret:
                yield SecretInput(placeholder=self._placeholder, id="ask-line")
            else:
                yield Input(self._value, placeholder=self._placeholder, id="ask-line")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Closes with the typed line."""
        event.stop()
        self.dismiss(event.value.strip() or None)

    def on_secret_input_entered(self) -> None:
        """Closes with the masked line."""
        self.dismiss(self.query_one(SecretInput).take() or None)
