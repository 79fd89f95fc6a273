"""Overview: connections, workflows with backlog and throughput, holds with their cause, budgets, notices."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Static

from askel_tui.text.numbers import pluralize
from askel_tui.tui.backend import queries, services
from askel_tui.tui.screens.base_screen import AskelScreen
from askel_tui.tui.screens.overview import view
from askel_tui.tui.screens.overview.gauges import Gauges
from askel_tui.tui.screens.overview.throughput import BUCKET_MS, Throughput
from askel_tui.tui.screens.workflow_commands import pause_or_resume, release_holds, replan_hold
from askel_tui.tui.widgets.help import Help
from askel_tui.tui.widgets.rows import Row
from askel_tui.tui.widgets.table import Table

if TYPE_CHECKING:
    from askel_tui.services.status import HoldStatus, Status, WorkflowStatus
    from askel_tui.store.journal.notice_rows import Notice

MAX_NOTICES_KEPT = 50

TABLE_FRAME_LINES = 3
"""The number of lines of a table's border and header."""

MAX_TABLE_ROWS = 10
"""The number of rows of a table that are seen at once; it scrolls to the others."""


class OverviewScreen(AskelScreen):
    """The panels of workflows, holds, connections, budgets and notices, and the keys that act on them."""

    NAME = "overview"
    CSS_PATH = "overview.tcss"
    HELP = (
        "Connections and workflows with the operations that wait (+ records that are still to be planned), are held, "
        "failed and were sent; what is held with its reason; how much of Klaviyo's limits the last minute used; "
        "notices. Everything is brought up to date by itself."
    )
    BINDINGS: ClassVar[list[Any]] = [
        Binding("p", "pause", "Pause/resume", id="overview.pause", tooltip="The workflow under the cursor"),
        Binding(
            "r", "release", "Release", id="overview.release", tooltip="Sends what the hold keeps, in order"
        ),
        Binding(
            "n",
            "replan",
            "Plan anew",
            id="overview.replan",
            tooltip="Under the version that runs; shown first",
        ),
        Binding("x", "discard", "Discard", id="overview.discard", tooltip="Gives up what the hold keeps"),
        Binding(
            "d", "daemon", "Daemon", id="overview.daemon", tooltip="Starts it, or ends the one started here"
        ),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._throughput = Throughput()
        self._status: Status | None = None
        self._notices: list[Notice] = []
        self._now_ms = 0
        self._timer: Timer | None = None

    def body(self) -> ComposeResult:
        """Composes the panels, in two columns where there is room."""
        with VerticalScroll(id="overview", can_focus=False):
            yield Static(Content(view.WELCOME), id="welcome")
            with Horizontal(id="columns"):
                with Vertical(id="left"):
                    yield Table(
                        view.WORKFLOW_COLUMNS,
                        id="workflows",
                        classes="panel",
                        title="Workflows, operations",
                        hint="p pause/resume · Enter live",
                        jump_key="w",
                        about=Help(
                            "Workflows",
                            "All counts are of operations; + counts records. p pauses or resumes, Enter shows its "
                            "writes on Live.",
                        ),
                    )
                    yield Table(
                        view.HOLD_COLUMNS,
                        id="holds",
                        classes="panel",
                        title="Held",
                        hint="r release · n plan anew · x discard",
                        jump_key="h",
                        about=Help(
                            "Held steps",
                            "A held step may not send; its operations wait in order. r releases it, n plans what "
                            "an older version holds anew, x discards what waits. Enter says the whole reason.",
                        ),
                    )
                with Vertical(id="right"):
                    yield Table(
                        view.CONNECTION_COLUMNS,
                        id="connections",
                        classes="panel",
                        title="Connections",
                        hint="Enter opens",
                        jump_key="c",
                        about=Help("Connections", "Enter goes to its keys, scopes and limits."),
                    )
                    yield Gauges(id="budgets", classes="panel")
                    yield Static(id="notices", classes="panel")

    def on_mount(self) -> None:
        """Sets titles and a timer, which runs only while something was sent within the last minute."""
        self.query_one("#budgets").border_title = "Budgets, last minute"
        self.query_one("#notices").border_title = "Notices"
        self._timer = self.set_interval(BUCKET_MS / 1000, self._tick, pause=True)

    async def load(self) -> None:
        """Reads the status and the new notices."""
        self._status = await self.backend.call(services.read_status)
        seen = self._notices[-1].seq if self._notices else 0
        self._notices = [*self._notices, *await self.backend.call(queries.notices, seen)][-MAX_NOTICES_KEPT:]
        self._now_ms = await self.backend.call(queries.now)
        for row in self._workflows():
            self._throughput.add_reading(row.name, self._now_ms, row.sent)
        self._show()

    def _workflows(self) -> tuple[WorkflowStatus, ...]:
        return self._status.workflows if self._status else ()

    async def _sample_throughput(self) -> None:
        self._now_ms = await self.backend.call(queries.now)
        for row in self._workflows():
            self._throughput.add_reading(row.name, self._now_ms, row.sent)
        self._show()

    def _tick(self) -> None:
        if self.is_current and self._status:
            self.start_work(self._sample_throughput, group="beat")

    def _show(self) -> None:
        status = self._status
        if status is None:
            return
        empty = not status.connections and not status.workflows
        self.query_one("#welcome").display = empty
        self.query_one("#columns").display = not empty
        if empty:
            return
        rates = self._throughput.rates
        workflows = [view.workflow_row(row, rates(row.name, self._now_ms)) for row in status.workflows]
        self._fill("#workflows", workflows)
        holds = self._fill("#holds", [view.hold_row(hold, self._now_ms) for hold in status.holds])
        holds.display = bool(status.holds)
        holds.border_title = f"Held: {pluralize(len(status.holds), 'step')}"
        self._fill("#connections", list(map(view.connection_row, status.connections)))
        self.query_one(Gauges).show(status.budgets)
        self.query_one("#notices", Static).update(view.notices_content(self._notices))
        self.refresh_bindings()
        if self._timer is not None:
            self._timer.resume() if self._throughput.is_moving(self._now_ms) else self._timer.pause()

    def _fill(self, selector: str, rows: Sequence[Row]) -> Table:
        table = self.query_one(selector, Table)
        table.set_rows(rows)
        table.styles.height = TABLE_FRAME_LINES + max(1, min(len(rows), MAX_TABLE_ROWS))
        return table

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hides what acts on a hold while nothing is held, and pause while there is no workflow."""
        if action in ("release", "replan", "discard"):
            return self._status is not None and bool(self._status.holds)
        if action == "pause":
            return bool(self._workflows())
        return super().check_action(action, parameters)

    def on_data_table_row_selected(self, event: Table.RowSelected) -> None:
        """Opens Live or Connections for the selected row, or shows the whole reason of a hold."""
        table = event.data_table
        if not isinstance(table, Table) or table.cursor_key is None:
            return
        if table.id == "workflows":
            self.session.remember("live.filter", f'workflow:"{table.cursor_key}"')
            self.askel.action_show("live")
        elif table.id == "connections":
            self.askel.choose_connection(table.cursor_key)
            self.askel.action_show("connections")
        else:
            hold = self._selected_hold()
            if hold is not None:
                self.toasts.show(
                    "\n".join(each.detail for each in hold.reasons),
                    title=view.hold_name(hold),
                    severity="warning",
                    timeout=15,
                )

    def action_pause(self) -> None:
        """Pauses or resumes the workflow under the cursor."""
        name = self.query_one("#workflows", Table).cursor_key
        row = next((each for each in self._workflows() if each.name == name), None)
        if row is not None:
            self.start_work(
                partial(pause_or_resume, self, row.name, row.state), group="order", exclusive=True
            )

    def action_release(self) -> None:
        """Ends the hold under the cursor."""
        hold = self._selected_hold()
        if hold is not None:
            work = partial(release_holds, self, [hold])
            self.start_work(work, group="order", exclusive=True, asks_question=True)

    def action_replan(self) -> None:
        """Plans anew what the hold under the cursor keeps of an older version."""
        hold = self._selected_hold()
        if hold is not None:
            work = partial(replan_hold, self, hold)
            self.start_work(work, group="order", exclusive=True, asks_question=True)

    def action_discard(self) -> None:
        """Discards the operations that the hold under the cursor keeps."""
        hold = self._selected_hold()
        if hold is not None:
            self.start_work(partial(self._discard, hold), group="order", exclusive=True, asks_question=True)

    async def _discard(self, hold: HoldStatus) -> None:
        name = view.hold_name(hold)
        lost = pluralize(hold.waiting, "operation")
        asked = f"Discard {lost} of {name}?"
        if await self.confirm(
            asked, "They will never be sent; the audit keeps them.", typed=str(hold.waiting)
        ):
            await self.with_progress(
                "Discarding",
                self.backend.submit("discard", workflow=hold.workflow, version=hold.version, step=hold.step),
            )
            self.toasts.show(f"{lost} discarded.")

    def _selected_hold(self) -> HoldStatus | None:
        key = self.query_one("#holds", Table).cursor_key
        holds = self._status.holds if self._status else ()
        return next((each for each in holds if view.hold_key(each) == key), None)

    def action_daemon(self) -> None:
        """Starts a daemon, or ends the one started here."""
        self.askel.daemon.toggle(runs=self.askel.head.daemon_running)
