"""The two lines at the top of every screen: the state of the console, and the screens by number."""

from __future__ import annotations

from typing import Any

from textual.content import Content
from textual.widget import Widget

from askel_tui.text.cells import truncate
from askel_tui.tui.shell.console import console_of
from askel_tui.tui.shell.screen_registry import SCREENS


class TopBar(Widget):
    """The first line: the connection, the environment, whether a daemon runs, and whether the console is read-only."""

    def on_mount(self) -> None:
        """Follows the header state of the app."""
        self.watch(self.app, "head", self._redraw)

    def _redraw(self) -> None:
        self.refresh()

    def render(self) -> Content:
        """Renders the line."""
        head = console_of(self).head
        wide = self.size.width >= 76
        parts: list[Any] = [("▌askel ", "bold $accent")]
        if head.error:
            return Content.assemble(*parts, ("✗ ", "bold $error"), truncate(head.error, self.size.width - 12))
        named = truncate(head.connection, 28 if wide else 14) if head.connection else "no connection"
        parts += [(named, "bold"), "  "]
        if head.environment == "sandbox":
            parts.append((" SANDBOX ", "bold reverse $success"))
        else:
            parts.append((" KLAVIYO · REAL " if wide else " REAL ", "bold reverse $error"))
        parts.append("  ")
        if head.daemon_running is None:
            parts.append(("◌ opening…", "$foreground-muted"))
        elif head.daemon_running:
            word = "daemon runs" + (" (started here)" if head.daemon_is_ours and wide else "")
            parts.append((f"● {word}", "$success"))
        else:
            parts.append(("○ no daemon: nothing is sent" if wide else "○ no daemon", "$warning"))
        if head.outage:
            room = self.size.width - Content.assemble(*parts).cell_length - 4
            parts += ["  ", (f"✗ {truncate(head.outage, max(room, 20))}", "bold $error")]
        elif head.oldest_waiting and wide:
            parts += ["  ", (f"◷ oldest waits {head.oldest_waiting}", "$warning")]
        if head.read_only:
            parts += ["  ", (" READ-ONLY ", "bold reverse")]
        return Content.assemble(*parts)


class NavBar(Widget):
    """The screens with their numbers, each of which can be clicked; the present one stands out."""

    def __init__(self, present: str) -> None:
        super().__init__()
        self._present = present

    def render(self) -> Content:
        """Renders the line; too narrow for all titles, it has the numbers and the present title."""
        room = self.size.width
        whole = sum(len(entry.title) + 3 for entry in SCREENS) <= room + 1
        parts = []
        for entry in SCREENS:
            here = entry.name == self._present
            title = f"{entry.key} {entry.title}" if whole or here else entry.key
            style = "bold reverse" if here else "$foreground-muted"
            parts.append(f"[@click=app.show('{entry.name}')][{style}]{title}[/][/]")
        return Content.from_markup(" ".join(parts))
