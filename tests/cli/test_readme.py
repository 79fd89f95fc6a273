"""The README is true: its commands, its walk, its files and its tables are held against the program."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest

from askel_tui.core.exit_codes import ExitCode
from askel_tui.core.expressions.expression import parse_expression
from askel_tui.core.operations import StepKind
from askel_tui.core.workflows.loader import load_workflow
from tests.support import readme
from tests.support.commands import EVERY, does_something
from tests.support.files import ROOT
from tests.support.readme import Command, Ran
from tests.support.sandbox import SandboxProcess

TEXT = readme.README.read_text()

_MOVING = (
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r"\d{8}T\d{6}\.\d+", "TIME"),
    (r"\b\d+ (s|min|h) ago", "AGO"),
    (r"\b[0-9a-f]{32}\b", "ID"),
    (r"\b\d+ entries", "N entries"),
    (r"\s+", " "),
)
"""What differs from run to run, and the widths of columns."""


@pytest.fixture(scope="module")
def walk() -> list[Command]:
    return readme.commands(TEXT)


# Twenty-odd processes, one after the other.
@pytest.mark.slow
def test_the_walk_goes_as_the_readme_says(
    walk: list[Command], account: SandboxProcess, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    ran = readme.run(walk, tmp_path, account.url)
    codes = _codes(walk)
    for command, printed, code in zip(walk, ran, codes, strict=True):
        where = f"README line {command.line}: {command.text.splitlines()[0]}"
        with subtests.test(where):
            assert printed.code == code, "\n".join(printed.lines)
            if not command.starts_the_sandbox:
                _assert_shown(command, printed)


def _codes(walk: list[Command]) -> list[int]:
    """What each command must exit with: 0, or what the `echo $?` after it shows."""
    following = [*walk[1:], None]
    return [int(each.shown[0]) if each is not None and each.text == "echo $?" else 0 for each in following]


def _assert_shown(command: Command, printed: Ran) -> None:
    """Every line that the README shows was printed, in that order; all of them, unless it leaves some out."""
    actual = [_settled(line) for line in printed.lines if line]
    shown = [_settled(line) for line in command.shown if line]
    if readme.LEFT_OUT not in shown:
        assert actual == shown
        return
    rest = iter(actual)
    for line in shown:
        assert line == readme.LEFT_OUT or line in rest, f"not printed: {line}\n" + "\n".join(actual)


def _settled(line: str) -> str:
    for pattern, word in _MOVING:
        line = re.sub(pattern, word, line)
    return line.strip()


def test_the_sandbox_says_what_the_readme_shows(walk: list[Command], account: SandboxProcess) -> None:
    (start,) = (command for command in walk if command.starts_the_sandbox)
    assert start.shown == [f"Sandbox on http://127.0.0.1:{readme.PORT}  key {account.key}"]
    assert readme.PORT in start.text


def test_every_command_is_in_the_table_once() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("| `askel ")]
    paths = Counter(_path_of(row) for row in rows)
    expected = {path for path, command in EVERY.items() if does_something(command)}
    assert set(paths) == expected
    assert max(paths.values()) == 1


def _path_of(row: str) -> tuple[str, ...]:
    words = row.removeprefix("| `askel ").partition("`")[0].split()
    return next(tuple(words[:length]) for length in (2, 1, 0) if tuple(words[:length]) in EVERY or not length)


def test_the_table_of_exit_codes_is_the_programs() -> None:
    assert [int(row) for row in re.findall(r"^\| (\d) \| ", TEXT, re.MULTILINE)] == list(ExitCode)


def test_the_workflow_file_holds_every_kind_of_step() -> None:
    (text,) = ("\n".join(lines) for _, lines in readme.blocks(TEXT, "yaml"))
    workflow, problems = load_workflow(text, "README.md")
    assert problems == []
    assert workflow is not None
    assert {step.kind for step in workflow.steps} == set(get_args(StepKind))


def _examples() -> list[tuple[str, str]]:
    lines = [line for _, block in readme.blocks(TEXT, "text") for line in block]
    return [(left.strip(), right.strip()) for left, arrow, right in (line.partition(" → ") for line in lines)]


@pytest.mark.parametrize(("expression", "result"), _examples())
def test_expressions_give_what_the_readme_says(expression: str, result: str) -> None:
    (data,) = (json.loads("\n".join(lines)) for _, lines in readme.blocks(TEXT, "json"))
    assert parse_expression(expression).evaluate({"data": data}) == json.loads(result)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"])
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    headings = {
        re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("#")
    }
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in headings
        elif "://" not in target:
            assert (ROOT / target).exists(), target
