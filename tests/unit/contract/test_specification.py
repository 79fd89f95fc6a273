"""The checks against the specification: they accept real requests and refuse wrong ones."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from askel_tui.contract.dialects import dialect
from askel_tui.contract.endpoints import NEWEST, REVISIONS, SELECTABLE, endpoint
from tests.support.files import RECORDED
from tests.support.openapi import (
    ContractViolation,
    recognise,
    request_problems,
    response_problems,
    validate_call,
    validate_request,
    validate_response,
)
from tests.support.queries import query_problems

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WHO = {"email": "wren@maple.example", "phone_number": "+15035550142"}
WHEN = "2026-11-23T04:12:30Z"
# Objects that are free by the specification: anything may stand in them.
FREE = {"properties"}


def recordings() -> list[Path]:
    return sorted(RECORDED.glob("*.json"))


def as_objects(value: Any, key: str = "") -> Any:
    """A recorded body with the empty objects that its recorder turned into lists (recorded/README.md)."""
    if isinstance(value, list):
        if not value and key in ("meta", "links", "properties", "attributes"):
            return {}
        return [as_objects(one) for one in value]
    if isinstance(value, dict):
        return {name: as_objects(one, name) for name, one in value.items()}
    return value


def test_there_are_recordings() -> None:
    assert len(recordings()) >= 60


@pytest.mark.parametrize("file", recordings(), ids=lambda file: file.stem)
def test_real_answers_are_valid(file: Path) -> None:
    recording = json.loads(file.read_text())
    name, status = recording["operation"], recording["response"]["status"]
    found = recognise(NEWEST, recording["request"]["method"], recording["request"]["path"])
    assert found is not None
    assert found[0] == name
    if name == "query_metric_aggregates":
        with pytest.raises(LookupError):  # the trimmed specification does not describe it
            response_problems(NEWEST, name, status, None)
        return
    query = flat(recording["request"]["query"])
    assert query_problems(NEWEST, name, query) == []
    sparse = any(key.startswith("fields[") for key in query)
    validate_response(NEWEST, name, status, as_objects(recording["response"]["body"]), sparse=sparse)


def flat(query: dict[str, Any]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for name, value in query.items():
        if isinstance(value, dict):
            pairs |= {f"{name}[{key}]": str(one) for key, one in value.items()}
        else:
            pairs[name] = str(value)
    return pairs


def requests(revision: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """A body for each call that Askel makes, as full as the revision allows."""
    words = dialect(revision)
    full = {"first_name": "Wren", "location": {"city": "Portland"}}
    yield "create_or_update_profile", words.profile_import(WHO, full, {"Tier": "Ember"}, ["Old"])
    yield (
        "bulk_import_profiles",
        words.bulk_import([words.import_item(WHO, full, {"T": 1})], "Xyz123"),
    )
    yield "merge_profiles", words.merge("01A", "01B")
    yield "add_profiles_to_list", words.list_members(["01A"])
    yield "remove_profiles_from_list", words.list_members(["01A"])
    yield "create_event", words.event(WHO, "M", {"a": 1}, WHEN, "u", 1, "GBP")
    yield (
        "bulk_subscribe_profiles",
        words.subscribe([words.subscribe_item(WHO, ["email", "sms"])], "Xyz123", "src"),
    )
    yield (
        "bulk_unsubscribe_profiles",
        words.unsubscribe([words.unsubscribe_item(WHO, ["email", "sms"])], "Xyz123"),
    )
    if revision != "2024-02-15":
        group = words.event_group(WHO, [words.event_item("M", {"a": 1}, WHEN, "u", 1, "GBP")])
        yield "bulk_create_events", words.bulk_events([group])


def objects(value: Any, key: str = "") -> Iterator[dict[str, Any]]:
    """Every object in a body, free ones aside."""
    if isinstance(value, dict) and key not in FREE:
        yield value
        for name, one in value.items():
            yield from objects(one, name)
    elif isinstance(value, list):
        for one in value:
            yield from objects(one)


@pytest.mark.parametrize("revision", SELECTABLE)
def test_an_unknown_field_is_refused_in_every_object_and_a_known_one_is_not(revision: str) -> None:
    for name, body in requests(revision):
        assert request_problems(revision, name, None, body) == [], name
        for index in range(sum(1 for _ in objects(body))):
            changed = copy.deepcopy(body)
            list(objects(changed))[index]["surprise"] = 1
            assert any("surprise" in one for one in request_problems(revision, name, None, changed)), (
                name,
                index,
            )


@pytest.mark.parametrize("revision", SELECTABLE)
def test_a_missing_required_field_is_refused(revision: str) -> None:
    for name, body in requests(revision):
        changed = copy.deepcopy(body)
        data = changed["data"][0] if isinstance(changed["data"], list) else changed["data"]
        del data["type"]
        assert request_problems(revision, name, None, changed), name
        assert request_problems(revision, name, None, None), name


def test_a_body_that_only_the_older_specification_takes_is_refused() -> None:
    """At 2024-02-15 `subscriptions` may be missing, at those that serve it they may not."""
    words = dialect("2024-02-15")
    for name, body in (
        ("bulk_subscribe_profiles", words.subscribe([words.subscribe_item(WHO, ["email"])])),
        ("bulk_unsubscribe_profiles", words.unsubscribe([words.unsubscribe_item(WHO, ["email"])])),
    ):
        del body["data"]["attributes"]["profiles"]["data"][0]["attributes"]["subscriptions"]
        problems = request_problems("2024-02-15", name, None, body)
        assert problems
        assert not any(one.startswith("2024-02-15 ") for one in problems)


def test_a_body_that_only_the_newer_specification_takes_is_refused() -> None:
    body = dialect(NEWEST).profile_import(WHO, {"locale": "en-GB"})
    validate_request(NEWEST, "create_or_update_profile", None, body)
    problems = request_problems("2024-02-15", "create_or_update_profile", None, body)
    assert len(problems) == 1
    assert problems[0].startswith("2024-02-15 ")
    assert "locale" in problems[0]


def test_rules_that_only_prose_states() -> None:
    words = dialect(NEWEST)
    item = words.subscribe_item(WHO, ["email", "sms"])
    phoneless = copy.deepcopy(item)
    del phoneless["attributes"]["phone_number"]
    dated = copy.deepcopy(item)
    dated["attributes"]["subscriptions"]["sms"]["marketing"]["consented_at"] = WHEN
    anyone = {"data": {"type": "profile", "attributes": {"first_name": "Wren"}}}
    cleared = {"type": "profile", "attributes": {"email": "a@b.example", "title": None}}
    event = words.event_item("M", {}, WHEN, "same")
    cases = [
        ("bulk_subscribe_profiles", words.subscribe([phoneless]), "consent for sms without phone_number"),
        ("bulk_subscribe_profiles", _subscribe(dated), "dated exactly when"),
        ("bulk_subscribe_profiles", words.subscribe([item] * 1001), "1001 items"),
        ("create_or_update_profile", anyone, "without any identifier"),
        ("create_or_update_profile", words.profile_import(WHO, {}, {"a": "x" * 100_000}), "bytes"),
        ("bulk_import_profiles", words.bulk_import([cleared]), "cannot clear"),
        ("add_profiles_to_list", words.list_members(["01A"] * 1001), "1001 items"),
        (
            "bulk_create_events",
            words.bulk_events([words.event_group(WHO, [event, event])]),
            "twice in one call",
        ),
        ("create_event", words.event(WHO, "M" * 128, {}, WHEN, "u"), "metric name"),
        ("create_event", words.event(WHO, "M", {}, WHEN, "u" * 256), "unique_id"),
        (
            "create_event",
            words.event(WHO, "M", {str(n): n for n in range(401)}, WHEN, "u"),
            "401 event properties",
        ),
    ]
    for name, body, part in cases:
        problems = request_problems(NEWEST, name, None, body)
        assert len(problems) == 1, (name, problems)
        assert part in problems[0]


def _subscribe(item: dict[str, Any]) -> dict[str, Any]:
    attributes = {"profiles": {"data": [item]}}
    return {"data": {"type": "profile-subscription-bulk-create-job", "attributes": attributes}}


def test_the_profile_of_the_path_is_the_profile_of_the_body() -> None:
    body = {"data": {"type": "profile", "id": "01A", "attributes": WHO}}
    validate_request(NEWEST, "update_profile", "/api/profiles/01A", body)
    with pytest.raises(ContractViolation, match="'01A' is not the path's '01B'"):
        validate_request(NEWEST, "update_profile", "/api/profiles/01B/", body)


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("slash", ["", "/"])
def test_a_call_is_recognised_with_and_without_a_slash(revision: str, slash: str) -> None:
    body = json.dumps(dialect(revision).list_members(["01A"])).encode()
    at = validate_call(revision, "post", f"/api/lists/Xyz123/relationships/profiles{slash}", {}, body)
    assert at == endpoint(revision, "add_profiles_to_list")
    assert validate_call(revision, "GET", f"/api/lists/Xyz123{slash}", {}, b"").name == "get_list"
    assert recognise(revision, "GET", f"/api/profile-import{slash}") is None
    assert recognise(revision, "GET", f"/api/lists/a/b{slash}") is None


def test_a_wrong_call_is_refused_with_all_its_problems() -> None:
    with pytest.raises(ContractViolation, match="no endpoint"):
        validate_call(NEWEST, "GET", "/api/lizts", {}, None)
    with pytest.raises(ContractViolation, match="not JSON"):
        validate_call(NEWEST, "POST", "/api/lists", {}, b"{")
    with pytest.raises(ContractViolation, match="a body where"):
        validate_call(NEWEST, "GET", "/api/lists", {}, {"data": 1})
    with pytest.raises(ContractViolation) as caught:
        validate_call(NEWEST, "GET", "/api/lists", {"page[size]": "11", "sort": "size", "tail": "1"}, None)
    assert [one.partition(":")[0] for one in caught.value.problems] == ["page[size]", "sort", "tail"]


def test_answers_that_are_refused() -> None:
    found = {"type": "list", "id": "X", "attributes": {"name": "A", "colour": "red"}, "links": {"self": "…"}}
    cases: list[tuple[str, int, Any, str]] = [
        ("get_list", 200, {"data": found, "links": {"self": "…"}}, "colour"),
        ("get_list", 200, {"data": {"type": "list", "id": "X"}}, "attributes"),
        ("get_list", 200, None, "no body"),
        ("get_list", 201, None, "status 201"),
        ("get_list", 404, {"message": "gone"}, "errors"),
        ("create_event", 202, {}, "a body where"),
    ]
    for name, status, body, part in cases:
        with pytest.raises(ContractViolation, match=part):
            validate_response(NEWEST, name, status, body)
