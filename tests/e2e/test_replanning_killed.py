"""kill -9 while a repaired version is activated: everybody who waited gets the new plan once, nobody the old one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bad_days import WELCOME
from tests.support.homes import prepare, read_end, take
from tests.support.patience import PATIENCE_S
from tests.support.sandbox import SandboxProcess, sandbox_process
from tests.support.shell import Shell
from tests.support.workbench import points

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

POINTS = [f"{when} {what}" for what in ("begin", "apply", "end") for when in ("before", "after")]
KNOWN, WAITING = 10, 5
ACTIVATE = ("workflow", "activate", "welcome", "--replan")


@pytest.fixture
def sandbox() -> Iterator[SandboxProcess]:
    with sandbox_process() as one:
        yield one


@pytest.fixture
def shell(sandbox: SandboxProcess, tmp_path: Path) -> Shell:
    """A home whose tier step is held for a renamed property, and whose repaired version is applied."""
    shell = Shell(tmp_path / "home", sandbox.url, sandbox.key)
    prepare(shell, [WELCOME], [points(number) for number in range(KNOWN)])
    shell.run("daemon", "--until-idle", ASKEL_BUDGETS="off")
    sandbox.control("POST", "properties/LoyaltyTier/rename", {"to": "LoyaltyLevel"})
    take(shell, [points(number) for number in range(KNOWN, KNOWN + WAITING)])
    shell.run("daemon", "--until-idle", code=3, ASKEL_BUDGETS="off")
    assert read_end(shell).holds == {"tier": "property_renamed"}
    file = tmp_path / "welcome.yaml"
    file.write_text(WELCOME.replace("LoyaltyTier:", "LoyaltyLevel:"))
    shell.run("workflow", "apply", str(file))
    return shell


def _crash(shell: Shell, point: str, *words: str) -> None:
    """Runs a command that has to die at the point."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.crashing", point, "-", str(shell.home.parent / "note"), *words],
        env=shell.environment(ASKEL_BUDGETS="off"),
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, f"{point} was never met: {done.stderr.decode()}"


def _assert_repaired(shell: Shell, sandbox: SandboxProcess, since: int) -> None:
    """Every shopper has the new property and is in everything else once; the old one was not written again."""
    shell.run("daemon", "--until-idle", ASKEL_BUDGETS="off")
    ended = read_end(shell)
    ended.assert_once()
    assert ended.holds == {}
    state = sandbox.state()
    ours = [each for each in state["profiles"] if str(each.get("external_id")).startswith("T-")]
    assert len(ours) == KNOWN + WAITING
    assert all(each["properties"]["LoyaltyLevel"] == "gold" for each in ours)
    assert not [each for each in ours if "LoyaltyTier" in each["properties"]]
    assert all("Welcome Flow" in each["lists"] for each in ours)
    log = sandbox.control("GET", f"requests?after={since}")["requests"]
    assert "LoyaltyTier" not in json.dumps([entry["body"] for entry in log])
    events = [event for event in state["events"] if str(event["email"]).startswith("t")]
    assert len({event["unique_id"] for event in events}) == len(events)


@pytest.mark.parametrize("point", POINTS)
def test_an_activation_that_was_killed_is_finished_by_the_next_start(
    shell: Shell, sandbox: SandboxProcess, point: str
) -> None:
    since = sandbox.control("GET", "requests?limit=0")["last"]
    _crash(shell, point, *ACTIVATE)
    _assert_repaired(shell, sandbox, since)


def test_a_daemon_that_is_killed_again_and_again_finishes_it(shell: Shell, sandbox: SandboxProcess) -> None:
    since = sandbox.control("GET", "requests?limit=0")["last"]
    _crash(shell, "before begin", *ACTIVATE)
    for point in ("after begin", "after apply", "before end", "after end"):
        _crash(shell, point, "daemon", "--until-idle")
    _assert_repaired(shell, sandbox, since)
