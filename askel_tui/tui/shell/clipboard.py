"""Copying: through a native tool, else through the terminal (OSC 52, works over SSH), and saying what happened."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

from askel_tui.tui.shell.workers import beside
from askel_tui.tui.text.inert import inert

if TYPE_CHECKING:
    from askel_tui.tui.app import AskelApp

LIMIT = 100_000
"""Bytes that terminals are known to take through OSC 52."""

TOOLS = (("wl-copy",), ("xclip", "-selection", "clipboard"), ("xsel", "-ib"), ("pbcopy",))

WAIT_S = 2.0


def copy(app: AskelApp, text: str, what: str) -> None:
    """Copies a text and says so; `what` names it ("the id", "the request as curl")."""
    beside(app, lambda: _copy(app, text, what), "copy", exclusive=True)


async def _copy(app: AskelApp, text: str, what: str) -> None:
    mode = app.config.clipboard
    size = len(text.encode("utf-8", "surrogatepass"))
    ways: list[str] = []
    if mode in ("auto", "native") and await _native(text):
        ways.append("the system's clipboard")
    if mode == "osc52" or (mode == "auto" and not ways):
        if size > LIMIT:
            app.say(
                f"{inert(what[:1].upper() + what[1:])}: {size:,} bytes; terminals take {LIMIT:,}. "
                "Install wl-copy or xclip, or export it.",
                title="Not copied",
                severity="warning",
            )
            return
        app.copy_to_clipboard(text)
        ways.append("the terminal, if it allows that (OSC 52)")
    if not ways:
        app.say("No clipboard tool answers: set clipboard to osc52.", title="Not copied", severity="warning")
        return
    app.say(f"Copied {inert(what)}, through {ways[0]}.", title="Copied")


async def _native(text: str) -> bool:
    """Whether a native tool took the text."""
    for command in TOOLS:
        if shutil.which(command[0]) is None:
            continue
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
            async with asyncio.timeout(WAIT_S):
                await process.communicate(text.encode("utf-8", "replace"))
        except (OSError, TimeoutError):
            continue
        if process.returncode == 0:
            return True
    return False
