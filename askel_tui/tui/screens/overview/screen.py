"""Overview: connections, workflows with backlog and throughput, what is held and why, budgets, notices."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Static

from askel_tui.core.hold_causes import hold_cause
from askel_tui.text.numbers import abbreviate_count, pluralize
from askel_tui.text.sanitizing import sanitize
from askel_tui.text.times import format_age, format_time_of_day
from askel_tui.tui.screens.base_screen import AskelScreen
from askel_tui.tui.screens.overview.gauges import Gauges
from askel_tui.tui.screens.overview.throughput import BUCKET_MS, Throughput
from askel_tui.tui.text.charts import sparkline
from askel_tui.tui.widgets.help import Help
from askel_tui.tui.widgets.table import Cell, Column, Row, Table

if TYPE_CHECKING:
    from askel_tui.services.status import ConnectionStatus, HoldStatus, Status, WorkflowStatus
    from askel_tui.store.journal.rows import Notice

STATE_CELLS = {
    "active": ("● active", "$success"),
    "paused": ("‖ paused", "$warning"),
    "draft": ("○ draft", "$foreground-muted"),
    "direct": ("→ direct", "$foreground-muted"),
    "connected": ("● connected", "$success"),
    "key_refused": ("✗ refused", "$error"),
    "other_account": ("✗ other a/c", "$error"),
}

WELCOME = (
    "Nothing is connected yet.\n\n"
    "Press 2 to connect a Klaviyo account with its private key.\n"
    "To try it first: `askel sandbox` in another terminal is a Klaviyo account on this machine; "
    "`askel demo` is the whole story."
)

MAX_NOTICES_KEPT = 50


class OverviewScreen(AskelScreen):
    """What runs, what waits, what is held, and the keys that act on it."""

    NAME = "overview"
    CSS_PATH = "overview.tcss"
    HELP = (
        "Connections and workflows with what waits (+ records that are still to be planned), is held, failed and was "
        "sent; what is held with its reason; how much of Klaviyo's limits the last minute used; notices. Everything "
        "is brought up to date by itself."
    )
    BINDINGS: ClassVar[list[Any]] = [
        Binding("p", "pause", "Pause/resume", id="overview.pause", tooltip="The workflow under the cursor"),
        Binding(
            "r", "release", "Release", id="overview.release", tooltip="Sends what the hold keeps, in order"
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
        """The panels; two columns where there is room."""
        with VerticalScroll(id="overview", can_focus=False):
            yield Static(Content(WELCOME), id="welcome")
            with Horizontal(id="columns"):
                with Vertical(id="left"):
                    yield Table(
                        (
                            Column("workflow", 14, 3),
                            Column("state", 8),
                            Column("waits", 7, align_right=True),
                            Column("held", 5, align_right=True),
                            Column("failed", 6, align_right=True),
                            Column("sent", 6, align_right=True),
                            Column("last min", 8, 1),
                        ),
                        id="workflows",
                        classes="panel",
                        title="Workflows",
                        hint="p pause/resume · Enter live",
                        jump_key="w",
                        about=Help("Workflows", "p pauses or resumes, Enter shows its writes on Live."),
                    )
                    yield Table(
                        (
                            Column("held step", 18, 2),
                            Column("why", 22, 2),
                            Column("since", 6, align_right=True),
                            Column("waits", 6, align_right=True),
                        ),
                        id="holds",
                        classes="panel",
                        title="Held",
                        hint="r release · x discard",
                        jump_key="h",
                        about=Help(
                            "Held steps",
                            "A held step may not send; its operations wait in order. r releases it, x discards "
                            "what waits. Enter says the whole reason.",
                        ),
                    )
                with Vertical(id="right"):
                    yield Table(
                        (
                            Column("connection", 12, 2),
                            Column("account", 8, 1),
                            Column("state", 11),
                        ),
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
        """Titles; the timer runs only while something was sent within the last minute."""
        self.query_one("#budgets").border_title = "Budgets, last minute"
        self.query_one("#notices").border_title = "Notices"
        self._timer = self.set_interval(BUCKET_MS / 1000, self._tick, pause=True)

    async def load(self) -> None:
        """Reads status and notices."""
        self._status = await self.backend.status()
        seen = self._notices[-1].seq if self._notices else 0
        self._notices = [*self._notices, *await self.backend.notices(seen)][-MAX_NOTICES_KEPT:]
        self._now_ms = await self.backend.now()
        for row in self._workflows():
            self._throughput.add_reading(row.name, self._now_ms, row.sent)
        self._show()

    def _workflows(self) -> tuple[WorkflowStatus, ...]:
        return self._status.workflows if self._status else ()

    async def _sample_throughput(self) -> None:
        self._now_ms = await self.backend.now()
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
        workflows = self.query_one("#workflows", Table)
        workflows.set_rows([self._workflow_row(row) for row in status.workflows])
        workflows.styles.height = _table_height(len(status.workflows))
        holds = self.query_one("#holds", Table)
        holds.display = bool(status.holds)
        holds.set_rows([self._hold_row(row) for row in status.holds])
        holds.styles.height = _table_height(len(status.holds))
        holds.border_title = f"Held: {pluralize(len(status.holds), 'step')}"
        connections = self.query_one("#connections", Table)
        connections.set_rows([self._connection_row(row) for row in status.connections])
        connections.styles.height = _table_height(len(status.connections))
        self.query_one(Gauges).show(status.budgets)
        self.query_one("#notices", Static).update(self._notices_content())
        self.refresh_bindings()
        if self._timer is not None:
            self._timer.resume() if self._throughput.is_moving(self._now_ms) else self._timer.pause()

    def _workflow_row(self, row: WorkflowStatus) -> Row:
        rates = self._throughput.rates(row.name, self._now_ms)
        recent = sum(rates[-3:]) / 3
        line = sparkline(rates, 8) + (f" {recent:.0f}/s" if recent >= 0.5 else "")
        state = STATE_CELLS.get(row.state, (row.state, ""))
        newer = row.newest and row.version and row.newest > row.version > 0
        name = f"{row.name} v{row.version}" + (f" (v{row.newest} is a draft)" if newer else "")
        return row.name, (
            name if row.version else row.name,
            state,
            abbreviate_count(row.waiting) + (f" +{abbreviate_count(row.unplanned)}" if row.unplanned else ""),
            (abbreviate_count(row.held), "bold $warning" if row.held else ""),
            (abbreviate_count(row.failed), "bold $error" if row.failed else ""),
            abbreviate_count(row.sent),
            line,
        )

    def _hold_row(self, row: HoldStatus) -> Row:
        cells: tuple[Cell, ...] = (
            # The step first: a long workflow's name may be cut.
            f"{row.step} ‹ {row.workflow}",
            (f"! {hold_cause(row.cause).short}", "$warning"),
            format_age(row.since, self._now_ms),
            f"{row.waiting:,}",
        )
        return f"{row.workflow}\0{row.step}", cells

    def _connection_row(self, row: ConnectionStatus) -> Row:
        state = STATE_CELLS.get(row.state, (row.state, "$warning"))
        return row.name, (row.name, row.account or "not told", state)

    def _notices_content(self) -> Content:
        if not self._notices:
            return Content.styled("None so far.", "$foreground-muted")
        parts: list[Any] = []
        for notice in reversed(self._notices[-5:]):
            parts += [
                (f"{format_time_of_day(notice.at)} ", "$foreground-muted"),
                f"{sanitize(notice.text)}\n",
            ]
        return Content.assemble(*parts).rstrip()

    # Acting.

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Release and discard are there while something is held, pause while there is a workflow."""
        if action in ("release", "discard"):
            return self._status is not None and bool(self._status.holds)
        if action == "pause":
            return bool(self._workflows())
        return super().check_action(action, parameters)

    def on_data_table_row_selected(self, event: Table.RowSelected) -> None:
        """Enter, or a click on the row under the cursor."""
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
                    hold.detail,
                    title=f"{hold.workflow}, step {hold.step}",
                    severity="warning",
                    timeout=15,
                )

    def action_pause(self) -> None:
        """Pauses or resumes the workflow under the cursor."""
        name = self.query_one("#workflows", Table).cursor_key
        row = next((each for each in self._workflows() if each.name == name), None)
        if row is not None:
            self.start_work(partial(self._pause, row), group="order", exclusive=True)

    async def _pause(self, row: WorkflowStatus) -> None:
        if row.state == "paused":
            await self.with_progress(f"Resuming {row.name}", self.backend.resume(row.name))
            self.toasts.show(f"{row.name} is active again: what waited is sent.")
        elif row.state == "active":
            await self.with_progress(f"Pausing {row.name}", self.backend.pause(row.name))
            self.toasts.show(f"{row.name} is paused: its records wait. p resumes it.")
        else:
            self.toasts.show(f"{row.name} is a {row.state}: Dry run (5) is where it goes live.")

    def action_release(self) -> None:
        """Ends the hold under the cursor."""
        hold = self._selected_hold()
        if hold is not None:
            self.start_work(partial(self._release, hold), group="order", exclusive=True, asks_question=True)

    async def _release(self, hold: HoldStatus) -> None:
        name = f"{hold.workflow}, step {hold.step}"
        sent = pluralize(hold.waiting, "operation")
        if await self.confirm(
            f"Release {name}?", f"{sent} will be sent, in order. Held because: {hold.detail}"
        ):
            await self.with_progress(f"Releasing {name}", self.backend.release(hold.workflow, hold.step))
            self.toasts.show(f"{name} is released: {sent} on the way.")

    def action_discard(self) -> None:
        """Discards what the hold under the cursor keeps."""
        hold = self._selected_hold()
        if hold is not None:
            self.start_work(partial(self._discard, hold), group="order", exclusive=True, asks_question=True)

    async def _discard(self, hold: HoldStatus) -> None:
        name = f"{hold.workflow}, step {hold.step}"
        lost = pluralize(hold.waiting, "operation")
        asked = f"Discard {lost} of {name}?"
        if await self.confirm(
            asked, "They will never be sent; the audit keeps them.", typed=str(hold.waiting)
        ):
            await self.with_progress("Discarding", self.backend.discard_held(hold.workflow, hold.step))
            self.toasts.show(f"{lost} discarded.")

    def _selected_hold(self) -> HoldStatus | None:
        key = self.query_one("#holds", Table).cursor_key
        holds = self._status.holds if self._status else ()
        return next((each for each in holds if f"{each.workflow}\0{each.step}" == key), None)

    def action_daemon(self) -> None:
        """Starts a daemon, or ends the one started here."""
        self.askel.daemon.toggle(runs=self.askel.head.daemon_running)


def _table_height(rows: int) -> int:
    """Border, header and rows, up to ten of them."""
    return 3 + max(1, min(rows, 10))
