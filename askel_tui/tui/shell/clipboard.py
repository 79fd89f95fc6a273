"""Copying to the clipboard: through a native tool, else through the terminal (OSC 52, works over SSH)."""

from __future__ import annotations

import asyncio
import shutil

from textual.dom import DOMNode

from askel_tui.text.sanitizing import sanitize
from askel_tui.tui.shell.console import console_of
from askel_tui.tui.shell.workers import run_in_background

MAX_OSC52_BYTES = 100_000
"""The number of bytes that terminals are known to take through OSC 52."""

CLIPBOARD_TOOLS = (("wl-copy",), ("xclip", "-selection", "clipboard"), ("xsel", "-ib"), ("pbcopy",))
"""The commands that take the text on their standard input, in the order in which they are tried."""

TOOL_TIMEOUT_S = 2.0
"""Time that a command may take, in seconds."""


def copy(node: DOMNode, text: str, what: str) -> None:
    """Copies a text for a screen or widget and shows a toast; `what` names it ("the id", "the request as curl")."""
    run_in_background(node.app, lambda: _copy(node, text, what), "copy", exclusive=True)


async def _copy(node: DOMNode, text: str, what: str) -> None:
    console = console_of(node)
    mode, toasts = console.appearance.config.clipboard, console.toasts
    size = len(text.encode("utf-8", "surrogatepass"))
    ways: list[str] = []
    if mode in ("auto", "native") and await _copy_with_tool(text):
        ways.append("the system's clipboard")
    if mode == "osc52" or (mode == "auto" and not ways):
        if size > MAX_OSC52_BYTES:
            toasts.show(
                f"{sanitize(what[:1].upper() + what[1:])}: {size:,} bytes; terminals take {MAX_OSC52_BYTES:,}. "
                "Install wl-copy or xclip, or export it.",
                title="Not copied",
                severity="warning",
            )
            return
        node.app.copy_to_clipboard(text)
        ways.append("the terminal, if it allows that (OSC 52)")
    if not ways:
        toasts.show(
            "No clipboard tool answers: set clipboard to osc52.", title="Not copied", severity="warning"
        )
        return
    toasts.show(f"Copied {sanitize(what)}, through {ways[0]}.", title="Copied")


async def _copy_with_tool(text: str) -> bool:
    """Hands the text to the first native tool that takes it; returns False where none does."""
    for command in CLIPBOARD_TOOLS:
        if shutil.which(command[0]) is None:
            continue
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
            async with asyncio.timeout(TOOL_TIMEOUT_S):
                await process.communicate(text.encode("utf-8", "replace"))
        except (OSError, TimeoutError):
            continue
        if process.returncode == 0:
            return True
    return False
