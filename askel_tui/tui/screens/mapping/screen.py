"""Mapping: fields of the records on the left, a workflow's steps in the middle, what exists in Klaviyo on the right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.widget import Widget

from askel_tui.core.catalog import Catalog
from askel_tui.core.problems import Problem
from askel_tui.core.targets.pinning import pin_targets
from askel_tui.core.workflows.loader import load_workflow
from askel_tui.text.numbers import pluralize
from askel_tui.text.sanitizing import sanitize
from askel_tui.tui.backend import queries, services
from askel_tui.tui.screens.base_screen import AskelScreen
from askel_tui.tui.screens.mapping import editing, saving, view
from askel_tui.tui.screens.mapping.draft import Draft, DraftHistory, to_yaml
from askel_tui.tui.screens.mapping.record_fields import RecordField, field_rows, fullest_record, record_fields
from askel_tui.tui.screens.mapping.view import DraftRow
from askel_tui.tui.text.filtering import Filter
from askel_tui.tui.text.fuzzy import rank_matches
from askel_tui.tui.widgets.help import Help
from askel_tui.tui.widgets.table import Column, Table

MAX_RECORDS = 50
"""How many of the newest records are looked at for fields."""


class MappingScreen(AskelScreen):
    """A workflow while it is edited."""

    NAME = "mapping"
    CSS_PATH = "mapping.tcss"
    HELP = (
        "In the middle a workflow, row by row; Enter edits a row and shows what it gives for the sample record, which"
        " [ and ] change. Enter on a field (left) or a target (right) puts it into the row under the cursor, or asks "
        "where. a adds a step, p a field to it, J and K move it, d takes it or a field away, c lets an empty value "
        "clear. s proposes fields. u undoes, U takes that back. i takes in a file of records. ctrl+s saves a draft "
        "version; Dry run (5) shows what it would write. Y saves a YAML file, E opens it in $EDITOR, V shows what "
        "versions changed."
    )
    HAS_FILTER = True
    RELOADS_ON_COMMIT = False
    RELOADS_ON_RETURN = True
    BINDINGS: ClassVar[list[Any]] = [
        Binding("w", "workflow", "Workflow", id="mapping.workflow", tooltip="Another workflow, or a new one"),
        Binding("a", "add", "Step", id="mapping.add", tooltip="After the one under the cursor"),
        Binding(
            "p", "property", "Field", id="mapping.property", tooltip="A property or attribute of the step"
        ),
        Binding(
            "i", "app.take_in", "Records", show=False, id="mapping.take_in", tooltip="Takes in a file of them"
        ),
        Binding("s", "suggest", "Suggest", id="mapping.suggest", tooltip="Fields that look like properties"),
        Binding(
            "d,delete", "remove", "Remove", show=False, id="mapping.remove", tooltip="The field or the step"
        ),
        Binding("J", "move(1)", "Down", show=False, id="mapping.down", tooltip="Moves the step down"),
        Binding("K", "move(-1)", "Up", show=False, id="mapping.up", tooltip="Moves the step up"),
        Binding("c", "clear", "Clears", show=False, id="mapping.clear", tooltip="A null value clears"),
        Binding("u", "undo", "Undo", id="mapping.undo"),
        Binding("U,ctrl+r", "redo", "Redo", show=False, id="mapping.redo"),
        Binding("ctrl+s", "save", "Save", id="mapping.save", tooltip="As a new draft version"),
        Binding("Y", "yaml", "YAML", show=False, id="mapping.yaml", tooltip="Saves the workflow as a file"),
        Binding(
            "right_square_bracket",
            "sample(1)",
            "Next sample",
            show=False,
            id="mapping.sample_next",
            tooltip="Results for an older record",
        ),
        Binding(
            "left_square_bracket",
            "sample(-1)",
            "Sample before",
            show=False,
            id="mapping.sample_before",
            tooltip="Results for a newer record",
        ),
        Binding("E", "editor", "$EDITOR", show=False, id="mapping.editor", tooltip="Opens it in $EDITOR"),
        Binding("V", "versions", "Versions", show=False, id="mapping.versions", tooltip="And what changed"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.history = DraftHistory(Draft())
        self.catalog: Catalog | None = None
        self.sources: list[RecordField] = []
        self.record: Mapping[str, Any] | None = None
        """The record that the rows' results are of."""
        self._sample: str | None = None
        self.events: list[str] = []
        self.problems: list[Problem] = []
        self.base: tuple[Draft, str] = (Draft(), "")
        """The draft as it was opened, and the text it came from."""
        self.records: list[Mapping[str, Any]] = []
        self._targets: dict[str, tuple[str, str]] = {}
        self._only: Sequence[str] = ()
        self._revision: str | None = None
        self._of: str | None = None

    def body(self) -> ComposeResult:
        """The workflow first where there is no room for three columns."""
        fields = Table(
            (Column("field", 12, 3), Column("sample", 8, 2), Column("in", 4, align_right=True)),
            id="sources",
            classes="panel",
            hint="Enter uses it",
            jump_key="f",
            about=Help("Fields of the records", "Enter puts the field into the row, or asks where it goes."),
        )
        draft = Table(
            (Column("step", 16, 1), Column("written", 16, 3), Column("gives", 14, 2)),
            id="draft",
            classes="panel",
            hint="Enter edits",
            jump_key="w",
            about=Help("The workflow", "Enter edits the row; a adds a step, p a field, d removes, J K move."),
        )
        targets = Table(
            (Column("type", 8), Column("in Klaviyo", 10, 1), Column("", 10, 1)),
            id="targets",
            classes="panel",
            hint="Enter uses it",
            jump_key="t",
            about=Help("What exists in Klaviyo", "Enter names it in the row, or makes a step of it."),
        )
        with Container(id="panes"):
            yield from (draft, fields, targets)
        yield Table(
            (Column("where", 18, 1), Column("what is wrong", 30, 4)),
            id="problems",
            classes="panel",
            hint="Enter goes there",
            jump_key="p",
            about=Help("Problems", "Enter goes to the row."),
        )

    def on_mount(self) -> None:
        """The order of the columns where there is room."""
        self._order()

    def on_resize(self) -> None:
        """The fields stand left of the workflow where there is room."""
        self._order()

    def _order(self) -> None:
        panes, sources, draft = self.query_one("#panes"), self.query_one("#sources"), self.query_one("#draft")
        if self.size.width >= 160:
            panes.move_child(sources, before=draft)
        else:
            panes.move_child(draft, before=sources)

    @property
    def draft(self) -> Draft:
        """The workflow as it is edited."""
        return self.history.draft

    @property
    def place(self) -> DraftRow:
        """The row under the cursor."""
        return DraftRow.from_key(self.query_one("#draft", Table).cursor_key) or DraftRow(None, "workflow")

    @property
    def dirty(self) -> bool:
        """Whether something is not saved."""
        return self.draft != self.base[0]

    async def load(self) -> None:
        """The records' fields, the catalog, and the workflow that was edited last."""
        connection = self.connection
        if connection is None:
            self.show()
            return
        self.catalog = await self.backend.call(queries.catalog, connection)
        for document in await self.backend.call(queries.connections):
            if document.name == connection:
                self._only, self._revision = document.only_lists, document.revision
        wanted = self.session.recall("mapping.workflow")
        if self._of != connection or (wanted and wanted != self.draft.name and not self.dirty):
            self._of = connection
            await saving.opened(self, connection, wanted)
        await self.read_records(self.draft.triggers)
        self.show(await self._mended(connection))
        self.query_one("#draft").focus()
        if self.catalog is None or not self.catalog.properties:
            found_now = await self.with_progress(
                "Reading the account", self.backend.call(services.discover, connection)
            )
            self.catalog = await self.backend.call(queries.catalog, connection) or found_now.catalog
            self.show()

    async def read_records(self, triggers: Sequence[str]) -> None:
        """The newest records, and the newest of these events: others may have come in great numbers since."""
        if self.connection is None:
            return
        found = await self.backend.call(queries.newest_records, self.connection, MAX_RECORDS)
        if triggers:
            found += await self.backend.call(
                queries.newest_records, self.connection, MAX_RECORDS, events=triggers
            )
        self.records = list({each.seq: each.record.as_dict() for each in found}.values())

    def on_screen_resume(self) -> None:
        """Another screen may have sent one here for another workflow."""
        wanted = self.session.recall("mapping.workflow")
        other = wanted and wanted != self.draft.name and not self.dirty
        if self._loaded and (other or self.session.recall("mapping.mend")):
            self.call_after_refresh(self.action_reload)

    async def _mended(self, connection: str) -> DraftRow | None:
        """The row that Failed has sent one here for; its record is the sample."""
        wanted, failed = self.session.recall("mapping.workflow"), self.session.recall("mapping.mend")
        self.session.remember("mapping.mend", None)
        if not failed:
            return None
        if wanted != self.draft.name:
            self.toasts.show(f"{self.draft.name} has changes that are not saved: save them, then f again.")
            return None
        self._sample = failed["record"]
        if self._sample not in [each.get("id") for each in self.records]:
            stored = await self.backend.call(queries.record, connection, failed["record"])
            self.records += [stored.record.as_dict()] if stored else []
        return view.row_of_problem(self.draft, Problem("", failed["field"], failed["step"]))

    # What is shown.

    def change(self, draft: Draft, at: DraftRow | None = None) -> None:
        """Takes a change and shows it; the cursor goes to a row."""
        self.history.change(draft)
        self.show(at)

    def to_draft(self) -> None:
        """What Enter does next is about the workflow's row."""
        self.query_one("#draft").focus()

    def show(self, at: DraftRow | None = None) -> None:
        """Everything anew."""
        draft = self.draft
        kept = {"of": self.base[0].name, "draft": draft.as_dict()}
        if self._of is not None:
            self.session.remember(f"mapping.unsaved.{self._of}", kept if self.dirty else None)
        fitting = [each for each in self.records if not draft.triggers or each.get("event") in draft.triggers]
        self._take_sample(fitting)
        self.events = list(dict.fromkeys(str(each.get("event")) for each in self.records))
        self._check()
        table = self.query_one("#draft", Table)
        table.set_rows(view.table_rows(draft, self.record, self.catalog, self.problems))
        if at is not None:
            table.move_cursor_to_key(at.key)
        state = "not saved" if self.dirty else "saved" if draft.name else "w begins one"
        table.border_title = f"{sanitize(draft.name or 'A workflow', 40)} · {state}"
        self._show_sides()
        self.show_problems()

    def _take_sample(self, fitting: Sequence[Mapping[str, Any]]) -> None:
        """The record that was chosen, else the fullest; its values are the fields' samples."""
        ids = [each.get("id") for each in fitting]
        at = ids.index(self._sample) if self._sample in ids else fullest_record(fitting)
        self.record = fitting[at] if fitting else None
        self.sources = record_fields([*fitting[at : at + 1], *fitting[:at], *fitting[at + 1 :]])

    def show_problems(self) -> None:
        """The list of problems."""
        wrong = self.query_one("#problems", Table)
        wrong.display = bool(self.problems)
        wrong.border_title = f"Problems: {len(self.problems)}"
        wrong.set_rows([(str(at), self._problem(each)) for at, each in enumerate(self.problems)])

    def _problem(self, problem: Problem) -> tuple[str, str]:
        where = " › ".join(each for each in (problem.step, problem.field) if each)
        hint = f". Did you mean {problem.suggestion}?" if problem.suggestion else ""
        return where or "workflow", f"{problem.message.rstrip('.') if hint else problem.message}{hint}"

    def _show_sides(self) -> None:
        table, wanted = self.query_one("#sources", Table), self.current_filter
        fields = rank_matches(wanted, self.sources, lambda each: each.path)
        total = max((each.record_count for each in self.sources), default=0)
        table.set_rows(field_rows(fields, total))
        sample = f", as in {sanitize(str((self.record or {}).get('id')), 16)}"
        table.border_title = (
            f"Fields of {pluralize(total, 'record')}{sample}" if total else "No record yet: i takes in a file"
        )
        side = self.query_one("#targets", Table)
        found = view.list_targets(self.catalog, self.draft) if self.catalog else []
        self._targets = {f"{kind}\0{written}": (kind, written) for kind, written, _, _ in found}
        named = rank_matches(wanted, found, lambda each: f"{each[2]} {each[0]}")
        side.set_rows([(f"{kind}\0{written}", (kind, name, mark)) for kind, written, name, mark in named])
        side.border_title = "Klaviyo"

    def _check(self) -> None:
        """All problems of the draft, against the account as it was read last."""
        workflow, problems = load_workflow(to_yaml(self.draft), "workflow")
        # Nothing has been begun: there is nothing to be wrong yet.
        self.problems = list(problems) if self.draft.name or self.dirty else []
        if workflow is not None and self.catalog is not None:
            pinned = pin_targets(workflow, self.catalog, only_lists=self._only, revision=self._revision)
            self.problems += pinned.problems + pinned.warnings

    def apply_filter(self, wanted: Filter) -> None:
        """Filters fields and targets; what fits best is under the cursors."""
        self._show_sides()
        for table in (self.query_one("#sources", Table), self.query_one("#targets", Table)):
            if wanted and table.row_count:
                table.move_cursor(row=0)

    def leave_filter(self, before: Widget | None) -> None:
        """On to what was found: a target where the row names one, else a field, else whatever there is."""
        sides = (
            ["#targets", "#sources"] if view.target_type(self.draft, self.place) else ["#sources", "#targets"]
        )
        tables = [self.query_one(side, Table) for side in sides]
        found = [table for table in tables if table.row_count] or [self.query_one("#draft", Table)]
        (before if before in found else found[0]).focus()

    def go_back(self) -> bool:
        """From the sides to the workflow."""
        if self.focused is not self.query_one("#draft"):
            self.query_one("#draft").focus()
            return True
        return False

    # Acting.

    def on_data_table_row_selected(self, event: Table.RowSelected) -> None:
        """Enter: edits the row, or puts a field or target into it, or goes to a problem."""
        table = event.data_table
        key = table.cursor_key if isinstance(table, Table) else None
        if key is None or self.connection is None:
            return
        if table.id == "draft":
            self.start_work(
                partial(editing.edit, self, self.place), group="edit", exclusive=True, asks_question=True
            )
        elif table.id == "sources":
            self.start_work(
                partial(editing.use_field, self, key), group="edit", exclusive=True, asks_question=True
            )
        elif table.id == "targets":
            self.start_work(
                partial(editing.use_target, self, *self._targets[key]),
                group="edit",
                exclusive=True,
                asks_question=True,
            )
        else:
            at = view.row_of_problem(self.draft, self.problems[int(key)])
            self.query_one("#draft", Table).move_cursor_to_key(at.key if at else "")
            self.query_one("#draft").focus()

    def action_add(self) -> None:
        """A new step."""
        self.start_work(partial(editing.add_step, self), group="edit", exclusive=True, asks_question=True)

    def action_property(self) -> None:
        """A new field of the step."""
        self.start_work(partial(editing.add_field, self), group="edit", exclusive=True, asks_question=True)

    def action_suggest(self) -> None:
        """What the fields may fill."""
        self.start_work(partial(editing.suggest, self), group="edit", exclusive=True, asks_question=True)

    def action_remove(self) -> None:
        """Takes the row away."""
        editing.remove(self)

    def action_move(self, by: int) -> None:
        """Moves the step."""
        editing.move(self, by)

    def action_clear(self) -> None:
        """A null value clears the field, or no longer does."""
        editing.turn(self)

    def action_sample(self, by: int) -> None:
        """Shows what the rows give for another record."""
        triggers = self.draft.triggers
        ids = [each.get("id") for each in self.records if not triggers or each.get("event") in triggers]
        if self.record is not None and self.record.get("id") in ids:
            self._sample = ids[(ids.index(self.record.get("id")) + by) % len(ids)]
            self.show()

    def action_undo(self) -> None:
        """One change back."""
        self.history.undo()
        self.show()

    def action_redo(self) -> None:
        """One change forth."""
        self.history.redo()
        self.show()

    def action_save(self) -> None:
        """Saves a draft version."""
        self.start_work(partial(saving.save, self), group="save", exclusive=True)

    def action_yaml(self) -> None:
        """Saves a file."""
        self.start_work(partial(saving.save_yaml, self), group="save", exclusive=True, asks_question=True)

    def action_editor(self) -> None:
        """Opens the workflow in $EDITOR."""
        self.start_work(partial(saving.open_editor, self), group="save", exclusive=True)

    def action_versions(self) -> None:
        """What versions there are."""
        self.start_work(partial(saving.versions, self), group="save", exclusive=True, asks_question=True)

    def action_workflow(self) -> None:
        """Another workflow."""
        self.start_work(partial(saving.choose, self), group="edit", exclusive=True, asks_question=True)
