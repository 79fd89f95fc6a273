"""Checks a key: which account it opens, and which scopes it has (docs/klaviyo.md 1.1).

No endpoint names a key's scopes, so each is probed: a read scope by its cheapest read, a write scope by a request that
cannot write. A 403 with Klaviyo's own body means missing; which statuses mean present depends on the probe; anything
else is "not verified".
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from askel_tui.contract.calls import Call
from askel_tui.contract.endpoints import endpoints
from askel_tui.core.exit_codes import AskelError, ExitCode
from askel_tui.core.workflows.scopes import scopes_of
from askel_tui.klaviyo.errors import KeyRefused, KlaviyoError, ScopeMissing, UnreadableResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from askel_tui.klaviyo.client import Client

ScopeStatus = Literal["present", "missing", "not verified"]

REQUIRED_SCOPES = ("profiles:read", "profiles:write", "lists:read", "lists:write", "events:write")
"""The scopes that every connection needs."""

CALLS_OF_FEATURES: Mapping[str, tuple[str, ...]] = {
    "knowing the account by its id": (Call.GET_ACCOUNTS,),
    "profiles": (Call.CREATE_OR_UPDATE_PROFILE, Call.GET_PROFILES),
    "lists": (Call.GET_LISTS, Call.ADD_PROFILES_TO_LIST, Call.REMOVE_PROFILES_FROM_LIST),
    "events": (Call.CREATE_EVENT,),
    "bulk import": (Call.BULK_IMPORT_PROFILES, Call.GET_BULK_IMPORT_PROFILES_JOBS),
    "consent (subscribe, unsubscribe)": (Call.BULK_SUBSCRIBE_PROFILES, Call.BULK_UNSUBSCRIBE_PROFILES),
    "segments (browse, require_segment)": (Call.GET_SEGMENTS, Call.GET_PROFILES_FOR_SEGMENT),
    "flows (browse, trigger_flow, flow drift)": (Call.GET_FLOWS,),
    "metrics (browse, which metric fires a flow)": (Call.GET_METRICS,),
    "templates (browse)": (Call.GET_TEMPLATES,),
}
"""The calls that each feature of Askel needs, by its name for people."""

IMPOSSIBLE_PROFILE_ID = "0" * 26
"""An id that no profile can have: the first instant of 1970, and no randomness."""

IMPOSSIBLE_LIST_ID = "no-such-list"
"""An id that no list can have: those are six letters and digits."""


@dataclass(frozen=True, slots=True)
class KeyCheck:
    """The result of checking a key. `account` and `account_name` are None where the key may not read the account.

    `missing_features` are the features that cannot work, each with the scopes that are missing for it.
    """

    account: str | None
    account_name: str | None
    scopes: Mapping[str, ScopeStatus] = field(default_factory=dict)
    missing_features: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def missing_required(self) -> tuple[str, ...]:
        """The required scopes that are missing."""
        return tuple(scope for scope in REQUIRED_SCOPES if self.scopes.get(scope) == "missing")


class OtherAccount(AskelError):
    """A key of another account than the connection's."""

    exit_code = ExitCode.KEY_OR_SCOPE

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(f"This key belongs to the account {found}, not to {expected}.")
        self.expected = expected
        self.found = found


@dataclass(frozen=True, slots=True)
class _Probe:
    """A request that shows whether a key has a scope, and the statuses that say so."""

    scope: str
    call: Call
    present_statuses: tuple[int, ...]
    ids: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None


async def check_key(client: Client) -> KeyCheck:
    """Reads the account and probes every scope that Askel uses. Writes nothing.

    Raises `KeyRefused`, and `Unavailable` or `UnreadableResponse` where the first call finds no Klaviyo there.
    """
    account, name = await read_account(client)
    probes = _probes(client.revision)
    # All at once: each of them is another endpoint with rate limits of its own.
    results = await asyncio.gather(*(_probe(client, probe) for probe in probes), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    scopes: dict[str, ScopeStatus] = {"accounts:read": "present" if account else "missing"}
    scopes |= {probe.scope: _scope_status(result) for probe, result in zip(probes, results, strict=True)}
    scopes["subscriptions:write"] = await _consent_scope(client, scopes)
    return KeyCheck(account, name, scopes, missing_features(scopes, client.revision))


async def read_account(client: Client) -> tuple[str | None, str | None]:
    """Reads the account's id and name; both None where the key lacks `accounts:read`. Raises `KlaviyoError`."""
    try:
        response = await client.call(Call.GET_ACCOUNTS)
    except ScopeMissing:
        return None, None
    data = response.body.get("data") if isinstance(response.body, dict) else None
    first = data[0] if isinstance(data, list) and data and isinstance(data[0], dict) else {}
    if not isinstance(first.get("id"), str):
        raise UnreadableResponse("Klaviyo's answer names no account.")
    attributes = first.get("attributes") or {}
    contact = attributes.get("contact_information") or {}
    name = contact.get("organization_name") or contact.get("default_sender_name")
    return first["id"], name if isinstance(name, str) else None


async def check_account(client: Client, expected: str | None) -> str | None:
    """Checks that a connection's new key opens the expected account, where both ids are known, and returns the
    account's id.

    Raises `OtherAccount`, and `KlaviyoError` as `read_account` does.
    """
    found, _ = await read_account(client)
    if found is not None and expected is not None and found != expected:
        raise OtherAccount(expected, found)
    return found


def missing_features(
    scopes: Mapping[str, ScopeStatus], revision: str
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Finds the features that cannot work with `scopes`, each with the scopes that are missing for it."""
    found = (
        (feature, tuple(scope for scope in scopes_of(calls, revision) if scopes.get(scope) == "missing"))
        for feature, calls in CALLS_OF_FEATURES.items()
    )
    return tuple((feature, missing) for feature, missing in found if missing)


def _probes(revision: str) -> list[_Probe]:
    reads = [
        _Probe(
            f"{resource}s:read",
            call,
            (200,),
            query={f"fields[{resource}]": attribute} | _one_row(revision, call),
        )
        for resource, attribute, call in (
            ("profile", "email", Call.GET_PROFILES),
            ("list", "name", Call.GET_LISTS),
            ("segment", "name", Call.GET_SEGMENTS),
            ("flow", "name", Call.GET_FLOWS),
            ("metric", "name", Call.GET_METRICS),
            ("template", "name", Call.GET_TEMPLATES),
        )
    ]
    no_profile = {"data": {"type": "profile", "id": IMPOSSIBLE_PROFILE_ID, "attributes": {}}}
    no_list = {
        "data": {"type": "list", "id": IMPOSSIBLE_LIST_ID, "attributes": {"name": "Askel checks a scope"}}
    }
    no_event = {"data": {"type": "event", "attributes": {"properties": {}}}}
    writes = [
        _Probe(
            "profiles:write",
            Call.UPDATE_PROFILE,
            (400, 404),
            ids={"id": IMPOSSIBLE_PROFILE_ID},
            body=no_profile,
        ),
        _Probe("lists:write", Call.UPDATE_LIST, (400, 404), ids={"id": IMPOSSIBLE_LIST_ID}, body=no_list),
        # An event of no metric and no profile: validation must refuse it.
        _Probe("events:write", Call.CREATE_EVENT, (400,), body=no_event),
    ]
    return [*reads, *writes]


async def _consent_scope(client: Client, scopes: Mapping[str, ScopeStatus]) -> ScopeStatus:
    """Probes the scope `subscriptions:write` by a job without profiles: a call that takes two other scopes as well."""
    nobody = {
        "data": {"type": "profile-subscription-bulk-create-job", "attributes": {"profiles": {"data": []}}}
    }
    probe = _Probe("subscriptions:write", Call.BULK_SUBSCRIBE_PROFILES, (200, 202, 400), body=nobody)
    found = _scope_status(await _probe(client, probe))
    others_there = scopes.get("lists:write") == scopes.get("profiles:write") == "present"
    return found if found != "missing" or others_there else "not verified"


def _one_row(revision: str, call: Call) -> dict[str, str]:
    return {"page[size]": "1"} if endpoints(revision)[call].page_size_allowed else {}


async def _probe(client: Client, probe: _Probe) -> ScopeStatus:
    try:
        response = await client.call(probe.call, ids=probe.ids, query=probe.query, body=probe.body)
    except KeyRefused:
        raise
    except ScopeMissing:
        return "missing"
    except KlaviyoError as error:
        return "present" if error.status in probe.present_statuses else "not verified"
    return "present" if response.status in probe.present_statuses else "not verified"


def _scope_status(result: ScopeStatus | BaseException) -> ScopeStatus:
    if isinstance(result, BaseException):
        raise result
    return result
