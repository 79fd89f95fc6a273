"""kill -9 at random moments of the real daemon: the account ends as it does undisturbed, no event is there twice."""

from __future__ import annotations

import json
import random
import subprocess
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.support.homes import prepare, read_end
from tests.support.revisions import OLDEST_AND_NEWEST
from tests.support.sandbox import SandboxProcess, sandbox_process
from tests.support.shell import Shell, kill
from tests.support.workbench import example

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

WORKFLOWS = ("first-points-welcome", "checkout-completed", "newsletter-consent", "vip-gift")
FILES = ("first-points.jsonl", "other-events.jsonl")
RUNS = 10
"""Per revision."""
KILLS = 3
"""Per run."""


def _ready(home: Path, sandbox: SandboxProcess, revision: str) -> Shell:
    shell = Shell(home, sandbox.url, sandbox.key)
    texts = [example(f"{name}.yaml").read_text() for name in WORKFLOWS]
    prepare(shell, texts, files=[example(name) for name in FILES], revision=revision)
    return shell


@cache
def _undisturbed(revision: str) -> tuple[str, int, int]:
    """The end state as JSON, how many requests it took, and how many records end as failures (a phone of two)."""
    with TemporaryDirectory() as directory, sandbox_process() as sandbox:
        shell = _ready(Path(directory) / "home", sandbox, revision)
        before = _seen(sandbox)
        shell.run("daemon", "--until-idle", ASKEL_BUDGETS="off")
        ended = read_end(shell)
        ended.assert_once(failures=ended.failures)
        assert ended.holds == {}
        return json.dumps(_plain(sandbox.state())), _seen(sandbox) - before, ended.failures


def _seen(sandbox: SandboxProcess) -> int:
    """How many requests the sandbox has had."""
    return int(sandbox.control("GET", "requests?limit=0")["last"])


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    """A state without what differs from run to run: ids of the account's own making, times of writing, order."""
    made = ("id", "created", "updated", "consent_records", "lists", "suppressions", "list_suppressions")
    rows = {
        "profiles": [
            {name: value for name, value in each.items() if name not in made}
            | {"lists": sorted(each["lists"])}
            for each in state["profiles"]
        ],
        "lists": [{"name": each["name"], "emails": each["emails"]} for each in state["lists"]],
        "segments": [{"name": each["name"], "emails": each["emails"]} for each in state["segments"]],
        "metrics": [{"name": each["name"], "events": each["events"]} for each in state["metrics"]],
        "events": [
            {name: value for name, value in each.items() if name not in ("id", "profile")}
            for each in state["events"]
        ],
        "flows": [
            {"name": each["name"], "starts": sorted(start["email"] for start in each["starts"])}
            for each in state["flows"]
        ],
    }
    return {
        kind: sorted(found, key=lambda row: json.dumps(row, sort_keys=True)) for kind, found in rows.items()
    }


def _killed(shell: Shell, sandbox: SandboxProcess, after: int) -> bool:
    """Starts the daemon and kills it once it has made so many requests; False where it ended before."""
    start = _seen(sandbox)
    daemon = shell.start("daemon", "--until-idle", ASKEL_BUDGETS="off")
    try:
        while daemon.poll() is None:
            if _seen(sandbox) - start >= after:
                return True
            try:
                daemon.wait(0.002)
            except subprocess.TimeoutExpired:
                continue
        return False
    finally:
        kill(daemon)


def _to_the_end(shell: Shell) -> None:
    """Runs until nothing is left; a person releases what consent in doubt is held for them."""
    shell.run("daemon", "--until-idle", code=None, ASKEL_BUDGETS="off")
    holds = read_end(shell).holds
    if holds:
        assert set(holds.values()) == {"in_doubt"}
        shell.run("hold", "release")
        shell.run("daemon", "--until-idle", ASKEL_BUDGETS="off")


@pytest.fixture
def sandbox() -> Iterator[SandboxProcess]:
    with sandbox_process() as one:
        yield one


@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize("revision", OLDEST_AND_NEWEST)
def test_the_end_is_that_of_an_undisturbed_run(
    sandbox: SandboxProcess, tmp_path: Path, revision: str, run: int
) -> None:
    expected, requests, failures = _undisturbed(revision)
    chance = random.Random(f"{revision} {run}")
    shell = _ready(tmp_path / "home", sandbox, revision)
    kills = sum(_killed(shell, sandbox, chance.randrange(1, max(2, requests // KILLS))) for _ in range(KILLS))
    _to_the_end(shell)

    assert kills
    read_end(shell).assert_once(failures=failures)
    state = sandbox.state()
    found, wanted = _plain(state), json.loads(expected)
    for kind in wanted:
        assert found[kind] == wanted[kind], kind
    stored = Counter(event["unique_id"] for event in state["events"] if event["unique_id"])
    assert set(stored.values()) == {1}
    log = sandbox.control("GET", "requests")["requests"]
    accepted = {
        entry["body"]["data"]["attributes"]["unique_id"]
        for entry in log
        if entry["endpoint"] == "create_event" and entry["status"] == 202
    }
    assert accepted <= set(stored)


def test_the_kills_met_requests_in_doubt(tmp_path: Path, sandbox: SandboxProcess) -> None:
    """Random kills prove nothing about events in doubt unless some event was sent twice."""
    expected, requests, failures = _undisturbed("2026-07-15")
    shell = _ready(tmp_path / "home", sandbox, "2026-07-15")
    sandbox.control("POST", "faults", {"endpoint": "create_event", "delay": 0.05})
    start = _seen(sandbox)
    for step in range(1, 9):
        _killed(shell, sandbox, requests * step // 10)
    _to_the_end(shell)
    log = sandbox.control("GET", f"requests?after={start}")["requests"]
    sent = Counter(
        entry["body"]["data"]["attributes"]["unique_id"]
        for entry in log
        if entry["endpoint"] == "create_event"
    )
    assert max(sent.values()) > 1, "no event was ever in doubt: the kills came at the wrong moments"
    assert len(sandbox.state()["events"]) == len(json.loads(expected)["events"])
    read_end(shell).assert_once(failures=failures)
