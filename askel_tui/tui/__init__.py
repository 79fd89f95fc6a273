"""The console. Importing this loads no Textual: that happens when it is run."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def run(read_only: bool = False) -> None:
    """Opens the console and returns when it is left. With `read_only`, no write leaves the process."""
    # Nothing moves by itself; Textual reads this when it is loaded.
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    # A page that was asked for waits for half as long.
    os.environ.setdefault("TEXTUAL_FPS", "120")
    with _opening_message():
        from askel_tui.tui.app import AskelApp

        app = AskelApp(read_only=read_only)
    app.run()


@contextmanager
def _opening_message() -> Iterator[None]:
    """Says on the screen that the console is about to paint that it opens; leaves that screen where it can't."""
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
