"""Request bodies are valid where they are sent, with every object closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.contract.dialects import Dialect, Inexpressible, dialect
from askel_tui.contract.endpoints import NEWEST, REVISIONS, NotInRevision, endpoint
from tests.support.openapi import validate_request
from tests.support.strategies import (
    attributes,
    identifiers,
    ids,
    names,
    properties,
    revisions,
    times,
)

if TYPE_CHECKING:
    from collections.abc import Callable

OLDEST = "2024-02-15"


@given(st.data(), revisions, identifiers, properties, st.lists(names, max_size=3))
def test_upserts_are_valid(
    data: st.DataObject, revision: str, who: dict[str, str], props: dict[str, Any], unset: list[str]
) -> None:
    fields = data.draw(attributes(revision, clearing=True))
    body = dialect(revision).profile_import(who, fields, props, unset)
    validate_request(revision, "create_or_update_profile", None, body)
    sent = body["data"]["attributes"]
    assert sent == {**who, **fields, **({"properties": props} if props else {})}
    assert body["data"].get("meta") == ({"patch_properties": {"unset": unset}} if unset else None)


@given(st.data(), revisions, st.lists(identifiers, min_size=1, max_size=3), st.none() | names)
def test_bulk_imports_are_valid(
    data: st.DataObject, revision: str, people: list[dict[str, str]], list_id: str | None
) -> None:
    words = dialect(revision)
    items = [
        words.import_item(
            who,
            data.draw(attributes(revision, clearing=False)),
            data.draw(properties),
        )
        for who in people
    ]
    body = words.bulk_import(items, list_id)
    validate_request(revision, "bulk_import_profiles", None, body)
    assert [one["attributes"].get("email") for one in body["data"]["attributes"]["profiles"]["data"]] == [
        who.get("email") for who in people
    ]


@given(st.data(), revisions, identifiers, properties, times)
def test_events_are_valid(
    data: st.DataObject, revision: str, who: dict[str, str], props: dict[str, Any], time: str
) -> None:
    words = dialect(revision)
    metric, unique_id = data.draw(names), data.draw(names)
    value = data.draw(st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False))
    currency = data.draw(st.none() | st.just("GBP"))
    backfill = data.draw(st.booleans()) if words.has_backfill else False
    unset = data.draw(st.lists(names, max_size=2))
    body = words.event(who, metric, props, time, unique_id, value, currency, backfill, unset)
    validate_request(revision, "create_event", None, body)
    sent = body["data"]["attributes"]
    assert (sent["unique_id"], sent["time"], sent["properties"]) == (unique_id, time, props)
    assert sent.get("value") == value
    assert ("value" in sent, "backfill" in sent) == (value is not None, backfill)
    person = sent["profile"]["data"]
    holder = person if revision >= "2026-10-15" else person["attributes"]
    assert holder.get("meta") == ({"patch_properties": {"unset": unset}} if unset else None)


@given(st.data(), st.lists(identifiers, min_size=1, max_size=3), times, st.booleans())
def test_bulk_events_are_valid(
    data: st.DataObject, people: list[dict[str, str]], time: str, backfill: bool
) -> None:
    words = dialect(NEWEST)
    unique_ids = iter(data.draw(st.lists(names, min_size=6, max_size=6, unique=True)))
    groups = []
    for who in people:
        count = data.draw(st.integers(1, 2))
        events = [
            words.event_item(
                data.draw(names), data.draw(properties), time, next(unique_ids), 1.5, "EUR", backfill
            )
            for _ in range(count)
        ]
        groups.append(words.event_group(who, events, data.draw(st.lists(names, max_size=2))))
    validate_request(NEWEST, "bulk_create_events", None, words.bulk_events(groups))


def test_bulk_events_are_refused_where_the_revision_has_none() -> None:
    with pytest.raises(NotInRevision, match="2024-05-15"):
        dialect(OLDEST).bulk_events([])


@given(revisions, st.lists(ids, min_size=1, max_size=5))
def test_list_members_and_merges_are_valid(revision: str, people: list[str]) -> None:
    words = dialect(revision)
    for call in ("add_profiles_to_list", "remove_profiles_from_list"):
        path = endpoint(revision, call).url_path(id="Xyz123")
        validate_request(revision, call, path, words.list_members(people))
    validate_request(revision, "merge_profiles", None, words.merge(people[0], people[-1]))


def test_what_only_the_newest_revision_says() -> None:
    old = dialect(OLDEST)
    who, when = {"email": "wren@maple.example"}, "2026-11-23T00:00:00Z"
    refused: list[tuple[str, Callable[[], object]]] = [
        ("locale", lambda: old.profile_import(who, {"locale": "en-GB"})),
        ("firing flows", lambda: old.event(who, "M", {}, when, "u", backfill=True)),
        ("dated", lambda: old.subscribe_item(who, ["email"], {"email": when})),
        ("Historical", lambda: old.subscribe([], None, None, historical=True)),
        ("whatsapp", lambda: old.subscribe_item({"phone_number": "+15035550142"}, ["whatsapp"])),
    ]
    for words, call in refused:
        with pytest.raises(Inexpressible, match=words):
            call()


def test_what_no_revision_says() -> None:
    words = dialect(NEWEST)
    who, when = {"email": "wren@maple.example"}, "2026-11-23T00:00:00Z"
    undated = words.subscribe_item(who, ["email"])
    dated = words.subscribe_item(who, ["email"], {"email": when})
    refused: list[tuple[str, Callable[[], object]]] = [
        ("needs an identifier", lambda: words.profile_import({})),
        ("anonymous_id: no identifier", lambda: words.profile_import({"anonymous_id": "x"})),
        ("subscriptions: no profile attribute", lambda: words.profile_import(who, {"subscriptions": {}})),
        (
            "planet: no field of a location",
            lambda: words.profile_import(who, {"location": {"planet": "Mars"}}),
        ),
        ("field by field", lambda: words.profile_import(who, {"location": None})),
        ("cannot clear", lambda: words.import_item(who, {"title": None})),
        ("cannot clear", lambda: words.import_item(who, {"location": {"city": None}})),
        ("at least one channel", lambda: words.subscribe_item(who, [])),
        ("dated exactly when", lambda: words.subscribe([undated], historical=True)),
        ("dated exactly when", lambda: words.subscribe([dated])),
        ("push", lambda: words.unsubscribe_item(who, ["push"])),
    ]
    for part, call in refused:
        with pytest.raises(Inexpressible, match=part):
            call()


def test_every_revision_of_the_data_has_one_dialect() -> None:
    for revision in REVISIONS:
        assert dialect(revision).revision == revision
        assert dialect(revision) is dialect(revision)
        assert repr(Dialect(revision)) == f"Dialect('{revision}')"
    with pytest.raises(LookupError, match="2023-12-15"):
        dialect("2023-12-15")


@given(identifiers, properties)
def test_a_body_does_not_share_what_the_caller_goes_on_using(
    who: dict[str, str], props: dict[str, Any]
) -> None:
    given_who, given_props, unset = dict(who), dict(props), ["Old"]
    body = dialect(NEWEST).profile_import(given_who, {}, given_props, unset)
    given_who.clear()
    given_props["later"] = True
    unset.append("later")
    assert {name: body["data"]["attributes"][name] for name in who} == who
    assert "later" not in body["data"]["attributes"].get("properties", {}).keys() - props.keys()
    assert body["data"]["meta"]["patch_properties"]["unset"] == ["Old"]
