"""The two lines at the top of every screen: the state of the console, and the screens by number."""

from __future__ import annotations

from typing import Any

from textual.content import Content
from textual.widget import Widget

from askel_tui.text.cells import cell_width, truncate
from askel_tui.tui.shell.console import console_of
from askel_tui.tui.shell.screen_registry import SCREENS

OUTAGE_CELLS = 22
"""The room that an outage gets at least, in cells; the name of the connection leaves it."""

MIN_NAME_CELLS = 8
"""The cells that the name of the connection gets at least."""


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
        spacious = wide and (self.size.width >= 90 or not head.read_only)
        parts: list[Any] = [("▌askel ", "bold $accent")]
        if head.error:
            return Content.assemble(*parts, ("✗ ", "bold $error"), truncate(head.error, self.size.width - 12))
        state: list[Any] = ["  "]
        if head.environment == "sandbox":
            state.append((" SANDBOX ", "bold reverse $success"))
        else:
            state.append((" KLAVIYO · REAL " if wide else " REAL ", "bold reverse $error"))
        state.append("  ")
        if head.daemon_running is None:
            state.append(("◌ opening…", "$foreground-muted"))
        elif head.daemon_running:
            word = "daemon runs" + (" (started here)" if head.daemon_is_ours and wide else "")
            state.append((f"● {word}", "$success"))
        else:
            state.append(("○ no daemon: nothing is sent" if spacious else "○ no daemon", "$warning"))
        if head.read_only:
            state += ["  ", (" READ-ONLY ", "bold reverse")]
        waits = f"◷ {head.oldest_waiting}" if head.oldest_waiting and wide and not head.outage else ""
        alert = OUTAGE_CELLS if head.outage else cell_width(waits)
        left = self.size.width - Content.assemble(*parts, *state).cell_length - 2 - alert
        most = 28 if wide else 14
        name = truncate(head.connection or "no connection", max(MIN_NAME_CELLS, min(most, left)))
        parts += [(name, "bold"), *state]
        room = self.size.width - Content.assemble(*parts).cell_length - 2
        if head.outage:
            parts += ["  ", (f"✗ {truncate(head.outage, room - 2)}", "bold $error")]
        elif waits:
            whole = f"◷ oldest waits {head.oldest_waiting}"
            parts += ["  ", (whole if cell_width(whole) <= room else waits, "$warning")]
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
