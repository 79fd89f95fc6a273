"""Dry run: shows what a workflow would write for records next to the present data of the account, and goes live from
there."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.content import Content
from textual.widgets import Static

from askel_tui.text.numbers import pluralize
from askel_tui.text.sanitizing import sanitize, sanitize_lines
from askel_tui.tui.backend import queries, services
from askel_tui.tui.screens.base_screen import AskelScreen
from askel_tui.tui.screens.dry_run import view
from askel_tui.tui.screens.dry_run.export import EXPORT_SUFFIXES, export_text
from askel_tui.tui.screens.dry_run.questions import (
    MAX_RECORD_COUNT,
    ask_record_count,
    ask_records_file,
    ask_workflow,
    record_count,
)
from askel_tui.tui.screens.dry_run.record_pane import TITLES, RecordPane
from askel_tui.tui.screens.file_dialog import export_to_file
from askel_tui.tui.shell.clipboard import copy
from askel_tui.tui.text.filtering import Filter
from askel_tui.tui.widgets.filter_bar import FilterBar
from askel_tui.tui.widgets.help import Help
from askel_tui.tui.widgets.table import Table

if TYPE_CHECKING:
    from askel_tui.core.records.record import RefusedLine
    from askel_tui.services.dry_run_result import DryRun, RecordPreview
    from askel_tui.store.state.documents import WorkflowDoc


class DryRunScreen(AskelScreen):
    """The totals of a run, the table of its records, and the selected record whole."""

    NAME = "dry_run"
    CSS_PATH = "dry_run.tcss"
    HELP = (
        "What a workflow would write, for the newest records that match it or for a file; nothing is written. Each "
        "change stands beside what the account holds now. w chooses the workflow, n how many records, f a file, r "
        "runs again. v shows a record's exact requests, as JSON and as curl; y copies what the pane shows. e "
        "exports as CSV, JSON or Markdown. L goes live: it names the numbers and wants a word typed."
    )
    HAS_FILTER = True
    RELOADS_ON_COMMIT = False
    BINDINGS: ClassVar[list[Any]] = [
        Binding("w", "workflow", "Workflow", id="dry_run.workflow", tooltip="Another workflow"),
        Binding("n", "number", "Number", id="dry_run.number", tooltip="The newest so many records"),
        Binding("f", "file", "File", id="dry_run.file", tooltip="Records of a JSONL or CSV file"),
        Binding(
            "i", "app.take_in", "Take in", show=False, id="dry_run.take_in", tooltip="Records of a file, kept"
        ),
        Binding("r", "run", "Run", show=False, id="dry_run.run", tooltip="Reads the account again"),
        Binding("v", "view", "View", id="dry_run.view", tooltip="Changes, JSON, curl"),
        Binding("y", "copy", "Copy", show=False, id="dry_run.copy", tooltip="What the pane shows"),
        Binding("e", "export", "Export", id="dry_run.export", tooltip="CSV, JSON or Markdown"),
        Binding("L", "live", "Go live", id="dry_run.live", tooltip="Asks first, and names the numbers"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._documents: list[WorkflowDoc] = []
        self._states: dict[str, Any] = {}
        self._workflow: str | None = None
        self._run: DryRun | None = None
        self._file: Path | None = None
        self._error_text = ""

    def body(self) -> ComposeResult:
        """Composes the totals, the records, and the selected record."""
        yield Static(id="nothing")
        yield Static(id="totals", classes="panel")
        with Container(id="panes"):
            yield Table(
                view.COLUMNS,
                id="records",
                classes="panel",
                hint="L goes live",
                jump_key="r",
                about=Help("Records", "Enter goes to the details, v shows the requests, y copies."),
            )
            yield RecordPane()

    def on_mount(self) -> None:
        """Restores the mode of the pane that was chosen last."""
        kept = self.session.recall("dry_run.view", "changes")
        if kept in TITLES:
            self.query_one(RecordPane).mode = kept

    async def load(self) -> None:
        """Reads the workflows of the connection and runs the one that was chosen last."""
        connection, self._run, self._error_text = self.connection, None, ""
        if connection is None:
            self._workflow = None
            self._show()
            return
        self._documents = await self._read_documents()
        await self._read_states()
        connections = await self.backend.call(queries.connections)
        revision = next((each.revision for each in connections if each.name == connection), "")
        self.query_one(RecordPane).set_target(revision, self.backend.address)
        names = [each.workflow for each in self._documents]
        kept = self.session.recall("dry_run.workflow")
        self._workflow = kept if kept in names else names[0] if names else None
        self._show()
        if self._workflow is not None:
            self.action_run()

    def on_screen_resume(self) -> None:
        """Reloads where a workflow was saved meanwhile, or chosen on another screen."""
        if self.is_loaded and self.connection is not None:
            self.start_work(self._reload_if_changed, group="fresh", exclusive=True)

    async def _reload_if_changed(self) -> None:
        documents = await self._read_documents()
        versions = {each.workflow: each.version for each in documents}
        wanted = self.session.recall("dry_run.workflow")
        is_other = wanted in versions and wanted != self._workflow
        if is_other or versions != {each.workflow: each.version for each in self._documents}:
            await self.load()

    async def _read_states(self) -> None:
        states = await self.backend.call(queries.workflow_states)
        self._states = {each.workflow: each for each in states}

    async def _read_documents(self) -> list[WorkflowDoc]:
        """Reads the newest versions of the connection's workflows."""
        documents = await self.backend.call(queries.workflows)
        return [each for each in documents if each.connection == self.connection]

    @property
    def _selected_record(self) -> RecordPreview | None:
        key = self.query_one(Table).cursor_key
        if self._run is None or key is None:
            return None
        return self._run.records[int(key)]

    def _show(self) -> None:
        run = self._run
        empty = run is None or not run.records
        self.query_one("#nothing").display = empty
        self.query_one("#totals").display = not empty
        self.query_one("#panes").display = not empty
        self.refresh_bindings()
        if run is None or empty:
            self.query_one("#nothing", Static).update(Content(sanitize_lines(self._empty_text())))
            return
        records = run.records
        matches = self.current_filter.matches
        found = [(at, each) for at, each in enumerate(records) if matches(view.search_text(each))]
        table = self.query_one(Table)
        table.set_rows([view.table_row(at, each) for at, each in found])
        source = sanitize(self._file.name, 40) if self._file else f"the newest {len(records):,}"
        table.border_title = f"Records: {source}, oldest first"
        self.query_one(FilterBar).show_count(f"{len(found):,} of {pluralize(len(records), 'record')}")
        totals = self.query_one("#totals", Static)
        totals.update(Content.assemble(*view.totals_text(run)))
        newest = next((each.version for each in self._documents if each.workflow == run.workflow), None)
        state = view.workflow_state(self._states.get(run.workflow), newest)
        totals.border_title = f"{sanitize(run.workflow)} v{run.version} {state} · nothing was written"
        if self.focused is None:
            table.focus()
        self._describe()

    def _empty_text(self) -> str:
        if self.connection is None:
            return "Nothing is connected yet: press 2."
        if self._workflow is None:
            return view.NO_WORKFLOW
        if self._error_text:
            return view.failed_text(self._workflow, self._error_text)
        return view.no_record_text(self._workflow) if self._run else view.loading_text(self._workflow)

    def _describe(self) -> None:
        self.query_one(RecordPane).show_record(self._selected_record)

    def apply_filter(self, wanted: Filter) -> None:
        """Shows the records that match the filter."""
        if self._run is not None:
            self._show()

    def on_data_table_row_highlighted(self) -> None:
        """Shows the record under the cursor."""
        self._describe()

    def on_data_table_row_selected(self) -> None:
        """Moves to the details on Enter."""
        self.query_one("#detail").focus()

    def go_back(self) -> bool:
        """Moves from the details back to the records."""
        if self.focused is self.query_one("#detail"):
            self.query_one(Table).focus()
            return True
        return False

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hides the actions that have nothing to act on."""
        if action in ("view", "copy", "export"):
            return bool(self._run and self._run.records)
        if action == "live":
            return self._run is not None
        if action in ("run", "number", "file", "workflow"):
            return self._workflow is not None
        return super().check_action(action, parameters)

    def action_run(self) -> None:
        """Runs again, against the account as it is now."""
        if self._workflow is not None:
            self.start_work(partial(self._run_workflow, self._workflow), group="run", exclusive=True)

    async def _run_workflow(self, workflow: str) -> None:
        self._error_text = ""
        refused: list[RefusedLine] = []
        try:
            if self._file is None:
                work = self.backend.call(services.dry_run, workflow, last=record_count(self))
            else:
                reading = self.backend.call(services.read_records_file, self._file)
                records, refused = await self.with_progress("Reading the file", reading)
                work = self.backend.call(services.dry_run, workflow, records=records[-MAX_RECORD_COUNT:])
            run = await self.with_progress("Reading what the account holds", work)
        except Exception as error:
            self._run, self._error_text = None, str(error) or type(error).__name__
            self._show()
            raise
        if workflow != self._workflow:
            return
        self._run = run
        await self._read_states()
        self._show()
        if refused:
            words = f"{pluralize(len(refused), 'line')} of the file can't be read as a record: left out."
            self.toasts.show(words, title="Refused", severity="warning")

    def action_workflow(self) -> None:
        """Asks which workflow."""
        self.start_work(self._ask_workflow, group="ask", exclusive=True, asks_question=True)

    async def _ask_workflow(self) -> None:
        chosen = await ask_workflow(self, self._documents, self._workflow)
        if chosen is not None and chosen != self._workflow:
            self.session.remember("dry_run.workflow", chosen)
            await self.load()

    def action_number(self) -> None:
        """Asks for how many records."""
        self.start_work(self._ask_record_count, group="ask", exclusive=True, asks_question=True)

    async def _ask_record_count(self) -> None:
        if await ask_record_count(self):
            self._file = None
            self.action_run()

    def action_file(self) -> None:
        """Asks for a file of records."""
        self.start_work(self._ask_file, group="ask", exclusive=True, asks_question=True)

    async def _ask_file(self) -> None:
        file = await ask_records_file(self)
        if file is not None:
            self._file = file
            self.action_run()

    def records_ingested(self) -> None:
        """Runs again, with the newest records."""
        self._file = None
        self.action_run()

    def action_view(self) -> None:
        """Shows the record in the next mode."""
        pane = self.query_one(RecordPane)
        pane.show_next_mode()
        self.session.remember("dry_run.view", pane.mode)

    def action_copy(self) -> None:
        """Copies the content of the pane; the changes as JSON."""
        copied = self.query_one(RecordPane).copy_text()
        if copied is not None:
            copy(self, *copied)

    def action_export(self) -> None:
        """Exports the run to a file."""
        if self._run is not None:
            work = partial(self._export, self._run)
            self.start_work(work, group="export", exclusive=True, asks_question=True)

    async def _export(self, run: DryRun) -> None:
        file = await export_to_file(
            self,
            partial(export_text, run),
            title=f"Export the dry run of {pluralize(len(run.records), 'record')} to which file?",
            suffixes=EXPORT_SUFFIXES,
            contents="It holds personal data.",
            session_key="dry_run.export",
            default="dry-run.csv",
        )
        if file is not None:
            self.toasts.show(f"The dry run is written to {file}.", title="Exported")

    def action_live(self) -> None:
        """Activates the version that was tried, after a question."""
        if self._run is not None:
            work = partial(self._go_live, self._run)
            self.start_work(work, group="live", exclusive=True, asks_question=True)

    async def _go_live(self, run: DryRun) -> None:
        from askel_tui.tui.screens.dry_run.go_live import go_live

        if await go_live(self, run, from_file=self._file is not None):
            await self._read_states()
            self._show()
