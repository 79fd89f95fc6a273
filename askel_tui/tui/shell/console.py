"""The interface of the app for screens and widgets."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, cast

from textual.dom import DOMNode

from askel_tui.tui.backend import Backend, Environment
from askel_tui.tui.preferences.session import Session
from askel_tui.tui.shell.appearance import Appearance
from askel_tui.tui.shell.daemon_control import DaemonControl
from askel_tui.tui.shell.toasts import Toasts
from askel_tui.tui.shell.typeahead import Typeahead


@dataclass(frozen=True, slots=True)
class HeaderState:
    """The state that the header shows. `daemon_running` is None until it is known."""

    connection: str | None = None
    environment: Environment = "klaviyo"
    daemon_running: bool | None = None
    daemon_is_ours: bool = False
    read_only: bool = False
    error: str | None = None
    oldest_waiting: str | None = None
    """The age of the oldest record that waits, where it is a minute or more."""
    outage: str | None = None
    """What Klaviyo does not answer, in one sentence."""


class Console(Protocol):
    """The interface that the app offers to screens and widgets; `AskelApp` implements it."""

    backend: Backend
    toasts: Toasts
    session: Session
    appearance: Appearance
    typeahead: Typeahead
    daemon: DaemonControl
    connections: list[str]
    """The names of all connections."""

    @property
    def connection(self) -> str | None:
        """The connection that the screens are about."""
        ...

    @property
    def head(self) -> HeaderState:
        """The state that the header shows."""
        ...

    def choose_connection(self, connection: str) -> None:
        """Makes the screens be about a connection."""
        ...

    def action_show(self, name: str) -> None:
        """Shows a screen by its name in the registry."""
        ...

    def action_take_in(self) -> None:
        """Asks for a file of records and ingests them."""
        ...

    def action_help(self) -> None:
        """Shows help for the focused widget."""
        ...

    def action_jump(self) -> None:
        """Shows letters over the parts of the screen, to go there."""
        ...

    async def push_screen_wait(self, screen: Any) -> Any:
        """Shows a modal screen and returns its answer. Only inside a worker."""
        ...

    def suspend(self) -> AbstractContextManager[None]:
        """Leaves the terminal to another program inside the block. Raises `SuspendNotSupported`."""
        ...


def console_of(node: DOMNode) -> Console:
    """Returns the app of a screen or widget."""
    return cast(Console, node.app)
