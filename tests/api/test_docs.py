"""The examples of docs/api.md and of the README's part on the HTTP API run as they stand there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.files import ROOT
from tests.support.listening import Listening, listening
from tests.support.patience import PATIENCE_S

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SECTION = re.compile(r"^## The HTTP API\n(.*?)^## ", re.MULTILINE | re.DOTALL)


def _examples() -> list[tuple[str, str, str]]:
    """(page, language, code)."""
    pages = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/api.md")}
    (pages["README.md"],) = _SECTION.findall(pages["README.md"])
    return [(page, language, code) for page, text in pages.items() for language, code in _BLOCK.findall(text)]


EXAMPLES = _examples()
PROGRAMS = {
    "sh": ["sh", "-eu", "-c"],
    "python": [sys.executable, "-c"],
    "js": ["node", "--input-type=module", "-e"],
}


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    with listening(tmp_path_factory.mktemp("home")) as one:
        yield one


@pytest.mark.parametrize(("page", "language", "code"), EXAMPLES)
def test_an_example_of_the_docs_runs(front: Listening, page: str, language: str, code: str) -> None:
    program = PROGRAMS[language]
    needed = "curl" if "curl" in code else program[0]
    if not shutil.which(needed):
        pytest.skip(f"{needed} is not here")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = front.shell.environment(ASKEL_URL=front.url, ASKEL_TOKEN=front.token, PATH=path)
    done = subprocess.run(
        [*program, code], env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "refused" not in done.stdout.replace('"refused":0', "")


def test_there_are_examples_in_each_language() -> None:
    for page in ("README.md", "docs/api.md"):
        assert {language for where, language, _ in EXAMPLES if where == page} == set(PROGRAMS)
