"""An input for an expression, with completions and a preview of its value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from askel_tui.text.sanitizing import sanitize
from askel_tui.tui.widgets.choice import Choice
from askel_tui.tui.widgets.help import Help
from askel_tui.tui.widgets.modal import Modal, question_content
from askel_tui.tui.widgets.picker import choice_content
from askel_tui.tui.widgets.rows import Cell

MAX_COMPLETIONS = 50


class ExpressionInput(Modal[str | None]):
    """An input that gives the line, stripped, on Enter; None for Esc."""

    DEFAULT_CSS = """
    ExpressionInput { align: center middle; }
    ExpressionInput > Vertical {
        width: 90; max-width: 96%; height: auto; max-height: 90%;
        background: $surface; border: round $border; padding: 0 1;
    }
    ExpressionInput Input, ExpressionInput Input:focus { border: none; height: 1; padding: 0; background: $panel; }
    ExpressionInput OptionList { height: auto; max-height: 9; border: none; background: $surface; padding: 0; }
    ExpressionInput #edit-gives { height: auto; max-height: 4; min-height: 1; }
    """
    help = Help(
        "A line",
        "Below it is what it gives for the newest record. Arrows and Tab take a completion, Enter keeps the line, Esc "
        "leaves it as it was. A text is written 'like this', a number `5`.",
    )
    BINDINGS: ClassVar[list[Any]] = [
        Binding("escape", "dismiss(None)", "Back", id="edit.back"),
        Binding("tab", "complete", "Complete", id="edit.complete", priority=True),
        Binding("down", "move(1)", "Down", show=False, id="edit.down", priority=True),
        Binding("up", "move(-1)", "Up", show=False, id="edit.up", priority=True),
    ]

    def __init__(
        self,
        question: str,
        value: str,
        *,
        preview: Callable[[str], Cell] | None = None,
        complete: Callable[[str], Sequence[Choice]] | None = None,
        detail: str = "",
    ) -> None:
        super().__init__()
        self._question = question
        self._value = value
        self._preview = preview
        self._complete = complete
        self._detail = detail
        self._found: list[Choice] = []

    def compose(self) -> ComposeResult:
        """Composes the question, the line, the preview, and the completions."""
        box = Vertical()
        completes = "Tab completes · " if self._complete else ""
        box.border_subtitle = f"{completes}Enter keeps the line · Esc leaves"
        with box:
            yield Static(question_content(self._question, self._detail, detail_style="$foreground-muted"))
            yield Input(self._value, id="edit-line", select_on_focus=False)
            yield Static(id="edit-gives")
            yield OptionList(id="edit-completions", markup=False)

    def on_mount(self) -> None:
        """Shows the preview; the focus stays with the line."""
        self.query_one(OptionList).can_focus = False
        self._update(self._value)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Updates the preview and the completions."""
        event.stop()
        self._update(event.value)

    def _update(self, text: str) -> None:
        gives = self.query_one("#edit-gives", Static)
        gives.display = self._preview is not None
        if self._preview is not None:
            cell = self._preview(text) if text.strip() else "empty: left out"
            result, style = cell if isinstance(cell, tuple) else (cell, "")
            gives.update(Content.styled(sanitize(result, 400), style))
        self._found = list(self._complete(text))[:MAX_COMPLETIONS] if self._complete else []
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options([Option(choice_content(each, 80)) for each in self._found])
        options.display = bool(self._found)
        options.highlighted = 0 if self._found else None

    def action_move(self, by: int) -> None:
        """Moves among the completions."""
        options = self.query_one(OptionList)
        options.action_cursor_down() if by > 0 else options.action_cursor_up()

    def action_complete(self) -> None:
        """Takes the selected completion."""
        self._accept(self.query_one(OptionList).highlighted)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Takes the completion that was clicked."""
        event.stop()
        self._accept(event.option_index)

    def _accept(self, at: int | None) -> None:
        if at is not None and at < len(self._found):
            line = self.query_one(Input)
            line.value = self._found[at].value
            line.cursor_position = len(line.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Closes with the line."""
        event.stop()
        self.dismiss(event.value.strip())
