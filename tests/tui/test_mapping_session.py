"""The mapping session without a screen: operations on a workflow, asked of a person who answers from a list."""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from askel_tui.core.catalog import Catalog, ListEntry, PropertyEntry
from askel_tui.tui.backend import Backend
from askel_tui.tui.preferences.session import Session
from askel_tui.tui.screens.mapping import editing, filling, saving
from askel_tui.tui.screens.mapping.draft import Draft
from askel_tui.tui.screens.mapping.session import WORKFLOW_ROW, MappingSession
from askel_tui.tui.screens.mapping.view import DraftRow
from tests.support.workbench import example

RECORD = {
    "id": "evt-1",
    "event": "checkout",
    "data": {"shopper": {"email": "a@example.com", "tier": "gold"}, "points": 12},
}


class Person:
    """Answers each question with the next answer, and keeps the questions and messages."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.messages: list[str] = []
        self.offered: list[list[str]] = []

    def _answer(self, question: str) -> Any:
        self.asked.append(question)
        return self.answers.pop(0)

    async def pick(self, question: str, choices: Any, **_: Any) -> Any:
        self.offered.append([each.value for each in choices])
        return self._answer(question)

    async def edit_line(self, label: str, text: str, **_: Any) -> Any:
        return self._answer(f"{label}: {text}")

    async def type_text(self, question: str, detail: str = "", *, value: str = "") -> Any:
        return self._answer(question)

    async def confirm(self, question: str, detail: str = "") -> bool:
        return bool(self._answer(question))

    async def show_diff(self, title: str, lines: Any, version: str) -> bool:
        return bool(self._answer(title))

    async def write_file(self, name: str, text: str) -> Path | None:
        return Path(name)

    def open_editor(self, name: str, text: str) -> Any:
        return self._answer(name)

    async def with_progress(self, label: str, work: Awaitable[Any]) -> Any:
        return await work

    def notify(self, message: str, **_: Any) -> None:
        self.messages.append(message)


class Page:
    """A display that keeps its cursor."""

    def __init__(self) -> None:
        self.cursor = WORKFLOW_ROW

    def show(self, row: DraftRow | None = None) -> None:
        self.cursor = row or self.cursor

    def show_problems(self) -> None:
        """Nothing is shown."""

    def focus_draft(self) -> None:
        """Nothing has a focus."""


def session(tmp_path: Path, person: Person, draft: Draft | None = None) -> MappingSession:
    """A session over one record and a small catalog."""
    mapping = MappingSession(person, Page(), Backend(tmp_path), Session(tmp_path))
    mapping.records = [RECORD]
    mapping.catalog = Catalog(
        0,
        "a",
        lists=(ListEntry("L1", "Welcome"),),
        properties=(PropertyEntry("LoyaltyTier", samples=("Gold",)),),
    )
    mapping.change(draft or Draft("w", "c", ("checkout",)))
    return mapping


async def test_a_step_is_added_after_the_one_under_the_cursor_and_undone(tmp_path: Path) -> None:
    mapping = session(tmp_path, Person("add_to_list", "track_event"))
    await editing.add_step(mapping)
    assert mapping.display.cursor == DraftRow(0, "list")
    await editing.add_step(mapping)
    assert [step.kind for step in mapping.draft.steps] == ["add_to_list", "track_event"]
    mapping.undo()
    assert [step.kind for step in mapping.draft.steps] == ["add_to_list"]
    mapping.redo()
    editing.move_step(mapping, -1)
    assert [step.kind for step in mapping.draft.steps] == ["track_event", "add_to_list"]


async def test_all_that_is_suggested_is_filled(tmp_path: Path) -> None:
    person = Person(filling.ALL_FIELDS)
    mapping = session(tmp_path, person)
    await filling.suggest(mapping)
    assert mapping.draft.profile == {"email": "data.shopper.email"}
    assert mapping.draft.steps[0].fields["properties.LoyaltyTier"] == "title(data.shopper.tier)"
    assert person.offered[0][0] == filling.ALL_FIELDS


async def test_a_target_is_named_in_the_row_that_takes_it_or_becomes_a_step(tmp_path: Path) -> None:
    mapping = session(tmp_path, Person("add_to_list"))
    await filling.use_target(mapping, "list", "Welcome")
    assert mapping.draft.steps[0].fields["list"] == "Welcome"
    await filling.use_target(mapping, "list", "Other")
    assert [step.fields["list"] for step in mapping.draft.steps] == ["Other"]


async def test_a_question_that_is_left_changes_nothing(tmp_path: Path) -> None:
    mapping = session(tmp_path, Person(None, None, None))
    before = mapping.draft
    await editing.add_step(mapping)
    await editing.edit(mapping, DraftRow(None, "when"))
    await filling.use_field(mapping, "data.points")
    assert mapping.draft is before


async def test_a_text_that_the_editor_leaves_broken_is_opened_again(tmp_path: Path) -> None:
    whole = example("first-points-welcome.yaml").read_text("utf-8")
    person = Person("steps: [", True, whole)
    mapping = session(tmp_path, person)
    await saving.edit_in_editor(mapping)
    assert person.asked == ["w.yaml", "Open the editor again?", "w.yaml"]
    assert mapping.draft.name == "first-points-welcome"


async def test_a_field_goes_into_the_empty_row_under_the_cursor(tmp_path: Path) -> None:
    person = Person(filling.CURSOR_ROW)
    mapping = session(tmp_path, person)
    mapping.change(mapping.draft, DraftRow(None, "profile.email"))
    await filling.use_field(mapping, "data.shopper.email")
    assert mapping.draft.profile == {"email": "data.shopper.email"}
    assert person.asked == []
    await filling.use_field(mapping, "data.points")
    assert person.asked == ["Where does data.points go?"]
    assert mapping.draft.profile == {"email": "data.points"}
