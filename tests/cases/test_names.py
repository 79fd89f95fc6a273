"""Names that Klaviyo would make anew without a word."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.case_runner import CaseRun

NEAR = {
    "properties.loyaltytier": "LoyaltyTier",
    "properties.Loyalty Tier": "LoyaltyTier",
    "metric": "First Points Earned",
}


def test_names_that_are_nearly_there_are_warned_of_at_apply_and_in_the_dry_run(
    case: Callable[[str], CaseRun],
) -> None:
    run = case("near-miss-names")
    applied = [each for each in run.apply("b.yaml")["warnings"] if each["suggestion"]]
    assert [(each["step"], each["suggestion"]) for each in applied] == [
        ("p", "LoyaltyTier"),
        ("p", "LoyaltyTier"),
        ("e", "First Points Earned"),
        ("e2", "First Points Earned"),
    ]
    assert all(NEAR[each["field"]] == each["suggestion"] for each in applied)
    shown = run.dry_run("near", "r.jsonl")
    assert [each["suggestion"] for each in shown["warnings"] if "suggestion" in each] == [
        each["suggestion"] for each in applied
    ]
    assert "Did you mean 'LoyaltyTier'?" in run.askel("dry-run", "near", str(run.path("r.jsonl"))).stdout
    found = [(each["field"], each["kind"]) for each in shown["records"][0]["warnings"]]
    assert found == [("properties.LoyaltyTier", "property_type"), ("properties.VipSince", "property_type")]
    assert shown["totals"]["warnings"] == {"property_type": 1}


def test_an_expression_for_a_metric_is_refused_by_the_newest_rules(case: Callable[[str], CaseRun]) -> None:
    run = case("near-miss-names")
    swapped = {'metric: "First points earned"': "metric: data.metric"}
    answer = run.apply("b.yaml", code=3 if run.rules == 2 else 0, replace=swapped)
    found = answer["problems"] if run.rules == 2 else answer["warnings"]
    assert any("looks like an expression" in each["message"] and each["step"] == "e" for each in found)
    literal = {'metric: "First points earned"': 'metric: {name: "data.metric"}'}
    answer = run.apply("b.yaml", replace=literal)
    assert not any("expression" in each["message"] for each in answer["warnings"])
