"""What the dry run says is what live then does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.support.case_runner import CONNECTION, CaseRun


def _by_record(shown: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["record"]: each for each in shown["records"]}


def test_who_is_not_on_the_list_is_skipped_in_the_dry_run_too(case: Callable[[str], CaseRun]) -> None:
    run = case("dryrun-unsubscribe-off-list")
    run.apply("un.yaml")
    run.ingest("un.jsonl")
    document = run.dry_run("un")
    shown = _by_record(document)
    assert document["totals"]["unsubscribed"] == 0
    assert [(shown[each]["new"], shown[each]["unknown"]) for each in ("u-1", "u-2")] == [
        (False, False),
        (False, True),
    ]
    assert "unknown" in run.askel("dry-run", "un", str(run.path("un.jsonl"))).stdout
    run.go_live("un")
    for record in ("u-1", "u-2"):
        assert shown[record]["operations"] == []
        [skip] = shown[record]["skipped"]
        [entry] = run.audit(record)
        assert (entry["status"], entry["response"]["detail"]) == ("skipped", skip["why"])
        assert skip["why"].startswith("not on Promotions")
    [workflow] = run.askel.json("status")["workflows"]
    assert "only who is on Promotions" in workflow["notes"][0]


def test_everywhere_unsubscribes_who_is_not_on_the_list(case: Callable[[str], CaseRun]) -> None:
    run = case("dryrun-unsubscribe-off-list")
    run.apply("un.yaml", replace={"list: Promotions": "list: Promotions, everywhere: true"})
    run.ingest("un.jsonl")
    document = run.dry_run("un")
    assert document["totals"]["unsubscribed"] == 1
    run.go_live("un")
    assert [entry["status"] for entry in run.audit("u-1")][:2] == ["skipped", "unconfirmed"]
    shown = run.profiles()["haruki@mapleandember.example"]["consent"]
    assert shown["email.marketing"] == "UNSUBSCRIBED"


def test_a_double_opt_in_list_sends_a_confirmation_first(case: Callable[[str], CaseRun]) -> None:
    run = case("dryrun-double-opt-in")
    run.apply("doi.yaml")
    document = run.dry_run("doi", "doi.jsonl")
    [operation] = document["records"][0]["operations"]
    assert (operation["changes"], document["totals"]["confirmations"]) == ({}, 1)
    assert document["totals"]["subscribed"] == 0
    assert "a confirmation is sent" in run.askel("dry-run", "doi", str(run.path("doi.jsonl"))).stdout
    run.ingest("doi.jsonl")
    run.go_live("doi")
    state = run.account.state()
    assert next(each["emails"] for each in state["lists"] if each["name"] == "SMS Club") == []


def test_a_merge_is_shown_before_it_is_made(case: Callable[[str], CaseRun]) -> None:
    run = case("merge-not-in-dry-run")
    people = [
        {"email": "mm-a@mapleandember.example", "first_name": "A"},
        {"phone_number": "+442079460523", "first_name": "B", "properties": {"OnlyB": 1}},
    ]
    into, source = run.account.control("POST", "profiles", {"profiles": people})["profiles"]
    run.apply("w3.yaml")

    run.askel("connections", "set", CONNECTION, "--on-conflict", "strongest")
    [operation] = run.dry_run("conf", "mm.jsonl")["records"][0]["operations"]
    assert operation["changes"] == {"first_name": {"before": "A", "after": "AB"}}
    assert operation["notes"][0].startswith("phone_number is left out")
    assert "phone_number" not in operation["request"]["body"]["data"]["attributes"]

    run.askel("connections", "set", CONNECTION, "--on-conflict", "merge")
    document = run.dry_run("conf", "mm.jsonl")
    [operation] = document["records"][0]["operations"]
    assert operation["merges"] == [{"into": into, "source": source}]
    assert document["totals"]["merges"] == 1
    assert {name: each["after"] for name, each in operation["changes"].items()} == {
        "phone_number": "+442079460523",
        "properties.OnlyB": 1,
        "first_name": "AB",
    }
    assert (
        f"{source} is merged into {into}, for good"
        in run.askel("dry-run", "conf", str(run.path("mm.jsonl"))).stdout
    )

    run.ingest("mm.jsonl")
    run.go_live("conf")
    kept = run.profiles()["mm-a@mapleandember.example"]
    assert (kept["phone_number"], kept["first_name"], kept["properties"]) == (
        "+442079460523",
        "AB",
        {"OnlyB": 1},
    )
    assert [entry["kind"] for entry in run.audit("mm-1")] == ["merge", "upsert_profile"]


CONSENT = """\
workflow: past
connection: me
trigger: past
profile: {email: data.email}
steps:
  - id: before
    upsert_profile: {first_name: data.name}
  - id: consent
    subscribe: {channels: [email], list: Newsletter, historical: true, consented_at: data.at}
  - id: after
    add_to_list: Kiln Club
"""


def test_times_that_klaviyo_refuses_are_problems_before_anything_is_sent(
    case: Callable[[str], CaseRun], tmp_path: Path
) -> None:
    run = case("event-over-a-year-ahead")
    run.apply()
    run.ingest()
    [shown] = run.dry_run("ahead")["records"]
    [problem] = shown["problems"]
    assert (problem["step"], problem["field"], shown["operations"]) == ("e", "time", [])
    probed = {call: run.requests(call) for call in ("create_event", "bulk_subscribe_profiles")}
    run.go_live("ahead")
    [failed] = run.askel.json("failed", "list")["failed"]
    assert problem["message"] in failed["reason"]

    file, records = tmp_path / "past.yaml", tmp_path / "past.jsonl"
    file.write_text(CONSENT)
    records.write_text(
        '{"id": "p-1", "event": "past", "data": {"email": "past@mapleandember.example", "name": "Pa", '
        '"at": "2999-01-01T00:00:00Z"}}'
    )
    run.askel("workflow", "apply", str(file))
    [shown] = run.dry_run("past", str(records))["records"]
    assert [(each["step"], each["field"]) for each in shown["problems"]] == [("consent", "consented_at")]
    assert [each["step"] for each in shown["operations"]] == ["before"]
    assert [each["step"] for each in shown["skipped"]] == ["after"]
    run.askel("ingest", str(records), "--connection", CONNECTION)
    run.go_live("past")
    ends = {entry["step"]: entry["status"] for entry in run.audit("p-1")}
    assert ends == {"before": "written", "consent": "failed"}
    assert {call: run.requests(call) for call in probed} == probed
