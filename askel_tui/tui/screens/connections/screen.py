"""Connections: Klaviyo accounts with their keys, scopes and limits; connecting, checking and changing them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.content import Content
from textual.widgets import Static

from askel_tui.text.numbers import pluralize
from askel_tui.tui.backend import queries, services
from askel_tui.tui.screens.base_screen import AskelScreen
from askel_tui.tui.screens.connections import view
from askel_tui.tui.screens.connections.scopes_view import summarize_scopes
from askel_tui.tui.widgets.detail_pane import DetailPane
from askel_tui.tui.widgets.help import Help
from askel_tui.tui.widgets.table import Table

if TYPE_CHECKING:
    from askel_tui.services.status import Status
    from askel_tui.store.state.documents import ConnectionDoc

WELCOME = (
    "Nothing is connected yet.\n\n"
    "a connects a Klaviyo account with its private key (in Klaviyo: Settings, API keys, Create private key).\n"
    "It needs the scopes profiles and lists (read and write) and events (write); the others are told when checked."
)


class ConnectionsScreen(AskelScreen):
    """The table of connections and the details of the selected one."""

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

    def body(self) -> ComposeResult:
        """Composes the table and the details."""
        yield Static(Content(WELCOME), id="welcome")
        with Container(id="panes"):
            yield Table(
                view.COLUMNS,
                id="connections",
                classes="panel",
                title="Connections",
                hint="Enter shows it everywhere · a connects another",
                jump_key="c",
                about=Help("Connections", "Enter makes the other screens be about the connection."),
            )
            yield DetailPane(
                id="detail",
                classes="panel",
                jump_key="d",
                about=Help(
                    "A connection",
                    "Its account, what its key may do, and whose budget it shares. Scroll with the arrows.",
                ),
            )

    async def load(self) -> None:
        """Reads the connections and the status."""
        # Assigned together: between two reads a key may be pressed.
        self._docs, self._status = (
            await self.backend.call(queries.connections),
            await self.backend.call(services.read_status),
        )
        self._show()

    def _show(self) -> None:
        self.query_one("#welcome").display = not self._docs
        self.query_one("#panes").display = bool(self._docs)
        table = self.query_one(Table)
        if self._status is not None:
            table.set_rows([view.table_row(doc, self._status, self.connection) for doc in self._docs])
        table.border_title = pluralize(len(self._docs), "connection")
        if self.focused is None and self._docs:
            table.focus()
        self._describe()
        self.refresh_bindings()

    @property
    def _selected_doc(self) -> ConnectionDoc | None:
        key = self.query_one(Table).cursor_key
        return next((doc for doc in self._docs if doc.name == key), None)

    def _describe(self) -> None:
        doc = self._selected_doc
        if doc is not None and self._status is not None:
            self.query_one(DetailPane).show_content(view.details(doc, self._docs, self._status))

    def connection_changed(self) -> None:
        """Marks the connection that the screens are about from now on."""
        if self._docs:
            self._show()

    def on_data_table_row_highlighted(self) -> None:
        """Shows the details of the row under the cursor."""
        self._describe()

    def on_data_table_row_selected(self, event: Table.RowSelected) -> None:
        """Makes the other screens be about the selected connection."""
        doc = self._selected_doc
        if doc is not None:
            self.askel.choose_connection(doc.name)
            self.toasts.show(f"The other screens are about {doc.name} now.")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hides the actions on a connection while there is none."""
        if action in ("check", "change", "rotate", "disconnect"):
            return bool(self._docs)
        return super().check_action(action, parameters)

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
        """Changes the values that need no other key."""
        doc = self._selected_doc
        if doc is not None:
            self.start_work(partial(self._change, doc), group="form", exclusive=True, asks_question=True)

    async def _change(self, doc: ConnectionDoc) -> None:
        from askel_tui.tui.screens.connections.form import ConnectionForm

        if await self.ask(ConnectionForm((), doc)) is not None:
            await self.load()
            self.toasts.show(f"{doc.name} is changed. Lists count from the next apply on.")

    def action_check(self) -> None:
        """Asks Klaviyo again for the scopes of the key."""
        doc = self._selected_doc
        if doc is not None:
            self.start_work(partial(self._check, doc), group="check", exclusive=True)

    async def _check(self, doc: ConnectionDoc) -> None:
        _, found = await self.with_progress(
            f"Checking {doc.name}", self.backend.call(services.check_connection, doc.name)
        )
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
        """Removes the connection and its key."""
        doc = self._selected_doc
        if doc is not None:
            self.start_work(partial(self._disconnect, doc), group="form", exclusive=True, asks_question=True)

    async def _disconnect(self, doc: ConnectionDoc) -> None:
        detail = "Its key is deleted here and still works in Klaviyo until deleted there. The audit stays."
        if await self.confirm(f"Take {doc.name} away?", detail, typed=doc.name):
            disconnecting = self.backend.call(services.disconnect, doc.name, self.backend.actor)
            await self.with_progress("Disconnecting", disconnecting)
            await self.load()
            self.toasts.show(f"{doc.name} is disconnected.")
