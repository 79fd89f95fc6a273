"""kill -9 at every named point: nothing lost, nothing doubled, and what was in doubt really was sent again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.bad_days import WELCOME
from tests.support.crashing import POINTS
from tests.support.homes import prepare, read_end
from tests.support.patience import PATIENCE_S
from tests.support.sandbox import SandboxProcess, sandbox_process
from tests.support.shell import Shell
from tests.support.workbench import NAME, points

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

UPSERT, LIST, EVENT = "create_or_update_profile", "add_profiles_to_list", "create_event"
CONSENT = "bulk_subscribe_profiles"
EVERY_LANE = f"{WELCOME}  - id: opt-in\n    subscribe: {{channels: [email], list: Newsletter}}\n"
IMPORT = "bulk_import_profiles"
RECORDS = 6
MANY_RECORDS = 1_500
SENT = {"before open": 1, "after open": 1, "after send": 2, "before answer": 2, "after answer": 1}
"""How often the very request that met the crash has to be seen by Klaviyo in the end."""
IMPORT_SENT: dict[str, set[int]] = {
    "before open": {0, 1},  # the next start may send some by themselves
    "after open": {0, 1},
    "after send": {1, 2},
    "before answer": {1},
    "after answer": {1},
}
"""How often a row of the import job that met the crash may be seen by Klaviyo in the end."""
CONSENT_SENT = {"after open": 0, "after send": 1, "before answer": 1, "after answer": 1}
"""Consent is never repeated by itself."""


@pytest.fixture
def sandbox() -> Iterator[SandboxProcess]:
    with sandbox_process() as one:
        yield one


def _crash(shell: Shell, note: Path, point: str, call: str, *words: str) -> bytes:
    """Runs a command that has to die at the point; gives what the request said."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.crashing", point, call, str(note), *words],
        env=shell.environment(ASKEL_BUDGETS="off"),
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, f"{point} was never met: {done.stderr.decode()}"
    return note.read_bytes()


def _times(sandbox: SandboxProcess, call: str, body: bytes, since: int) -> int:
    """How often Klaviyo has seen a request."""
    log = sandbox.control("GET", f"requests?after={since}")["requests"]
    return sum(entry["endpoint"] == call and entry["body"] == json.loads(body) for entry in log)


def _opt_ins(sandbox: SandboxProcess, since: int) -> Counter[str]:
    """How often each e-mail was in a request for consent."""
    log = sandbox.control("GET", f"requests?after={since}")["requests"]
    return Counter(
        row["attributes"]["email"]
        for entry in log
        if entry["endpoint"] == CONSENT
        for row in entry["body"]["data"]["attributes"]["profiles"]["data"]
    )


def _records() -> list[dict[str, Any]]:
    return [points(number) for number in range(RECORDS)]


def _assert_arrived(state: dict[str, Any], *, opted_in: int = RECORDS) -> None:
    ours = [profile for profile in state["profiles"] if str(profile.get("external_id")).startswith("T-")]
    assert len(ours) == RECORDS
    assert all(profile["properties"]["LoyaltyTier"] == "gold" for profile in ours)
    assert all("Welcome Flow" in profile["lists"] for profile in ours)
    events = [event["properties"]["Points"] for event in state["events"] if event["email"] in _emails()]
    assert sorted(events) == [5 + number for number in range(RECORDS)]
    assert sum("email.marketing" in profile["consent"] for profile in ours) == opted_in


def _emails() -> set[str]:
    return {f"t{number}@mapleandember.example" for number in range(RECORDS)}


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("call", [UPSERT, LIST, EVENT])
def test_a_request_in_doubt_is_sent_again_and_counts_once(
    sandbox: SandboxProcess, tmp_path: Path, point: str, call: str
) -> None:
    shell = Shell(tmp_path / "home", sandbox.url, sandbox.key)
    prepare(shell, [EVERY_LANE], _records())
    since = sandbox.control("GET", "requests")["last"]
    body = _crash(shell, tmp_path / "note", point, call, "daemon", "--until-idle")
    shell.run("daemon", "--until-idle", ASKEL_BUDGETS="off")
    if (point, call) != ("before open", LIST):  # what was never written down may be packed otherwise
        assert _times(sandbox, call, body, since) == SENT[point]
    ended = read_end(shell)
    ended.assert_once()
    assert len([entry for entry in ended.entries if entry.operation]) == 4 * RECORDS
    _assert_arrived(sandbox.state())


@pytest.mark.parametrize("point", POINTS)
def test_an_import_job_in_doubt_is_followed_or_waited_for(
    sandbox: SandboxProcess, tmp_path: Path, point: str
) -> None:
    """A job that Klaviyo has told of is never made twice; one that is unknown is over before its rows go again."""
    shell = Shell(tmp_path / "home", sandbox.url, sandbox.key)
    sandbox.control("PATCH", "settings", {"job_time": 3})
    prepare(shell, [WELCOME], [points(number) for number in range(MANY_RECORDS)])
    since = sandbox.control("GET", "requests")["last"]
    body = _crash(shell, tmp_path / "note", point, IMPORT, "daemon", "--until-idle")
    shell.run("daemon", "--until-idle", ASKEL_BUDGETS="off")
    ended = read_end(shell)
    ended.assert_once()
    assert len([entry for entry in ended.entries if entry.operation]) == 3 * MANY_RECORDS
    seen = Counter(
        row["attributes"]["email"]
        for entry in sandbox.control("GET", f"requests?after={since}")["requests"]
        if entry["endpoint"] == IMPORT
        for row in entry["body"]["data"]["attributes"]["profiles"]["data"]
    )
    in_doubt = {
        row["attributes"]["email"] for row in json.loads(body)["data"]["attributes"]["profiles"]["data"]
    }
    assert {seen[email] for email in in_doubt} <= IMPORT_SENT[point]
    state = sandbox.state()
    assert (
        len([event for event in state["events"] if event["metric"] == "First Points Earned"]) == MANY_RECORDS
    )
    listed = next(each for each in state["lists"] if each["name"] == "Welcome Flow")
    assert len(listed["emails"]) == MANY_RECORDS


@pytest.mark.parametrize("point", POINTS)
def test_consent_in_doubt_is_read_back_or_held_and_never_repeated(
    sandbox: SandboxProcess, tmp_path: Path, point: str
) -> None:
    shell = Shell(tmp_path / "home", sandbox.url, sandbox.key)
    prepare(shell, [EVERY_LANE], _records())
    since = sandbox.control("GET", "requests")["last"]
    body = _crash(shell, tmp_path / "note", point, CONSENT, "daemon", "--until-idle")
    shell.run("daemon", "--until-idle", code=None, ASKEL_BUDGETS="off")
    if point != "before open":  # what was never written down may be packed otherwise
        assert _times(sandbox, CONSENT, body, since) == CONSENT_SENT[point]
    if point == "after open":
        assert read_end(shell).holds == {"opt-in": "in_doubt"}
        shell.run("hold", "release", "welcome", "opt-in")
        shell.run("daemon", "--until-idle", ASKEL_BUDGETS="off")
    assert set(_opt_ins(sandbox, since).values()) == {1}
    ended = read_end(shell)
    ended.assert_once()
    assert ended.holds == {}
    _assert_arrived(sandbox.state())


@pytest.mark.parametrize("point", ["before plan", "after plan"])
def test_a_record_is_planned_once(sandbox: SandboxProcess, tmp_path: Path, point: str) -> None:
    shell = Shell(tmp_path / "home", sandbox.url, sandbox.key)
    prepare(shell, [EVERY_LANE], _records())
    _crash(shell, tmp_path / "note", point, "-", "daemon", "--until-idle")
    shell.run("daemon", "--until-idle", ASKEL_BUDGETS="off")
    read_end(shell).assert_once()
    _assert_arrived(sandbox.state())


@pytest.mark.parametrize("point", ["before accept", "after accept"])
def test_a_record_is_accepted_once(sandbox: SandboxProcess, tmp_path: Path, point: str) -> None:
    shell = Shell(tmp_path / "home", sandbox.url, sandbox.key)
    prepare(shell, [EVERY_LANE])
    file = tmp_path / "records.jsonl"
    file.write_text("".join(json.dumps(record) + "\n" for record in _records()))
    words = ("ingest", str(file), "--connection", NAME)
    _crash(shell, tmp_path / "note", point, "-", *words)
    shell.run(*words)
    shell.run("daemon", "--until-idle", ASKEL_BUDGETS="off")
    read_end(shell).assert_once()
    _assert_arrived(sandbox.state())
