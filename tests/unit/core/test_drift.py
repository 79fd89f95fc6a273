"""Drift: findings and their policies; what was not read is no finding."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.core.catalog import (
    Catalog,
    FlowEntry,
    FlowTrigger,
    ListEntry,
    MetricEntry,
    SegmentEntry,
    StepTargets,
)
from askel_tui.core.drift.dependencies import StepDependencies, step_dependencies, target_details
from askel_tui.core.drift.drift import AccountSnapshot, find_drift
from askel_tui.core.drift.findings import Finding
from askel_tui.core.drift.lost_properties import PropertyWitness
from askel_tui.core.operations import Target
from tests.support.workflows import ALL_KINDS, CATALOG, applied, of_steps

LIST = Target("list", "L1", "Welcome")
SEGMENT = Target("segment", "S1", "VIP")
FLOW = Target("flow", "F1", "Series")
METRIC = Target("metric", "M1", "Points")
RULES = {"condition_groups": [{"conditions": [{"type": "profile-property"}]}]}

ADD = StepDependencies("welcome", "add_to_list", target=LIST)
GATE = StepDependencies(
    "vip", "require_segment", target=SEGMENT, applied_details={"definition": RULES, "is_active": True}
)
FIRE = StepDependencies(
    "flow",
    "trigger_flow",
    target=FLOW,
    through=LIST,
    applied_details={"status": "live", "archived": False, "trigger_type": "Added to List"},
)
EVENT = StepDependencies("points", "track_event", target=METRIC)
TIER = StepDependencies("tier", "upsert_profile", properties=("Tier",), scopes=frozenset({"profiles:write"}))

THERE = ListEntry("L1", "Welcome")
LIVE = FlowEntry("F1", "Series", "live", False, "Added to List", (FlowTrigger("list", "L1"),))
WELL = AccountSnapshot(
    account="Acc",
    lists={"L1": THERE},
    segments={"S1": SegmentEntry("S1", "VIP", definition=RULES)},
    flows={"F1": LIVE},
    metrics={"M1": MetricEntry("M1", "Points")},
)


def _found(
    step: StepDependencies, snapshot: AccountSnapshot, *witnesses: PropertyWitness
) -> list[tuple[str, str]]:
    return [(each.cause, each.policy) for each in find_drift(step, snapshot, witnesses, account="Acc")]


@pytest.mark.parametrize("step", [ADD, GATE, FIRE, EVENT, TIER], ids=lambda step: step.kind)
def test_an_account_as_it_was_gives_no_finding(step: StepDependencies) -> None:
    assert find_drift(step, WELL, account="Acc") == []


@pytest.mark.parametrize("step", [ADD, GATE, FIRE, EVENT, TIER], ids=lambda step: step.kind)
def test_a_section_that_was_not_read_gives_no_finding(step: StepDependencies) -> None:
    assert find_drift(step, AccountSnapshot(), account="Acc") == []


@pytest.mark.parametrize(
    ("step", "snapshot", "expected"),
    [
        (ADD, replace(WELL, lists={}), ("target_gone", "hold")),
        (ADD, replace(WELL, lists={}, namesakes={("list", "Welcome"): ("L9",)}), ("made_anew", "hold")),
        (ADD, replace(WELL, lists={"L1": ListEntry("L1", "Hello")}), ("list_renamed", "hold")),
        (GATE, replace(WELL, segments={}), ("target_gone", "hold")),
        (GATE, replace(WELL, segments={}, namesakes={("segment", "VIP"): ("S9",)}), ("made_anew", "hold")),
        (
            GATE,
            replace(WELL, segments={"S1": SegmentEntry("S1", "VIP", definition={})}),
            ("segment_redefined", "hold"),
        ),
        (
            GATE,
            replace(WELL, segments={"S1": SegmentEntry("S1", "VIP", is_active=False, definition=RULES)}),
            ("segment_inactive", "warn"),
        ),
        (FIRE, replace(WELL, flows={}), ("target_gone", "hold")),
        (FIRE, replace(WELL, flows={"F1": replace(LIVE, status="draft")}), ("flow_not_live", "hold")),
        (FIRE, replace(WELL, flows={"F1": replace(LIVE, archived=True)}), ("flow_archived", "hold")),
        (
            FIRE,
            replace(WELL, flows={"F1": replace(LIVE, triggers=(FlowTrigger("list", "L2"),))}),
            ("trigger_moved", "hold"),
        ),
        (FIRE, replace(WELL, flows={"F1": replace(LIVE, triggers=())}), ("trigger_moved", "hold")),
        (
            FIRE,
            replace(WELL, flows={"F1": replace(LIVE, triggers=None, trigger_type="Metric")}),
            ("trigger_moved", "hold"),
        ),
        (FIRE, replace(WELL, lists={"L1": ListEntry("L1", "Hello")}), ("list_renamed", "hold")),
        (EVENT, replace(WELL, metrics={}), ("metric_gone", "warn")),
        (replace(FIRE, through=METRIC), replace(WELL, metrics={}, flows=None), ("metric_gone", "hold")),
        (EVENT, replace(WELL, account="Other"), ("other_account", "hold")),
        (EVENT, AccountSnapshot(key_refused="Klaviyo refuses the key"), ("key_refused", "hold")),
        (TIER, replace(WELL, lost_scopes=frozenset({"profiles:write"})), ("scope_missing", "hold")),
        (TIER, replace(WELL, lost_scopes=frozenset({"metrics:read"})), ("scope_missing", "warn")),
    ],
)
def test_each_drift_has_its_cause_and_policy(
    step: StepDependencies, snapshot: AccountSnapshot, expected: tuple[str, str]
) -> None:
    assert _found(step, snapshot) == [expected]
    [finding] = find_drift(step, snapshot, account="Acc")
    assert finding.step == step.step
    assert finding.detail


def test_a_state_from_when_the_workflow_was_applied_is_no_drift() -> None:
    draft = replace(LIVE, status="draft", archived=True)
    sleeping = SegmentEntry("S1", "VIP", is_active=False, definition=RULES)
    applied_so = replace(FIRE, applied_details={"status": "draft", "archived": True})
    assert _found(applied_so, replace(WELL, flows={"F1": draft})) == []
    assert (
        _found(replace(GATE, applied_details={"is_active": False}), replace(WELL, segments={"S1": sleeping}))
        == []
    )


def test_a_revision_without_definitions_and_triggers_finds_neither() -> None:
    bare = replace(
        WELL,
        segments={"S1": SegmentEntry("S1", "VIP")},
        flows={"F1": replace(LIVE, triggers=None)},
    )
    assert _found(GATE, bare) == _found(FIRE, bare) == []


def test_a_renamed_list_says_its_new_name_and_who_has_the_old_one() -> None:
    snapshot = replace(WELL, lists={"L1": ListEntry("L1", "Hello")}, namesakes={("list", "Welcome"): ("L9",)})
    [finding] = find_drift(ADD, snapshot)
    for word in ("Welcome", "L1", "Hello", "L9"):
        assert word in finding.detail


def test_a_key_of_another_account_says_nothing_else_about_that_account() -> None:
    assert _found(ADD, replace(WELL, account="Other", lists={})) == [("other_account", "hold")]


def _carriers(values: list[Any], now: list[dict[str, Any]]) -> list[PropertyWitness]:
    return [
        PropertyWitness({"Tier": value}, having, frozenset({"Tier"}))
        for value, having in zip(values, now, strict=True)
    ]


def _of_properties(step: StepDependencies, witnesses: list[PropertyWitness]) -> list[Finding]:
    return [
        each for each in find_drift(step, AccountSnapshot(), witnesses) if each.cause.startswith("property_")
    ]


@given(st.lists(st.tuples(st.sampled_from(["Gold", "Silver"]), st.booleans()), max_size=20))
def test_a_property_is_gone_when_half_of_five_or_more_lost_it(rows: list[tuple[str, bool]]) -> None:
    now: list[dict[str, Any]] = [{"Tier": value} if kept else {} for value, kept in rows]
    lost = sum(not kept for _, kept in rows)
    found = _of_properties(TIER, _carriers([value for value, _ in rows], now))
    expected = len(rows) >= 5 and 2 * lost >= len(rows)
    assert [each.cause for each in found] == (["property_vanished"] if expected else [])
    if expected:
        assert f"{lost} of {len(rows)} profiles" in found[0].detail


@given(
    st.lists(st.sampled_from(["Gold", "Silver", 7, True]), min_size=5, max_size=20),
    st.integers(0, 20),
)
def test_a_new_key_with_the_old_values_is_named(values: list[Any], unlike: int) -> None:
    unlike = min(unlike, len(values))
    now = [
        {"Level": "another" if index < unlike else value, "Tier of": "x"}
        for index, value in enumerate(values)
    ]
    [found] = _of_properties(TIER, _carriers(values, now))
    renamed = 2 * (len(values) - unlike) >= len(values)
    assert found.cause == ("property_renamed" if renamed else "property_vanished")
    assert ("Level" in found.detail) is renamed


@given(st.integers(0, 8), st.integers(0, 8), st.integers(0, 20))
def test_those_that_were_written_to_after_a_renaming_do_not_hide_it(seen: int, new: int, after: int) -> None:
    """The order is that of writing: those of before have lost the property, those of after have it."""
    lost = [
        PropertyWitness({"Tier": "Gold"}, {"Level": "Gold"}, read_since_write=number < seen)
        for number in range(seen + new)
    ]
    kept = [PropertyWitness({"Tier": "Gold"}, {"Tier": "Gold"}, read_since_write=False) for _ in range(after)]
    found = _of_properties(TIER, [*lost, *kept])
    enough = seen + new >= 5 or (seen + new + after >= 5 and seen + new >= after)
    assert [each.cause for each in found] == (["property_renamed"] if enough else [])


def test_among_those_that_were_seen_before_half_decides() -> None:
    kept = [PropertyWitness({"Tier": "Gold"}, {"Tier": "Gold"}) for _ in range(6)]
    lost = [PropertyWitness({"Tier": "Gold"}, {}) for _ in range(5)]
    assert _of_properties(TIER, [*lost, *kept]) == []
    assert _of_properties(TIER, [*lost, *kept[:5]])


def test_a_key_they_had_before_is_a_worse_guess_than_a_new_one() -> None:
    witnesses = [
        PropertyWitness({"Tier": "Gold"}, {"Status": "Gold", "Level": "Gold"}, frozenset({"Tier", "Status"}))
        for _ in range(5)
    ]
    [found] = _of_properties(TIER, witnesses)
    assert "renamed to Level" in found.detail


def test_a_property_that_a_workflow_clears_is_missed_only_where_its_values_moved() -> None:
    clearing = replace(TIER, cleared=frozenset({"Tier"}))
    gone = [PropertyWitness({"Tier": "Gold"}, {}) for _ in range(6)]
    moved = [PropertyWitness({"Tier": "Gold"}, {"Level": "Gold"}) for _ in range(6)]
    assert _of_properties(clearing, gone) == []
    assert [each.cause for each in _of_properties(clearing, moved)] == ["property_renamed"]


def test_a_finding_says_no_values() -> None:
    witnesses = [PropertyWitness({"Tier": "secret"}, {"Level": "secret"}) for _ in range(5)]
    assert all("secret" not in f"{each.detail}{each.evidence}" for each in _of_properties(TIER, witnesses))


def test_the_stored_details_are_those_that_ids_do_not_show() -> None:
    catalog = Catalog(0, "Acc", segments=(SegmentEntry("S1", "VIP", definition=RULES),), flows=(LIVE,))
    assert target_details(StepTargets(SEGMENT), catalog) == GATE.applied_details
    assert target_details(StepTargets(FLOW, LIST), catalog) == FIRE.applied_details
    assert target_details(StepTargets(LIST), catalog) == {}


def test_a_workflow_just_applied_has_no_drift() -> None:
    workflow = applied(of_steps(ALL_KINDS))
    seen = {step: target_details(targets, CATALOG) for step, targets in workflow.targets.items()}
    snapshot = AccountSnapshot(
        account="MpEmbr",
        lists={each.id: each for each in CATALOG.lists},
        segments={each.id: each for each in CATALOG.segments},
        flows={each.id: each for each in CATALOG.flows},
        metrics={each.id: each for each in CATALOG.metrics},
    )
    steps = step_dependencies(workflow.workflow, workflow.targets, seen, {})
    assert {each.step for each in steps} == {each.id for each in workflow.workflow.steps}
    assert next(each for each in steps if each.step == "tier").properties == ("Tier", "Points")
    for step in steps:
        assert find_drift(step, snapshot, account="MpEmbr") == []
