"""What only a terminal gets: a hidden prompt, a progress bar, a question."""

from __future__ import annotations

import io
import os
import pty
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from askel_tui.cli.commands.ingest import Progress
from askel_tui.services.ingest import IngestResult
from tests.support.patience import PATIENCE_S
from tests.support.shell import ASKEL, Shell


@contextmanager
def _on_terminal(shell: Shell, *words: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """`askel` with a terminal for all three streams: the process and our end of the terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*ASKEL, *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=shell.environment(),
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait(PATIENCE_S)
        os.close(ours)


def _until(ours: int, word: str) -> str:
    """What the terminal shows until a word has come."""
    seen = ""
    while word not in seen:
        seen += os.read(ours, 4096).decode()
    return seen


def _rest(ours: int) -> str:
    seen = b""
    try:
        while more := os.read(ours, 4096):
            seen += more
    except OSError:
        pass  # Linux answers so when the other end is closed.
    return seen.decode()


def test_the_key_is_asked_for_and_never_shown(shell: Shell) -> None:
    with _on_terminal(shell, "connect", "maple-ember") as (process, ours):
        assert "private key" in _until(ours, "key")
        os.write(ours, shell.key.encode() + b"\n")
        shown = _until(ours, "is connected")
        shown += _rest(ours)
        assert process.wait(PATIENCE_S) == 0
    assert shell.key not in shown
    assert "MpEmbr" in shown


def test_disconnecting_asks_and_takes_a_no(shell: Shell) -> None:
    shell.connect()
    with _on_terminal(shell, "disconnect", "maple-ember") as (process, ours):
        _until(ours, "[y/N]")
        os.write(ours, b"n\n")
        assert "nothing was changed" in _rest(ours)
        assert process.wait(PATIENCE_S) == 1
    assert len(shell.json("connections")["connections"]) == 1


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_drawn_by_the_share_of_the_file_and_taken_away(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    screen = _Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    path = f"{tmp_path}/records"
    with open(path, "wb") as made:
        made.write(b"x\n" * 100)
    with open(path, "rb") as stream:
        progress = Progress(200)
        lines = progress.read(iter(stream))
        for _ in range(50):
            next(lines)
        progress.show(IngestResult(accepted=48, refused=2))
        drawn = screen.getvalue()
        progress.end()
    assert " 50%  48 records, 2 refused" in drawn
    assert drawn.count("#") == drawn.count(".") == 12
    assert screen.getvalue().endswith("\r\x1b[K")


def test_progress_is_silent_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr("sys.stderr", screen)
    progress = Progress(0)
    progress.show(IngestResult(accepted=1))
    progress.end()
    assert screen.getvalue() == ""
