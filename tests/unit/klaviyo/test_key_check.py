"""Checking keys against a sandbox account: right about each scope, and without a trace in the account."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from aiohttp import web

from askel_tui.core.workflows.model import RequireSegment, Subscribe, TrackEvent, TriggerFlow, Unsubscribe
from askel_tui.core.workflows.scopes import needed_scopes
from askel_tui.klaviyo.client import Client
from askel_tui.klaviyo.errors import KeyRefused, Unavailable, UnreadableResponse
from askel_tui.klaviyo.reads.key_check import (
    REQUIRED_SCOPES,
    OtherAccount,
    check_account,
    check_key,
)
from askel_tui.sandbox.http.server import RunningSandbox
from askel_tui.sandbox.state.account import Account
from tests.support.stub_server import NEWEST, Asked, Stub, client_of, errors, page, serving

ALL = (
    "accounts:read",
    "profiles:read",
    "profiles:write",
    "lists:read",
    "lists:write",
    "events:write",
    "segments:read",
    "flows:read",
    "metrics:read",
    "templates:read",
    "subscriptions:write",
)


async def test_a_full_key_has_all_and_nothing_was_written(
    client: Client, contents: Callable[[], str]
) -> None:
    before = contents()
    found = await check_key(client)
    assert (found.account, found.account_name) == ("MpEmbr", "Maple & Ember")
    assert found.scopes == dict.fromkeys(ALL, "present")
    assert found.missing_features == ()
    assert found.missing_required == ()
    assert contents() == before


@pytest.mark.parametrize("lacking", ALL)
async def test_each_missing_scope_is_found_out(
    client_with: Callable[..., Client], contents: Callable[[], str], lacking: str
) -> None:
    before = contents()
    found = await check_key(client_with(*(scope for scope in ALL if scope != lacking)))
    assert found.scopes[lacking] == "missing"
    others = {scope: verdict for scope, verdict in found.scopes.items() if scope != lacking}
    if lacking in ("lists:write", "profiles:write"):
        # A subscribe job takes those two as well: what its 403 means cannot be told.
        assert others.pop("subscriptions:write") == "not verified"
    assert set(others.values()) == {"present"}
    assert (lacking in found.missing_required) == (lacking in REQUIRED_SCOPES)
    assert lacking in {scope for _, scopes in found.missing_features for scope in scopes}
    assert (found.account is None) == (lacking == "accounts:read")
    assert contents() == before


async def test_the_smallest_key_connects_and_says_what_it_cannot_do(
    client_with: Callable[..., Client],
) -> None:
    found = await check_key(client_with(*REQUIRED_SCOPES, "segments:read", "flows:read"))
    assert found.missing_required == ()
    assert dict(found.missing_features) == {
        "knowing the account by its id": ("accounts:read",),
        "consent (subscribe, unsubscribe)": ("subscriptions:write",),
        "metrics (browse, which metric fires a flow)": ("metrics:read",),
        "templates (browse)": ("templates:read",),
    }


async def test_a_key_without_any_scope(
    client_with: Callable[..., Client], contents: Callable[[], str]
) -> None:
    before = contents()
    found = await check_key(client_with("webhooks:read"))
    assert {scope for scope, verdict in found.scopes.items() if verdict == "missing"} == {
        scope for scope in ALL if scope != "subscriptions:write"
    }
    assert found.missing_required == REQUIRED_SCOPES
    assert contents() == before


async def test_a_wrong_key_is_refused(client_with: Callable[..., Client]) -> None:
    with pytest.raises(KeyRefused):
        await check_key(client_with(key="pk_no_such_key"))


async def test_a_new_key_must_be_of_the_same_account(
    client_with: Callable[..., Client], sandbox: RunningSandbox
) -> None:
    sandbox.world.add_account(Account("OthrAc", "Another Brand"))
    sandbox.world.add_key("pk_of_another_account", "OthrAc")
    assert await check_account(client_with(), "MpEmbr") == "MpEmbr"
    assert await check_account(client_with(), None) == "MpEmbr"
    assert await check_account(client_with("lists:read"), "MpEmbr") is None
    with pytest.raises(OtherAccount, match="OthrAc"):
        await check_account(client_with(key="pk_of_another_account"), "MpEmbr")


async def test_an_account_that_answers_events_with_success_verifies_nothing() -> None:
    """Only what validation must do shows a scope: anything else is not verified."""

    async def lenient(asked: Asked) -> web.StreamResponse:
        if asked.path.rstrip("/").endswith("/events"):
            return errors(500, "x", "x")
        return page([{"type": "account", "id": "A", "attributes": {}}])

    stub = Stub(handler=lenient)
    async with serving(stub), client_of(stub) as client:
        found = await check_key(client)
    assert found.scopes["events:write"] == "not verified"
    assert found.scopes["profiles:write"] == "not verified"
    assert found.scopes["lists:read"] == "present"


async def test_a_server_that_is_not_klaviyo_is_distinguished_from_a_bad_key() -> None:
    async with serving(Stub([lambda: page([])])) as stub:
        pass
    async with client_of(stub) as client:
        with pytest.raises(Unavailable):
            await check_key(client)
    async with (
        serving(Stub([lambda: web.Response(text="<html>hello", status=404)])) as stub,
        client_of(stub) as client,
    ):
        with pytest.raises(UnreadableResponse):
            await check_key(client)


def test_a_step_needs_the_scopes_of_its_calls() -> None:
    consent = {"lists:write", "profiles:write", "subscriptions:write"}
    assert needed_scopes(TrackEvent("s", "M"), NEWEST) == {"events:write"}
    assert needed_scopes(Subscribe("s", ("email",)), NEWEST) == consent
    assert needed_scopes(Unsubscribe("s", ("email",)), NEWEST) == consent
    assert "lists:read" in needed_scopes(Unsubscribe("s", ("email",), "L"), NEWEST)
    assert needed_scopes(RequireSegment("s", "VIP", True), NEWEST) == {"profiles:read", "segments:read"}
    assert "events:write" not in needed_scopes(TriggerFlow("s", "F", list="L"), NEWEST)
    assert "lists:write" not in needed_scopes(TriggerFlow("s", "F", metric="M"), NEWEST)
