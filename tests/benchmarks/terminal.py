"""Starts a program in a pseudo-terminal and measures it: time to a text, memory, what it does while nobody does
anything."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROWS, COLUMNS = 50, 140
LONGEST_S = 30.0
SETTLE_S = 3.0
"""How long after the first paint a program may still be busy with its start."""

_ESCAPES = re.compile(rb"\x1b\[[0-9;?<>=]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-_]")


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds to the first text and to the marker, MB in the end, and CPU and output while idle."""

    paint_s: float
    marker_s: float
    memory_mb: float
    idle_cpu: float = 0.0
    idle_bytes: int = 0


def measure_start(
    command: Sequence[str], marker: str, environment: Mapping[str, str], *, idle_s: float = 0.0
) -> Start:
    """Starts a command, waits for the marker on its screen, and ends it. Raises `TimeoutError`."""
    began = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        os.execvpe(
            command[0],
            list(command),
            {**os.environ, **environment, "TERM": "xterm-256color", "COLORTERM": "truecolor"},
        )
    try:
        paint, marked = _wait_for(terminal, marker, began)
        cpu, written = (0.0, 0) if not idle_s else _idle(pid, terminal, idle_s)
        return Start(paint, marked, _memory(pid), cpu, written)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


def _wait_for(terminal: int, marker: str, began: float) -> tuple[float, float]:
    """Seconds to the first text of any kind, and to the marker."""
    seen, first = b"", 0.0
    while time.perf_counter() - began < LONGEST_S:
        seen += _read(terminal, 0.05)
        # Words may be painted with a colour each.
        text = "".join(_ESCAPES.sub(b"", seen).decode("utf-8", "replace").split())
        first = first or (time.perf_counter() - began if text else 0.0)
        if marker.replace(" ", "") in text:
            return first, time.perf_counter() - began
    raise TimeoutError(f"{marker!r} was not painted within {LONGEST_S:g} s")


def _idle(pid: int, terminal: int, seconds: float) -> tuple[float, int]:
    _drain(terminal, SETTLE_S)
    before, began = _cpu(pid), time.perf_counter()
    written = _drain(terminal, seconds)
    return (_cpu(pid) - before) / (time.perf_counter() - began) * 100, written


def _drain(terminal: int, seconds: float) -> int:
    end, count = time.perf_counter() + seconds, 0
    while (left := end - time.perf_counter()) > 0:
        count += len(_read(terminal, left))
    return count


def _read(terminal: int, seconds: float) -> bytes:
    ready, _, _ = select.select([terminal], [], [], seconds)
    try:
        return os.read(terminal, 65_536) if ready else b""
    except OSError:
        return b""


def _cpu(pid: int) -> float:
    # Nanoseconds on the processor of every thread: the ticks of /proc/PID/stat are too coarse for an idle program.
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def _memory(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
