"""Names that are nearly existing ones, and expressions where a name is meant."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from askel_tui.core.catalog import Catalog, MetricEntry, PropertyEntry
from askel_tui.core.planning.plan import plan
from askel_tui.core.targets.name_checks import find_type_differences
from askel_tui.core.targets.names import describe_expression, find_near_name
from askel_tui.core.targets.pinning import Pinned, pin_targets
from askel_tui.core.workflows.loader import load_workflow
from tests.support.workflows import applied, happened, of_steps

NAMES = ["First Points Earned", "LoyaltyTier", "VipSince", "Order 1", "id"]
PROPERTIES = (
    PropertyEntry("LoyaltyTier", {"text": 9}, 9, 12, ("Gold",)),
    PropertyEntry("LoyaltyPoints", {"number": 9, "null": 30}, 39, 42),
    PropertyEntry("VipSince", {"date": 3}, 3, 12),
    PropertyEntry("Mixed", {"text": 3, "number": 3}, 6, 12),
)
CATALOG = Catalog(0, "A", metrics=(MetricEntry("M1", "First Points Earned"),), properties=PROPERTIES)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("First points earned", "First Points Earned"),
        ("First Points Earned ", "First Points Earned"),
        ("first_points_earned", "First Points Earned"),
        ("First Points Earnd", "First Points Earned"),
        ("First Pionts Earned", "First Points Earned"),
        ("First Points Earmed", "First Points Earned"),
        ("loyaltytier", "LoyaltyTier"),
        ("Loyalty Tier", "LoyaltyTier"),
        ("LoyaltyTiers", "LoyaltyTier"),
        ("First Points Earned", None),
        ("Order 2", None),
        ("Second Points Earned", None),
        ("Id2", None),
        ("Tier", None),
    ],
)
def test_a_name_that_differs_in_case_blanks_or_one_letter_is_near(name: str, near: str | None) -> None:
    assert find_near_name(name, NAMES) == near


LETTERS = st.text("abcdefghijklmnopqrstuvwxyzäéß", min_size=5, max_size=12)


@given(
    LETTERS,
    st.integers(0, 11),
    st.sampled_from("xyzq"),
    st.sampled_from(["in", "out", "over", "upper", "blank"]),
)
def test_any_one_slip_is_found(name: str, at: int, letter: str, slip: str) -> None:
    at %= len(name)
    slipped = {
        "in": name[:at] + letter + name[at:],
        "out": name[:at] + name[at + 1 :],
        "over": name[:at] + letter + name[at + 1 :],
        "upper": name[:at] + name[at].upper() + name[at + 1 :],
        "blank": name[:at] + " " + name[at:],
    }[slip]
    assume(slipped != name)
    assert find_near_name(slipped, [name]) == name


@pytest.mark.parametrize(
    "name", ["data.metric", " data.x", "record.data.x", "title(data.x)", "concat ('a', 'b')"]
)
@pytest.mark.parametrize("fields", [True, False])
def test_an_expression_is_no_name(name: str, fields: bool) -> None:
    assert describe_expression(name, fields=fields)


@pytest.mark.parametrize(
    "name", ["Metadata.x", "database", "Dataset", "titled", "Event", "ids", "time to buy"]
)
def test_names_that_only_begin_alike_are_names(name: str) -> None:
    assert describe_expression(name) is None


def pinned(step: str, *, rules: int = 2, catalog: Catalog = CATALOG) -> Pinned:
    text = of_steps(f"- id: s\n  {step}\n")
    workflow, problems = load_workflow(f"askel: 2\n{text}" if rules == 2 else text)
    assert workflow is not None, problems
    return pin_targets(workflow, catalog)


@pytest.mark.parametrize("name", ["data.kind", "event", "title(data.kind)", "id"])
def test_an_expression_for_a_metric_is_refused_by_the_newest_rules(name: str) -> None:
    step = f'track_event: {{metric: "{name}"}}'
    assert [each.field for each in pinned(step).problems] == ["metric"]
    warned = pinned(step, rules=1)
    assert warned.problems == []
    assert [each.field for each in warned.warnings] == ["metric"]
    assert pinned(f'track_event: {{metric: {{name: "{name}"}}}}').problems == []
    there = Catalog(0, "A", metrics=(MetricEntry("M2", name),))
    assert pinned(step, catalog=there).problems == []


def test_expressions_for_properties_and_sources_are_refused_and_plain_words_are_not() -> None:
    refused = pinned("upsert_profile: {properties: {data.tier: data.tier, id: data.id, LoyaltyTier: data.t}}")
    assert [each.field for each in refused.problems] == ["properties.data.tier"]
    refused = pinned(
        "track_event: {metric: First Points Earned, properties: {'title(data.x)': data.x, id: data.id}}"
    )
    assert [each.field for each in refused.problems] == ["properties.title(data.x)"]
    step = "subscribe: {channels: [email], custom_source: data.source}"
    assert [each.field for each in pinned(step).problems] == ["custom_source"]


def test_a_near_name_is_warned_of_with_the_one_that_is_there() -> None:
    found = pinned(
        "upsert_profile: {properties: {loyaltytier: data.t, Loyalty Tier: data.t, Brand New: data.n}}"
    )
    assert [(each.field, each.suggestion) for each in found.warnings] == [
        ("properties.loyaltytier", "LoyaltyTier"),
        ("properties.Loyalty Tier", "LoyaltyTier"),
    ]
    found = pinned("track_event: {metric: First points earned}", rules=1)
    assert [each.suggestion for each in found.warnings] == ["First Points Earned"]
    assert found.problems == []


def test_a_type_that_is_known_beforehand_is_compared_with_the_property_s() -> None:
    written = "LoyaltyTier: number(data.t), LoyaltyPoints: text(data.p), VipSince: date(data.d)"
    step = f"upsert_profile: {{properties: {{{written}}}}}"
    assert [each.field for each in pinned(step).warnings] == [
        "properties.LoyaltyTier",
        "properties.LoyaltyPoints",
    ]


def test_the_values_of_a_record_are_compared_with_their_properties() -> None:
    names = ("LoyaltyTier", "LoyaltyPoints", "VipSince", "Mixed", "Other")
    mapping = ", ".join(f"{name}: data.{name}" for name in names)
    of = applied(of_steps(f"- id: s\n  upsert_profile: {{properties: {{{mapping}}}}}\n"))
    by_name = {each.name: each for each in PROPERTIES}

    def differing(**data: Any) -> list[str]:
        found = plan(happened(**data), of)
        assert found is not None
        return [(each.field or "") for each in find_type_differences(found.operations, by_name)]

    assert differing(LoyaltyTier=120, LoyaltyPoints="12", VipSince="23/11/2026", Mixed=1, Other=1) == [
        "properties.LoyaltyTier",
        "properties.LoyaltyPoints",
        "properties.VipSince",
    ]
    assert differing(LoyaltyTier="2026-11-23", LoyaltyPoints=1.5, VipSince="2026-11-23") == []
