"""A workflow while it is edited on the Mapping screen: its draft, the records and targets around it. No Textual here.

The functions of `editing` and `saving` change a session. It asks a person through `Prompts`; a `Display` shows it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from askel_tui.core.catalog import Catalog
from askel_tui.core.problems import Problem
from askel_tui.core.targets.pinning import pin_targets
from askel_tui.core.workflows.consent_choices import missing_choices
from askel_tui.core.workflows.loader import load_workflow
from askel_tui.tui.backend import Backend, queries, services
from askel_tui.tui.preferences.session import Session
from askel_tui.tui.screens.mapping.draft import Draft, DraftHistory, draft_from_workflow
from askel_tui.tui.screens.mapping.draft_yaml import to_yaml
from askel_tui.tui.screens.mapping.record_fields import RecordField, fullest_record, record_fields
from askel_tui.tui.screens.mapping.view import DraftRow, row_of_problem
from askel_tui.tui.widgets.choice import Choice
from askel_tui.tui.widgets.rows import Cell

T = TypeVar("T")

MAX_RECORDS = 50
"""The number of newest records that are read for their fields."""

WORKFLOW_ROW = DraftRow(None, "workflow")


class Prompts(Protocol):
    """The questions and messages of a session. Questions give None where there is no answer."""

    async def pick(
        self,
        question: str,
        choices: Sequence[Choice],
        *,
        detail: str = "",
        preselected: str | None = None,
        allow_typed: bool = False,
        case_sensitive: bool = True,
    ) -> str | None:
        """Asks for a choice and returns its value, or with `allow_typed` the typed text."""
        ...

    async def edit_line(
        self,
        label: str,
        text: str,
        *,
        preview: Callable[[str], Cell] | None = None,
        complete: Callable[[str], Sequence[Choice]] | None = None,
    ) -> str | None:
        """Lets a person edit a line and returns it; `preview` describes its value."""
        ...

    async def type_text(self, question: str, detail: str = "", *, value: str = "") -> str | None:
        """Asks for a text that is not empty."""
        ...

    async def confirm(self, question: str, detail: str = "") -> bool:
        """Asks a question and returns whether the answer is yes."""
        ...

    async def show_diff(self, title: str, lines: Sequence[tuple[str, str]], version: str) -> bool:
        """Shows a diff as (line, style); returns True where the version is to be taken into the editor."""
        ...

    async def write_file(self, name: str, text: str) -> Path | None:
        """Writes a file, asking before it replaces one; None where that is refused. Raises `OSError`."""
        ...

    def open_editor(self, name: str, text: str) -> str | None:
        """Opens a text in $EDITOR and returns it as it was left; None where the terminal can't be handed over.

        Raises `OSError`.
        """
        ...

    async def with_progress(self, label: str, work: Awaitable[T]) -> T:
        """Awaits work that takes long, with its progress, and returns its result. Raises `Cancelled`."""
        ...

    def notify(
        self, message: str, *, title: str = "", severity: Any = "information", timeout: float | None = None
    ) -> None:
        """Shows a message."""
        ...


class Display(Protocol):
    """A view of a session."""

    @property
    def cursor(self) -> DraftRow:
        """The row under the cursor."""
        ...

    def show(self, row: DraftRow | None = None) -> None:
        """Shows the session as it is now; the cursor goes to a row."""
        ...

    def show_problems(self) -> None:
        """Shows the problems as they are now."""
        ...

    def focus_draft(self) -> None:
        """Focuses the rows of the draft."""
        ...


class MappingSession:
    """The state of the workflow editor for one connection."""

    def __init__(self, prompts: Prompts, display: Display, backend: Backend, memory: Session) -> None:
        self.prompts, self.display, self.backend, self.memory = prompts, display, backend, memory
        self.connection: str | None = None
        self.history = DraftHistory(Draft())
        self.base_draft, self.base_text = Draft(), ""
        """The draft as it was opened or saved, and its text."""
        self.catalog: Catalog | None = None
        self.records: list[Mapping[str, Any]] = []
        self.events: list[str] = []
        """The events of the records."""
        self.sample: Mapping[str, Any] | None = None
        """The record that the rows are evaluated for."""
        self.fields: list[RecordField] = []
        """The fields of the records that start the workflow."""
        self.problems: list[Problem] = []
        self._sample_id: str | None = None
        self._only_lists: Sequence[str] = ()
        self._revision: str | None = None
        self._opened_for: str | None = None
        """The connection whose workflow is open."""

    @property
    def draft(self) -> Draft:
        """The workflow as it is edited."""
        return self.history.draft

    @property
    def is_dirty(self) -> bool:
        """True if something is not saved."""
        return self.draft != self.base_draft

    @property
    def text(self) -> str:
        """The workflow as YAML: the text that it came from as long as nothing is changed, comments included."""
        return self.base_text if self.base_text and not self.is_dirty else to_yaml(self.draft)

    # Loading.

    @property
    def wants_other_workflow(self) -> bool:
        """True if another screen has asked for another workflow, or for a row of this one."""
        return self._asks_for_other or bool(self.memory.recall("mapping.mend"))

    @property
    def _asks_for_other(self) -> bool:
        wanted = self.memory.recall("mapping.workflow")
        return bool(wanted and wanted != self.draft.name and not self.is_dirty)

    async def load(self, connection: str | None) -> None:
        """Reads the records' fields, the catalog, and the workflow that was edited last or is asked for."""
        self.connection = connection
        if connection is None:
            self.update()
            return
        self.catalog = await self.backend.call(queries.catalog, connection)
        for document in await self.backend.call(queries.connections):
            if document.name == connection:
                self._only_lists, self._revision = document.only_lists, document.revision
        if self._opened_for != connection or self._asks_for_other:
            self._opened_for = connection
            await self.open(connection, self.memory.recall("mapping.workflow"))
        await self.read_records(self.draft.triggers)
        self.update(await self._take_failed_record(connection))
        self.display.focus_draft()
        if self.catalog is None or not self.catalog.properties:
            discovering = self.backend.call(services.discover, connection)
            found = await self.prompts.with_progress("Reading the account", discovering)
            self.catalog = await self.backend.call(queries.catalog, connection) or found.catalog
            self.update()

    async def open(self, connection: str, wanted: str | None) -> None:
        """Opens the wanted workflow of a connection, else its first one, with changes that were not saved."""
        documents = await self.backend.call(queries.workflows)
        documents = [each for each in documents if each.connection == connection]
        document = next((each for each in documents if each.workflow == wanted), None)
        document = document or (documents[0] if documents else None)
        base, text = Draft(connection=connection), ""
        if document is not None:
            workflow, problems = load_workflow(document.source, document.file or document.workflow)
            if workflow is not None:
                base, text = draft_from_workflow(workflow), document.source
            for problem in problems[:1]:
                title = f"{document.workflow} can't be read"
                self.prompts.notify(str(problem), title=title, severity="warning")
        self.start_from(base, text)
        unsaved = self.memory.recall(f"mapping.unsaved.{connection}")
        try:
            draft = Draft.from_dict(unsaved["draft"])
        except (KeyError, TypeError):
            return
        if draft.connection == connection and unsaved.get("of") == base.name:
            self.history.change(draft)

    def start_from(self, draft: Draft, text: str) -> None:
        """Starts a history from a saved draft and the text that says the same."""
        self.base_draft, self.base_text = draft, text
        self.history = DraftHistory(draft)

    async def read_records(self, triggers: Sequence[str]) -> None:
        """Reads the newest records, and the newest ones of the events `triggers`: many others may have come in
        since."""
        if self.connection is None:
            return
        found = await self.backend.call(queries.newest_records, self.connection, MAX_RECORDS)
        if triggers:
            found += await self.backend.call(
                queries.newest_records, self.connection, MAX_RECORDS, events=triggers
            )
        self.records = list({each.seq: each.record.as_dict() for each in found}.values())

    async def _take_failed_record(self, connection: str) -> DraftRow | None:
        """Makes the record of a failure that the Failed screen sent here the sample. Returns the row to mend."""
        wanted, failed = self.memory.recall("mapping.workflow"), self.memory.recall("mapping.mend")
        self.memory.remember("mapping.mend", None)
        if not failed:
            return None
        if wanted != self.draft.name:
            self.prompts.notify(f"{self.draft.name} has changes that are not saved: save them, then f again.")
            return None
        self._sample_id = failed["record"]
        if self._sample_id not in [each.get("id") for each in self.records]:
            stored = await self.backend.call(queries.record, connection, failed["record"])
            self.records += [stored.record.as_dict()] if stored else []
        return row_of_problem(self.draft, Problem("", failed["field"], failed["step"]))

    # Changing.

    def change(self, draft: Draft, row: DraftRow | None = None) -> None:
        """Makes a change, which can be undone; the cursor goes to a row."""
        self.history.change(draft)
        self.update(row)

    def undo(self) -> None:
        """Takes a change back."""
        self.history.undo()
        self.update()

    def redo(self) -> None:
        """Makes a change again that was taken back."""
        self.history.redo()
        self.update()

    def step_sample(self, by: int) -> None:
        """Evaluates the rows for another record."""
        ids = [each.get("id") for each in self.starting_records()]
        if self.sample is not None and self.sample.get("id") in ids:
            self._sample_id = ids[(ids.index(self.sample.get("id")) + by) % len(ids)]
            self.update()

    def starting_records(self) -> list[Mapping[str, Any]]:
        """Returns the records that start the workflow; all while it has no trigger."""
        triggers = self.draft.triggers
        return [each for each in self.records if not triggers or each.get("event") in triggers]

    def update(self, row: DraftRow | None = None) -> None:
        """Works out samples and problems anew, remembers unsaved changes, and shows all."""
        if self._opened_for is not None:
            kept = {"of": self.base_draft.name, "draft": self.draft.as_dict()}
            self.memory.remember(f"mapping.unsaved.{self._opened_for}", kept if self.is_dirty else None)
        self._choose_sample()
        self.events = list(dict.fromkeys(str(each.get("event")) for each in self.records))
        self.problems = self._find_problems()
        self.display.show(row)

    def _choose_sample(self) -> None:
        """Takes the chosen record, else the fullest; its values are the fields' samples."""
        records = self.starting_records()
        ids = [each.get("id") for each in records]
        at = ids.index(self._sample_id) if self._sample_id in ids else fullest_record(records)
        self.sample = records[at] if records else None
        self.fields = record_fields([*records[at : at + 1], *records[:at], *records[at + 1 :]])

    def _find_problems(self) -> list[Problem]:
        """Finds all problems of the draft, checked against the account as it was read last."""
        workflow, problems = load_workflow(to_yaml(self.draft), "workflow")
        # A workflow that was not begun has no problems yet.
        found = list(problems) if self.draft.name or self.is_dirty else []
        if workflow is not None and self.catalog is not None:
            pinned = pin_targets(workflow, self.catalog, only_lists=self._only_lists, revision=self._revision)
            found += [*missing_choices(workflow, "workflow"), *pinned.problems, *pinned.warnings]
            found += workflow.warnings
        return found
