"""A yes-or-no question that is not answered by accident: y says yes, and the focus is on No."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Button, Input, Static

from askel_tui.tui.widgets.help import Help
from askel_tui.tui.widgets.modal import Modal, question_content


class Confirm(Modal[bool | None]):
    """A yes-or-no question: True for yes, False for no, None for Esc.

    With `typed`, yes counts only once that text is typed.
    """

    help = Help(
        "A question",
        "y says yes, n says no, Esc goes back without an answer. Enter presses what has the focus.",
    )
    BINDINGS: ClassVar[list[Any]] = [
        Binding("y", "yes", "Yes", id="confirm.yes"),
        Binding("n", "no", "No", id="confirm.no"),
        Binding("escape", "cancel", "Back", id="confirm.back"),
        Binding("left,right,h,l", "app.focus_next", "Other", show=False, id="confirm.other"),
    ]

    def __init__(self, question: str, detail: str = "", *, typed: str | None = None) -> None:
        super().__init__()
        self._question = question
        self._detail = detail
        self._typed = typed

    def compose(self) -> ComposeResult:
        """Composes the question, its detail, and the two answers."""
        box = VerticalScroll(id="confirm-box", can_focus=False)
        with box:
            yield Static(question_content(self._question, self._detail, gap="\n\n"))
            if self._typed is not None:
                yield Input(
                    placeholder=f"type {self._typed}, then Enter, then y", id="confirm-typed", compact=True
                )
            with Horizontal():
                yield Button("No (n)", id="no", variant="primary", compact=True)
                yield Button("Yes (y)", id="yes", variant="warning", compact=True)

    def on_mount(self) -> None:
        """Puts the focus where Enter does no harm."""
        self.query_one("#confirm-typed" if self._typed is not None else "#no").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answers by a button."""
        self.action_yes() if event.button.id == "yes" else self.action_no()

    def on_input_submitted(self) -> None:
        """Moves to the answers on Enter, to Yes if the text is right."""
        self.query_one("#yes" if self._typed_matches() else "#no").focus()

    def action_yes(self) -> None:
        """Answers yes, if the text was typed."""
        if self._typed_matches():
            self.dismiss(True)
        else:
            self.query_one("#confirm-typed", Input).focus()

    def action_no(self) -> None:
        """Answers no."""
        self.dismiss(False)

    def action_cancel(self) -> None:
        """Closes without an answer."""
        self.dismiss(None)

    def _typed_matches(self) -> bool:
        return self._typed is None or self.query_one("#confirm-typed", Input).value.strip() == self._typed
