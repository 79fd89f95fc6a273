"""Packing: operations become requests that fit Klaviyo's own specification at every revision."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.contract.calls import Call
from askel_tui.contract.endpoints import SELECTABLE, endpoint
from askel_tui.core.addressing import CONSENT_CALLS
from askel_tui.core.canonical import canonical_json
from askel_tui.core.operations import Identity, Operation, StepKind, Target
from askel_tui.core.planning.plan import plan
from askel_tui.core.records.files import read_jsonl
from askel_tui.core.records.record import Record
from askel_tui.core.requests.packing import (
    GATHERING_CALLS,
    BatchKey,
    Request,
    batch_capacity,
    batch_key,
    build_request,
    nest_attributes,
)
from tests.support.files import EXAMPLES
from tests.support.openapi import validate_call, validate_request
from tests.support.strategies import json_values
from tests.support.workflows import applied, example, happened, of_steps, operations

LISTS = (Call.ADD_PROFILES_TO_LIST, Call.REMOVE_PROFILES_FROM_LIST)

STEPS = """\
- id: tier
  upsert_profile:
    first_name: data.name
    title: {value: data.title, clear: true}
    location: {city: data.city, latitude: data.lat, zip: {value: data.zip, clear: true}}
    properties: {Tier: data.tier, Open: {value: data.open, clear: true}}
- id: welcome
  add_to_list: Welcome Flow
- id: leave
  remove_from_list: Promotions
- id: points
  track_event:
    metric: First Points Earned
    value: data.points
    value_currency: data.currency
    properties: {Tier: data.tier, Open: data.open}
- id: flow
  trigger_flow: Welcome Series
- id: fire
  trigger_flow: Points Thanks
- id: in
  subscribe: {channels: [email], list: Newsletter, custom_source: Till}
- id: in-all
  subscribe: {channels: [email, sms]}
- id: out
  unsubscribe: {channels: [sms], list: Newsletter}
- id: out-all
  unsubscribe: {channels: [email, sms]}
"""
RECORD = happened(
    phone="+442079460018",
    ref="S-1",
    name="Zoë",
    city="Leeds",
    lat=53.8,
    tier="Gold",
    points=5,
    currency="GBP",
    open=["a", {"b": None}],
)


def ids_of(found: list[Operation] | tuple[Operation, ...]) -> dict[str, str]:
    """A profile id for each operation, the same one for the same identifiers."""
    return {each.id: f"01{canonical_json(each.profile.identifiers()).hex()[-24:].upper()}" for each in found}


def valid(made: Request, revision: str) -> dict[str, Any]:
    """The body of a request that fits the specification, path and method included."""
    body = json.loads(made.body)
    assert validate_call(revision, made.method, made.path, {}, made.body).name == made.call
    validate_request(revision, made.call, made.path, body)
    assert made.body == canonical_json(body)
    assert isinstance(body, dict)
    return body


@pytest.mark.parametrize("revision", SELECTABLE)
def test_the_request_of_every_kind_of_step_is_valid(revision: str) -> None:
    found = operations(RECORD, applied(of_steps(STEPS), revision=revision))
    made = {each.step: build_request([each], revision, ids_of(found)) for each in found}
    bodies = {step: valid(each, revision) for step, each in made.items()}
    assert len(made) == 10

    tier = bodies["tier"]["data"]
    assert tier["attributes"]["location"] == {"city": "Leeds", "latitude": 53.8, "zip": None}
    assert (tier["attributes"]["title"], tier["attributes"]["email"]) == (None, "ada@x.example")
    assert tier["attributes"]["properties"] == {"Tier": "Gold", "Open": ["a", {"b": None}]}
    profile = ids_of(found)[found[0].id]
    assert bodies["welcome"] == bodies["flow"] == {"data": [{"type": "profile", "id": profile}]}
    assert "/ListWe/" in made["welcome"].path
    assert made["leave"].method == "DELETE"
    assert made["welcome"].ids == {"id": "ListWe"}
    points = bodies["points"]["data"]["attributes"]
    assert (points["value"], points["value_currency"]) == (5, "GBP")
    assert points["unique_id"] == made["points"].operations[0].body["unique_id"]
    fire = bodies["fire"]["data"]["attributes"]
    assert fire["metric"]["data"]["attributes"]["name"] == "First Points Earned"
    assert bodies["in"]["data"]["attributes"]["custom_source"] == "Till"
    assert bodies["in"]["data"]["relationships"]["list"]["data"]["id"] == "ListNe"
    assert "relationships" not in bodies["in-all"]["data"]
    assert bodies["out"]["data"]["relationships"]["list"]["data"]["id"] == "ListNe"


@pytest.mark.parametrize("revision", SELECTABLE)
def test_what_has_no_value_clears_in_a_valid_way(revision: str) -> None:
    found = operations(happened(phone="+442079460018"), applied(of_steps(STEPS), revision=revision))
    body = valid(build_request(found[:1], revision, {}), revision)
    assert body["data"]["attributes"]["title"] is None
    assert body["data"]["attributes"]["location"] == {"zip": None}
    assert body["data"]["meta"] == {"patch_properties": {"unset": ["Open"]}}


@pytest.mark.parametrize("revision", SELECTABLE)
def test_the_identifying_upsert_is_valid_and_bare(revision: str) -> None:
    text = of_steps("- id: welcome\n  add_to_list: Welcome Flow\n")
    identify = operations(happened(ref="S-1"), applied(text, revision=revision))[0]
    body = valid(build_request([identify], revision, {}), revision)
    assert body["data"] == {
        "type": "profile",
        "attributes": {"email": "ada@x.example", "external_id": "S-1"},
    }


@pytest.mark.parametrize("revision", SELECTABLE)
@pytest.mark.parametrize("channel", ["email", "sms"])
def test_consent_names_only_the_identifier_of_its_channel(channel: str, revision: str) -> None:
    steps = f"- id: in\n  subscribe: {{channels: [{channel}], list: Newsletter}}\n"
    found = operations(RECORD, applied(of_steps(steps), revision=revision))
    body = valid(build_request(found, revision, {}), revision)
    (profile,) = body["data"]["attributes"]["profiles"]["data"]
    wanted = {"email": "email", "sms": "phone_number"}[channel]
    assert profile["attributes"].keys() == {wanted, "subscriptions"}
    assert profile["attributes"]["subscriptions"].keys() == {channel}


def test_consent_of_every_channel_and_of_the_past_is_valid_at_the_newest_revision() -> None:
    steps = """\
- id: in
  subscribe: {channels: [email, sms, whatsapp, push], list: Newsletter}
- id: past
  subscribe: {channels: [email, sms], list: Newsletter, historical: true, consented_at: data.when}
- id: out
  unsubscribe: {channels: [email, sms, whatsapp]}
"""
    record = happened(phone="+442079460018", when="2020-01-02T03:04:05Z")
    now, past, out = operations(record, applied(of_steps(steps)))
    assert valid(build_request([now], "2026-07-15", {}), "2026-07-15")
    assert valid(build_request([out], "2026-07-15", {}), "2026-07-15")
    attributes = valid(build_request([past], "2026-07-15", {}), "2026-07-15")["data"]["attributes"]
    assert attributes["historical_import"] is True
    subscriptions = attributes["profiles"]["data"][0]["attributes"]["subscriptions"]
    assert [each["marketing"]["consented_at"] for each in subscriptions.values()] == [
        "2020-01-02T03:04:05Z"
    ] * 2


@pytest.mark.parametrize("revision", SELECTABLE)
@pytest.mark.parametrize(
    ("workflow", "file"),
    [
        ("first-points-welcome", "first-points.jsonl"),
        ("first-points-welcome", "hostile.jsonl"),
        ("checkout-completed", "other-events.jsonl"),
        ("newsletter-consent", "other-events.jsonl"),
        ("vip-gift", "other-events.jsonl"),
    ],
)
def test_every_request_of_the_examples_is_valid(workflow: str, file: str, revision: str) -> None:
    of = example(workflow, revision=revision)
    made = 0
    with (EXAMPLES / file).open("rb") as lines:
        records = [
            each for _, each in read_jsonl(lines, now="2026-11-23T12:00:00Z") if isinstance(each, Record)
        ]
    for record in records:
        found = plan(record, of)
        for each in found.operations if found else ():
            if not each.is_gate:
                valid(build_request([each], revision, ids_of([each])), revision)
                made += 1
    assert made


data = st.dictionaries(
    st.sampled_from(["name", "title", "city", "lat", "zip", "tier", "open", "points", "currency"]),
    json_values,
)


@given(data, st.sampled_from(SELECTABLE))
def test_every_plan_can_be_sent(given_data: dict[str, Any], revision: str) -> None:
    found = plan(happened(phone="+442079460018", **given_data), applied(of_steps(STEPS), revision=revision))
    assert found is not None
    for each in found.operations:
        valid(build_request([each], revision, ids_of([each])), revision)


def on_list(number: int, call: Call = LISTS[0], list_id: str = "ListWe") -> Operation:
    who = Identity(f"p{number}@x.example")
    kind: StepKind = "add_to_list" if call == LISTS[0] else "remove_from_list"
    return Operation(f"op{number}", "s", kind, call, who, Target("list", list_id, "Some list"))


@pytest.mark.parametrize("revision", SELECTABLE)
@pytest.mark.parametrize("call", LISTS)
def test_a_list_call_takes_as_many_as_klaviyo_does(call: Call, revision: str) -> None:
    most = batch_capacity(call, revision)
    assert most == endpoint(revision, call).max_items == 1000
    many = [on_list(number, call) for number in range(most)]
    made = build_request(many, revision, {each.id: f"01{each.id}" for each in many})
    assert len(valid(made, revision)["data"]) == most
    assert made.operations == tuple(many)


def test_a_profile_stands_in_a_list_call_once_in_order_of_arrival() -> None:
    many = [on_list(number) for number in range(4)]
    made = build_request(many, "2026-07-15", {"op0": "01B", "op1": "01A", "op2": "01B", "op3": "01C"})
    assert [each["id"] for each in json.loads(made.body)["data"]] == ["01B", "01A", "01C"]
    assert made.operations == tuple(many)


def test_a_profile_whose_id_is_not_known_is_no_request() -> None:
    with pytest.raises(KeyError, match="op1"):
        build_request([on_list(0), on_list(1)], "2026-07-15", {"op0": "01A"})


def test_a_gate_is_a_question_and_no_request() -> None:
    text = of_steps("- id: gate\n  require_segment: {segment: VIP, member: true}\n")
    (gate,) = operations(happened(), applied(text))
    with pytest.raises(ValueError, match=Call.GET_PROFILES_FOR_SEGMENT):
        build_request([gate], "2026-07-15", {})
    assert batch_key(gate) == BatchKey(Call.GET_PROFILES_FOR_SEGMENT, "SegVip")
    for revision in SELECTABLE:
        assert batch_capacity(gate.call, revision) == endpoint(revision, gate.call).page_max == 100


def test_only_list_calls_and_gates_of_one_destination_travel_together() -> None:
    assert batch_key(on_list(1)) == batch_key(on_list(2))
    assert batch_key(on_list(1)) != batch_key(on_list(1, list_id="ListNe"))
    assert batch_key(on_list(1)) != batch_key(on_list(1, LISTS[1]))
    found = operations(RECORD, applied(of_steps(STEPS)))
    by_step = {each.step: batch_key(each) for each in found}
    assert by_step["flow"] == by_step["welcome"]
    for each in found:
        assert bool(batch_key(each).destination) == (each.call in GATHERING_CALLS)
        at = endpoint("2026-07-15", each.call)
        many = at.page_max if each.is_gate else at.max_items if each.call in GATHERING_CALLS else 1
        assert batch_capacity(each.call, "2026-07-15") == many
    assert {"in", "in-all", "out", "out-all"} == {each.step for each in found if each.call in CONSENT_CALLS}


CONSENT_STEPS = """\
- id: in
  subscribe: {channels: [email], list: Newsletter, custom_source: Till}
- id: same
  subscribe: {channels: [sms], list: Newsletter, custom_source: Till}
- id: other-source
  subscribe: {channels: [email], list: Newsletter, custom_source: Site}
- id: other-list
  subscribe: {channels: [email], list: Promotions, custom_source: Till}
- id: no-list
  subscribe: {channels: [email], custom_source: Till}
- id: past
  subscribe: {channels: [email], list: Newsletter, custom_source: Till, historical: true, consented_at: data.when}
- id: out
  unsubscribe: {channels: [email], list: Newsletter}
"""


def test_consent_of_one_list_source_and_kind_travels_together() -> None:
    record = happened(phone="+442079460018", when="2020-01-02T03:04:05Z")
    found = {each.step: each for each in operations(record, applied(of_steps(CONSENT_STEPS)))}
    batches = {step: batch_key(each) for step, each in found.items() if each.call in CONSENT_CALLS}
    assert batches["in"] == batches.pop("same")
    assert len(set(batches.values())) == len(batches) == 6


@pytest.mark.parametrize("revision", SELECTABLE)
def test_a_full_consent_job_is_valid_and_holds_every_profile(revision: str) -> None:
    of = applied(
        of_steps("- id: in\n  subscribe: {channels: [email], list: Newsletter, custom_source: Till}\n"),
        revision=revision,
    )
    most = batch_capacity(Call.BULK_SUBSCRIBE_PROFILES, revision)
    many = [operations(happened(f"r{n}", email=f"p{n}@x.example"), of)[0] for n in range(most)]
    attributes = valid(build_request(many, revision, {}), revision)["data"]["attributes"]
    emails = [row["attributes"]["email"] for row in attributes["profiles"]["data"]]
    assert emails == [f"p{n}@x.example" for n in range(most)]
    assert most == (100 if revision == "2024-02-15" else 1000)


def test_dotted_names_become_nested_objects() -> None:
    assert nest_attributes({"title": "Dr", "location.city": "Leeds", "location.zip": None}) == {
        "title": "Dr",
        "location": {"city": "Leeds", "zip": None},
    }
    assert nest_attributes({}) == {}
