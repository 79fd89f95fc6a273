"""Workflows as files: checked, stored, shown, given back, activated, deleted."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tests.support.askel import Askel
from tests.support.files import EXAMPLES

pytestmark = pytest.mark.clock

FIRST = str(EXAMPLES / "first-points-welcome.yaml")
NAME = "first-points-welcome"


def test_validating_needs_neither_home_nor_connection(offline: Askel) -> None:
    message = offline("workflow", "validate", FIRST, ASKEL_HOME="/proc/nowhere", ASKEL_VAULT_KEY=None)
    assert "is valid, 4 steps" in message.stderr
    assert not offline.home.exists()


@pytest.mark.parametrize(
    ("file", "location"),
    [
        ("bad-expression.yaml", ":4: profile.email: "),
        ("consent-in-attributes.yaml", ":7: step sneaky, subscriptions: "),
        ("no-identity.yaml", ":1: profile: "),
        (
            "twice-the-same-step.yaml",
            ":7: step a, add_to_lst: there is no such kind of step. Did you mean 'add_to_list'?",
        ),
    ],
)
def test_a_refused_file_is_answered_by_place(offline: Askel, file: str, location: str) -> None:
    path = str(EXAMPLES / "refused" / file)
    message = offline("workflow", "validate", path, code=3).stderr
    assert f"{path}{location}" in message
    problems = offline.json("workflow", "validate", path, code=3)["problems"]
    assert len(problems) == len(message.splitlines())
    assert problems[0]["file"] == path


def test_applying_checks_names_against_the_account(askel: Askel) -> None:
    askel.connect()
    message = askel("workflow", "apply", str(EXAMPLES / "refused" / "unknown-list.yaml"), code=3).stderr
    assert "Did you mean" in message
    assert askel.json("workflow", "list") == {"workflows": []}


def test_a_file_that_is_not_text(offline: Askel, tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(b"workflow: \xff")
    assert "not UTF-8 (byte 11)" in offline("workflow", "validate", str(file), code=3).stderr


def test_applied_shown_exported_activated_and_deleted(askel: Askel, tmp_path: Path) -> None:
    askel.connect()
    first = askel.json("workflow", "apply", FIRST)
    assert (first["version"], first["changed"]) == (1, True)
    assert first["targets"]["welcome"]["target"]["name"] == "Welcome Flow"
    assert askel.json("workflow", "apply", FIRST)["changed"] is False

    shown = askel.json("workflow", "show", NAME)
    assert (shown["state"], shown["running"], shown["version"]) == ("draft", None, 1)
    assert [step["id"] for step in shown["steps"]] == ["tier", "not-vip", "welcome", "points"]
    assert shown["steps"][2]["target"]["name"] == "Welcome Flow"
    text = askel("workflow", "show", NAME).stdout
    assert "list Welcome Flow" in text
    assert "the property LoyaltyTier is not guarded" in text
    assert {each["step"] for each in shown["unguarded"]} == {"tier"}

    assert askel("workflow", "export", NAME).stdout == Path(FIRST).read_text()
    nowhere = str(tmp_path / "nowhere" / "out.yaml")
    assert askel("workflow", "export", NAME, "--output", nowhere, code=1).stderr.startswith(
        f"askel: {nowhere}: "
    )
    askel("workflow", "export", NAME, "--output", str(tmp_path / "out.yaml"))
    assert (tmp_path / "out.yaml").read_text() == Path(FIRST).read_text()

    message = askel("workflow", "activate", NAME, "--since", "2026-01-01", "--fire-flows").stderr
    assert "2026-01-01T00:00:00Z" in message
    assert askel.json("workflow", "show", NAME)["since"] == "2026-01-01T00:00:00Z"
    askel("workflow", "pause", NAME)
    assert askel.json("status")["workflows"][0]["state"] == "paused"
    askel("workflow", "resume", NAME)
    assert "active, not paused" in askel("workflow", "resume", NAME, code=3).stderr

    assert "--yes" in askel("workflow", "delete", NAME, code=2).stderr
    assert NAME in askel("disconnect", "maple-ember", "--yes", code=3).stderr
    askel("workflow", "delete", NAME, "--yes")
    assert askel.json("workflow", "list") == {"workflows": []}
    kinds = [entry["kind"] for entry in askel.lines("audit", "--workflow", NAME)]
    assert kinds == ["apply", "activate", "pause", "resume", "delete"]


def test_where_to_start_is_said_once(askel: Askel) -> None:
    words = ("workflow", "activate", NAME)
    assert "exclude" in askel(*words, "--since", "2026-01-01", "--from-record", "x", code=2).stderr
    assert "'soon' is neither a date" in askel(*words, "--since", "soon", code=2).stderr


def test_a_record_that_is_not_there_is_no_start(askel: Askel) -> None:
    askel.connect()
    askel("workflow", "apply", FIRST)
    assert "no record evt-9" in askel("workflow", "activate", NAME, "--from-record", "evt-9", code=3).stderr


def test_a_mistyped_workflow_is_guessed(askel: Askel) -> None:
    askel.connect()
    askel("workflow", "apply", FIRST)
    for words in (["workflow", "show"], ["workflow", "pause"], ["dry-run"], ["hold", "release"]):
        assert f"Did you mean '{NAME}'?" in askel(*words, "first-points-welcom", code=2).stderr


def test_the_audit_is_exported_for_its_owner_only(askel: Askel, tmp_path: Path) -> None:
    askel.connect()
    file = tmp_path / "audit.jsonl"
    askel("audit", "export", "--output", str(file))
    exported = [json.loads(line) for line in file.read_text().splitlines()]
    assert [{**each, "salt": 0, "payload_text": 0} for each in askel.lines("audit")] == [
        {**each, "salt": 0, "payload_text": 0} for each in exported
    ]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    nowhere = tmp_path / "missing" / "audit.jsonl"
    assert str(nowhere) in askel("audit", "export", "--output", str(nowhere), code=1).stderr
    assert "after `export`" in askel("audit", "--kind", "x", "export", "--output", str(file), code=2).stderr


def test_a_file_is_upgraded_only_when_it_is_asked_to(askel: Askel, tmp_path: Path) -> None:
    askel.connect()
    file = tmp_path / "first.yaml"
    text = Path(FIRST).read_text()
    file.write_text(text)
    shown = askel("workflow", "upgrade", str(file))
    assert "\n+askel: 2\n" in shown.stdout
    assert (
        "changes: line 8: profile.phone_number: two people who share a number become one profile"
        in shown.stderr
    )
    assert "changes: line 8: profile.phone_number: placeholders" in shown.stderr
    assert "--write" in shown.stderr
    askel("workflow", "apply", str(file))
    assert file.read_text() == text
    askel("workflow", "upgrade", str(file), "--write")
    upgraded = file.read_text()
    assert upgraded.replace("askel: 2\n", "", 1) == text
    assert askel.json("workflow", "upgrade", str(file)) == {
        "file": str(file),
        "needed": False,
        "diff": [],
        "problems": [],
        "changes": [],
    }
    assert askel.json("workflow", "apply", str(file))["version"] == 2
    assert askel("workflow", "export", NAME).stdout == upgraded
    assert askel("workflow", "export", NAME, "--version", "1").stdout == text


def test_a_file_that_the_newest_rules_refuse_is_not_upgraded(askel: Askel, tmp_path: Path) -> None:
    askel.connect()
    file = tmp_path / "consent.yaml"
    text = (
        "workflow: c\nconnection: maple-ember\ntrigger: t\nprofile: {email: data.email}\n"
        "steps: [{id: s, upsert_profile: {properties: {$consent: data.consent}}}]\n"
    )
    file.write_text(text)
    assert "`subscribe`" in askel.json("workflow", "apply", str(file))["warnings"][0]["message"]
    assert "`subscribe`" in askel("workflow", "upgrade", str(file), "--write", code=3).stderr
    assert file.read_text() == text
    file.write_text(f"askel: 2\n{text}")
    assert "`subscribe`" in askel("workflow", "apply", str(file), code=3).stderr
