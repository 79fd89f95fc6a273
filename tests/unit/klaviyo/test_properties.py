"""Custom properties by sampling, with the number of sampled profiles."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from askel_tui.core.catalog import value_type
from askel_tui.klaviyo.client import Client
from askel_tui.klaviyo.reads.properties import (
    MAX_SAMPLE_CHARACTERS,
    MAX_SAMPLES,
    sample_properties,
    summarize_properties,
)
from askel_tui.sandbox.http.server import RunningSandbox
from askel_tui.sandbox.state import profiles as people

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


async def test_the_accounts_properties_are_found(client: Client, sandbox: RunningSandbox) -> None:
    people.create_profile(
        sandbox.account, {"external_id": "P1", "properties": {"Stamps": 3, "Club": "Kiln"}}, 2e9
    )
    people.create_profile(sandbox.account, {"external_id": "P2", "properties": {"Stamps": "many"}}, 2e9)
    found = {entry.name: entry for entry in await sample_properties(client)}
    everybody = len(sandbox.account.profiles)
    assert (found["Stamps"].seen, found["Stamps"].of) == (2, everybody)
    assert found["Stamps"].types == {"number": 1, "text": 1}
    assert set(found["Stamps"].samples) == {"3", "many"}
    assert (found["Club"].seen, found["Club"].of) == (1, everybody)
    assert "LoyaltyTier" in found


async def test_the_sample_is_of_the_profiles_updated_last(
    client: Client, sandbox: RunningSandbox, sent: list[Any]
) -> None:
    for number in range(150):
        attributes = {"email": f"p{number}@mapleandember.example", "properties": {"Newest": number}}
        people.create_profile(sandbox.account, attributes, 2e9 + number)
    found = await sample_properties(client, 120)
    assert [(entry.name, entry.seen, entry.of) for entry in found] == [("Newest", 120, 120)]
    assert len(sent) == 2


def test_types_are_named_as_people_name_them() -> None:
    values = [None, True, 3, 1.5, "text", "2026-11-23", "2026-11-23T09:14:05Z", ["a"], {"a": 1}]
    assert [value_type(value) for value in values] == [
        "null",
        "boolean",
        "number",
        "number",
        "text",
        "date",
        "date",
        "list",
        "object",
    ]


def test_samples_are_few_short_and_harmless() -> None:
    values = ["a" * 100, "\x1b[31mred", *map(str, range(10))]
    entry = summarize_properties([{"attributes": {"properties": {"P": value}}} for value in values])[0]
    assert len(entry.samples) == MAX_SAMPLES
    assert all(len(sample) <= MAX_SAMPLE_CHARACTERS and sample.isprintable() for sample in entry.samples)
    assert entry.samples[0].endswith("…")


@given(st.lists(st.none() | st.dictionaries(st.text(max_size=3), json_values, max_size=4), max_size=10))
def test_counts_add_up_for_any_profiles(profiles: list[dict[str, Any] | None]) -> None:
    entries = summarize_properties({"attributes": {"properties": properties}} for properties in profiles)
    for entry in entries:
        assert entry.of == len(profiles)
        assert entry.seen == sum(entry.types.values())
        assert entry.seen == sum(1 for properties in profiles if properties and entry.name in properties)
    assert {entry.name for entry in entries} == {name for each in profiles if each for name in each}
