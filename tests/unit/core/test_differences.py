"""Answers compared with what was sent: what Klaviyo left out is found, and its own forms are no difference."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.contract.calls import Call
from askel_tui.core.operations import Identity, Operation
from askel_tui.core.requests.differences import (
    MAX_DIFFERENCES,
    MAX_VALUE_CHARS,
    describe_differences,
    differences_of,
    find_differences,
    is_same,
    merge_differences,
)

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
texts = st.text(st.characters(codec="utf-8"), max_size=20)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
attributes = st.fixed_dictionaries(
    {"email": st.just("ada@shop.example")},
    optional={
        "phone_number": st.just("+442079460018"),
        "first_name": texts,
        "location": st.dictionaries(st.sampled_from(["city", "zip"]), texts, max_size=2),
        "properties": st.dictionaries(names, values, max_size=4),
    },
)
moments = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)).map(lambda each: each.replace(tzinfo=UTC))


def _sent(given: dict[str, Any], *unset: str) -> dict[str, Any]:
    meta = {"meta": {"patch_properties": {"unset": list(unset)}}} if unset else {}
    return {"type": "profile", "attributes": given, **meta}


def _fields(found: Any) -> list[str]:
    return [each["field"] for each in found]


@given(attributes)
def test_an_answer_that_shows_all_does_not_differ(given: dict[str, Any]) -> None:
    shown = {"title": None, **json.loads(json.dumps(given))}
    shown.setdefault("properties", {})["Other"] = 1
    if "Other" not in given.get("properties", {}):
        assert find_differences(_sent(given), shown, None) == []


@given(attributes, st.data())
def test_a_value_that_is_gone_is_named_and_nothing_else(given: dict[str, Any], data: st.DataObject) -> None:
    inner = [(name, part) for name in ("location", "properties") for part in given.get(name, {})]
    name, part = data.draw(
        st.sampled_from([*((name, "") for name in given if name not in ("location", "properties")), *inner])
    )
    shown = copy.deepcopy(given)
    value = shown[name].pop(part) if part else shown.pop(name)
    if not part:
        shown[name] = None
    found = find_differences(_sent(given), shown, None)
    assert _fields(found) == (
        [] if value in (None, "") and value is not False else [f"{name}.{part}" if part else name]
    )


@given(attributes, st.lists(st.sampled_from(["phone_number", "email", "title"]), max_size=3))
def test_each_field_that_the_header_names_differs_once(given: dict[str, Any], named: list[str]) -> None:
    found = find_differences(_sent(given), given, ", ".join(named))
    assert sorted(_fields(found)) == sorted(set(named))
    for each in found:
        assert each["sent"] == given.get(each["field"])


@given(moments, st.integers(-14 * 60, 14 * 60), st.sampled_from("T "))
def test_a_time_is_compared_by_its_instant(moment: datetime, offset: int, between: str) -> None:
    elsewhere = moment.astimezone(timezone(timedelta(minutes=offset)))
    sent = moment.isoformat().replace("+00:00", "Z")
    assert is_same("properties.At", sent, elsewhere.isoformat(between))
    assert not is_same("properties.At", sent, (moment + timedelta(seconds=1)).isoformat(between))


@given(st.integers(-(2**53), 2**53))
def test_a_number_is_compared_by_its_value(number: int) -> None:
    assert is_same("properties.N", number, float(number))
    assert not is_same("properties.N", number, number + 1)
    assert not is_same("properties.N", number, str(number))


@pytest.mark.parametrize(
    ("field", "sent", "answered", "same"),
    [
        ("email", "Ada@Shop.example", "ada@shop.example", True),
        ("first_name", "Ada", "ada", False),
        ("phone_number", "+15555555555", "+1 (555) 555-5555", True),
        ("phone_number", "+15555555555", None, False),
        ("location.latitude", "51.50", 51.5, True),
        ("location.zip", "02139", 2139, False),
        ("properties.A", True, 1, False),
        ("properties.A", [1, {"b": 2}], [1.0, {"b": 2.0}], True),
        ("properties.A", [1, 2], [1], False),
        ("properties.A", {"b": 1}, {"b": 1, "c": 2}, False),
        ("properties.A", "2026-13-45T00:00:00Z", "2026-13-45T00:00:00+00:00", False),
        ("title", "", None, True),
        ("title", None, "Dr", False),
        ("properties.A", 0, None, False),
    ],
)
def test_what_counts_as_the_same(field: str, sent: Any, answered: Any, same: bool) -> None:
    assert is_same(field, sent, answered) is same


def test_what_the_answer_does_not_show_is_not_known_to_differ() -> None:
    sent = _sent({"email": "a@shop.example", "first_name": "Ada", "properties": {"A": 1}})
    assert find_differences(sent, {}, None) == []
    assert find_differences(sent, {"properties": None, "location": "?"}, None) == []


def test_a_property_that_was_to_go_and_is_there_differs() -> None:
    [found] = find_differences(
        _sent({"email": "a@x.example"}, "Old", "Gone"), {"properties": {"Old": 7}}, None
    )
    assert found == {"field": "properties.Old", "sent": None, "answered": 7}


def test_differences_are_bounded() -> None:
    sent = _sent({"properties": {f"p{number}": "x" * 10_000 for number in range(100)}})
    found = find_differences(sent, {"properties": {}}, "y" * 5_000)
    assert len(found) == MAX_DIFFERENCES
    assert all(len(json.dumps(each)) < MAX_VALUE_CHARS + 100 for each in found)


def test_a_difference_belongs_to_the_updates_that_write_its_field() -> None:
    def update(**body: Any) -> Operation:
        whole = {"attributes": {}, "properties": {}, "unset": [], **body}
        return Operation(
            "o", "s", "upsert_profile", Call.CREATE_OR_UPDATE_PROFILE, Identity("a@x.example"), body=whole
        )

    found = find_differences(
        _sent({"email": "a@x.example", "location": {"city": "Leeds"}, "properties": {"A": 1}}, "B"),
        {"email": None, "location": {"city": None}, "properties": {"B": 2}},
        None,
    )
    for operation, fields in (
        (update(attributes={"location": {"city": "Leeds"}}), ["email", "location.city"]),
        (update(properties={"A": 1}), ["email", "properties.A"]),
        (update(unset=["B"]), ["email", "properties.B"]),
    ):
        assert _fields(differences_of(operation, found, None, 2)) == fields
        assert differences_of(operation, found, None, 1) == found


def test_where_a_call_of_many_names_no_row_it_says_of_how_many_one_is_meant() -> None:
    def event(**identifiers: str) -> Operation:
        return Operation("o", "s", "track_event", Call.CREATE_EVENT, Identity(**identifiers))

    [found] = differences_of(event(email="a@x.example", phone_number="+15555555555"), None, "phone_number", 3)
    assert found == {"field": "phone_number", "sent": "+15555555555", "answered": None, "rows": 3}
    assert describe_differences([found]) == "not as sent: phone_number was left out of one or more of 3 rows"
    assert differences_of(event(email="a@x.example"), None, "phone_number", 3) == []
    assert _fields(differences_of(event(email="a@x.example"), None, "title", 1)) == ["title"]


def test_they_are_described_in_one_line() -> None:
    found = find_differences(
        _sent({"email": "a@x.example", "phone_number": "+15555555555"}),
        {"phone_number": None},
        "phone_number, title",
    )
    assert describe_differences(found) == (
        'not as sent: phone_number is nothing, was "+15555555555"; title was left out'
    )
    assert describe_differences([]) == ""


def test_a_merge_is_compared_by_its_destination() -> None:
    assert merge_differences("01A", "01A", None) == merge_differences("01A", None, None) == []
    assert _fields(merge_differences("01A", "01B", "phone_number")) == ["id", "phone_number"]
