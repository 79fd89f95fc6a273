"""Superseded fields, read from the very bodies that packing makes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.contract.calls import Call
from askel_tui.contract.dialects import dialect
from askel_tui.contract.endpoints import SELECTABLE
from askel_tui.core.canonical import canonical_json
from askel_tui.core.operations import Identity, Operation, Target
from askel_tui.core.requests import packing
from askel_tui.core.requests.superseded import read_written_fields, without_superseded

ADA, BOB = Identity(email="Ada@x.example", external_id="A-1"), Identity(email="bob@x.example")
WELCOME, NEWS = Target("list", "L1", "Welcome"), Target("list", "L2", "News")
NAMES = st.lists(st.sampled_from(["Tier", "Points", "Store", "Note"]), unique=True)


def _upsert(
    who: Identity = ADA, *, attributes: Any = None, properties: Any = None, unset: Any = ()
) -> Operation:
    body = {"attributes": attributes or {}, "properties": properties or {}, "unset": list(unset)}
    return Operation("o", "s", "upsert_profile", Call.CREATE_OR_UPDATE_PROFILE, who, body=body)


def _of_list(call: Call, target: Target, channels: tuple[str, ...] = ()) -> Operation:
    consents = "unsubscribe" if call is Call.BULK_UNSUBSCRIBE_PROFILES else "subscribe"
    kind: Any = consents if channels else "add_to_list"
    return Operation(
        "o", "s", kind, call, ADA, target=target, body={"channels": list(channels)} if channels else {}
    )


def _sent(operation: Operation, revision: str = "2026-07-15") -> Any:
    made = packing.build_request([operation], revision, {operation.id: "P1"})
    return read_written_fields(made.path, made.body)


@pytest.mark.parametrize("revision", SELECTABLE)
def test_an_upsert_keeps_only_what_was_not_written_since(revision: str) -> None:
    later = _upsert(
        Identity(email="ada@X.example"),
        attributes={"location.city": "York"},
        properties={"Tier": 1},
        unset=["Note"],
    )
    found = _sent(later, revision)
    old = _upsert(
        attributes={"first_name": "Ada", "location.city": "Leeds"},
        properties={"Tier": 2, "Note": 3},
        unset=["Store"],
    )
    left = without_superseded(old, found.for_profile(ADA))
    assert left is not None
    assert left.body == {"attributes": {"first_name": "Ada"}, "properties": {}, "unset": ["Store"]}
    assert left.id == old.id
    assert without_superseded(old, found.for_profile(BOB)) is old


@given(old=NAMES, cleared=NAMES, later=NAMES)
def test_what_is_left_is_exactly_what_was_not_superseded(
    old: list[str], cleared: list[str], later: list[str]
) -> None:
    operation = _upsert(properties=dict.fromkeys(old, 1), unset=[name for name in cleared if name not in old])
    left = without_superseded(operation, _sent(_upsert(properties=dict.fromkeys(later, 2))).for_profile(ADA))
    kept = {*old, *cleared} - {*later}
    if left is None:
        assert not kept
        assert {*old, *cleared}
    else:
        assert {*left.body["properties"], *left.body["unset"]} == kept


def test_rows_of_an_import_job_count_for_their_own_profile_only() -> None:
    words = dialect("2026-07-15")
    rows = [
        words.import_item({"email": "ada@x.example"}, {}, {"Tier": "gold"}),
        words.import_item({"email": "bob@x.example"}, {}, {"Points": 1}),
    ]
    found = read_written_fields(
        "/api/profile-bulk-import-jobs", canonical_json(words.bulk_import(rows, "L1"))
    )
    assert found.for_profile(ADA) == {"property Tier", "list L1"}
    assert found.for_profile(BOB) == {"property Points", "list L1"}


@pytest.mark.parametrize("call", [Call.ADD_PROFILES_TO_LIST, Call.REMOVE_PROFILES_FROM_LIST])
def test_a_list_write_is_superseded_by_any_later_write_of_that_list(call: Call) -> None:
    since = _sent(_of_list(call, WELCOME)).for_profile(ADA)
    assert without_superseded(_of_list(Call.ADD_PROFILES_TO_LIST, WELCOME), since) is None
    other = _of_list(Call.ADD_PROFILES_TO_LIST, NEWS)
    assert without_superseded(other, since) is other


@pytest.mark.parametrize("revision", SELECTABLE)
@pytest.mark.parametrize("call", [Call.BULK_SUBSCRIBE_PROFILES, Call.BULK_UNSUBSCRIBE_PROFILES])
def test_consent_is_superseded_where_every_channel_was_written_since(call: Call, revision: str) -> None:
    since = _sent(_of_list(call, NEWS, ("email",)), revision).for_profile(ADA)
    assert without_superseded(_of_list(Call.BULK_SUBSCRIBE_PROFILES, NEWS, ("email",)), since) is None
    for kept in (("email", "sms"), ("sms",)):
        both = _of_list(Call.BULK_SUBSCRIBE_PROFILES, NEWS, kept)
        assert without_superseded(both, since) is both
    elsewhere = _of_list(Call.BULK_SUBSCRIBE_PROFILES, WELCOME, ("email",))
    assert without_superseded(elsewhere, since) is elsewhere


def test_events_and_folded_bodies_overtake_nothing() -> None:
    event = Operation("o", "s", "track_event", Call.CREATE_EVENT, ADA, body={"metric": "M"})
    assert without_superseded(event, frozenset({"property Tier"})) is event
    assert read_written_fields("/api/profile-import", None).for_profile(ADA) == frozenset()
    assert read_written_fields("/api/profile-import", b"no json").for_profile(ADA) == frozenset()
