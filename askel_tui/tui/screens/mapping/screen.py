"""The screen Mapping: a workflow's steps between the fields of the records and what exists in Klaviyo."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cached_property, partial
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.widget import Widget

from askel_tui.text.numbers import pluralize
from askel_tui.text.sanitizing import sanitize
from askel_tui.tui.screens.base_screen import AskelScreen
from askel_tui.tui.screens.mapping import editing, filling, saving, view
from askel_tui.tui.screens.mapping.prompts import ScreenPrompts
from askel_tui.tui.screens.mapping.record_fields import field_rows
from askel_tui.tui.screens.mapping.session import WORKFLOW_ROW, MappingSession
from askel_tui.tui.screens.mapping.view import DraftRow
from askel_tui.tui.text.filtering import Filter
from askel_tui.tui.text.fuzzy import rank_matches
from askel_tui.tui.widgets.help import Help
from askel_tui.tui.widgets.table import Column, Table


class MappingScreen(AskelScreen):
    """The screen that shows a `MappingSession` and hands keys to it."""

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
        Binding(
            "c",
            "clear",
            "Clears",
            show=False,
            id="mapping.clear",
            tooltip="Clears on null, if missing, on both",
        ),
        Binding(
            "t",
            "literal",
            "As text",
            show=False,
            id="mapping.literal",
            tooltip="The name is meant so, though it looks like an expression",
        ),
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
        self._targets: dict[str, tuple[str, str]] = {}
        """A target's type, and its text in a workflow, by the key of its row."""

    @cached_property
    def mapping(self) -> MappingSession:
        """The session that is edited."""
        return MappingSession(ScreenPrompts(self), self, self.backend, self.session)

    def body(self) -> ComposeResult:
        """Composes the three tables, and the problems below them."""
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
        """Orders the tables."""
        self._order()

    def on_resize(self) -> None:
        """Orders the tables: the fields stand left of the workflow where there is room for three columns."""
        self._order()

    def _order(self) -> None:
        panes, sources, draft = self.query_one("#panes"), self.query_one("#sources"), self.query_one("#draft")
        if self.size.width >= 160:
            panes.move_child(sources, before=draft)
        else:
            panes.move_child(draft, before=sources)

    async def load(self) -> None:
        """Reads the records' fields, the catalog, and the workflow that was edited last."""
        await self.mapping.load(self.connection)

    def on_screen_resume(self) -> None:
        """Loads the workflow that another screen asks for."""
        if self.is_loaded and self.mapping.wants_other_workflow:
            self.call_after_refresh(self.action_reload)

    # The methods of `session.Display`.

    @property
    def cursor(self) -> DraftRow:
        """The row under the cursor."""
        return DraftRow.from_key(self.query_one("#draft", Table).cursor_key) or WORKFLOW_ROW

    def focus_draft(self) -> None:
        """Focuses the workflow's rows."""
        self.query_one("#draft").focus()

    def show(self, row: DraftRow | None = None) -> None:
        """Shows the session; the cursor goes to a row."""
        mapping, draft, table = self.mapping, self.mapping.draft, self.query_one("#draft", Table)
        table.set_rows(view.table_rows(draft, mapping.sample, mapping.catalog, mapping.problems))
        if row is not None:
            table.move_cursor_to_key(row.key)
        state = "not saved" if mapping.is_dirty else "saved" if draft.name else "w begins one"
        table.border_title = f"{sanitize(draft.name or 'A workflow', 40)} · {state}"
        self._show_fields()
        self._show_targets()
        self.show_problems()

    def show_problems(self) -> None:
        """Shows the problems."""
        table, problems = self.query_one("#problems", Table), self.mapping.problems
        table.display = bool(problems)
        table.border_title = f"Problems: {len(problems)}"
        table.set_rows([(str(at), view.problem_cells(each)) for at, each in enumerate(problems)])

    def _show_fields(self) -> None:
        mapping, table = self.mapping, self.query_one("#sources", Table)
        total = max((each.record_count for each in mapping.fields), default=0)
        found = rank_matches(self.current_filter, mapping.fields, lambda each: each.path)
        table.set_rows(field_rows(found, total))
        sample = f", as in {sanitize(str((mapping.sample or {}).get('id')), 16)}"
        table.border_title = (
            f"Fields of {pluralize(total, 'record')}{sample}" if total else "No record yet: i takes in a file"
        )

    def _show_targets(self) -> None:
        mapping, table = self.mapping, self.query_one("#targets", Table)
        found = view.list_targets(mapping.catalog, mapping.draft) if mapping.catalog else []
        self._targets = {f"{kind}\0{written}": (kind, written) for kind, written, _, _ in found}
        ranked = rank_matches(self.current_filter, found, lambda each: f"{each[2]} {each[0]}")
        table.set_rows([(f"{kind}\0{written}", (kind, name, mark)) for kind, written, name, mark in ranked])
        table.border_title = "Klaviyo"

    def apply_filter(self, wanted: Filter) -> None:
        """Filters fields and targets; the cursors go to the best matches."""
        self._show_fields()
        self._show_targets()
        for table in (self.query_one("#sources", Table), self.query_one("#targets", Table)):
            if wanted and table.row_count:
                table.move_cursor(row=0)

    def leave_filter(self, before: Widget | None) -> None:
        """Focuses the matches: targets where the row names one, else fields, else the workflow."""
        names_target = view.target_type(self.mapping.draft, self.cursor)
        sides = ["#targets", "#sources"] if names_target else ["#sources", "#targets"]
        tables = [self.query_one(side, Table) for side in sides]
        found = [table for table in tables if table.row_count] or [self.query_one("#draft", Table)]
        (before if before in found else found[0]).focus()

    def go_back(self) -> bool:
        """Goes from the fields or targets back to the workflow."""
        if self.focused is not self.query_one("#draft"):
            self.focus_draft()
            return True
        return False

    # Acting.

    def _edit(self, operation: Callable[..., Awaitable[None]], *arguments: Any, group: str = "edit") -> None:
        """Starts an operation on the session that may ask a question."""
        work = partial(operation, self.mapping, *arguments)
        self.start_work(work, group, exclusive=True, asks_question=True)

    def on_data_table_row_selected(self, event: Table.RowSelected) -> None:
        """Edits the row, puts a field or target into it, or goes to a problem."""
        table = event.data_table
        key = table.cursor_key if isinstance(table, Table) else None
        if key is None or self.connection is None:
            return
        if table.id == "draft":
            self._edit(editing.edit, self.cursor)
        elif table.id == "sources":
            self._edit(filling.use_field, key)
        elif table.id == "targets":
            self._edit(filling.use_target, *self._targets[key])
        else:
            row = view.row_of_problem(self.mapping.draft, self.mapping.problems[int(key)])
            self.query_one("#draft", Table).move_cursor_to_key(row.key if row else "")
            self.focus_draft()

    def action_add(self) -> None:
        """Adds a step."""
        self._edit(editing.add_step)

    def action_property(self) -> None:
        """Adds a field to the step."""
        self._edit(filling.add_field)

    def action_suggest(self) -> None:
        """Proposes profile fields that the records' fields may fill."""
        self._edit(filling.suggest)

    def action_workflow(self) -> None:
        """Chooses or begins another workflow."""
        self._edit(saving.choose_workflow)

    def action_yaml(self) -> None:
        """Saves a YAML file."""
        self._edit(saving.save_yaml, group="save")

    def action_versions(self) -> None:
        """Compares versions."""
        self._edit(saving.compare_versions, group="save")

    def action_save(self) -> None:
        """Saves a draft version."""
        self.start_work(partial(saving.save, self.mapping), "save", exclusive=True)

    def action_editor(self) -> None:
        """Opens the workflow in $EDITOR."""
        self.start_work(partial(saving.edit_in_editor, self.mapping), "save", exclusive=True)

    def action_remove(self) -> None:
        """Removes the row."""
        editing.remove(self.mapping)

    def action_move(self, by: int) -> None:
        """Moves the step."""
        editing.move_step(self.mapping, by)

    def action_clear(self) -> None:
        """Lets the field clear on null, if missing, on both, or never."""
        editing.choose_clear(self.mapping)

    def action_literal(self) -> None:
        """Lets a name be meant as text, or no longer."""
        editing.turn_literal(self.mapping)

    def action_sample(self, by: int) -> None:
        """Shows the results for another record."""
        self.mapping.step_sample(by)

    def action_undo(self) -> None:
        """Takes a change back."""
        self.mapping.undo()

    def action_redo(self) -> None:
        """Makes a change again."""
        self.mapping.redo()
