"""Going live by steps: `workflow activate --first`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.askel import Askel
from tests.support.sandbox import SandboxProcess

WORKFLOW = """\
workflow: steps
connection: maple-ember
trigger: stepped
when: data.tier
profile: {email: data.email}
steps:
  - id: who
    upsert_profile: {properties: {Tier: data.tier}}
  - id: club
    add_to_list: Kiln Club
"""
ACTIVATE = ("workflow", "activate", "steps", "--since", "2020-01-01", "--fire-flows", "--first", "2")


def _records(tmp_path: Path, numbers: range) -> str:
    file = tmp_path / f"r{numbers.start}.jsonl"
    data = [{"email": f"step{number}@mapleandember.example", "tier": "Gold"} for number in numbers]
    if numbers.start == 0:
        data.insert(0, {"email": "none@mapleandember.example"})  # its `when` is false
    lines = [
        json.dumps({"id": f"s-{numbers.start}-{n}", "event": "stepped", "data": each})
        for n, each in enumerate(data)
    ]
    file.write_text("\n".join(lines))
    return str(file)


@pytest.fixture
def applied(askel: Askel, account: SandboxProcess, tmp_path: Path) -> Askel:
    account.control("POST", "reset", {})
    askel.connect()
    file = tmp_path / "wf.yaml"
    file.write_text(WORKFLOW)
    askel("workflow", "apply", str(file))
    return askel


def _club(account: SandboxProcess) -> list[str]:
    found: list[str] = next(
        each["emails"] for each in account.state()["lists"] if each["name"] == "Kiln Club"
    )
    return found


def _state(askel: Askel) -> str:
    [row] = askel.json("status")["workflows"]
    return str(row["state"])


def test_it_pauses_after_the_first_and_goes_on_when_asked_to(
    applied: Askel, account: SandboxProcess, tmp_path: Path
) -> None:
    applied("ingest", _records(tmp_path, range(5)), "--connection", "maple-ember")
    shown = applied(*ACTIVATE, code=3)
    assert "--go-on sends the others; --stay-paused leaves it paused" in shown.stderr
    assert "properties.Tier" in shown.stdout
    assert "differs" not in shown.stdout
    # Each has its e-mail, its tier and its list.
    assert "6 of 6 fields as the dry run said" in shown.stderr
    assert _club(account) == [f"step{number}@mapleandember.example" for number in range(2)]
    assert _state(applied) == "paused"
    [decision] = [each for each in applied.lines("audit") if each["kind"] == "pause"]
    assert (decision["actor"], decision["workflow"]) == ("askel", "steps")
    applied("daemon", "--until-idle")
    assert len(_club(account)) == 2

    assert "active again" in applied(*ACTIVATE, "--go-on").stderr
    assert len(_club(account)) == 4
    applied("daemon", "--until-idle")
    assert len(_club(account)) == 5
    assert _state(applied) == "active"


def test_it_may_stay_paused_and_waits_where_fewer_are_there(
    applied: Askel, account: SandboxProcess, tmp_path: Path
) -> None:
    assert "no record is there yet" in applied(*ACTIVATE, "--stay-paused").stderr
    applied("ingest", _records(tmp_path, range(5, 6)), "--connection", "maple-ember")
    applied("daemon", "--until-idle")
    assert (len(_club(account)), _state(applied)) == (1, "active")
    applied("ingest", _records(tmp_path, range(6, 9)), "--connection", "maple-ember")
    applied("daemon", "--until-idle")
    assert (len(_club(account)), _state(applied)) == (2, "paused")
    applied("workflow", "resume", "steps")
    applied("daemon", "--until-idle")
    assert len(_club(account)) == 4
    assert "--first, which is missing" in applied("workflow", "activate", "steps", "--go-on", code=2).stderr


def test_what_differs_from_the_dry_run_is_shown(
    applied: Askel, account: SandboxProcess, tmp_path: Path
) -> None:
    """Somebody empties the list while the first records are sent: Klaviyo answers, and keeps nothing."""
    applied("ingest", _records(tmp_path, range(2)), "--connection", "maple-ember")
    account.control("POST", "faults", {"endpoint": "add_profiles_to_list", "status": 204})
    shown = applied(*ACTIVATE, "--stay-paused")
    assert "4 of 6 fields as the dry run said" in shown.stderr
    assert shown.stdout.count("differs") == 2
