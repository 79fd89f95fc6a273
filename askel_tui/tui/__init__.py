"""The console. Importing this loads no Textual: that happens when it is run."""

from __future__ import annotations


def run(read_only: bool = False) -> None:
    """Opens the console and returns when it is left. With `read_only`, no write leaves the process."""
    import os

    # Nothing moves by itself; Textual reads this when it is loaded.
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    # A page that was asked for waits for half as long.
    os.environ.setdefault("TEXTUAL_FPS", "120")
    from askel_tui.tui.app import AskelApp

    AskelApp(read_only=read_only).run()
