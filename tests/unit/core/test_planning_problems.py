"""Planning: problems of a record name step and field, and no record makes planning raise."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.contract.endpoints import SELECTABLE
from askel_tui.core.planning.plan import plan
from askel_tui.core.records.record import Record
from tests.support.strategies import json_values
from tests.support.workflows import (
    ALL_KINDS,
    EVENT,
    UPSERT,
    applied,
    happened,
    of_steps,
    operations,
    problems,
)


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        ({"email": None}, ["profile"]),
        ({"email": ""}, ["profile"]),
        ({"email": "nobody"}, ["profile.email"]),
        ({"email": ["a@x.example"]}, ["profile.email"]),
        ({"phone": "12"}, ["profile.phone_number"]),
        ({"ref": "x" * 256}, ["profile.external_id"]),
        (
            {"email": 5, "phone": 5, "ref": True},
            ["profile.email", "profile.phone_number", "profile.external_id"],
        ),
    ],
)
def test_a_bad_identifier_stops_the_record_by_name(data: dict[str, Any], fields: list[str]) -> None:
    assert problems(happened(**data), applied(of_steps(EVENT))) == [(None, field) for field in fields]


def test_all_problems_are_named_by_step_and_field_and_nothing_is_planned() -> None:
    data: dict[str, Any] = {
        "phone": "12",
        "name": [5],
        "city": ["Leeds"],
        "tier": {"a": 1},
        "points": "many",
        "currency": "pounds",
        "at": "yesterday",
        "store": "x" * 100_001,
    }
    assert problems(happened(**data), applied(of_steps(UPSERT + EVENT))) == [
        (None, "profile.phone_number"),
        ("tier", "first_name"),
        ("tier", "location.city"),
        ("tier", "properties.Tier"),
        ("points", "properties.Store"),
        ("points", "time"),
        ("points", "value"),
        ("points", "value_currency"),
    ]


@pytest.mark.parametrize("at", [0, False, "", "2026-11-23"])
def test_a_time_that_is_none_is_never_replaced_by_the_records(at: Any) -> None:
    assert problems(happened(at=at), applied(of_steps(EVENT))) == [("points", "time")]


def test_what_is_too_large_names_its_largest_field() -> None:
    assert problems(happened(points="x" * 100_000), applied(of_steps(UPSERT))) == [
        ("tier", "properties.Points")
    ]
    assert problems(happened(name="x" * 100_000), applied(of_steps(UPSERT))) == [("tier", "first_name")]
    wide = {f"p{number}": "x" * 99_000 for number in range(60)}
    steps = "- id: big\n  track_event:\n    metric: Big\n    properties:\n" + "".join(
        f"      {name}: data.{name}\n" for name in wide
    )
    assert problems(happened(**wide), applied(of_steps(steps))) == [("big", "properties.p0")]


@pytest.mark.parametrize(("revision", "most"), [("2024-02-15", 300), ("2026-07-15", 400)])
def test_events_have_as_many_properties_as_the_revision_takes(revision: str, most: int) -> None:
    def steps(count: int) -> str:
        lines = "".join(f"      p{number}: data.email\n" for number in range(count))
        return f"- id: wide\n  track_event:\n    metric: Wide\n    properties:\n{lines}"

    assert operations(happened(), applied(of_steps(steps(most)), revision=revision))
    too_many = applied(of_steps(steps(most + 1)), revision=revision)
    assert problems(happened(), too_many) == [("wide", "properties")]


def test_a_number_of_too_many_digits_is_a_problem_of_its_field() -> None:
    sums = "- id: s\n  upsert_profile: {properties: {Sum: sum(data.many)}}\n"
    assert problems(happened(many=[9 * 10**4299] * 2), applied(of_steps(sums))) == [("s", "properties.Sum")]


@given(
    st.dictionaries(
        st.sampled_from(
            ["email", "phone", "ref", "name", "city", "tier", "points", "currency", "at", "store"]
        ),
        json_values | st.sampled_from(["ada@x.example", "+442079460018", "2026-01-01T00:00:00Z", "GBP"]),
    ),
    st.sampled_from(SELECTABLE),
)
def test_no_data_makes_planning_raise(data: dict[str, Any], revision: str) -> None:
    record = Record("r", "happened", "2026-11-23T09:14:05Z", data)
    of = applied(of_steps(ALL_KINDS, when="data.points || data.email"), revision=revision)
    found = plan(record, of)
    if found is not None:
        assert bool(found.problems) != bool(found.operations)
        assert all(problem.field and problem.message for problem in found.problems)
        again = plan(Record.decode(record.encode()), of)
        assert again is not None
        assert [each.encode() for each in again.operations] == [each.encode() for each in found.operations]
