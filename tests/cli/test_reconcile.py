"""`askel reconcile`: what was written, beside what Klaviyo holds now."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.askel import Askel
from tests.support.sandbox import SandboxProcess

WORKFLOW = """\
workflow: checked
connection: maple-ember
trigger: checked
profile: {email: data.email, phone_number: data.phone}
steps:
  - id: who
    upsert_profile: {first_name: data.name, properties: {Tier: data.tier}}
  - id: news
    subscribe: {channels: [email], list: Newsletter}
  - id: club
    add_to_list: Kiln Club
"""


def _record(number: int, **data: object) -> str:
    who = {"email": f"check{number}@mapleandember.example", "name": "Ada", "tier": number, **data}
    return json.dumps({"id": f"k-{number}", "event": "checked", "data": who})


@pytest.fixture
def sent(askel: Askel, account: SandboxProcess, tmp_path: Path) -> Askel:
    """A workflow that has sent three records, one of them twice for the same person."""
    account.control("POST", "reset", {})
    askel.connect()
    file, records = tmp_path / "wf.yaml", tmp_path / "r.jsonl"
    file.write_text(WORKFLOW)
    records.write_text("\n".join([*map(_record, range(3)), _record(3, email="check0@mapleandember.example")]))
    askel("workflow", "apply", str(file))
    askel("ingest", str(records), "--connection", "maple-ember")
    askel("workflow", "activate", "checked", "--since", "2020-01-01", "--fire-flows")
    askel("daemon", "--until-idle")
    return askel


def test_what_was_sent_is_what_the_account_holds(sent: Askel) -> None:
    found = sent.json("reconcile", "checked")
    assert (found["records"], found["profiles"], found["rows"]) == (4, 3, [])
    # Three profiles: e-mail, first name, tier, consent and two lists; the later record's tier counts.
    assert (found["fields"], found["same"]) == (18, 18)
    assert sent.json("reconcile", "checked", "--sample", "1")["records"] == 1
    assert "18 of 18 fields as sent" in sent("reconcile", "checked").stdout


def test_what_others_changed_is_counted_apart(sent: Askel, account: SandboxProcess) -> None:
    account.control("DELETE", "properties/Tier")
    account.control("PUT", "lists/MeKiln/members", {"profiles": ["check1@mapleandember.example"]})
    account.control("DELETE", "profiles/check2@mapleandember.example")
    found = sent.json("reconcile", "checked", code=3)
    rows = {(each["record"], each["field"]): each for each in found["rows"]}
    assert rows["k-3", "properties.Tier"]["outcome"] == "changed_since"
    assert (rows["k-3", "properties.Tier"]["sent"], rows["k-3", "properties.Tier"]["now"]) == (3, None)
    assert rows["k-3", "list Kiln Club"]["outcome"] == "changed_since"
    assert rows["k-2", "first_name"]["outcome"] == "missing"
    assert (found["changed_since"], found["different"], found["missing"]) == (3, 0, 6)
    assert "3 changed by others since" in sent("reconcile", "checked", code=3).stdout


def test_a_phone_that_klaviyo_dropped_is_different(
    askel: Askel, account: SandboxProcess, tmp_path: Path
) -> None:
    account.control("POST", "reset", {})
    account.control("PATCH", "settings", {"dropped_phones": ["+44"]})
    askel.connect()
    file, records = tmp_path / "wf.yaml", tmp_path / "r.jsonl"
    file.write_text(WORKFLOW)
    records.write_text(_record(7, phone="+442079460777"))
    askel("workflow", "apply", str(file))
    askel("ingest", str(records), "--connection", "maple-ember")
    askel("workflow", "activate", "checked", "--since", "2020-01-01", "--fire-flows")
    askel("daemon", "--until-idle")
    account.control("PATCH", "settings", {"dropped_phones": []})
    [row] = askel.json("reconcile", "checked", code=3)["rows"]
    assert (row["field"], row["sent"], row["now"], row["outcome"]) == (
        "phone_number",
        "+442079460777",
        None,
        "different",
    )


def test_nothing_that_was_sent_has_nothing_to_compare(askel: Askel, tmp_path: Path) -> None:
    askel.connect()
    file = tmp_path / "wf.yaml"
    file.write_text(WORKFLOW)
    askel("workflow", "apply", str(file))
    assert askel.json("reconcile", "checked")["fields"] == 0
    assert "did you mean" in askel("reconcile", "chekced", code=2).stderr.lower()


def test_a_person_written_under_two_spellings_is_one_profile(
    askel: Askel, account: SandboxProcess, tmp_path: Path
) -> None:
    account.control("POST", "reset", {})
    askel.connect()
    file, records = tmp_path / "wf.yaml", tmp_path / "r.jsonl"
    identity = "profile: {email: data.email, phone_number: data.phone}"
    file.write_text(WORKFLOW.replace(identity, "profile: {email: data.email, external_id: data.id}"))
    renamed = _record(2, email="renamed@mapleandember.example", id="K-1", name="Grace")
    records.write_text("\n".join([_record(1, id="K-1"), renamed]))
    askel("workflow", "apply", str(file))
    askel("ingest", str(records), "--connection", "maple-ember")
    shown = askel(
        "workflow", "activate", "checked", "--since", "2020-01-01", "--fire-flows", "--first", "2", "--go-on"
    )
    assert "differs" not in shown.stdout
    found = askel.json("reconcile", "checked")
    assert (found["records"], found["profiles"], found["rows"]) == (2, 1, [])
