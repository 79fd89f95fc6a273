"""Only consent steps reach an endpoint of consent: no other step, of any workflow, in any request."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

import askel_tui
from askel_tui.contract.calls import Call
from askel_tui.contract.endpoints import SELECTABLE
from askel_tui.core.addressing import CONSENT_CALL_OF_STEP
from askel_tui.core.operations import Identity, Operation
from askel_tui.core.planning.plan import plan
from askel_tui.core.planning.steps import PlainCall
from askel_tui.core.requests import bulk
from askel_tui.core.requests.packing import Request, build_request
from tests.support.workflows import applied, happened, of_steps

CONSENT_ENDPOINTS = set(CONSENT_CALL_OF_STEP.values())
WORDS = st.sampled_from(["subscriptions", "consent", "subscribe", "SUBSCRIBED", "email.marketing", "x"])
PLAIN_STEPS = (
    "upsert_profile: {first_name: data.name, properties: {%s: data.values}}",
    "upsert_profile: {location: {city: data.name}}",
    "add_to_list: Newsletter",
    "remove_from_list: Promotions",
    "track_event: {metric: '{%s}', properties: {%s: data.values}}",
    "trigger_flow: Welcome Series",
    "trigger_flow: {flow: Points Thanks, metric: First Points Earned}",
    "require_segment: {segment: VIP, member: true}",
)
CONSENT_STEPS = (
    "subscribe: {channels: [email], list: Newsletter, proof: record}",
    "subscribe: {channels: [email, sms], resubscribe: true}",
    "unsubscribe: {channels: [email], list: Newsletter, everywhere: true}",
    "unsubscribe: {channels: [sms]}",
)


@st.composite
def workflows(draw: st.DrawFn) -> str:
    """Workflows of any steps, with the words of consent wherever a name may stand."""
    drawn = draw(st.lists(st.sampled_from([*PLAIN_STEPS, *CONSENT_STEPS]), min_size=1, max_size=6))
    named = [each.replace("%s", draw(WORDS)).replace("'{x}'", "x") for each in drawn]
    return of_steps("".join(f"- id: s{n}\n  {each}\n" for n, each in enumerate(named)))


VALUES = st.recursive(
    st.none() | st.booleans() | WORDS, lambda inner: st.dictionaries(WORDS, inner, max_size=2), max_leaves=4
)
RECORDS = st.builds(
    lambda values, name, phone: happened(values=values, name=name, phone=phone),
    VALUES,
    WORDS,
    st.none() | st.just("+442079460018"),
)


def _own_fields(value: Any, name: str = "") -> Iterator[str]:
    """The names of a body that are Klaviyo's: what the customer names is left out."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield key
            if key != "properties":
                yield from _own_fields(each, key)
    elif isinstance(value, list):
        for each in value:
            yield from _own_fields(each, name)


def _requests(operations: tuple[Operation, ...], revision: str) -> Iterator[Request]:
    for each in operations:
        if not each.is_gate:
            yield build_request([each], revision, {each.id: "01PROFILE"})
        if each.call == Call.CREATE_OR_UPDATE_PROFILE:
            rows = [bulk.import_row([each], revision, None)]
            yield from (
                made.request for made in bulk.pack_rows(Call.BULK_IMPORT_PROFILES, rows, revision, "L")
            )


@given(workflows(), RECORDS, st.sampled_from(SELECTABLE))
def test_no_other_step_yields_a_call_of_consent(text: str, record: Any, revision: str) -> None:
    planned = plan(record, applied(text, revision=revision, checked=False))
    assert planned is not None
    for operation in planned.operations:
        reaches = operation.call in CONSENT_ENDPOINTS
        assert reaches == (operation.kind in CONSENT_CALL_OF_STEP)
        assert not reaches or CONSENT_CALL_OF_STEP[operation.kind] == operation.call
    for request in _requests(planned.operations, revision):
        names = set(_own_fields(json.loads(request.body)))
        assert ("subscriptions" in names) == (request.call in CONSENT_ENDPOINTS)


OPERATIONS = st.builds(
    Operation,
    st.just("1" * 32),
    st.just("s"),
    st.sampled_from(
        ["upsert_profile", "add_to_list", "track_event", "trigger_flow", "subscribe", "unsubscribe"]
    ),
    st.sampled_from(sorted(CONSENT_ENDPOINTS)),
    st.just(Identity("ada@x.example")),
    body=st.just({"channels": ["email"], "proof": None}),
)


@given(st.lists(OPERATIONS, max_size=3), st.sampled_from(sorted(CONSENT_ENDPOINTS)))
def test_no_request_carries_other_operations_to_an_endpoint_of_consent(
    operations: list[Operation], call: Call
) -> None:
    """Whoever makes it: there is one kind of value that is sent."""
    may = bool(operations) and all(CONSENT_CALL_OF_STEP.get(each.kind) == call for each in operations)
    alike = [replace(each, call=call) for each in operations]
    if may:
        assert Request(call, "POST", "/", {}, b"{}", tuple(alike))
        return
    with pytest.raises(ValueError, match="may reach"):
        Request(call, "POST", "/", {}, b"{}", tuple(alike))


def test_what_other_steps_may_plan_names_no_call_of_consent() -> None:
    assert CONSENT_ENDPOINTS.isdisjoint(get_args(PlainCall))


def test_calls_that_change_consent_are_made_in_one_place() -> None:
    """Nothing asks the client for one directly, but the probe of a key's scopes, whose body names nobody."""
    package = Path(askel_tui.__file__).parent
    found = set()
    for file in package.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("call", "_probe"):
                named = {getattr(each, "attr", "") for each in node.args}
                if named & {call.name for call in CONSENT_ENDPOINTS}:
                    found.add(file.relative_to(package).as_posix())
    assert found <= {"klaviyo/reads/key_check.py"}
