"""`askel demo` on a terminal: the story happens in the console, and what it told is printed afterwards."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time

import pytest

from tests.support.patience import PATIENCE_S


@pytest.mark.slow
def test_the_demo_is_watched_in_the_console() -> None:
    """Told to its end, it is left with ctrl+q; the count is there, and the exit code is 0."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "askel_tui", "demo"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"},
        start_new_session=True,
    )
    os.close(theirs)
    try:
        # The notice stays on the screen, whatever else a slow machine has no time to paint.
        read_until(ours, rb"goes on since")
        os.write(ours, b"\x11")
        read_until(ours, rb"Nothing was lost, nothing was doubled")
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def read_until(terminal: int, wanted: bytes) -> None:
    """Reads what is painted until it holds the text."""
    seen, end = b"", time.monotonic() + 50
    while not re.search(wanted, seen):
        assert time.monotonic() < end, seen[-2000:]
        if select.select([terminal], [], [], 1)[0]:
            seen += os.read(terminal, 65_536)
