"""Who was behind a write: the token or the user that handed the record in, and what the record itself claims."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from askel_tui.services.actors import local_actor
from tests.support.askel import Askel
from tests.support.files import EXAMPLES

RECORD: dict[str, object] = {
    "event": "first_points_earned",
    "time": "2026-11-23T09:14:05Z",
    "data": {
        "points": 3,
        "shopper": {"tier": "gold", "email": "who@mapleandember.example", "first_name": "Who"},
    },
}


@pytest.fixture
def sent(askel: Askel, monkeypatch: pytest.MonkeyPatch) -> Askel:
    """Two records that were sent: one names an actor of its own."""
    monkeypatch.setenv("LOGNAME", "ada")
    askel.connect()
    askel("workflow", "apply", str(EXAMPLES / "first-points-welcome.yaml"))
    askel("workflow", "activate", "first-points-welcome")
    records = [{**RECORD, "id": "plain"}, {**RECORD, "id": "claims", "actor": "rewards-service"}]
    lines = "\n".join(map(json.dumps, records))
    askel("ingest", "-", "--connection", "maple-ember", stdin=lines)
    askel("daemon", "--until-idle", code=None)
    return askel


def test_the_user_is_on_every_record_and_decision_and_the_claim_beside(sent: Askel) -> None:
    assert local_actor("cli") == "cli:ada"
    entries = sent.lines("audit")
    assert {each["actor"] for each in entries} == {"cli:ada"}
    assert {each["claimed"] for each in entries if each["record"] == "claims"} == {"rewards-service"}
    assert {each["claimed"] for each in entries if each["record"] != "claims"} == {None}
    text = sent("audit").stdout.splitlines()
    assert len([line for line in text if "by cli:ada" in line]) == len(entries)
    assert any(line.endswith("by cli:ada for rewards-service") for line in text)


def test_the_audit_is_filtered_by_who_it_was(sent: Askel) -> None:
    entries = sent.lines("audit")
    for who in ("cli:ada", "ada", "rewards-service"):
        names = [(each["actor"], each["claimed"], each["actor"].partition(":")[2]) for each in entries]
        wanted = [each for each, named in zip(entries, names, strict=True) if who in named]
        assert len(wanted) > 0
        assert sent.lines("audit", "--actor", who) == wanted
    assert sent.lines("audit", "--actor", "rewards") == []


def test_what_expressions_see_of_an_actor_is_the_records_own(sent: Askel, tmp_path: Path) -> None:
    """And the same record from somebody else is the same record."""
    again = {**RECORD, "id": "claims", "actor": "rewards-service"}
    result = sent.json("ingest", str(_file(tmp_path, again)), "--connection", "maple-ember", LOGNAME="grace")
    assert (result["accepted"], result["same"], result["other_body"]) == (0, 1, [])


def _file(folder: Path, record: dict[str, object]) -> Path:
    path = folder / "again.jsonl"
    path.write_text(json.dumps(record))
    return path
