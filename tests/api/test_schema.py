"""The OpenAPI document is true: schemathesis asks what it allows and what it does not, and finds nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.listening import listening

EXAMPLES = 50
"""How many requests of each kind schemathesis makes up for each operation."""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_answer_is_one_that_the_document_names(tmp_path: Path) -> None:
    with listening(tmp_path / "home") as front:
        command = [
            str(Path(sys.executable).with_name("schemathesis")),
            "run",
            f"{front.url}/openapi.json",
            "--header",
            f"Authorization: Bearer {front.token}",
            # A tail has no end, so it can't be asked like the rest: test_operating.py follows it.
            "--exclude-path-regex",
            ".*/stream$",
            "--max-examples",
            str(EXAMPLES),
            "--request-timeout",
            "40",
            "--no-color",
        ]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=850, check=False
        )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
