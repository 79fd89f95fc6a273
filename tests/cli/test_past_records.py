"""Records of the past: what they would start is shown and asked about, and as history they start nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.askel import Askel
from tests.support.sandbox import SandboxProcess

WORKFLOW = """\
askel: 2
workflow: old
connection: maple-ember
trigger: point
profile: {email: data.email}
steps:
  - id: who
    upsert_profile: {first_name: data.name, properties: {VipSince: data.tier, Shoe: data.shoe}}
  - id: welcome
    add_to_list: Welcome Flow
  - id: points
    track_event: {metric: First Points Earned, value: data.points}
"""
SUBSCRIBING = WORKFLOW.replace(
    "  - id: points",
    "  - id: news\n    subscribe: {channels: [email], list: Newsletter, proof: record}\n  - id: points",
)
ACTIVATE = ("workflow", "activate", "old", "--since", "2020-01-01")


def records(tmp_path: Path, count: int = 4, *, age: timedelta = timedelta(days=400)) -> str:
    """A file of records of a time: the people of half as many addresses."""
    file = tmp_path / "old.jsonl"
    when = (datetime.now(UTC) - age).isoformat()
    file.write_text("\n".join(json.dumps(record(number, when)) for number in range(count)))
    return str(file)


def record(number: int, when: str) -> dict[str, Any]:
    data = {"email": f"old{number // 2}@mapleandember.example", "name": "Ada", "tier": "Gold", "points": 5}
    return {"id": f"old-{number}", "event": "point", "time": when, "data": {**data, "shoe": 40}}


def ready(
    askel: Askel, account: SandboxProcess, tmp_path: Path, text: str, *options: str, **age: Any
) -> None:
    """The workflow as a draft, and its records."""
    account.control("POST", "reset", {})
    askel.connect("maple-ember", *options)
    file = tmp_path / "wf.yaml"
    file.write_text(text)
    askel("workflow", "apply", str(file))
    askel("ingest", records(tmp_path, **age), "--connection", "maple-ember")


def starts(account: SandboxProcess) -> dict[str, int]:
    """How often each flow started in the account."""
    return {each["name"]: len(each["starts"]) for each in account.state()["flows"] if each["starts"]}


def test_the_question_names_the_flows_and_the_people(
    askel: Askel, account: SandboxProcess, tmp_path: Path
) -> None:
    ready(askel, account, tmp_path, WORKFLOW)
    shown = askel(*ACTIVATE, code=3).stderr
    assert "Welcome Series would start for up to 2 people" in shown
    assert "First Points Thanks would start for up to 2 people" in shown
    assert "--fire-flows lets live flows start" in shown
    assert "--history writes them as history" in shown
    assert askel.json("status")["workflows"][0]["state"] == "draft"
    askel("workflow", "activate", "old", "--from-record", "old-0", code=3)

    askel(*ACTIVATE, "--fire-flows")
    askel("daemon", "--until-idle")
    assert starts(account) == {"Welcome Series": 2, "First Points Thanks": 4}


def test_as_history_nothing_starts(askel: Askel, account: SandboxProcess, tmp_path: Path) -> None:
    ready(askel, account, tmp_path, SUBSCRIBING)
    account.control("PATCH", "flows/MeFVip", {"status": "live"})  # the segment VIP reads VipSince
    shown = askel(*ACTIVATE, code=3).stderr
    assert "VIP Gift would start for up to 2 people" in shown
    assert "2 people would be subscribed" in shown
    askel(*ACTIVATE, "--history")
    askel("daemon", "--until-idle")
    assert starts(account) == {}
    state = account.state()
    people = {each["email"]: each for each in state["profiles"] if (each["email"] or "").startswith("old")}
    assert {each["properties"]["Shoe"] for each in people.values()} == {40}
    assert all("VipSince" not in each["properties"] for each in people.values())
    assert len([each for each in state["events"] if each["metric"] == "First Points Earned"]) == 4
    lists = {each["name"]: each["emails"] for each in state["lists"]}
    assert "old0@mapleandember.example" not in lists["Welcome Flow"]
    assert "old0@mapleandember.example" in lists["Newsletter"]
    [consent, *_] = [
        each for each in askel.lines("audit", "--record", "old-0") if each["kind"] == "subscribe"
    ]
    assert json.dumps(consent["request"]).count('"historical_import": true') == 1
    details = [
        each["response"]["detail"]
        for each in askel.lines("audit", "--record", "old-0")
        if each["kind"] == "plan"
    ]
    assert any("left aside as history: it would start Welcome Series" in each for each in details)
    assert any(
        "properties.VipSince is left aside as history: it would start VIP Gift" in each for each in details
    )
    # What comes in afterwards is not of the past.
    file = tmp_path / "new.jsonl"
    file.write_text(json.dumps(record(9, datetime.now(UTC).isoformat()) | {"id": "new"}))
    askel("ingest", str(file), "--connection", "maple-ember")
    askel("daemon", "--until-idle")
    assert starts(account) == {"Welcome Series": 1, "First Points Thanks": 1, "VIP Gift": 1}


@pytest.mark.slow
def test_a_revision_that_cannot_mark_leaves_aside_what_would_start(
    askel: Askel, account: SandboxProcess, tmp_path: Path
) -> None:
    ready(askel, account, tmp_path, SUBSCRIBING, "--revision", "2024-02-15", "--accept-retired")
    askel(*ACTIVATE, code=3)
    askel(*ACTIVATE, "--history")
    askel("daemon", "--until-idle")
    assert starts(account) == {}
    state = account.state()
    assert not [each for each in state["events"] if each["metric"] == "First Points Earned"]
    assert "old0@mapleandember.example" in {each["email"] for each in state["profiles"]}


@pytest.mark.parametrize(
    "harmless",
    [{"age": timedelta(minutes=5)}, {"text": WORKFLOW.split("  - id: welcome")[0]}],
    ids=["within the hour", "nothing would start"],
)
def test_it_does_not_ask_where_nothing_of_the_past_would_start(
    askel: Askel, account: SandboxProcess, tmp_path: Path, harmless: Mapping[str, Any]
) -> None:
    text = harmless.get("text", WORKFLOW)
    ready(askel, account, tmp_path, text, **{k: v for k, v in harmless.items() if k == "age"})
    if "age" in harmless:
        since = (datetime.now(UTC) - timedelta(minutes=50)).isoformat()
        askel("workflow", "activate", "old", "--from-record", "old-0")
        askel("workflow", "activate", "old", "--since", since)
    else:
        askel(*ACTIVATE)


@pytest.mark.slow
def test_going_live_by_steps_compares_with_what_history_writes(
    askel: Askel, account: SandboxProcess, tmp_path: Path
) -> None:
    ready(askel, account, tmp_path, WORKFLOW)
    askel(*ACTIVATE, "--first", "2", code=3)
    shown = askel(*ACTIVATE, "--history", "--first", "2", "--go-on")
    assert "differs" not in shown.stdout
    assert "add_to_list Welcome Flow is left aside as history" in shown.stdout
    assert "as the dry run said" in shown.stderr
    askel("daemon", "--until-idle")
    assert starts(account) == {}


@pytest.mark.slow
def test_re_planning_keeps_it_history(askel: Askel, account: SandboxProcess, tmp_path: Path) -> None:
    """A newer version plans what is held anew: it is of the past as before."""
    ready(askel, account, tmp_path, WORKFLOW)
    askel(*ACTIVATE, "--history")
    # A held step keeps its operations, and those of others are sent.
    account.control("PATCH", "lists/MeWelc", {"name": "Moved"})
    askel("daemon", "--until-idle", code=None)
    file = tmp_path / "wf.yaml"
    file.write_text(WORKFLOW.replace("Welcome Flow", "Moved").replace("Shoe", "Boot"))
    askel("workflow", "apply", str(file))
    askel("workflow", "activate", "old", "--replan")
    askel("daemon", "--until-idle", code=None)
    assert starts(account) == {}
