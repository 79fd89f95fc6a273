"""The console. Importing this loads no Textual: that happens when it is run."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def run(read_only: bool = False) -> None:
    """Opens the console and returns when it is left. With `read_only`, no write leaves the process."""
    # Nothing moves by itself. Textual reads both variables when it is loaded.
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    # A scrolled page is painted after half of the usual time.
    os.environ.setdefault("TEXTUAL_FPS", "120")
    with _opening_message():
        from askel_tui.tui.app import AskelApp

        app = AskelApp(read_only=read_only)
    app.run()


@contextmanager
def _opening_message() -> Iterator[None]:
    """Shows a message on the alternate screen while the console loads; leaves that screen when loading fails."""
    terminal = sys.__stderr__
    if terminal is None or not terminal.isatty():
        yield
        return
    terminal.write("\x1b[?1049h\x1b[H\x1b[2J Askel is opening …")
    terminal.flush()
    try:
        yield
    except BaseException:
        terminal.write("\x1b[?1049l")
        terminal.flush()
        raise
