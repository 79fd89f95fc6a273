"""The README's walk, run as it stands: `console` blocks hold commands after `$ ` and what they print, `bash` blocks
are one command to copy, which prints nothing.

A line `…` stands for output that is left out. All commands run in one shell, in order, in a home of their own; the
sandbox is started beside it. `python -m tests.support.readme` writes what commands print today into the README;
outputs that leave something out stay as they are and are for a person.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.files import ROOT
from tests.support.sandbox import sandbox_process

README = ROOT / "README.md"
LEFT_OUT = "…"
PORT = "8787"
SOMEONE = "/home/you"
"""The home directory that the README shows."""

_CURL = """
import sys, urllib.request
silent, method_option, method, url = sys.argv[1:]
assert (silent, method_option) == ("-s", "-X")
with urllib.request.urlopen(urllib.request.Request(url, method=method)) as answer:
    print(answer.read().decode())
"""
"""What the walk needs of curl, for machines that have none."""

_MARK = "\x1e"
_SANDBOX = "askel sandbox"


@dataclass
class Command:
    """A command, the number of its line in the README, and the output shown below it."""

    text: str
    line: int
    shown: list[str] = field(default_factory=list)

    @property
    def starts_the_sandbox(self) -> bool:
        """Whether it is the one that is not awaited."""
        return self.text.startswith(_SANDBOX)


@dataclass(frozen=True)
class Ran:
    """What a command printed on both streams, line by line, and its exit code."""

    lines: list[str]
    code: int


def blocks(text: str, language: str) -> Iterator[tuple[int, list[str]]]:
    """The fenced blocks of a language: the number of their first line, and their lines."""
    inside: list[str] | None = None
    first = 0
    for number, line in enumerate(text.splitlines(), 1):
        if inside is None and line == f"```{language}":
            inside, first = [], number + 1
        elif inside is not None and line == "```":
            yield first, inside
            inside = None
        elif inside is not None:
            inside.append(line)


def commands(text: str) -> list[Command]:
    """The commands of the walk, in order."""
    found = [Command("\n".join(lines), first - 1) for first, lines in blocks(text, "bash")]
    for first, lines in blocks(text, "console"):
        for number, line in enumerate(lines, first):
            if line.startswith("$ "):
                found.append(Command(line[2:], number))
            else:
                assert number > first, f"README line {number} is output of no command"
                found[-1].shown.append(line)
    return sorted(found, key=lambda each: each.line)


def run(given: Sequence[Command], directory: Path, url: str) -> list[Ran]:
    """Runs the commands in one shell whose home is `directory`; the sandbox's address is `url`."""
    programs = directory / "bin"
    programs.mkdir()
    _program(programs / "askel", f'exec "{sys.executable}" -m askel_tui "$@"')
    if shutil.which("curl") is None:
        (directory / "curl.py").write_text(_CURL)
        _program(programs / "curl", f'exec "{sys.executable}" "{directory}/curl.py" "$@"')
    script = "".join(_guarded(each, url) for each in given)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ASKEL_")}
    done = subprocess.run(
        ["bash", "-s"],
        input=script.encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=directory,
        env={
            **kept,
            "HOME": str(directory),
            "LOGNAME": "you",
            "NO_COLOR": "1",
            "PATH": f"{programs}:{kept['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PYTHONSAFEPATH": "1",
            "TZ": "UTC",
        },
        timeout=170,
        check=False,
    )
    return _parts(
        done.stdout.decode().replace(str(directory), SOMEONE).replace(url, _shown_url()), len(given)
    )


def _program(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def _shown_url() -> str:
    return f"http://127.0.0.1:{PORT}"


def _guarded(command: Command, url: str) -> str:
    text = ":" if command.starts_the_sandbox else command.text.replace(_shown_url(), url)
    # The shell reads its script from standard input, so commands may not.
    return f"{{ {text}\n}} </dev/null; rc=$?; printf '\\n{_MARK}%d\\n' $rc; (exit $rc)\n"


def _parts(output: str, expected: int) -> list[Ran]:
    *parts, rest = re.split(rf"\n{_MARK}(\d+)\n", output)
    assert len(parts) == 2 * expected, f"the shell stopped early: {output[-2000:]}"
    assert not rest
    return [
        Ran([line.rstrip() for line in printed.rstrip("\n").splitlines()], int(code))
        for printed, code in zip(parts[::2], parts[1::2], strict=True)
    ]


def renewed(text: str, given: Sequence[Command], ran: Sequence[Ran]) -> str:
    """The README with what the commands printed now."""
    lines = text.splitlines()
    for command, printed in reversed(list(zip(given, ran, strict=True))):
        if LEFT_OUT in command.shown or command.starts_the_sandbox or "\n" in command.text:
            continue
        start = command.line
        blank = [""] if command.shown and command.shown[-1] == "" else []
        lines[start : start + len(command.shown)] = printed.lines + blank
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    before = README.read_text()
    walk = commands(before)
    with tempfile.TemporaryDirectory() as temporary, sandbox_process() as account:
        README.write_text(renewed(before, walk, run(walk, Path(temporary), account.url)))
