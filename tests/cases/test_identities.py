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
