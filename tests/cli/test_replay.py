"""`askel replay`: what it lists, what it sends, what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.askel import Askel
from tests.support.bad_days import WELCOME
from tests.support.workbench import points

pytestmark = pytest.mark.clock

CONNECTION = ("--connection", "maple-ember")


@pytest.fixture
def sent(askel: Askel, tmp_path: Path) -> Askel:
    """Three events have arrived."""
    (tmp_path / "welcome.yaml").write_text(WELCOME)
    (tmp_path / "records.jsonl").write_text("\n".join(json.dumps(points(number)) for number in range(3)))
    askel.connect()
    askel("workflow", "apply", str(tmp_path / "welcome.yaml"))
    askel("workflow", "activate", "welcome")
    askel("ingest", str(tmp_path / "records.jsonl"), *CONNECTION)
    askel("daemon", "--until-idle")
    return askel


def test_a_dry_run_lists_and_sends_nothing(sent: Askel) -> None:
    found = sent.json("replay", *CONNECTION, "--records", "t-1..", "--dry-run")
    assert [event["record"] for event in found["events"]] == ["t-1", "t-2"]
    assert {event["metric"] for event in found["events"]} == {"First Points Earned"}
    shown = sent("replay", *CONNECTION, "--dry-run")
    assert found["events"][0]["unique_id"] in shown.stdout
    assert "3 events would be sent again" in shown.stderr
    assert sent.json("status")["workflows"][0]["waiting"] == 0


def test_events_wait_for_the_daemon_and_are_sent(sent: Askel) -> None:
    found = sent.json("replay", *CONNECTION, "--records", "t-0..t-1")
    assert found == {"events": 2, "backfill": True, "unfit": []}
    assert sent.json("status")["workflows"][0]["waiting"] == 2
    sent("daemon", "--until-idle")
    entries = [entry for entry in sent.lines("audit", "--step", "points") if entry["status"] == "written"]
    assert [(entry["response"] or {}).get("detail") for entry in entries] == [None] * 3 + ["replay"] * 2


def test_mistakes_are_reported(sent: Askel) -> None:
    assert "Did you mean 'welcome'" in sent("replay", *CONNECTION, "--workflow", "welcom", code=2).stderr
    assert "no record t-9" in sent("replay", *CONNECTION, "--records", "t-9..", code=3).stderr
    sent("replay", code=2)
    assert "0 events" in sent("replay", *CONNECTION, "--until", "2020-01-01").stderr
