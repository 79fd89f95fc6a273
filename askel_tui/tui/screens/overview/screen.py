"""Overview: connections, workflows with backlog and throughput, what is held and why, budgets, notices."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Static

from askel_tui.tui.screens.overview.gauges import Gauges
from askel_tui.tui.screens.overview.throughput import BUCKET_MS, Throughput
from askel_tui.tui.shell.base_screen import AskelScreen
from askel_tui.tui.text.figures import ago, clock, plural, short, sparkline
from askel_tui.tui.text.inert import inert
from askel_tui.tui.widgets.help import Help
from askel_tui.tui.widgets.table import Cell, Column, Row, Table

SIGNS = {
    "active": ("● active", "$success"),
    "paused": ("‖ paused", "$warning"),
    "draft": ("○ draft", "$foreground-muted"),
    "direct": ("→ direct", "$foreground-muted"),
    "connected": ("● connected", "$success"),
    "key_refused": ("✗ refused", "$error"),
    "other_account": ("✗ other a/c", "$error"),
}

CAUSES = {
    "target_gone": "gone from the account",
    "key_refused": "the key is refused",
    "other_account": "the key is another account's",
    "scope_missing": "a scope is missing",
    "in_doubt": "in doubt: a person decides",
    "gate_unreadable": "the segment can't be read",
    "revision": "unknown at this revision",
    "person": "held by a person",
}

WELCOME = (
    "Nothing is connected yet.\n\n"
    "Press 2 to connect a Klaviyo account with its private key.\n"
    "To try it first: `askel sandbox` in another terminal is a Klaviyo account on this machine; "
    "`askel demo` is the whole story."
)

NOTICES = 50


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
        self._status: dict[str, Any] = {}
        self._notices: list[Any] = []
        self._now = 0
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
                            Column("waits", 7, right=True),
                            Column("held", 5, right=True),
                            Column("failed", 6, right=True),
                            Column("sent", 6, right=True),
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
                            Column("since", 6, right=True),
                            Column("waits", 6, right=True),
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
        seen = self._notices[-1]["seq"] if self._notices else 0
        self._notices = [*self._notices, *await self.backend.notices(seen)][-NOTICES:]
        self._now = await self.backend.now()
        for row in self._status["workflows"]:
            self._throughput.add(row["name"], self._now, row["sent"])
        self._show()

    async def _beat(self) -> None:
        self._now = await self.backend.now()
        for row in self._status.get("workflows", ()):
            self._throughput.add(row["name"], self._now, row["sent"])
        self._show()

    def _tick(self) -> None:
        if self.is_current and self._status:
            self.start(self._beat, group="beat")

    def _show(self) -> None:
        status = self._status
        empty = not status["connections"] and not status["workflows"]
        self.query_one("#welcome").display = empty
        self.query_one("#columns").display = not empty
        if empty:
            return
        workflows = self.query_one("#workflows", Table)
        workflows.fill([self._workflow(row) for row in status["workflows"]])
        workflows.styles.height = _height(len(status["workflows"]))
        holds = self.query_one("#holds", Table)
        holds.display = bool(status["holds"])
        holds.fill([self._hold(row) for row in status["holds"]])
        holds.styles.height = _height(len(status["holds"]))
        holds.border_title = f"Held: {plural(len(status['holds']), 'step')}"
        connections = self.query_one("#connections", Table)
        connections.fill([self._connection(row) for row in status["connections"]])
        connections.styles.height = _height(len(status["connections"]))
        self.query_one(Gauges).show(status["budgets"])
        self.query_one("#notices", Static).update(self._noticed())
        self.refresh_bindings()
        if self._timer is not None:
            self._timer.resume() if self._throughput.moving(self._now) else self._timer.pause()

    def _workflow(self, row: dict[str, Any]) -> Row:
        rates = self._throughput.rates(row["name"], self._now)
        recent = sum(rates[-3:]) / 3
        line = sparkline(rates, 8) + (f" {recent:.0f}/s" if recent >= 0.5 else "")
        state = SIGNS.get(row["state"], (row["state"], ""))
        newer = row["newest"] and row["version"] and row["newest"] > row["version"] > 0
        name = f"{row['name']} v{row['version']}" + (f" (v{row['newest']} is a draft)" if newer else "")
        return row["name"], (
            name if row["version"] else row["name"],
            state,
            short(row["waiting"]) + (f" +{short(row['unplanned'])}" if row["unplanned"] else ""),
            (short(row["held"]), "bold $warning" if row["held"] else ""),
            (short(row["failed"]), "bold $error" if row["failed"] else ""),
            short(row["sent"]),
            line,
        )

    def _hold(self, row: dict[str, Any]) -> Row:
        cells: tuple[Cell, ...] = (
            # The step first: a long workflow's name may be cut.
            f"{row['step']} ‹ {row['workflow']}",
            (f"! {CAUSES.get(row['cause'], row['cause'])}", "$warning"),
            ago(row["since"], self._now),
            f"{row['waiting']:,}",
        )
        return f"{row['workflow']}\0{row['step']}", cells

    def _connection(self, row: dict[str, Any]) -> Row:
        state = SIGNS.get(row["state"], (row["state"], "$warning"))
        return row["name"], (row["name"], row["account"] or "not told", state)

    def _noticed(self) -> Content:
        if not self._notices:
            return Content.styled("None so far.", "$foreground-muted")
        parts: list[Any] = []
        for notice in reversed(self._notices[-5:]):
            parts += [(f"{clock(notice['at'])} ", "$foreground-muted"), f"{inert(notice['text'])}\n"]
        return Content.assemble(*parts).rstrip()

    # Acting.

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Release and discard are there while something is held, pause while there is a workflow."""
        if action in ("release", "discard"):
            return bool(self._status.get("holds"))
        if action == "pause":
            return bool(self._status.get("workflows"))
        return super().check_action(action, parameters)

    def on_data_table_row_selected(self, event: Table.RowSelected) -> None:
        """Enter, or a click on the row under the cursor."""
        table = event.data_table
        if not isinstance(table, Table) or table.key is None:
            return
        if table.id == "workflows":
            self.askel.remember("live.filter", f'workflow:"{table.key}"')
            self.askel.action_show("live")
        elif table.id == "connections":
            self.askel.choose(table.key)
            self.askel.action_show("connections")
        else:
            hold = self._chosen_hold()
            if hold is not None:
                self.askel.say(
                    hold["detail"],
                    title=f"{hold['workflow']}, step {hold['step']}",
                    severity="warning",
                    timeout=15,
                )

    def action_pause(self) -> None:
        """Pauses or resumes the workflow under the cursor."""
        name = self.query_one("#workflows", Table).key
        row = next((each for each in self._status["workflows"] if each["name"] == name), None)
        if row is not None:
            self.start(partial(self._pause, row), group="order", exclusive=True)

    async def _pause(self, row: dict[str, Any]) -> None:
        if row["state"] == "paused":
            await self.busy(f"Resuming {row['name']}", self.backend.resume(row["name"]))
            self.askel.say(f"{row['name']} is active again: what waited is sent.")
        elif row["state"] == "active":
            await self.busy(f"Pausing {row['name']}", self.backend.pause(row["name"]))
            self.askel.say(f"{row['name']} is paused: its records wait. p resumes it.")
        else:
            self.askel.say(f"{row['name']} is a {row['state']}: Dry run (5) is where it goes live.")

    def action_release(self) -> None:
        """Ends the hold under the cursor."""
        hold = self._chosen_hold()
        if hold is not None:
            self.start(partial(self._release, hold), group="order", exclusive=True, asks=True)

    async def _release(self, hold: dict[str, Any]) -> None:
        name = f"{hold['workflow']}, step {hold['step']}"
        sent = plural(hold["waiting"], "operation")
        if await self.confirm(
            f"Release {name}?", f"{sent} will be sent, in order. Held because: {hold['detail']}"
        ):
            await self.busy(f"Releasing {name}", self.backend.release(hold["workflow"], hold["step"]))
            self.askel.say(f"{name} is released: {sent} on the way.")

    def action_discard(self) -> None:
        """Discards what the hold under the cursor keeps."""
        hold = self._chosen_hold()
        if hold is not None:
            self.start(partial(self._discard, hold), group="order", exclusive=True, asks=True)

    async def _discard(self, hold: dict[str, Any]) -> None:
        name = f"{hold['workflow']}, step {hold['step']}"
        lost = plural(hold["waiting"], "operation")
        asked = f"Discard {lost} of {name}?"
        if await self.confirm(
            asked, "They will never be sent; the audit keeps them.", typed=str(hold["waiting"])
        ):
            await self.busy("Discarding", self.backend.discard_held(hold["workflow"], hold["step"]))
            self.askel.say(f"{lost} discarded.")

    def _chosen_hold(self) -> dict[str, Any] | None:
        key = self.query_one("#holds", Table).key
        holds = self._status.get("holds", [])
        return next((each for each in holds if f"{each['workflow']}\0{each['step']}" == key), None)

    def action_daemon(self) -> None:
        """Starts a daemon, or ends the one started here."""
        self.askel.toggle_daemon()


def _height(rows: int) -> int:
    """Border, header and rows, up to ten of them."""
    return 3 + max(1, min(rows, 10))
