"""Real processes for tests: what happens when several of them write, and when one is killed."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@contextmanager
def python(
    code: str, *arguments: object, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Runs Python code in a process of its own with pipes for its input and output; kills it at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def run_python(code: str, *arguments: object, env: Mapping[str, str] | None = None) -> str:
    """What the code prints; fails the test with its standard error if it ends badly."""
    with python(code, *arguments, env=env) as process:
        return finished(process)


def finished(process: subprocess.Popen[str]) -> str:
    """Waits for a process and gives what it printed; fails the test with its standard error if it ended badly."""
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    return out


def line(process: subprocess.Popen[str]) -> str:
    """The next line that a process prints."""
    assert process.stdout is not None
    text = process.stdout.readline()
    assert text, process.stderr.read() if process.stderr else ""
    return text.strip()


def children(pid: int) -> list[int]:
    """The processes that a process has started and that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            after_name = stat.read_text().rpartition(")")[2].split()
            if after_name[0] != "Z" and int(after_name[1]) == pid:
                found.append(int(stat.parent.name))
    return found
