"""The whole story from a shell: connect, rehearse, go live, hold, release, look back."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from askel_tui.contract.revisions import NEWEST
from tests.support.askel import Inside
from tests.support.files import EXAMPLES
from tests.support.revisions import OLDEST_AND_NEWEST
from tests.support.sandbox import SandboxProcess, sandbox_process
from tests.support.shell import Shell
from tests.support.thinning import first_only
from tests.support.workbench import points

pytestmark = pytest.mark.clock

NAME = "first-points-welcome"
AUDIT_FIELDS = [
    "seq",
    "at",
    "actor",
    "connection",
    "workflow",
    "step",
    "record",
    "operation",
    "kind",
    "profile",
    "target",
    "request",
    "status",
    "response",
    "attempts",
    "ms",
    "revision",
    "key",
    "prev",
    "hash",
    "chain",
    "payload",
    "position",
    "claimed",
]


@pytest.fixture
def fresh() -> Iterator[SandboxProcess]:
    """Maple & Ember as it is at the start."""
    with sandbox_process() as one:
        yield one


@pytest.fixture
def sh(fresh: SandboxProcess, tmp_path: Any) -> Shell:
    return Inside(tmp_path / "home", fresh.url, fresh.key)


@pytest.mark.slow
def test_it_is_the_same_with_a_process_for_each_command(fresh: SandboxProcess, tmp_path: Path) -> None:
    _rehearse_and_go_live(Shell(tmp_path / "home", fresh.url, fresh.key), fresh, OLDEST_AND_NEWEST[-1])


@pytest.mark.parametrize("revision", first_only(OLDEST_AND_NEWEST[::-1]))
@pytest.mark.slow
def test_what_the_dry_run_announced_is_what_the_account_then_holds(
    sh: Shell, fresh: SandboxProcess, revision: str
) -> None:
    _rehearse_and_go_live(sh, fresh, revision)


def _rehearse_and_go_live(sh: Shell, fresh: SandboxProcess, revision: str) -> None:
    accept = ["--accept-retired"] if revision != NEWEST else []
    sh.connect("maple-ember", "--revision", revision, *accept)
    sh.run("workflow", "apply", str(EXAMPLES / f"{NAME}.yaml"))
    sh.run("ingest", str(EXAMPLES / "first-points.jsonl"), "--connection", "maple-ember")
    rehearsed = sh.json("dry-run", NAME, "--last", "40")
    assert list(rehearsed) == ["workflow", "version", "connection", "records", "totals", "warnings"]
    assert len(sh.json("dry-run", NAME, "--last", "30")["records"]) == 30
    before = fresh.state()
    sh.run("workflow", "activate", NAME, "--since", "2026-01-01", "--fire-flows")
    sh.run("daemon", "--until-idle")

    after = fresh.state()
    entries = sh.lines("audit")
    assert [list(entry) for entry in entries] == [AUDIT_FIELDS] * len(entries)
    done = Counter((entry["kind"], entry["status"]) for entry in entries if entry["operation"])
    announced = Counter(step["kind"] for record in rehearsed["records"] for step in record["operations"])
    assert (
        done[("track_event", "written")]
        == announced["track_event"]
        == rehearsed["totals"]["events"]["First Points Earned"]
    )
    assert len(after["events"]) - len(before["events"]) == announced["track_event"]
    assert len(after["profiles"]) - len(before["profiles"]) == rehearsed["totals"]["new"]

    status = sh.json("status")
    written = sum(count for (_, end), count in done.items() if end == "written")
    assert status["workflows"][0]["sent"] == written
    assert status["daemon"] == {"running": False, "pid": None}
    verified = sh.json("audit", "verify")
    assert (verified["entries"], verified["broken_at"], verified["erased"]) == (len(entries), None, 0)

    sh.run("daemon", "--until-idle")
    assert sh.lines("audit") == entries
    assert fresh.state()["events"] == after["events"]


def test_a_dry_run_shows_what_an_event_holds(sh: Shell, tmp_path: Path) -> None:
    sh.connect()
    sh.run("workflow", "apply", str(EXAMPLES / f"{NAME}.yaml"))
    record = points(1, tier="gold\x1b[31m")
    file = tmp_path / "one.jsonl"
    file.write_text(json.dumps(record))
    shown = sh.run("dry-run", NAME, str(file)).stdout
    assert "event First Points Earned: value 6, time 2026-11-23T10:00:00Z" in shown
    for line in ("Points: 6", 'Store: "Leeds"', 'Tier: "gold\\u001b[31m"'):
        assert f"               {line}\n" in shown
    assert "\x1b" not in shown


def test_a_packed_body_is_shown_once(sh: Shell) -> None:
    sh.connect()
    sh.run("workflow", "apply", str(EXAMPLES / f"{NAME}.yaml"))
    sh.run("ingest", str(EXAMPLES / "first-points.jsonl"), "--connection", "maple-ember")
    sh.run("workflow", "activate", NAME, "--since", "2026-01-01", "--fire-flows")
    sh.run("daemon", "--until-idle")
    by_request: dict[int, list[dict[str, Any]]] = {}
    for entry in sh.lines("audit", "--kind", "add_to_list"):
        by_request.setdefault(entry["request"]["id"], []).append(entry)
    packed = max(by_request.values(), key=len)
    assert len(packed) > 1
    assert len(packed[0]["request"]["body"]["data"]) == len(packed)
    assert {entry["request"]["body_at"] for entry in packed[1:]} == {packed[0]["seq"]}
    assert {entry["request"]["body"] for entry in packed[1:]} == {None}


def test_a_list_that_goes_holds_its_step_until_a_person_decides(sh: Shell, fresh: SandboxProcess) -> None:
    sh.connect()
    sh.run("workflow", "apply", str(EXAMPLES / f"{NAME}.yaml"))
    sh.run("workflow", "activate", NAME)
    fresh.control("DELETE", "lists/MeWelc")
    sh.run("ingest", str(EXAMPLES / "first-points.jsonl"), "--connection", "maple-ember")
    message = sh.run("daemon", "--until-idle", code=3).stderr
    assert "askel hold list" in message
    (held,) = sh.json("hold", "list")["holds"]
    assert (held["workflow"], held["step"], held["cause"]) == (NAME, "welcome", "target_gone")
    assert held["since"].endswith("Z")
    assert sh.json("status")["holds"][0]["waiting"] == held["waiting"] > 0
    assert "welcome" in sh.run("hold", "list").stdout

    fresh.control("POST", "lists/MeWelc/restore")
    sh.run("hold", "release", NAME, "welcome")
    sh.run("daemon", "--until-idle")
    assert sh.json("hold", "list") == {"holds": []}
    added = sh.lines("audit", "--kind", "add_to_list", "--status", "written")
    assert len({entry["record"] for entry in added}) == len(added) == held["waiting"]
    assert "nothing is held" in sh.run("hold", "release", code=3).stderr


def test_held_operations_can_be_discarded(sh: Shell, fresh: SandboxProcess) -> None:
    sh.connect()
    sh.run("workflow", "apply", str(EXAMPLES / f"{NAME}.yaml"))
    sh.run("workflow", "activate", NAME)
    fresh.control("DELETE", "lists/MeWelc")
    sh.run("ingest", str(EXAMPLES / "first-points.jsonl"), "--connection", "maple-ember")
    sh.run("daemon", "--until-idle", code=3)
    waiting = sh.json("hold", "list")["holds"][0]["waiting"]
    assert sh.json("hold", "discard", NAME)["holds"] == [
        {"workflow": NAME, "version": 1, "step": "welcome", "operations": waiting}
    ]
    assert len(sh.lines("audit", "--status", "discarded", "--kind", "add_to_list")) == waiting


def test_what_failed_is_listed_tried_again_and_given_up(sh: Shell) -> None:
    sh.connect()
    sh.run("workflow", "apply", str(EXAMPLES / f"{NAME}.yaml"))
    sh.run("workflow", "activate", NAME)
    sh.run("ingest", str(EXAMPLES / "hostile.jsonl"), "--connection", "maple-ember", code=3)
    sh.run("daemon", "--until-idle")
    failed = sh.json("failed", "list")["failed"]
    by_record = {row["record"]: row for row in failed}
    assert by_record["h-3"]["problems"][0]["field"] == "profile.email"
    assert "h-3" in sh.run("failed", "list", "--workflow", NAME).stdout
    assert sh.json("failed", "retry", str(by_record["h-3"]["id"])) == {"retried": 1, "replanned": {}}
    sh.run("daemon", "--until-idle")
    again = sh.json("failed", "list")["failed"]
    assert {row["record"] for row in again} == set(by_record)
    assert "say which" in sh.run("failed", "discard", code=2).stderr
    assert "has the id 999999" in sh.run("failed", "discard", "999999", code=2).stderr
    assert sh.json("failed", "discard", "--all") == {"discarded": len(again)}
    assert sh.json("failed", "list") == {"failed": []}


def test_the_daemon_without_a_key_exits_4_and_logs_json(sh: Shell) -> None:
    sh.connect()
    (sh.home / "vault.json").unlink()
    message = sh.run("daemon", "--until-idle", "--log-json", code=4).stderr
    assert "askel rotate maple-ember" in message
    assert '"level":"info"' in message


def test_the_audit_by_profile_time_and_text(sh: Shell) -> None:
    sh.connect()
    sh.run("workflow", "apply", str(EXAMPLES / f"{NAME}.yaml"))
    sh.run("ingest", str(EXAMPLES / "first-points.jsonl"), "--connection", "maple-ember")
    sh.run("workflow", "activate", NAME, "--since", "2026-01-01", "--fire-flows")
    sh.run("daemon", "--until-idle")
    one = sh.lines("audit", "--profile", "shopper002@mapleandember.example")
    assert {entry["record"] for entry in one} == {"evt-000002"}
    assert [entry["seq"] for entry in sh.lines("audit", "--record", "evt-000002")] == [
        entry["seq"] for entry in one
    ]
    assert sh.lines("audit", "--until", "2020-01-01") == []
    assert len(sh.lines("audit", "--last", "3")) == 3
    assert len(sh.lines("audit", "--since", "2020-01-01", "--text", "EVT-000002")) == len(one)
    shown = sh.run("audit", "--last", "2").stdout.splitlines()
    assert len(shown) == 2
    assert "--last N shows more" in sh.run("audit").stderr
