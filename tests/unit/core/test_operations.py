"""Operations: their bytes, their ids, and which records are one profile."""

from __future__ import annotations

import json
from itertools import combinations, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.contract.calls import Call
from askel_tui.core.canonical import canonical_json
from askel_tui.core.operations import (
    STEP_KINDS,
    Decoder,
    Identity,
    Operation,
    Target,
    event_unique_id,
    fold_email,
    operation_id,
    split_encoded,
)
from tests.support.strategies import identifiers, json_values, names, properties, texts

identities = identifiers.map(lambda given: Identity(**given))
targets = st.builds(
    Target, st.sampled_from(["list", "segment", "flow", "metric", "property"]), st.none() | names, names
)
any_operation = st.builds(
    Operation,
    id=names,
    step=names,
    kind=st.sampled_from(STEP_KINDS),
    call=st.sampled_from(Call),
    profile=identities,
    target=st.none() | targets,
    through=st.none() | targets,
    body=properties,
)


@given(any_operation)
def test_an_operation_survives_its_encoding(operation: Operation) -> None:
    again = Operation.decode(operation.encode())
    assert again == operation
    assert again.encode() == operation.encode()


SEAMS = [f',"{name}":' for name in ("body", "call", "id", "kind", "profile", "step", "target", "through")]
confusing = st.lists(names | st.sampled_from([*SEAMS, '"', "\\", "{", "}", ","]), min_size=1, max_size=4).map(
    "".join
)
confusing_operation = st.builds(
    Operation,
    id=confusing,
    step=confusing,
    kind=st.sampled_from(STEP_KINDS),
    call=st.sampled_from(Call),
    profile=st.builds(Identity, email=st.none() | confusing, external_id=st.none() | confusing),
    target=st.none() | st.builds(Target, st.just("list"), st.none() | confusing, confusing),
    through=st.none() | st.builds(Target, st.just("metric"), st.none() | confusing, confusing),
    body=st.dictionaries(
        confusing | st.sampled_from(["id", "kind", "profile", "step", "call"]),
        json_values | confusing,
        max_size=3,
    ),
)


@given(st.lists(any_operation | confusing_operation, max_size=5))
def test_bytes_are_cut_where_they_were_put_together(operations: list[Operation]) -> None:
    decode = Decoder().decode
    for operation in operations:
        encoded = operation.encode()
        assert decode(encoded) == Operation.decode(encoded) == operation
        found = split_encoded(encoded)
        assert found.id == operation.id
        assert found.profile == canonical_json(operation.profile.identifiers()).decode()
        assert json.loads(found.body) == operation.body


@given(any_operation, any_operation)
def test_two_operations_are_the_same_exactly_when_their_bytes_are(one: Operation, other: Operation) -> None:
    alike = canonical_json(one.body) == canonical_json(other.body)
    same = all(
        getattr(one, name) == getattr(other, name)
        for name in ("id", "step", "kind", "call", "profile", "target", "through")
    )
    assert (one.encode() == other.encode()) == (same and alike)


@given(json_values)
def test_canonical_says_the_value_and_nothing_else(value: Any) -> None:
    encoded = canonical_json(value)
    assert json.loads(encoded) == value
    assert canonical_json(json.loads(encoded)) == encoded


@given(st.dictionaries(names, json_values, max_size=5), st.randoms())
def test_canonical_does_not_depend_on_the_order_of_keys(value: dict[str, Any], random: Any) -> None:
    shuffled = list(value.items())
    random.shuffle(shuffled)
    assert canonical_json(dict(shuffled)) == canonical_json(value)


def test_canonical_is_compact_and_readable() -> None:
    assert canonical_json({"b": [1, 2.0], "a": "Zoë"}) == '{"a":"Zoë","b":[1,2.0]}'.encode()


def test_canonical_keeps_lone_surrogates_as_escapes() -> None:
    assert canonical_json({"a": "ë\ud800"}) == rb'{"a":"\u00eb\ud800"}'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_canonical_json_refuses_values_that_json_cannot_express(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"a": value})


BASE = ("maple-ember", "welcome", 1, "evt-1", "tier")
OTHERS = [
    ("other", "welcome", 1, "evt-1", "tier"),
    ("maple-ember", "other", 1, "evt-1", "tier"),
    ("maple-ember", "welcome", 2, "evt-1", "tier"),
    ("maple-ember", "welcome", 1, "evt-2", "tier"),
    ("maple-ember", "welcome", 1, "evt-1", "other"),
]


def test_an_operation_id_tells_connection_workflow_version_record_and_step_apart() -> None:
    found = {operation_id(*parts) for parts in [BASE, *OTHERS]}
    assert len(found) == 6
    assert all(len(one) == 32 and int(one, 16) >= 0 for one in found)


def test_ids_stay_what_they_are_from_one_release_to_the_next() -> None:
    # What is in doubt over a restart or an upgrade is recognised by these.
    assert operation_id(*BASE) == "15ab0b63c37cdba026d264b68758f109"
    found = event_unique_id("MpEmbr", "maple-ember", "welcome", "evt-1", "points", "First Points Earned")
    assert found == "97674ba98a78707e1301b6039578d8e1"


def test_an_events_unique_id_tells_each_of_its_parts_apart() -> None:
    base = ["MpEmbr", "maple-ember", "welcome", "evt-1", "points", "First Points Earned"]
    found = {event_unique_id(*base)}
    for index in range(len(base)):
        changed = base.copy()
        changed[index] = "another"
        found.add(event_unique_id(*changed))
    assert len(found) == 7
    assert all(len(one) == 32 and int(one, 16) >= 0 for one in found)


@given(
    st.lists(st.tuples(texts, texts).filter(lambda pair: "\0" not in "".join(pair)), unique=True, max_size=6)
)
def test_moving_a_letter_from_one_part_to_the_next_gives_another_id(parts: list[tuple[str, str]]) -> None:
    found = [operation_id("c", "w", 1, record, step) for record, step in parts]
    assert len(set(found)) == len(found)


def test_an_odd_character_in_a_record_id_is_no_trouble() -> None:
    assert operation_id("c", "w", 1, "\ud800", "s") != operation_id("c", "w", 1, "\ud801", "s")


def test_records_that_share_any_identifier_share_a_key() -> None:
    one = Identity(email="Ada@X.example", phone_number="+442079460018")
    other = Identity(email="ada@x.EXAMPLE", external_id="S-1")
    third = Identity(external_id="S-1", phone_number="+15550100")
    assert set(one.keys()) & set(other.keys())
    assert set(other.keys()) & set(third.keys())
    assert not set(one.keys()) & set(third.keys())


def test_only_addresses_are_case_folded_and_kinds_of_identifiers_never_mix() -> None:
    keys = [
        Identity(external_id="a").keys(),
        Identity(external_id="A").keys(),
        Identity(email="a").keys(),
        Identity(phone_number="a").keys(),
    ]
    assert all(not set(one) & set(other) for one, other in combinations(keys, 2))


def test_the_strongest_identifier_is_the_label() -> None:
    chain = [
        Identity("a@x.example", "+15550100", "S-1"),
        Identity(None, "+15550100", "S-1"),
        Identity(None, None, "S-1"),
        Identity(),
    ]
    assert [each.label() for each in chain] == ["a@x.example", "+15550100", "S-1", ""]
    assert list(chain[0].identifiers()) == ["email", "phone_number", "external_id"]
    assert all(len(one.keys()) > len(other.keys()) for one, other in pairwise(chain))


def test_what_carries_a_flow_is_its_destination() -> None:
    flow, carrier = Target("flow", "F", "Flow"), Target("list", "L", "List")
    common = {"id": "1", "step": "s", "call": "add_profiles_to_list", "profile": Identity("a@x.example")}
    fired = Operation(kind="trigger_flow", target=flow, through=carrier, **common)  # type: ignore[arg-type]
    added = Operation(kind="add_to_list", target=carrier, **common)  # type: ignore[arg-type]
    assert (fired.destination, added.destination) == (carrier, carrier)
    assert not fired.is_gate


@given(st.text(min_size=1, max_size=12), st.text(min_size=1, max_size=12))
def test_an_address_is_folded_no_further_than_its_ascii_letters(one: str, other: str) -> None:
    """Two addresses are one exactly where they differ in the case of ASCII letters alone."""
    alike = len(one) == len(other) and all(
        a == b or (a.isascii() and b.isascii() and a.lower() == b.lower())
        for a, b in zip(one, other, strict=True)
    )
    assert (fold_email(one) == fold_email(other)) == alike


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("weiß@x.example", "weiss@x.example"),
        ("ﬁn@x.example", "fin@x.example"),
        ("\N{KELVIN SIGN}@x.example", "K@x.example"),
    ],
)
def test_addresses_that_unicode_folds_together_are_two_people(one: str, other: str) -> None:
    assert Identity(email=one).keys() != Identity(email=other).keys()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (Identity("a@x.example"), Identity("A@X.EXAMPLE", "+44201", "S-1"), True),
        (Identity("a@x.example", None, "S-1"), Identity("b@x.example", None, "S-1"), True),
        (Identity(None, "+44201"), Identity(None, "+44201"), True),
        (Identity("a@x.example", "+44201"), Identity(None, "+44201"), True),
        (Identity("a@x.example", "+44201"), Identity(None, "+44201", "S-1"), True),
        (Identity("a@x.example", "+44201"), Identity("b@x.example", "+44201"), False),
        (Identity(None, "+44201", "S-1"), Identity("b@x.example", "+44201", "S-2"), False),
        (Identity("a@x.example"), Identity(None, "+44201"), False),
        (Identity("a@x.example", "+44201"), Identity("b@x.example", "+44202"), False),
    ],
)
def test_a_phone_alone_makes_one_profile_only_where_nothing_contradicts(
    one: Identity, other: Identity, same: bool
) -> None:
    assert one.is_same_profile(other) is same
    assert other.is_same_profile(one) is same
