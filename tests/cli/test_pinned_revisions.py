"""A pinned revision on the command line: what it is today, and what fires a flow where it can't say so itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from askel_tui.contract.revisions import NEWEST
from tests.support.askel import Askel
from tests.support.revisions import OLDEST_AND_NEWEST

pytestmark = pytest.mark.clock

WORKFLOW = """
askel: 2
workflow: flows
connection: old
trigger: p
profile: {email: data.email}
steps:
  - id: f
    trigger_flow: FLOW
"""
RECORD = {"id": "1", "event": "p", "time": "2026-11-23T09:14:05Z", "data": {"email": "new@maple.example"}}


@pytest.mark.slow
def test_a_flow_has_its_trigger_and_its_line_at_a_revision_that_shows_neither(
    askel: Askel, tmp_path: Path
) -> None:
    askel.connect("old", "--revision", "2024-02-15", "--accept-retired")
    file, records = tmp_path / "flows.yaml", tmp_path / "records.jsonl"
    records.write_text(json.dumps(RECORD))
    for wrong, what in (
        ("{flow: Welcome Series, list: Newsletter}", "is fired by the list 'Welcome Flow', not by this"),
        ("{flow: First Points Thanks, list: Newsletter}", "is fired by the metric 'First Points Earned'"),
        ("VIP Gift", "is fired by its segment, which nobody can do from here"),
    ):
        file.write_text(WORKFLOW.replace("FLOW", wrong))
        assert what in askel("workflow", "apply", str(file), code=3).stderr
    file.write_text(WORKFLOW.replace("FLOW", "{flow: Welcome Series, list: Welcome Flow}"))
    askel("workflow", "apply", str(file))
    assert askel.json("dry-run", "flows", str(records))["totals"]["flows"] == {"Welcome Series": 1}


@pytest.mark.slow
def test_what_a_revision_is_today_is_said_everywhere(askel: Askel) -> None:
    for revision in OLDEST_AND_NEWEST:
        askel.connect(f"at-{revision}", "--revision", revision, "--accept-retired")
    rows = {each["revision"]: each for each in askel.json("status")["connections"]}
    listed = {each["revision"]: each for each in askel.json("connections")["connections"]}
    shown, findings = askel("status").stdout, askel("doctor", code=None).stdout
    for revision in OLDEST_AND_NEWEST:
        status, note = rows[revision]["revision_status"], rows[revision]["revision_note"]
        assert (listed[revision]["revision_status"], listed[revision]["revision_note"]) == (status, note)
        assert status in note
        assert bool(rows[revision]["served"]) == (status == "retired")
        assert (f"at-{revision}: revision {revision} is {note}" in shown) == (status != "stable")
        assert (f"{revision}, {note}" in findings) == (status != "stable")
    assert rows["2024-02-15"]["revision_status"] == "retired"
    assert NEWEST in rows


def test_a_revision_that_is_not_at_hand_is_refused_with_those_that_are(askel: Askel) -> None:
    released = askel.connect("a", "--revision", "2025-04-15", code=3).stderr
    assert "does not hold its rules" in released
    assert "2025-01-15 or 2026-07-15" in released
    assert f"did you mean {NEWEST}?" in askel.connect("a", "--revision", "2026-10-51", code=3).stderr
