"""Connections: accounts with their keys, scopes and limits; made, checked, changed, given new keys, taken away."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from askel_tui.contract.endpoints import serving_revision
from askel_tui.text.numbers import pluralize
from askel_tui.text.sanitizing import sanitize
from askel_tui.text.times import format_timestamp
from askel_tui.tui.screens.base_screen import AskelScreen
from askel_tui.tui.screens.connections.scopes_view import (
    notice_channel_kinds,
    scope_checklist,
    summarize_scopes,
)
from askel_tui.tui.widgets.detail_pane import DetailLine, detail_content
from askel_tui.tui.widgets.help import Help
from askel_tui.tui.widgets.table import Cell, Column, Row, Table

if TYPE_CHECKING:
    from askel_tui.services.status import Status
    from askel_tui.store.state.documents import ConnectionDoc

WELCOME = (
    "Nothing is connected yet.\n\n"
    "a connects a Klaviyo account with its private key (in Klaviyo: Settings, API keys, Create private key).\n"
    "It needs the scopes profiles and lists (read and write) and events (write); the others are told when checked."
)

STATE_CELLS: dict[str, Cell] = {
    "connected": ("● connected", "$success"),
    "key_refused": ("✗ key refused", "$error"),
    "other_account": ("✗ other account", "$error"),
}

ON_CONFLICT_TEXTS = {
    "fail": "the record fails, and names both profiles",
    "strongest": "the strongest identifier is written with",
    "merge": "the profiles are merged in Klaviyo",
}


class ConnectionDetail(VerticalScroll, can_focus=True):
    """All there is to know about a connection; its key is a fingerprint."""

    jump_key = "d"
    help = Help(
        "A connection",
        "Its account, what its key may do, and whose budget it shares. Scroll with the arrows.",
    )

    def compose(self) -> ComposeResult:
        """One text."""
        yield Static()

    def show(self, facts: Content, scopes: Content) -> None:
        """Shows a connection."""
        self.query_one(Static).update(Content.assemble(facts, ("\n\nScopes\n", "bold $primary"), scopes))


class ConnectionsScreen(AskelScreen):
    """The connections, and what is known about the one under the cursor."""

    NAME = "connections"
    CSS_PATH = "connections.tcss"
    HELP = (
        "Klaviyo accounts and their keys. Enter makes the other screens be about a connection. a connects another "
        "account, c asks Klaviyo again what a key may do, e changes lists, notices and customer, r gives it a new key "
        "(both are checked before), x takes it away. Keys are never shown: sha256:… names one."
    )
    BINDINGS: ClassVar[list[Any]] = [
        Binding("a", "add", "Connect", id="connections.add", tooltip="Another account"),
        Binding("c", "check", "Check", id="connections.check", tooltip="Asks Klaviyo what the key may do"),
        Binding("e", "change", "Change", id="connections.change", tooltip="Lists, notices, customer"),
        Binding("r", "rotate", "New key", id="connections.rotate", tooltip="Both keys are checked before"),
        Binding(
            "x", "disconnect", "Disconnect", id="connections.disconnect", tooltip="Takes it and its key away"
        ),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._docs: list[ConnectionDoc] = []
        self._status: Status | None = None
        self._workflows: dict[str, list[str]] = {}

    def body(self) -> ComposeResult:
        """The table and the details."""
        yield Static(Content(WELCOME), id="welcome")
        with Container(id="panes"):
            yield Table(
                (
                    Column("connection", 12, 2),
                    Column("account", 8, 2),
                    Column("customer", 8, 1),
                    Column("revision", 10),
                    Column("state", 15),
                ),
                id="connections",
                classes="panel",
                title="Connections",
                hint="Enter shows it everywhere · a connects another",
                jump_key="c",
                about=Help("Connections", "Enter makes the other screens be about the connection."),
            )
            yield ConnectionDetail(id="detail", classes="panel")

    async def load(self) -> None:
        """Reads the connections, and what belongs to them."""
        # Taken together: between two reads a key may be pressed.
        docs, self._status = await self.backend.connections(), await self.backend.status()
        self._docs, self._workflows = docs, {}
        for each in self._status.workflows:
            if each.state != "direct" and each.connection is not None:
                self._workflows.setdefault(each.connection, []).append(each.name)
        self._show()

    # What is shown.

    def _show(self) -> None:
        self.query_one("#welcome").display = not self._docs
        self.query_one("#panes").display = bool(self._docs)
        table = self.query_one(Table)
        table.set_rows([self._row(doc) for doc in self._docs])
        table.border_title = pluralize(len(self._docs), "connection")
        if self.focused is None and self._docs:
            table.focus()
        self._describe()
        self.refresh_bindings()

    def _row(self, doc: ConnectionDoc) -> Row:
        here = "▸ " if doc.name == self.connection else "  "
        account = doc.account_name or doc.account or "not told"
        return doc.name, (here + doc.name, account, doc.customer or "", doc.revision, self._state(doc))

    def _state(self, doc: ConnectionDoc) -> Cell:
        found = next(
            (row.state for row in (self._status.connections if self._status else ()) if row.name == doc.name),
            "connected",
        )
        missing = sum(state == "missing" for state in doc.scopes.values())
        if found == "connected" and missing:
            return f"! {pluralize(missing, 'scope')} less", "$warning"
        return STATE_CELLS.get(found, found)

    @property
    def _selected_doc(self) -> ConnectionDoc | None:
        key = self.query_one(Table).cursor_key
        return next((doc for doc in self._docs if doc.name == key), None)

    def _describe(self) -> None:
        doc = self._selected_doc
        if doc is None:
            return
        lacking = _unsupported_features(doc)
        words, style = summarize_scopes(doc.scopes, len(lacking))
        scopes = [Content.styled(sanitize(words), style), scope_checklist(doc.scopes, doc.revision)]
        if lacking:
            scopes.insert(1, Content.assemble("Can't work: ", (sanitize("; ".join(lacking)), "$warning")))
        self.query_one(ConnectionDetail).show(
            detail_content(doc.name, self._detail_lines(doc)), Content("\n").join(scopes)
        )

    def _detail_lines(self, doc: ConnectionDoc) -> list[DetailLine]:
        account = f"{doc.account} ({doc.account_name or 'without a name'})"
        served = serving_revision(doc.revision)
        kinds = notice_channel_kinds(doc.notify)
        lines: list[DetailLine] = [
            (
                "account",
                account
                if doc.account
                else "not told: the key lacks accounts:read; its fingerprint stands for it",
            ),
            ("key", doc.key),
            (
                "revision",
                doc.revision if served == doc.revision else f"{doc.revision}, retired: served as {served}",
            ),
            ("customer", doc.customer or "none named"),
            ("may touch", ", ".join(doc.only_lists) if doc.only_lists else "all lists"),
            ("notices", f"{pluralize(len(doc.notify), 'channel')}: {kinds}" if kinds else "on Overview only"),
            ("on a 409", ON_CONFLICT_TEXTS[doc.on_conflict]),
            ("workflows", ", ".join(self._workflows.get(doc.name, ())) or "none"),
            ("connected", format_timestamp(doc.created)[:16] + "Z"),
        ]
        for other in self._connections_sharing_budget(doc):
            same = "the same key" if other.key == doc.key else "another key of the account"
            revision = (
                ""
                if other.revision == doc.revision
                else f", revision {other.revision}: the smaller limits count"
            )
            lines.append(("shares with", f"{other.name}: {same}, one budget{revision}"))
        lines += self._budget_lines(doc)
        return lines

    def _connections_sharing_budget(self, doc: ConnectionDoc) -> list[ConnectionDoc]:
        """The other connections on the same account's budget."""
        return [
            other
            for other in self._docs
            if other.name != doc.name
            and (other.key == doc.key or (doc.account is not None and other.account == doc.account))
        ]

    def _budget_lines(self, doc: ConnectionDoc) -> list[DetailLine]:
        account = doc.account or f"key:{doc.key}"
        used = [row for row in (self._status.budgets if self._status else ()) if row.account == account]
        if not used:
            return [("budget", "nothing was called within the last minute")]
        fullest = sorted(used, key=lambda row: -row.used / row.limit)[:3]
        told = ", ".join(f"{row.call} {row.used:,}/{row.limit:,}" for row in fullest)
        return [("budget", f"{told} in the last minute")]

    def connection_changed(self) -> None:
        """Another connection is the one that the screens are about."""
        if self._docs:
            self._show()

    def on_data_table_row_highlighted(self) -> None:
        """Another row is under the cursor."""
        self._describe()

    def on_data_table_row_selected(self, event: Table.RowSelected) -> None:
        """The screens are about this one from now on."""
        doc = self._selected_doc
        if doc is not None:
            self.askel.choose_connection(doc.name)
            self.toasts.show(f"The other screens are about {doc.name} now.")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What acts on a connection is there while there is one."""
        if action in ("check", "change", "rotate", "disconnect"):
            return bool(self._docs)
        return super().check_action(action, parameters)

    # Acting.

    def action_add(self) -> None:
        """Connects another account."""
        self.start_work(self._add, group="form", exclusive=True, asks_question=True)

    async def _add(self) -> None:
        from askel_tui.tui.screens.connections.form import ConnectionForm

        name = await self.ask(ConnectionForm([doc.name for doc in self._docs]))
        if name is None:
            return
        self.askel.choose_connection(name)
        await self.load()
        self.query_one(Table).move_cursor_to_key(name)
        self._describe()
        self.toasts.show(
            f"{name} is connected. 3 shows what is in the account; 4 takes in records and maps them to it."
        )

    def action_change(self) -> None:
        """Changes what can be changed without another key."""
        doc = self._selected_doc
        if doc is not None:
            self.start_work(partial(self._change, doc), group="form", exclusive=True, asks_question=True)

    async def _change(self, doc: ConnectionDoc) -> None:
        from askel_tui.tui.screens.connections.form import ConnectionForm

        if await self.ask(ConnectionForm((), doc)) is not None:
            await self.load()
            self.toasts.show(f"{doc.name} is changed. Lists count from the next apply on.")

    def action_check(self) -> None:
        """Asks Klaviyo again."""
        doc = self._selected_doc
        if doc is not None:
            self.start_work(partial(self._check, doc), group="check", exclusive=True)

    async def _check(self, doc: ConnectionDoc) -> None:
        _, found = await self.with_progress(f"Checking {doc.name}", self.backend.check_connection(doc.name))
        await self.load()
        self.toasts.show(
            summarize_scopes(found.scopes, len(found.missing_features))[0], title=f"{doc.name} was checked"
        )

    def action_rotate(self) -> None:
        """Gives the connection a new key."""
        doc = self._selected_doc
        if doc is not None:
            self.start_work(partial(self._rotate, doc), group="form", exclusive=True, asks_question=True)

    async def _rotate(self, doc: ConnectionDoc) -> None:
        from askel_tui.tui.screens.connections.rotate_form import RotateForm

        if await self.ask(RotateForm(doc)):
            await self.load()
            self.toasts.show(
                f"{doc.name} has its new key. The old one still works in Klaviyo until it is deleted there."
            )

    def action_disconnect(self) -> None:
        """Takes the connection and its key away."""
        doc = self._selected_doc
        if doc is not None:
            self.start_work(partial(self._disconnect, doc), group="form", exclusive=True, asks_question=True)

    async def _disconnect(self, doc: ConnectionDoc) -> None:
        detail = "Its key is deleted here and still works in Klaviyo until deleted there. The audit stays."
        if await self.confirm(f"Take {doc.name} away?", detail, typed=doc.name):
            await self.with_progress("Disconnecting", self.backend.disconnect(doc.name))
            await self.load()
            self.toasts.show(f"{doc.name} is disconnected.")


def _unsupported_features(doc: ConnectionDoc) -> list[str]:
    from askel_tui.klaviyo.reads.key_check import missing_features

    return [
        f"{feature} (wants {', '.join(missing)})"
        for feature, missing in missing_features(doc.scopes, doc.revision)
    ]
