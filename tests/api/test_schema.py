"""The OpenAPI document is true: schemathesis asks what it allows and what it does not, and finds nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.files import ROOT
from tests.support.http_api import WORKFLOW
from tests.support.listening import Listening, listening
from tests.support.schema_hooks import HOOK
from tests.support.workbench import NAME

EXAMPLES = 40
"""How many requests schemathesis makes up for each operation, beside those at the edges."""

FEW_EXAMPLES = ("--phases", "examples,fuzzing", "--max-examples", "2", "--seed", "1")
"""A look in passing: the examples of the document, and two requests more for each operation."""

CONFIG = f"""
hooks = "tests.support.schema_hooks"

[parameters]
"path.name" = "{NAME}"
"path.segment" = "VIP"
"path.list" = "Newsletter"
"path.flow" = "Welcome Series"
"path.workflow" = "tested"
"path.hook" = "shop"

# What it sends here is signed; nothing else changes this webhook.
[[operations]]
include-path-regex = "/webhooks/"
include-method = "POST"
parameters = {{ "path.hook" = "signed", "path.name" = "{NAME}" }}

# That exactly one parameter names the profile is a rule that OpenAPI has no words for.
[[operations]]
include-path-regex = "/(profiles|members)$"
include-method = "GET"
checks.positive_data_acceptance.enabled = false

# A list's items are judged one by one: a bad one is refused inside an answer that takes the others.
[[operations]]
include-path-regex = "/(records|cloudevents|batch)$"
checks.negative_data_rejection.enabled = false
"""


def run(front: Listening, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "tested.yaml").write_text(WORKFLOW)
    (folder / "schemathesis.toml").write_text(CONFIG)
    front.shell.run("workflow", "apply", str(folder / "tested.yaml"))
    front.call("PUT", f"/v1/connections/{NAME}/webhooks/signed", HOOK)
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "--config-file",
        "schemathesis.toml",
        "run",
        f"{front.url}/openapi.json",
        "--header",
        f"Authorization: Bearer {front.token}",
        # A tail has no end, so it can't be asked like the rest: test_operating.py follows it.
        "--exclude-path-regex",
        ".*/stream$",
        "--request-timeout",
        "40",
        "--no-color",
        *options,
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=850, check=False
    )


@pytest.mark.slow
def test_the_document_is_true_at_a_glance(tmp_path: Path) -> None:
    with listening(tmp_path / "home", ASKEL_BUDGETS="off") as front:
        done = run(front, tmp_path, *FEW_EXAMPLES)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_answer_is_one_that_the_document_names(tmp_path: Path) -> None:
    with listening(tmp_path / "home", ASKEL_BUDGETS="off") as front:
        done = run(front, tmp_path, "--max-examples", str(EXAMPLES))
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
