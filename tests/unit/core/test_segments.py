"""Segments: what their definitions read, and gates that ask for what their own workflow writes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from askel_tui.core.segments import segment_reads
from askel_tui.core.targets.pinning import pin_targets
from askel_tui.core.workflows.loader import load_workflow
from tests.support.strategies import json_values
from tests.support.workflows import CATALOG, of_steps

GATE = "- id: gate\n  require_segment: {segment: VIP, member: true}\n"
TIER = "- id: tier\n  upsert_profile: {properties: {Tier: data.tier}}\n"
JOIN = "- id: join\n  add_to_list: Newsletter\n"
SPEND = "- id: spend\n  track_event: {metric: First Points Earned}\n"


def definition(*conditions: dict[str, Any]) -> dict[str, Any]:
    return {"condition_groups": [{"conditions": [each]} for each in conditions]}


def of_property(name: str, operator: str = "is-set") -> dict[str, Any]:
    return {"type": "profile-property", "property": name, "filter": {"operator": operator}}


def on_list(ident: str, *, member: bool = True) -> dict[str, Any]:
    return {"type": "profile-group-membership", "group_ids": [ident], "is_member": member}


@given(json_values)
def test_no_definition_makes_reading_it_raise(value: Any) -> None:
    for given_definition in (
        value,
        {"condition_groups": value},
        {"condition_groups": [{"conditions": value}]},
    ):
        segment_reads(given_definition)


def test_a_definition_reads_properties_lists_and_events() -> None:
    reads = segment_reads(
        definition(of_property("properties['Tier']"), of_property("location.city"), on_list("L1"))
    )
    assert reads is not None
    assert reads.find_read(["properties.Other", "properties.Tier"]) == "properties.Tier"
    assert (reads.find_read(["location.city"]), reads.find_read(["list L1"])) == ("location.city", "list L1")
    assert reads.find_read(["Tier", "list L2"]) is None
    assert not reads.admits_blank


@pytest.mark.parametrize(
    "condition",
    [
        of_property("email", "is-not-set"),
        on_list("L1", member=False),
        {"type": "profile-metric"},
        {"type": "new"},
    ],
)
def test_who_has_nothing_may_be_a_member(condition: dict[str, Any]) -> None:
    reads = segment_reads(definition(condition))
    assert reads is not None
    assert reads.admits_blank


def warnings(steps: str, *conditions: dict[str, Any]) -> list[str]:
    segments = tuple(
        replace(each, definition=definition(*conditions)) if each.name == "VIP" else each
        for each in CATALOG.segments
    )
    workflow, problems = load_workflow(of_steps(steps))
    assert workflow is not None, problems
    return [each.message for each in pin_targets(workflow, replace(CATALOG, segments=segments)).warnings]


@pytest.mark.parametrize(
    ("step", "condition", "named"),
    [
        (TIER, of_property("properties['Tier']"), "VIP reads properties.Tier, which step tier writes"),
        (JOIN, on_list("ListNe"), "VIP reads list Newsletter, which step join writes"),
        (SPEND, {"type": "profile-metric", "metric_id": "MetPoi"}, "VIP reads metric First Points Earned"),
    ],
)
def test_a_gate_that_reads_what_its_workflow_writes_is_warned_of(
    step: str, condition: dict[str, Any], named: str
) -> None:
    [before] = warnings(step + GATE, condition)
    [after] = warnings(GATE + step, condition)
    assert before.startswith(named)
    assert "`within: 5m`" in before
    assert "later record" in after
    assert warnings(step + GATE, of_property("properties['Other']")) == []
