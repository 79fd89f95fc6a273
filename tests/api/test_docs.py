"""The examples of docs/api.md run as they stand there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.listening import Listening, listening
from tests.support.shared import ROOT

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLES = [
    (language, code)
    for language, code in _BLOCK.findall((ROOT / "docs" / "api.md").read_text(encoding="utf-8"))
    if language != "console"
]
PROGRAMS = {
    "sh": ["sh", "-eu", "-c"],
    "python": [sys.executable, "-c"],
    "js": ["node", "--input-type=module", "-e"],
}


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    with listening(tmp_path_factory.mktemp("home")) as one:
        yield one


@pytest.mark.parametrize(("language", "code"), EXAMPLES)
def test_an_example_of_the_docs_runs(front: Listening, language: str, code: str) -> None:
    program = PROGRAMS[language]
    needed = "curl" if "curl" in code else program[0]
    if not shutil.which(needed):
        pytest.skip(f"{needed} is not here")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = front.shell.environment(ASKEL_URL=front.url, ASKEL_TOKEN=front.token, PATH=path)
    done = subprocess.run(
        [*program, code], env=environment, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "refused" not in done.stdout.replace('"refused":0', "")


def test_there_are_examples_in_each_language() -> None:
    assert {language for language, _ in EXAMPLES} == set(PROGRAMS)
