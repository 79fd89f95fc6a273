"""Coalesced updates leave a profile as they would have left it one after another."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.contract.calls import Call
from askel_tui.contract.caps import caps
from askel_tui.contract.endpoints import NEWEST, SELECTABLE
from askel_tui.core.operations import Identity, Operation
from askel_tui.core.requests import bulk, coalescing
from askel_tui.core.requests.packing import build_request
from tests.support.openapi import validate_request

NAMES = st.sampled_from(["A", "B", "C"])
VALUES = st.none() | st.integers(0, 3)


def update(
    number: int = 0, *, attributes: Any = None, properties: Any = None, unset: Sequence[str] = ()
) -> Operation:
    """An upsert of one profile."""
    body = {"attributes": attributes or {}, "properties": properties or {}, "unset": list(unset)}
    who = Identity(email="ada@x.example", external_id="A-1")
    return Operation(f"op{number}", "s", "upsert_profile", Call.CREATE_OR_UPDATE_PROFILE, who, body=body)


@st.composite
def updates(draw: st.DrawFn) -> list[Operation]:
    made = []
    for number in range(draw(st.integers(1, 5))):
        properties = draw(st.dictionaries(NAMES, VALUES))
        unset = [name for name in draw(st.lists(NAMES, unique=True)) if name not in properties]
        attributes = draw(
            st.dictionaries(st.sampled_from(["first_name", "location.city", "location.zip"]), VALUES)
        )
        made.append(update(number, attributes=attributes, properties=properties, unset=unset))
    return made


def applied(profile: dict[str, Any], operation: Operation) -> dict[str, Any]:
    """What Klaviyo makes of an upsert (docs/klaviyo.md 3.2): names that are not given stay as they are."""
    body = operation.body
    attributes = {**profile["attributes"], **body["attributes"]}
    properties = {**profile["properties"], **body["properties"]}
    return {
        "attributes": {name: value for name, value in attributes.items() if value is not None},
        "properties": {name: value for name, value in properties.items() if name not in body["unset"]},
    }


@given(updates())
def test_a_profile_ends_as_if_they_had_been_sent_one_after_another(made: list[Operation]) -> None:
    before = {"attributes": {"first_name": 9, "location.city": 9}, "properties": {"A": 9, "B": 9}}
    expected = before
    for each in made:
        expected = applied(expected, each)
    together = coalescing.coalesce(made)
    assert applied(before, together) == expected
    assert not set(together.body["properties"]) & set(together.body["unset"])
    assert together.id == made[-1].id


@pytest.mark.parametrize("revision", SELECTABLE)
def test_one_request_carries_all_of_them(revision: str) -> None:
    made = [
        update(1, attributes={"first_name": "Ada", "location.city": "Leeds"}, properties={"A": 1, "B": 1}),
        update(2, attributes={"location.zip": "LS1"}, properties={"A": 2}, unset=["B"]),
    ]
    asked = build_request(made, revision, {})
    assert asked.operations == tuple(made)
    body = json.loads(asked.body)
    validate_request(revision, asked.call, asked.path, body)
    assert body["data"]["attributes"] == {
        "email": "ada@x.example",
        "external_id": "A-1",
        "first_name": "Ada",
        "location": {"city": "Leeds", "zip": "LS1"},
        "properties": {"A": 2},
    }
    assert body["data"]["meta"] == {"patch_properties": {"unset": ["B"]}}
    row = bulk.import_row([update(1, properties={"A": 1}), update(2, properties={"A": 2})], revision)
    assert json.loads(row.item)["attributes"]["properties"] == {"A": 2}
    assert [each.id for each in row.operations] == ["op1", "op2"]


def test_a_later_record_has_to_write_all_that_the_request_names() -> None:
    first = update(1, properties={"A": 1, "B": 1})
    assert coalescing.Coalescer(first, 1, NEWEST).add(update(2, properties={"A": 2, "B": 2, "C": 2}), 2)
    assert coalescing.Coalescer(first, 1, NEWEST).add(update(2, properties={"A": 2}, unset=["B"]), 2)
    assert not coalescing.Coalescer(first, 1, NEWEST).add(update(2, properties={"A": 2}), 2)


def test_all_updates_of_one_record_are_coalesced() -> None:
    coalescer = coalescing.Coalescer(update(1, properties={"A": 1}), 7, NEWEST)
    assert coalescer.add(update(2, properties={"B": 1}), 7)
    assert not coalescer.add(update(3, properties={"B": 2}), 8)
    assert coalescer.add(update(4, properties={"A": 2, "B": 2}), 8)
    assert not coalescer.add(update(5, properties={"A": 3, "B": 3}), 7)


def test_updates_over_the_cap_of_a_profile_stay_separate() -> None:
    third = caps(NEWEST).profile_bytes // 3
    coalescer = coalescing.Coalescer(update(1, properties={"A": "x" * third}), 1, NEWEST)
    assert coalescer.add(update(2, properties={"B": "x" * third}), 1)
    assert not coalescer.add(update(3, properties={"C": "x" * third}), 1)
    assert coalescer.add(update(4, properties={"C": "x"}), 1)


def test_no_more_than_a_thousand_become_one() -> None:
    coalescer = coalescing.Coalescer(update(0, properties={"A": 0}), 0, NEWEST)
    taken = [coalescer.add(update(number, properties={"A": number}), number) for number in range(1, 1_100)]
    assert sum(taken) == coalescing.MAX_COALESCED_UPDATES - 1


def test_bare_identifiers_are_no_update() -> None:
    assert not coalescing.is_update(update())
    assert coalescing.is_update(update(unset=["A"]))


@pytest.mark.parametrize("revision", SELECTABLE)
def test_a_job_that_is_read_back_has_its_operations_in_their_rows(revision: str) -> None:
    bob = replace(update(3, properties={"A": 3}), profile=Identity(email="Bob@x.example"))
    eve = replace(update(4, properties={"A": 4}), profile=Identity(phone_number="+442079460018"))
    ada = [update(1, properties={"A": 1}), update(2, properties={"A": 2})]
    rows = [
        bulk.import_row(ada, revision),
        bulk.import_row([bob], revision),
        bulk.import_row([eve], revision),
    ]
    [made] = bulk.pack_rows(Call.BULK_IMPORT_PROFILES, rows, revision, "L1")
    again = bulk.rebuild_import_request(replace(made.request, operations=(eve, *ada)))
    assert [row.operations for row in again.rows] == [tuple(ada), (), (eve,)]
    assert [row.item for row in again.rows] == [row.item for row in made.rows]
