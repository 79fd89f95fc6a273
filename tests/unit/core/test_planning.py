"""Planning: the operations of each kind of step, and their profiles."""

from __future__ import annotations

from typing import Any

import pytest

from askel_tui.contract.calls import Call
from askel_tui.core.operations import Identity, Target
from askel_tui.core.planning.plan import plan
from tests.support.workflows import (
    ALL_KINDS,
    EVENT,
    LIST,
    UPSERT,
    applied,
    happened,
    of_steps,
    operations,
    planned,
    problems,
)


def test_another_event_is_not_for_this_workflow() -> None:
    assert plan(happened(event="else"), applied(of_steps(LIST))) is None


@pytest.mark.parametrize("value", [None, False, "", [], {}])
def test_a_false_condition_leaves_the_record_alone(value: Any) -> None:
    assert plan(happened(go=value), applied(of_steps(LIST, when="data.go"))) is None


@pytest.mark.parametrize("value", [True, 0, "no", [0]])
def test_a_true_condition_takes_it_up(value: Any) -> None:
    assert operations(happened(go=value), applied(of_steps(LIST, when="data.go")))


def test_a_condition_that_cannot_be_worked_out_is_a_problem_of_the_record() -> None:
    assert problems(happened(points="12"), applied(of_steps(LIST, when='"data.points > `0`"'))) == [
        (None, "when")
    ]


def test_every_kind_of_step_becomes_its_call_in_the_order_of_the_file() -> None:
    found = operations(happened(points=5), applied(of_steps(ALL_KINDS)))
    assert [(each.step, each.kind, each.call) for each in found] == [
        ("tier", "upsert_profile", "create_or_update_profile"),
        ("vip", "require_segment", "get_profiles_for_segment"),
        ("welcome", "add_to_list", "add_profiles_to_list"),
        ("leave", "remove_from_list", "remove_profiles_from_list"),
        ("points", "track_event", "create_event"),
        ("flow", "trigger_flow", "add_profiles_to_list"),
        ("fire", "trigger_flow", "create_event"),
        ("opt-in", "subscribe", "bulk_subscribe_profiles"),
        ("opt-out", "unsubscribe", "bulk_unsubscribe_profiles"),
    ]
    assert [each.is_gate for each in found].count(True) == 1
    assert [each.destination for each in found] == [
        None,
        Target("segment", "SegVip", "VIP"),
        Target("list", "ListWe", "Welcome Flow"),
        Target("list", "ListPr", "Promotions"),
        Target("metric", "MetPoi", "First Points Earned"),
        Target("list", "ListWe", "Welcome Flow"),
        Target("metric", "MetPoi", "First Points Earned"),
        Target("list", "ListNe", "Newsletter"),
        None,
    ]
    by_step = {each.step: each for each in found}
    assert by_step["flow"].target == Target("flow", "FlowWe", "Welcome Series")
    assert by_step["vip"].body == {"member": True}
    assert by_step["opt-in"].body == {"channels": ["email"], "custom_source": "Till"}
    assert by_step["opt-out"].body == {"channels": ["email"]}
    assert len({each.id for each in found}) == len(found)


def test_null_is_left_out_and_clears_only_where_the_field_says_so() -> None:
    body = operations(happened(), applied(of_steps(UPSERT)))[0].body
    assert body == {"attributes": {}, "properties": {}, "unset": ["Points"]}
    clearing = (
        "- id: s\n  upsert_profile:\n    title: {value: data.no, clear: true}\n"
        "    location: {city: {value: data.no, clear: true}}\n    last_name: data.no\n"
    )
    body = operations(happened(), applied(of_steps(clearing)))[0].body
    assert body == {"attributes": {"title": None, "location.city": None}, "properties": {}, "unset": []}


def test_values_are_written_with_their_types() -> None:
    data: dict[str, Any] = {"name": "Zoë", "city": "Leeds", "tier": "o'neil club", "points": 0}
    body = operations(happened(**data), applied(of_steps(UPSERT)))[0].body
    assert body == {
        "attributes": {"first_name": "Zoë", "location.city": "Leeds"},
        "properties": {"Tier": "O'Neil Club", "Points": 0},
        "unset": [],
    }


def test_an_event_carries_only_what_has_a_value() -> None:
    body = operations(happened(points=5, tier="gold"), applied(of_steps(EVENT)))[0].body
    assert body.keys() == {"metric", "properties", "time", "unique_id", "value"}
    assert (body["properties"], body["value"]) == ({"Tier": "gold"}, 5)
    full: dict[str, Any] = {
        "points": 0,
        "currency": "GBP",
        "at": "2026-01-02T03:04:05+01:00",
        "store": {"id": 1},
    }
    body = operations(happened(**full), applied(of_steps(EVENT)))[0].body
    assert (body["value"], body["value_currency"], body["time"]) == (0, "GBP", "2026-01-02T03:04:05+01:00")


def test_an_event_without_a_time_of_its_own_happened_when_the_record_did() -> None:
    assert operations(happened(), applied(of_steps(EVENT)))[0].body["time"] == "2026-11-23T09:14:05Z"


def test_an_event_keeps_its_unique_id_over_versions_and_nothing_else() -> None:
    base = operations(happened(), applied(of_steps(EVENT)))[0]
    edited = operations(happened(points=7), applied(of_steps(UPSERT + EVENT), version=2))[1]
    assert edited.body["unique_id"] == base.body["unique_id"]
    assert edited.id != base.id
    others = [
        operations(happened("r-2"), applied(of_steps(EVENT)))[0],
        operations(happened(), applied(of_steps(EVENT), account="Other"))[0],
        operations(happened(), applied(of_steps(EVENT.replace("id: points", "id: other"))))[0],
        operations(happened(), applied(of_steps(EVENT.replace("First Points Earned", "Gift"))))[0],
        operations(happened(), applied(of_steps(EVENT).replace("workflow: tested", "workflow: other")))[0],
        operations(happened(), applied(of_steps(EVENT).replace("connection: maple", "connection: oak")))[0],
    ]
    assert len({each.body["unique_id"] for each in [base, *others]}) == 7


def test_operation_ids_distinguish_versions_and_records() -> None:
    runs = [
        operations(happened(record), applied(of_steps(ALL_KINDS), version=version))
        for record in ("r-1", "r-2")
        for version in (1, 2)
    ]
    ids = [each.id for run in runs for each in run]
    assert len(set(ids)) == len(ids)


def test_a_step_that_needs_a_profile_id_has_the_identifiers_upserted_first() -> None:
    identify, add = operations(happened(ref="S-1"), applied(of_steps(LIST)))
    assert (identify.step, identify.kind, identify.call) == (
        "welcome",
        "upsert_profile",
        "create_or_update_profile",
    )
    assert identify.body == {"attributes": {}, "properties": {}, "unset": []}
    assert identify.profile == add.profile == Identity("ada@x.example", None, "S-1")
    assert (identify.target, add.call) == (None, "add_profiles_to_list")
    assert identify.id != add.id


@pytest.mark.parametrize(
    ("steps", "upserts"),
    [
        (UPSERT + LIST, 1),
        (LIST + UPSERT, 2),
        (LIST + LIST.replace("welcome", "again"), 1),
        (EVENT + LIST, 1),
        ("- id: flow\n  trigger_flow: Welcome Series\n", 1),
        ("- id: flow\n  trigger_flow: Points Thanks\n", 0),
        ("- id: leave\n  remove_from_list: Promotions\n", 0),
        ("- id: in\n  subscribe: {channels: [email], list: Newsletter}\n", 0),
        ("- id: in\n  subscribe: {channels: [email]}\n", 1),
        ("- id: out\n  unsubscribe: {channels: [email]}\n", 0),
    ],
)
def test_identifiers_are_upserted_once_and_never_for_a_removal(steps: str, upserts: int) -> None:
    calls = [each.call for each in operations(happened(), applied(of_steps(steps)))]
    assert calls.count(Call.CREATE_OR_UPDATE_PROFILE) == upserts


def test_a_flow_is_fired_through_its_list_or_its_metric() -> None:
    by_list = operations(happened(), applied(of_steps("- id: f\n  trigger_flow: Welcome Series\n")))[-1]
    assert (by_list.call, by_list.body) == (Call.ADD_PROFILES_TO_LIST, {})
    assert by_list.through == Target("list", "ListWe", "Welcome Flow")
    by_metric = operations(happened(), applied(of_steps("- id: f\n  trigger_flow: Points Thanks\n")))[-1]
    assert by_metric.through == Target("metric", "MetPoi", "First Points Earned")
    assert by_metric.body["metric"] == "First Points Earned"
    assert by_metric.body["properties"] == {}
    assert len(by_metric.body["unique_id"]) == 32


def test_an_identity_is_every_identifier_that_has_a_value() -> None:
    of = applied(of_steps(EVENT))
    assert planned(happened(phone="+442079460018"), of).profile == Identity("ada@x.example", "+442079460018")
    assert planned(happened(email="", ref=12), of).profile == Identity(external_id="12")


@pytest.mark.parametrize(
    ("clear", "on_null", "if_missing"),
    [
        ("null", True, False),
        ("missing", False, True),
        ("both", True, True),
        ("true", True, True),
        ("false", False, False),
    ],
)
def test_an_explicit_null_and_a_missing_field_are_two_things(
    clear: str, on_null: bool, if_missing: bool
) -> None:
    workflow = applied(
        of_steps(
            "- id: s\n  upsert_profile:\n"
            f"    last_name: {{value: data.last, clear: {clear}}}\n"
            f"    properties: {{Old: {{value: 'coalesce(data.old, data.older)', clear: {clear}}}}}\n"
        )
    )
    cleared = {"attributes": {"last_name": None}, "properties": {}, "unset": ["Old"]}
    nothing: dict[str, Any] = {"attributes": {}, "properties": {}, "unset": []}
    for data, clears in (
        ({"last": None, "old": None}, on_null),
        ({}, if_missing),
        ({"last": "", "old": 0}, None),
    ):
        (operation,) = operations(happened(**data), workflow)
        found = {name: operation.body[name] for name in cleared}
        if clears is None:
            assert found == {"attributes": {"last_name": ""}, "properties": {"Old": 0}, "unset": []}
        else:
            assert found == (cleared if clears else nothing)
