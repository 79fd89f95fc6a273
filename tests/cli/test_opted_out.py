"""Going live asks for the number of people who have opted out and would be subscribed again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.askel import Askel
from tests.support.sandbox import SandboxProcess

WORKFLOW = """\
askel: 2
workflow: news
connection: maple-ember
trigger: agreed
profile: {email: data.email}
steps:
  - id: in
    subscribe: {channels: [email], list: Newsletter, CHOICE}
"""
AGREED, BEFORE, AFTER = "2026-05-02T12:00:00Z", "2026-05-01T12:00:00Z", "2026-05-03T14:00:00+02:00"
SINCE = ("workflow", "activate", "news", "--since", "2020-01-01", "--fire-flows")


def _email(number: int) -> str:
    return f"n{number}@mapleandember.example"


def ready(askel: Askel, account: SandboxProcess, tmp_path: Path, choice: str) -> None:
    """Six people: two opted out before they agreed, one of them from the list, and two after; one is new, one is in."""
    account.control("POST", "reset", {})
    account.control("POST", "profiles", {"profiles": [{"email": _email(number)} for number in range(5)]})
    shown: list[dict[str, Any]] = [
        {"email.marketing": {"consent": "UNSUBSCRIBED", "last_updated": BEFORE}},
        {"list_suppressions": [{"list_id": "MeNews", "reason": "UNSUBSCRIBE", "timestamp": BEFORE}]},
        {"email.marketing": {"consent": "UNSUBSCRIBED", "last_updated": AFTER}},
        {"suppressions": [{"reason": "USER_SUPPRESSED", "timestamp": AFTER}]},
        {"email.marketing": {"consent": "SUBSCRIBED", "last_updated": AFTER}},
    ]
    for number, consent in enumerate(shown):
        account.control("PUT", f"profiles/{_email(number)}/consent", consent)
    askel.connect()
    file, records = tmp_path / "wf.yaml", tmp_path / "r.jsonl"
    file.write_text(WORKFLOW.replace("CHOICE", choice))
    lines = [
        {"id": f"n-{number}", "event": "agreed", "time": AGREED, "data": {"email": _email(number)}}
        for number in (*range(6), 0)
    ]
    lines[-1]["id"] = "n-again"
    records.write_text("\n".join(map(json.dumps, lines)))
    askel("workflow", "apply", str(file))
    askel("ingest", str(records), "--connection", "maple-ember")


def on_list(account: SandboxProcess) -> set[str]:
    found = next(each["emails"] for each in account.state()["lists"] if each["id"] == "MeNews")
    return {each for each in found if each[:2] in {f"n{number}" for number in range(6)}}


def test_going_live_asks_for_the_number_that_the_dry_run_counts(
    askel: Askel, account: SandboxProcess, tmp_path: Path
) -> None:
    ready(askel, account, tmp_path, "proof: record")
    totals = askel.json("dry-run", "news")["totals"]
    assert (totals["lifted"], totals["refused"]) == (2, 2)
    shown = askel("dry-run", "news").stdout
    assert "subscribed again: email: unsubscribed at '2026-05-01T12:00:00Z'" in shown
    assert "skipped: not subscribed again: email: suppressed ('USER_SUPPRESSED')" in shown
    assert "opt-outs ended     2" in shown
    for given in ((), ("--resubscribe", "1")):
        asked = askel(*SINCE, *given, code=3).stderr
        assert "would subscribe 2 people again who have opted out, with 7 records" in asked
        assert "--resubscribe 2 lets them" in asked
    # From now on: the records of the dry run stand for those that come.
    assert "--resubscribe 2" in askel("workflow", "activate", "news", code=3).stderr
    assert askel.json("status")["workflows"][0]["state"] == "draft"
    askel(*SINCE, "--resubscribe", "2")
    askel("daemon", "--until-idle")
    assert on_list(account) == {_email(number) for number in (0, 1, 4, 5)}
    refused = askel.lines("audit", "--status", "skipped")
    assert {each["record"] for each in refused} == {"n-2", "n-3"}
    assert all("is not newer" in str(each["response"]) for each in refused)
    assert askel.json("status")["workflows"][0]["warnings"] == {"consent_refused": 2}
    assert "subscriptions refused" in askel("status").output


@pytest.mark.slow
@pytest.mark.parametrize(("choice", "count"), [("resubscribe: true", 4), ("refuse: true", 0)])
def test_always_and_never(
    askel: Askel, account: SandboxProcess, tmp_path: Path, choice: str, count: int
) -> None:
    ready(askel, account, tmp_path, choice)
    assert askel.json("dry-run", "news")["totals"]["lifted"] == count
    asked = askel(*SINCE, code=3 if count else 0).stderr
    assert (f"--resubscribe {count} " in asked) == bool(count)


def test_a_file_of_before_is_warned_of_and_goes_on(
    askel: Askel, account: SandboxProcess, tmp_path: Path
) -> None:
    ready(askel, account, tmp_path, "refuse: true")
    file = tmp_path / "wf.yaml"
    file.write_text(file.read_text().replace("askel: 2\n", "").replace(", refuse: true", ""))
    warned = askel("workflow", "apply", str(file)).stderr
    assert "warning: " in warned
    assert "`refuse: true`" in warned
    assert askel.json("dry-run", "news")["totals"]["lifted"] == 4
    askel(*SINCE)
    shown = askel("workflow", "upgrade", str(file))
    assert "refuse: true" in shown.stdout
    assert "`refuse: true` decides" in shown.stderr
    assert (
        "+    subscribe: {proof: record, "
        in askel("workflow", "upgrade", str(file), "--consent", "record").stdout
    )
    file.write_text(f"askel: 2\n{file.read_text()}")
    refused = askel("workflow", "apply", str(file), code=3).stderr
    assert all(
        name in refused for name in ("consent_at: EXPR", "proof: record", "resubscribe: true", "refuse: true")
    )


@pytest.mark.slow
def test_going_back_and_a_folder_take_the_number_too(
    askel: Askel, account: SandboxProcess, tmp_path: Path
) -> None:
    ready(askel, account, tmp_path, "resubscribe: true")
    askel("workflow", "activate", "news", "--resubscribe", "4")
    file = tmp_path / "wf.yaml"
    file.write_text(file.read_text().replace("resubscribe", "refuse"))
    askel("workflow", "apply", str(file))
    askel("workflow", "activate", "news")
    folder = tmp_path / "folder"
    askel("config", "export", str(folder))
    assert "--resubscribe 4" in askel("workflow", "rollback", "news", code=3).stderr
    askel("workflow", "rollback", "news", "--resubscribe", "4")
    askel("config", "apply", str(folder), "--yes")
    [text] = folder.rglob("*news*.yaml")
    text.write_text(text.read_text().replace("refuse", "resubscribe"))
    assert "--resubscribe 4" in askel("config", "apply", str(folder), "--yes", code=3).stderr
    askel("config", "apply", str(folder), "--yes", "--resubscribe", "4")
