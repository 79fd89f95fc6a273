"""Differences: the fields that an operation would change; applied, it leaves nothing more to change."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.contract.calls import Call
from askel_tui.core.operations import Identity, Operation, Target
from askel_tui.core.planning.diff import ProfileState, apply_operation, find_changes
from tests.support.strategies import identifiers, json_values, names, texts

pytestmark = pytest.mark.clock

ADA = Identity("ada@x.example", None, "S-1")
WELCOME = Target("list", "ListWe", "Welcome Flow")


def upsert(
    attributes: dict[str, Any] | None = None,
    properties: dict[str, Any] | None = None,
    unset: list[str] | None = None,
    profile: Identity = ADA,
) -> Operation:
    body = {"attributes": attributes or {}, "properties": properties or {}, "unset": unset or []}
    return Operation("1", "s", "upsert_profile", Call.CREATE_OR_UPDATE_PROFILE, profile, body=body)


def listed(adds: bool = True, target: Target = WELCOME, through: Target | None = None) -> Operation:
    kind, call = ("add_to_list", Call.ADD_PROFILES_TO_LIST)
    if not adds:
        kind, call = ("remove_from_list", Call.REMOVE_PROFILES_FROM_LIST)
    return Operation("2", "s", kind, call, ADA, target, through)  # type: ignore[arg-type]


def event(unique_id: str = "u-1", **extra: Any) -> Operation:
    body = {"metric": "Gift Used", "properties": {"Gift": "mug"}, "time": "2026-11-23T09:14:05Z"}
    target = Target("metric", None, "Gift Used")
    return Operation(
        "3", "s", "track_event", Call.CREATE_EVENT, ADA, target, body=body | {"unique_id": unique_id} | extra
    )


def consent(gives: bool = True, target: Target | None = WELCOME) -> Operation:
    kind, call = ("subscribe", Call.BULK_SUBSCRIBE_PROFILES)
    if not gives:
        kind, call = ("unsubscribe", Call.BULK_UNSUBSCRIBE_PROFILES)
    body = {"channels": ["email", "sms"]}
    return Operation("4", "s", kind, call, ADA, target, body=body)  # type: ignore[arg-type]


def test_a_new_profile_gets_everything() -> None:
    found = find_changes(upsert({"first_name": "Ada"}, {"Tier": "Gold"}, ["Old"]), ProfileState())
    assert found == {
        "email": {"before": None, "after": "ada@x.example"},
        "external_id": {"before": None, "after": "S-1"},
        "first_name": {"before": None, "after": "Ada"},
        "properties.Tier": {"before": None, "after": "Gold"},
    }


def test_only_what_differs_changes() -> None:
    seen = ProfileState(
        "01A",
        {
            "email": "ada@x.example",
            "external_id": "S-1",
            "first_name": "Ada",
            "last_name": "L",
            "location.city": "Y",
        },
        {"Tier": "Silver", "Points": 5, "Old": "x", "Kept": 1},
    )
    operation = upsert(
        {"first_name": "Ada", "last_name": None, "location.city": "Leeds"},
        {"Tier": "Gold", "Points": 5},
        ["Old", "NeverThere"],
    )
    assert find_changes(operation, seen) == {
        "last_name": {"before": "L", "after": None},
        "location.city": {"before": "Y", "after": "Leeds"},
        "properties.Tier": {"before": "Silver", "after": "Gold"},
        "properties.Old": {"before": "x", "after": None},
    }


def test_clearing_what_is_not_there_changes_nothing() -> None:
    known = ProfileState("01A", {"email": "ada@x.example", "external_id": "S-1"})
    assert find_changes(upsert({"title": None}, {}, ["Gone"]), known) == {}


def test_an_address_in_other_letters_is_the_same_one() -> None:
    known = ProfileState("01A", {"email": "ADA@X.example", "external_id": "s-1"})
    assert find_changes(upsert(), known) == {"external_id": {"before": "s-1", "after": "S-1"}}


def test_json_types_are_distinguished_at_any_depth_but_not_ways_to_write_a_number() -> None:
    def differs(before: Any, after: Any) -> bool:
        known = ProfileState("01A", ADA.identifiers(), {"P": before})
        return bool(find_changes(upsert({}, {"P": after}), known))

    assert differs(1, True)
    assert differs(0, False)
    assert differs("1", 1)
    assert differs({"a": [1]}, {"a": [True]})
    assert differs([1, 2], [2, 1])
    assert differs([1], [1, 1])
    assert differs({"a": 1}, {"a": 1, "b": None})
    assert not differs(12, 12.0)
    assert not differs({"a": [1, {"b": 2}]}, {"a": [1.0, {"b": 2.0}]})


def test_membership_changes_only_where_it_is_not_so_already() -> None:
    off, on = ProfileState("01A"), ProfileState("01A", lists={"ListWe"})
    assert find_changes(listed(), off) == {"list Welcome Flow": {"before": False, "after": True}}
    assert find_changes(listed(), on) == {}
    assert find_changes(listed(adds=False), on) == {"list Welcome Flow": {"before": True, "after": False}}
    assert find_changes(listed(adds=False), off) == {}


def test_a_flow_fired_by_its_list_shows_the_list() -> None:
    fired = listed(target=Target("flow", "FlowWe", "Welcome Series"), through=WELCOME)
    assert find_changes(fired, ProfileState("01A")) == {"list Welcome Flow": {"before": False, "after": True}}


def test_an_event_is_always_new_until_it_is_written() -> None:
    seen = ProfileState("01A")
    after = {"value": 5, "time": "2026-11-23T09:14:05Z", "properties": {"Gift": "mug"}}
    assert find_changes(event(value=5), seen) == {"event Gift Used": {"before": None, "after": after}}
    apply_operation(event(value=5), seen)
    assert find_changes(event(value=5), seen) == {}
    assert find_changes(event("u-2"), seen)


def test_consent_is_shown_by_channel_and_joins_the_list() -> None:
    seen = ProfileState("01A", consent={"sms": "SUBSCRIBED"})
    assert find_changes(consent(), seen) == {
        "consent email": {"before": None, "after": "SUBSCRIBED"},
        "list Welcome Flow": {"before": False, "after": True},
    }
    assert find_changes(consent(target=None), seen).keys() == {"consent email"}
    assert find_changes(consent(gives=False, target=None), seen) == {
        "consent email": {"before": None, "after": "UNSUBSCRIBED"},
        "consent sms": {"before": "SUBSCRIBED", "after": "UNSUBSCRIBED"},
    }
    seen.lists.add("ListWe")
    assert find_changes(consent(gives=False), seen) == {"list Welcome Flow": {"before": True, "after": False}}


def test_a_gate_changes_nothing() -> None:
    gate = Operation(
        "5",
        "s",
        "require_segment",
        Call.GET_PROFILES_FOR_SEGMENT,
        ADA,
        Target("segment", "S", "VIP"),
        body={"member": True},
    )
    seen = ProfileState("01A")
    assert find_changes(gate, seen) == {}
    apply_operation(gate, seen)
    assert seen == ProfileState("01A")


def test_what_makes_a_profile_and_what_does_not() -> None:
    for makes in (upsert(), event(), consent()):
        seen = ProfileState()
        apply_operation(makes, seen)
        assert seen.id == "new"
    for leaves in (listed(), listed(adds=False), consent(gives=False), consent(target=None)):
        seen = ProfileState()
        apply_operation(leaves, seen)
        assert seen.id is None
    known = ProfileState("01A")
    apply_operation(upsert(), known)
    assert known.id == "01A"


def test_an_event_gives_a_new_profile_its_identifiers_and_leaves_known_ones() -> None:
    seen = ProfileState("01A", {"email": "old@x.example"})
    apply_operation(event(), seen)
    assert seen.attributes == {"email": "old@x.example", "external_id": "S-1"}


def test_later_operations_see_what_earlier_ones_left() -> None:
    seen = ProfileState("01A", ADA.identifiers(), {"Tier": "Silver"})
    apply_operation(upsert({}, {"Tier": "Gold"}), seen)
    apply_operation(listed(), seen)
    assert find_changes(upsert({}, {"Tier": "Ember"}), seen) == {
        "properties.Tier": {"before": "Gold", "after": "Ember"}
    }
    assert find_changes(listed(adds=False), seen)
    apply_operation(upsert({}, {}, ["Tier"]), seen)
    assert "Tier" not in seen.properties
    assert find_changes(upsert({}, {}, ["Tier"]), seen) == {}


few = st.sampled_from(["Tier", "Points", "Old"])
properties = st.dictionaries(few | names, json_values, max_size=4)
identities = identifiers.map(lambda given: Identity(**given))
upserts = st.builds(
    upsert,
    st.dictionaries(st.sampled_from(["first_name", "title", "location.city"]), texts | st.none()),
    properties.map(lambda found: {name: value for name, value in found.items() if value is not None}),
    st.lists(few, max_size=3),
    identities,
).filter(lambda each: not set(each.body["unset"]) & each.body["properties"].keys())
state_writes = (
    upserts
    | st.builds(listed, st.booleans())
    | st.builds(consent, st.booleans(), st.sampled_from([None, WELCOME]))
)
profiles = st.builds(
    ProfileState,
    st.none() | st.just("01A"),
    st.dictionaries(st.sampled_from(["email", "first_name", "location.city"]), texts),
    properties,
    st.sets(st.sampled_from(["ListWe", "Other"])),
    st.dictionaries(st.sampled_from(["email", "sms"]), st.sampled_from(["SUBSCRIBED", "UNSUBSCRIBED"])),
)


@given(state_writes, profiles)
def test_a_state_write_done_twice_changes_nothing_the_second_time(
    operation: Operation, seen: ProfileState
) -> None:
    apply_operation(operation, seen)
    assert find_changes(operation, seen) == {}


@given(upserts, profiles, names, json_values)
def test_an_upsert_touches_only_what_it_names(
    operation: Operation, seen: ProfileState, other: str, value: Any
) -> None:
    named = {*operation.body["properties"], *operation.body["unset"]}
    if other in named:
        return
    seen.properties[other] = value
    lists, events = set(seen.lists), set(seen.events)
    shown = find_changes(operation, seen)
    apply_operation(operation, seen)
    assert f"properties.{other}" not in shown
    assert seen.properties[other] == value
    assert (seen.lists, seen.events) == (lists, events)


@given(upserts, profiles)
def test_what_is_shown_after_is_what_is_there_afterwards(operation: Operation, seen: ProfileState) -> None:
    shown = find_changes(operation, seen)
    apply_operation(operation, seen)
    for name, change in shown.items():
        kind, dot, field = name.partition(".")
        there = seen.properties.get(field) if kind == "properties" and dot else seen.attributes.get(name)
        assert there == change["after"]
