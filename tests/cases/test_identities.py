"""Who is one person and who is two: what e-mail addresses and phone numbers say."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.case_runner import CaseRun


def test_addresses_that_only_fold_alike_are_two_people(case: Callable[[str], CaseRun]) -> None:
    run = case("casefold-loses-a-person")
    run.apply()
    run.ingest()
    shown = run.dry_run("fold")["records"]
    assert [(each["record"], each["new"]) for each in shown] == [
        (f"fo-{number}", True) for number in range(6)
    ]
    before = run.profiles().keys()
    run.go_live("fold")
    made = {name: each["first_name"] for name, each in run.profiles().items() if name not in before}
    assert sorted(made.values()) == ["Anna", "Berta", "Ligature", "Plain", "S1", "S2"]
    assert [entry["profile"]["email"] for entry in run.audit("fo-0")] == ["weiß@mapleandember.example"]


def test_what_is_not_seen_in_an_address_is_refused_before_it_is_sent(case: Callable[[str], CaseRun]) -> None:
    run = case("email-invisible-characters")
    run.apply()
    shown = {each["record"]: each["problems"] for each in run.dry_run("emails", "r.jsonl")["records"]}
    named = {"nbsp": "U+00A0", "zwsp": "U+200B", "bomin": "U+FEFF", "rtl": "U+202E", "emoji": "U+1F600"}
    for record, code in named.items():
        assert [(each["field"], code in each["message"]) for each in shown[record]] == [
            ("profile.email", True)
        ]
    before = run.profiles().keys()
    run.ingest()
    run.go_live("emails")
    failed = {row["record"] for row in run.askel.json("failed", "list")["failed"]}
    assert failed == {record for record, problems in shown.items() if problems}
    assert all(name.isprintable() for name in run.profiles().keys() - before)


def test_people_who_share_a_phone_stay_two(case: Callable[[str], CaseRun]) -> None:
    run = case("shared-phone-collapses-people")
    run.apply("wf2b.yaml")
    run.ingest("c2b.jsonl")
    shown = run.dry_run("shared")
    paul = shown["records"][1]
    assert [each["kind"] for each in paul["warnings"]] == ["shared_phone"]
    assert "maria@mapleandember.example" in paul["warnings"][0]["message"]
    assert shown["totals"]["warnings"] == {"shared_phone": 1}
    assert paul["new"] == (run.rules == 2)
    run.go_live("shared")
    made = {name: each.get("external_id") for name, each in run.profiles().items()}
    assert made["paul@mapleandember.example"] == "C-101"
    assert made.get("maria@mapleandember.example") == ("C-100" if run.rules == 2 else None)
    [workflow] = run.askel.json("status")["workflows"]
    assert workflow["warnings"] == {"shared_phone": 1}
    assert "another profile" in run.audit("sh-2")[0]["response"]["detail"]


def test_a_placeholder_is_nobody_s_phone(case: Callable[[str], CaseRun]) -> None:
    run = case("shared-phone-collapses-people")
    run.apply("ph.yaml")
    shown = run.dry_run("placeholder", "ph.jsonl")
    found = [each["problems"] if run.rules == 2 else each["warnings"] for each in shown["records"]]
    assert all("placeholder" in each[0]["message"] for each in found)
    assert shown["totals"]["problems"] == (3 if run.rules == 2 else 0)
