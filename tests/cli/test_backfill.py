"""`askel backfill`: records of the past, of a file or of the journal, under one workflow."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_past_records import WORKFLOW, record, starts
from tests.support.askel import Askel
from tests.support.sandbox import SandboxProcess

WHEN = "2025-03-01T10:00:00Z"


def history_file(tmp_path: Path, numbers: range, name: str = "history.jsonl") -> str:
    file = tmp_path / name
    file.write_text("\n".join(json.dumps(record(number, WHEN)) for number in numbers))
    return str(file)


@pytest.fixture
def live(askel: Askel, account: SandboxProcess, tmp_path: Path) -> Askel:
    """Two active workflows with one trigger."""
    account.control("POST", "reset", {})
    askel.connect()
    for name in ("old", "other"):
        file = tmp_path / f"{name}.yaml"
        file.write_text(WORKFLOW.replace("workflow: old", f"workflow: {name}"))
        askel("workflow", "apply", str(file))
        askel("workflow", "activate", name)
    return askel


def events(account: SandboxProcess) -> list[dict[str, Any]]:
    return [each for each in account.state()["events"] if each["metric"] == "First Points Earned"]


def test_a_file_is_previewed_asked_about_and_written_once(
    live: Askel, account: SandboxProcess, tmp_path: Path
) -> None:
    file = history_file(tmp_path, range(6))
    shown = live.json("backfill", file, "--workflow", "old", "--preview")
    assert shown["past"]["flows"] == [
        {"flow": "First Points Thanks", "people": 3},
        {"flow": "Welcome Series", "people": 3},
    ]
    assert {each["call"]: each["calls"] for each in shown["calls"]} == {
        "create_event": 6, "create_or_update_profile": 6, "add_profiles_to_list": 1,
    }  # fmt: skip
    asked = live("backfill", file, "--workflow", "old", code=3)
    assert (
        "6 records of the past under old would start First Points Thanks for up to 3 people" in asked.stderr
    )
    assert live.json("backfill", "--workflow", "old", "--report") == {"backfills": []}

    done = live.json("backfill", file, "--workflow", "old", "--history")
    assert (done["state"], done["progress"]["done"], done["progress"]["waiting"]) == ("done", 6, 0)
    assert sum(each["number"] for each in done["outcomes"] if each["write"] == "track_event") == 6
    assert {"write": "plan", "result": "done", "number": 6} in done["outcomes"]  # the list is left aside
    assert starts(account) == {}
    assert len(events(account)) == 6
    assert all(each["backfill"] for each in events(account))
    # Records of the file are that workflow's alone, and a second time there is nothing to do.
    live("daemon", "--until-idle")
    again = live("backfill", file, "--workflow", "old", "--history")
    assert "6 ran already" in again.stderr
    assert "nothing is left to do" in again.stderr
    assert len(events(account)) == 6
    assert {each["workflow"] for each in live.lines("audit") if each["record"]} == {"old"}


@pytest.mark.slow
def test_flows_start_where_that_is_said(live: Askel, account: SandboxProcess, tmp_path: Path) -> None:
    live("backfill", history_file(tmp_path, range(2)), "--workflow", "old", "--fire-flows")
    assert starts(account) == {"Welcome Series": 1, "First Points Thanks": 2}


def test_kept_records_are_taken_by_their_time(live: Askel, account: SandboxProcess, tmp_path: Path) -> None:
    """A workflow that is new takes what was kept before it, within bounds; what comes in is not of the past."""
    live("ingest", history_file(tmp_path, range(4)), "--connection", "maple-ember")
    file = tmp_path / "late.yaml"
    file.write_text(WORKFLOW.replace("workflow: old", "workflow: late"))
    live("workflow", "apply", str(file))
    refused = live("backfill", "--from-journal", "--workflow", "late", "--history", code=3)
    assert "late is a draft" in refused.stderr
    live("workflow", "activate", "late")
    none = live("backfill", "--from-journal", "--workflow", "late", "--since", "2026-01-01")
    assert "4 not for this workflow" in none.stderr
    live("workflow", "pause", "old")
    live("workflow", "pause", "other")
    found = live.json(
        "backfill", "--from-journal", "--workflow", "late", "--until", "2026-01-01", "--history"
    )
    assert found["progress"]["done"] == 4
    assert starts(account) == {}
    new = tmp_path / "new.jsonl"
    new.write_text(json.dumps(record(9, datetime.now(UTC).isoformat())))
    live("ingest", str(new), "--connection", "maple-ember")
    live("daemon", "--until-idle")
    assert starts(account) == {"Welcome Series": 1, "First Points Thanks": 1}


def test_it_is_paused_and_goes_on(live: Askel, account: SandboxProcess, tmp_path: Path) -> None:
    """What is paused is not sent, planned or not; records that come in are."""
    file = history_file(tmp_path, range(4))
    live("backfill", file, "--workflow", "old", "--history", "--detach")
    shown = live("backfill", "--workflow", "old", "--pause")
    assert "is paused" in shown.stderr
    new = tmp_path / "new.jsonl"
    new.write_text(json.dumps(record(9, datetime.now(UTC).isoformat())))
    live("ingest", str(new), "--connection", "maple-ember")
    live("daemon", "--until-idle")
    assert len(events(account)) == 2  # of both workflows, for the new record
    [shown] = live.json("status")["backfills"]
    assert (shown["state"], shown["workflow"]) == ("paused", "old")
    live("backfill", file, "--workflow", "old")
    assert len(events(account)) == 6
    assert Counter(each["backfill"] for each in events(account)) == {True: 4, False: 2}
    live("backfill", "--workflow", "old", "--resume", code=3)


SUBSCRIBING = """\
askel: 2
workflow: news
connection: maple-ember
trigger: point
profile: {email: data.email}
steps:
  - id: news
    subscribe: {channels: [email], list: Newsletter, resubscribe: true}
"""


@pytest.mark.slow
def test_nobody_who_opted_out_is_subscribed_again_unasked(
    live: Askel, account: SandboxProcess, tmp_path: Path
) -> None:
    """As history only who did not opt out since; with flows, the people who would be are counted and asked about."""
    (tmp_path / "news.yaml").write_text(SUBSCRIBING)
    live("workflow", "apply", str(tmp_path / "news.yaml"))
    live("workflow", "activate", "news")
    live("backfill", history_file(tmp_path, range(1)), "--workflow", "old", "--history")
    left = {"consent": "UNSUBSCRIBED", "last_updated": datetime.now(UTC).isoformat()}
    account.control("PUT", "profiles/old0@mapleandember.example/consent", {"email.marketing": left})
    here = tmp_path / "here.jsonl"
    here.write_text(json.dumps(record(0, WHEN) | {"id": "here"}))
    file = history_file(tmp_path, range(1, 4))
    live("backfill", str(here), "--workflow", "news", "--history")
    assert not _has_news(account)
    asked = live("backfill", file, "--workflow", "news", "--fire-flows", code=3)
    assert "--resubscribe 1 lets them" in asked.stderr
    live("backfill", file, "--workflow", "news", "--fire-flows", "--resubscribe", "1")
    assert _has_news(account)


def _has_news(account: SandboxProcess) -> bool:
    [emails] = [each["emails"] for each in account.state()["lists"] if each["name"] == "Newsletter"]
    return "old0@mapleandember.example" in emails


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("--workflow", "old"), 2, "give a FILE or --from-journal"),
        (("--from-journal", "--workflow", "nobody"), None, "no workflow is called 'nobody'"),
        (("--from-journal", "--workflow", "old", "--pause"), 2, "give --workflow alone"),
        (("--workflow", "old", "--pause"), 3, "no backfill of old is under way"),
    ],
)
@pytest.mark.slow
def test_what_is_refused(live: Askel, words: tuple[str, ...], code: int | None, sentence: str) -> None:
    assert sentence in live("backfill", *words, code=code).stderr
