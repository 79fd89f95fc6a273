"""A question that is answered by a choice from a list, searched by typing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from askel_tui.text.sanitizing import sanitize
from askel_tui.tui.text.filtering import parse_filter
from askel_tui.tui.text.fuzzy import rank_matches
from askel_tui.tui.widgets.choice import Choice
from askel_tui.tui.widgets.help import Help
from askel_tui.tui.widgets.modal import Modal, question_content

MAX_CHOICES_SHOWN = 200
"""The number of choices that are shown at once; typing finds the others."""


class Picker(Modal[str | None]):
    """A question that gives the chosen value; None for Esc.

    With `allow_typed`, a text that matches no choice is given as typed. `case_sensitive`: a text that differs from a
    choice in case alone is offered as a value of its own, first.
    """

    DEFAULT_CSS = """
    Picker { align: center middle; }
    Picker > Vertical {
        width: 76; max-width: 96%; height: auto; max-height: 90%;
        background: $surface; border: round $border; border-title-color: $accent; padding: 0 1;
    }
    Picker OptionList { height: auto; max-height: 14; border: none; background: $surface; padding: 0; }
    Picker Input, Picker Input:focus { border: none; height: 1; padding: 0; background: $panel; }
    """
    help = Help("A choice", "Type letters to find one, arrows to go to it, Enter takes it, Esc goes back.")
    BINDINGS: ClassVar[list[Any]] = [
        Binding("escape", "dismiss(None)", "Back", id="pick.back"),
        Binding("down", "move(1)", "Down", show=False, id="pick.down"),
        Binding("up", "move(-1)", "Up", show=False, id="pick.up"),
    ]

    def __init__(
        self,
        question: str,
        choices: Sequence[Choice],
        *,
        detail: str = "",
        preselected: str | None = None,
        allow_typed: bool = False,
        case_sensitive: bool = True,
    ) -> None:
        super().__init__()
        self._question = question
        self._detail = detail
        self._choices = choices
        self._found: list[Choice] = []
        self._preselected = preselected
        self._allow_typed = allow_typed
        self._case_sensitive = case_sensitive

    def compose(self) -> ComposeResult:
        """Composes the question, the search line, and the choices."""
        box = Vertical()
        box.border_subtitle = "Enter takes it · Esc leaves"
        with box:
            yield Static(question_content(self._question, self._detail))
            yield Input(placeholder="type to find", id="pick-line")
            yield OptionList(id="pick-choices", markup=False)

    def on_mount(self) -> None:
        """Shows all choices; the focus stays with the search line."""
        self.query_one(OptionList).can_focus = False
        self._fill("")
        values = [each.value for each in self._found]
        if self._preselected in values:
            self.query_one(OptionList).highlighted = values.index(self._preselected)

    def _fill(self, text: str) -> None:
        self._found = rank_matches(
            parse_filter(text), self._choices, lambda each: f"{each.title} {each.description}"
        )[:MAX_CHOICES_SHOWN]
        if self._allow_typed and text.strip() and all(each.title != text.strip() for each in self._found):
            typed = Choice(text.strip(), text.strip(), "as typed")
            own = self._case_sensitive and any(
                each.title.casefold() == typed.title.casefold() for each in self._found
            )
            self._found.insert(0 if own else len(self._found), typed)
        choices = self.query_one(OptionList)
        choices.clear_options()
        choices.add_options([Option(choice_content(each)) for each in self._found])
        choices.highlighted = 0 if self._found else None

    def on_input_changed(self, event: Input.Changed) -> None:
        """Shows the choices that match."""
        event.stop()
        self._fill(event.value)

    def action_move(self, by: int) -> None:
        """Moves among the choices."""
        choices = self.query_one(OptionList)
        choices.action_cursor_down() if by > 0 else choices.action_cursor_up()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Takes the selected choice."""
        event.stop()
        self._accept(self.query_one(OptionList).highlighted)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Takes the choice that was clicked."""
        event.stop()
        self._accept(event.option_index)

    def _accept(self, at: int | None) -> None:
        if at is not None and at < len(self._found):
            self.dismiss(self._found[at].value)


def choice_content(choice: Choice, max_chars: int = 120) -> Content:
    """Composes the title of a choice and its description, each cut to `max_chars` characters."""
    title, description = sanitize(choice.title, max_chars), sanitize(choice.description, max_chars)
    return Content.assemble(title, (f"  {description}", "$foreground-muted"))
