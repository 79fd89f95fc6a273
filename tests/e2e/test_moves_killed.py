"""kill -9 while a connection moves to another revision with all that waits: nothing lost, doubled or out of order."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from askel_tui.contract.endpoints import NEWEST
from tests.support.bad_days import WELCOME
from tests.support.homes import prepare, read_end, release, take
from tests.support.patience import PATIENCE_S, wait_until
from tests.support.sandbox import SandboxProcess, sandbox_process
from tests.support.shell import Shell, kill
from tests.support.workbench import NAME, points

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

OLD = "2024-02-15"
HELD, PEOPLE, RECORDS, LIVE = 50, 200, 560, 12
RELATED = WELCOME.replace("workflow: welcome", "workflow: related").replace(
    "add_to_list: Welcome Flow", "add_to_list: Promotions"
)
THIRD = WELCOME.replace("workflow: welcome", "workflow: third").replace(
    "add_to_list: Welcome Flow", "add_to_list: Newsletter"
)


@pytest.fixture
def sandbox() -> Iterator[SandboxProcess]:
    with sandbox_process(arguments=("--no-limits", "--job-time", "0.3")) as one:
        yield one


def _record(number: int) -> dict[str, Any]:
    """A record of one of the people, whose tier is the number of their newest record."""
    person = number % PEOPLE
    return points(number, id=f"P-{person}", email=f"p{person}@mapleandember.example", tier=f"number {number}")


def _seen(sandbox: SandboxProcess) -> int:
    return int(sandbox.control("GET", "requests?limit=0")["last"])


def _until_killed(shell: Shell, sandbox: SandboxProcess, calls: int, *words: str) -> None:
    """Runs a daemon, gives a command to it where there is one, and kills it after so many more calls."""
    since = _seen(sandbox)
    daemon = shell.start("daemon", ASKEL_BUDGETS="off")
    try:
        wait_until(lambda: _seen(sandbox) > since)
        if words:
            shell.run(*words, timeout=PATIENCE_S)
            since = _seen(sandbox)
        wait_until(lambda: _seen(sandbox) - since >= calls)
    finally:
        kill(daemon)


@pytest.mark.parametrize("end", [NEWEST, OLD])
def test_a_move_and_the_way_back_lose_and_double_nothing(
    tmp_path: Path, sandbox: SandboxProcess, end: str
) -> None:
    shell = Shell(tmp_path / "home", sandbox.url, sandbox.key)
    prepare(shell, [WELCOME, RELATED, THIRD], [_record(number) for number in range(HELD)], revision=OLD)
    sandbox.control("DELETE", "lists/Promotions")
    shell.run("daemon", "--until-idle", code=3, ASKEL_BUDGETS="off")
    assert read_end(shell).holds == {"welcome": "target_gone"}
    take(shell, [_record(number) for number in range(HELD, HELD + RECORDS)])
    _until_killed(shell, sandbox, 30)
    assert shell.json("revision", "rehearse", NAME)["waiting"] > HELD
    take(shell, [_record(number) for number in range(HELD + RECORDS, HELD + RECORDS + LIVE)])
    _until_killed(shell, sandbox, 20, "revision", "move", NAME, "--without-canary", "--yes")
    assert shell.json("connections")["connections"][0]["revision"] == NEWEST
    total = HELD + RECORDS + 2 * LIVE
    take(shell, [_record(number) for number in range(total - LIVE, total)])
    if end == OLD:
        _until_killed(shell, sandbox, 20, "revision", "back", NAME, "--yes")
    shell.run("daemon", "--until-idle", code=None, ASKEL_BUDGETS="off")
    assert shell.json("connections")["connections"][0]["revision"] == end
    sandbox.control("POST", "lists/Promotions/restore")
    release(shell)
    shell.run("daemon", "--until-idle", ASKEL_BUDGETS="off")
    ended = read_end(shell)
    ended.assert_once()
    assert ended.holds == {}
    state = sandbox.state()
    ours = {
        each["external_id"]: each for each in state["profiles"] if str(each["external_id"]).startswith("P-")
    }
    assert len(ours) == PEOPLE
    for person, profile in ours.items():
        newest = max(number for number in range(total) if number % PEOPLE == int(person[2:]))
        assert profile["properties"]["LoyaltyTier"] == f"number {newest}"
        assert {"Welcome Flow", "Promotions", "Newsletter"} <= set(profile["lists"])
    events = Counter(each["email"] for each in state["events"] if str(each["email"]).startswith("p"))
    expected = Counter(f"p{number % PEOPLE}@mapleandember.example" for number in range(total))
    assert events == {email: 3 * count for email, count in expected.items()}
    log = sandbox.control("GET", "requests?after=0&limit=100000")["requests"]
    written = [each["revision"] for each in log if each["method"] == "POST" and "events" in each["path"]]
    assert {OLD, NEWEST} == set(written)
    assert json.dumps(written[-1:]) == json.dumps([end])
