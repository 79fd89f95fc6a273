"""The console's commands in the palette: screens, connections, records, the daemon, help."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from textual.app import SystemCommand

from askel_tui.text.sanitizing import sanitize
from askel_tui.tui.shell.console import Console
from askel_tui.tui.shell.screen_registry import SCREENS


def console_commands(console: Console, *, can_ingest: bool) -> Iterable[SystemCommand]:
    """Yields the commands that are possible now; `can_ingest` is True if the screen in front can ingest records."""
    for entry in SCREENS:
        title, about = f"Screen: {entry.title}", f"{entry.description}  ({entry.key})"
        yield SystemCommand(title, about, partial(console.action_show, entry.name))
    for name in console.connections:
        if name != console.connection:
            choose = partial(console.choose_connection, name)
            yield SystemCommand(f"Connection: {sanitize(name)}", "Show this connection", choose)
    if not console.backend.read_only:
        if console.connection is not None and can_ingest:
            about = f"For {sanitize(console.connection)}"
            yield SystemCommand("Records: Take in a file", about, console.action_take_in)
        if console.backend.started_daemon:
            yield SystemCommand("Daemon: Stop", "End the daemon that was started here", console.daemon.stop)
        elif not console.head.daemon_running:
            yield SystemCommand("Daemon: Start", "Keep records moving into Klaviyo", console.daemon.start)
    yield SystemCommand("Help: Focus", "Help for what has the focus (F1)", console.action_help)
    yield SystemCommand("View: Jump", "Go to a part of the screen (ctrl+o)", console.action_jump)
