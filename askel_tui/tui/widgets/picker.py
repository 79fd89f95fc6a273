"""A question that is answered by picking one of several things, found by typing letters of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from askel_tui.tui.text.filtering import parse
from askel_tui.tui.text.fuzzy import ranked
from askel_tui.tui.text.inert import inert, inert_lines
from askel_tui.tui.widgets.help import Help
from askel_tui.tui.widgets.modal import Over

MOST = 200
"""Choices that are shown at once; typing finds the others."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is picked (`value`), what it is called, and a word about it."""

    value: str
    title: str
    about: str = ""


class Pick(Over[str | None]):
    """The picked value; None for Esc. With `free`, what was typed is taken where nothing fits it.

    `exact`: whoever types the same letters in another case means a name of their own.
    """

    DEFAULT_CSS = """
    Pick { align: center middle; }
    Pick > Vertical {
        width: 76; max-width: 96%; height: auto; max-height: 90%;
        background: $surface; border: round $border; border-title-color: $accent; padding: 0 1;
    }
    Pick OptionList { height: auto; max-height: 14; border: none; background: $surface; padding: 0; }
    Pick Input, Pick Input:focus { border: none; height: 1; padding: 0; background: $panel; }
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
        at: str | None = None,
        free: bool = False,
        exact: bool = True,
    ) -> None:
        super().__init__()
        self._question = question
        self._detail = detail
        self._choices = choices
        self._found: list[Choice] = []
        self._at = at
        self._free = free
        self._exact = exact

    def compose(self) -> ComposeResult:
        """The question, the line, the choices."""
        box = Vertical()
        box.border_subtitle = "Enter takes it · Esc leaves"
        with box:
            parts: list[Any] = [(inert_lines(self._question), "bold")]
            if self._detail:
                parts.append("\n" + inert_lines(self._detail))
            yield Static(Content.assemble(*parts))
            yield Input(placeholder="type to find", id="pick-line")
            yield OptionList(id="pick-choices", markup=False)

    def on_mount(self) -> None:
        """All choices; the line has the focus."""
        self.query_one(OptionList).can_focus = False
        self._fill("")
        values = [each.value for each in self._found]
        if self._at in values:
            self.query_one(OptionList).highlighted = values.index(self._at)

    def _fill(self, text: str) -> None:
        self._found = ranked(parse(text), self._choices, lambda each: f"{each.title} {each.about}")[:MOST]
        if self._free and text.strip() and all(each.title != text.strip() for each in self._found):
            typed = Choice(text.strip(), text.strip(), "as typed")
            own = self._exact and any(each.title.casefold() == typed.title.casefold() for each in self._found)
            self._found.insert(0 if own else len(self._found), typed)
        choices = self.query_one(OptionList)
        choices.clear_options()
        choices.add_options([Option(_shown(each)) for each in self._found])
        choices.highlighted = 0 if self._found else None

    def on_input_changed(self, event: Input.Changed) -> None:
        """Searches while one types."""
        event.stop()
        self._fill(event.value)

    def action_move(self, by: int) -> None:
        """Another choice."""
        choices = self.query_one(OptionList)
        choices.action_cursor_down() if by > 0 else choices.action_cursor_up()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Takes the choice under the cursor."""
        event.stop()
        self._take(self.query_one(OptionList).highlighted)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A click on a choice."""
        event.stop()
        self._take(event.option_index)

    def _take(self, at: int | None) -> None:
        if at is not None and at < len(self._found):
            self.dismiss(self._found[at].value)


def _shown(choice: Choice) -> Content:
    return Content.assemble(inert(choice.title, 120), (f"  {inert(choice.about, 120)}", "$foreground-muted"))
