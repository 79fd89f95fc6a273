"""Reads many profiles at once: their attributes, their consent, and which of them are in a segment or on a list.

A call asks for a hundred by identifier (docs/klaviyo.md 5 and 7): reading each profile's own segments is limited to 60
a minute.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from askel_tui.contract.calls import Call
from askel_tui.core.operations import IDENTIFIERS, Identity, fold_email
from askel_tui.core.opt_outs import CHANNEL_NAMES, OptOuts, join_opt_outs, opt_outs_of
from askel_tui.klaviyo.errors import InvalidRequest
from askel_tui.klaviyo.filters import any_of_batches, sparse_fields

if TYPE_CHECKING:
    from collections.abc import Sequence

    from askel_tui.klaviyo.client import Client
    from askel_tui.klaviyo.priority import Priority

FULL_READ_MIN_PROFILES = 1_000
"""The number of profiles from which on a smaller group's members are all read, instead of being asked for one by
one."""


@dataclass(frozen=True, slots=True)
class ProfileRead:
    """A profile as the account has it: identifiers, attributes and `properties` under Klaviyo's names.

    `conflicting` are other profiles that have one of the given identifiers: a write would be refused as a conflict.
    """

    id: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    conflicting: tuple[ProfileRead, ...] = ()

    @property
    def identity(self) -> Identity:
        """The identifiers that the account shows."""
        shown = {name: self.attributes.get(name) for name in IDENTIFIERS}
        return Identity(**{name: value for name, value in shown.items() if value and isinstance(value, str)})


async def find_profiles(
    client: Client,
    identities: Iterable[Identity],
    *,
    additional_fields: Sequence[str] = (),
    only_fields: Sequence[str] | None = None,
    priority: Priority = "live",
) -> dict[Identity, ProfileRead | None]:
    """Finds the profile of each identity by its strongest identifier that the account has; None where it has none.

    `additional_fields` asks for `subscriptions`, for example; `only_fields` names the attributes to read, besides
    identifiers. Raises `KlaviyoError`.
    """
    wanted = list(dict.fromkeys(identities))
    query: dict[str, str] = {}
    if additional_fields:
        query["additional-fields[profile]"] = ",".join(additional_fields)
    if only_fields is not None:
        query |= sparse_fields("profile", list(dict.fromkeys((*IDENTIFIERS, *only_fields))))
    by_key: dict[str, ProfileRead] = {}
    for name in IDENTIFIERS:
        values = _values(wanted, name)
        for resource in await _matching(client, Call.GET_PROFILES, {}, name, values, query, priority):
            read = _read(resource)
            keys = read.identity.keys()
            by_key |= {key: read for key in keys if key not in by_key}
    return {identity: _strongest(identity, by_key) for identity in wanted}


async def read_phone_owners(
    client: Client, phones: Iterable[str], *, priority: Priority = "live"
) -> dict[str, Identity]:
    """Reads the identifiers of the profiles that have phone numbers, 100 a call; nobody has one that Klaviyo refuses
    to search for. Raises `KlaviyoError`."""
    wanted, query = list(phones), sparse_fields("profile", IDENTIFIERS)
    try:
        found = await _matching(client, Call.GET_PROFILES, {}, "phone_number", wanted, query, priority)
    except InvalidRequest:
        if len(wanted) < 2:
            return {}
        half = len(wanted) // 2
        return {
            **await read_phone_owners(client, wanted[:half], priority=priority),
            **await read_phone_owners(client, wanted[half:], priority=priority),
        }
    owners = (_read(resource).identity for resource in found)
    return {owner.phone_number: owner for owner in owners if owner.phone_number is not None}


async def members_of_segment(
    client: Client,
    segment_id: str,
    identities: Iterable[Identity],
    *,
    priority: Priority = "live",
    full_read_from: int = FULL_READ_MIN_PROFILES,
) -> dict[Identity, bool]:
    """Checks for each identity whether it is in the segment; one that the account does not know is not.

    Raises `KlaviyoError`.
    """
    return await _members(client, "segment", segment_id, identities, priority, full_read_from)


async def members_of_list(
    client: Client, list_id: str, identities: Iterable[Identity], *, priority: Priority = "live"
) -> dict[Identity, bool]:
    """Checks for each identity whether it is on the list; one that the account does not know is not.

    Raises `KlaviyoError`.
    """
    return await _members(client, "list", list_id, identities, priority, FULL_READ_MIN_PROFILES)


async def read_consent(
    client: Client, identities: Iterable[Identity], *, priority: Priority = "live"
) -> dict[Identity, dict[str, str]]:
    """Reads consent by channel for each identity: SUBSCRIBED, UNSUBSCRIBED, NEVER_SUBSCRIBED (docs/klaviyo.md 6)."""
    found = await _find_subscriptions(client, identities, priority)
    return {identity: consent_of(read.attributes) if read else {} for identity, read in found.items()}


async def read_opt_outs(
    client: Client, identities: Iterable[Identity], *, priority: Priority = "live"
) -> dict[Identity, OptOuts]:
    """Reads the opt-outs for each identity, of all profiles that have one of its identifiers. Raises `KlaviyoError`."""
    found = await _find_subscriptions(client, identities, priority)
    return {
        identity: join_opt_outs([opt_outs_of(each.attributes) for each in (read, *read.conflicting)])
        if read
        else {}
        for identity, read in found.items()
    }


async def _find_subscriptions(
    client: Client, identities: Iterable[Identity], priority: Priority
) -> dict[Identity, ProfileRead | None]:
    subscriptions = ["subscriptions"]
    return await find_profiles(
        client, identities, additional_fields=subscriptions, only_fields=subscriptions, priority=priority
    )


def consent_of(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Reads marketing consent by channel from a profile's attributes that were read with `subscriptions`."""
    subscriptions = attributes.get("subscriptions")
    consent = {}
    for theirs, ours in CHANNEL_NAMES.items():
        channel = subscriptions.get(theirs) if isinstance(subscriptions, dict) else None
        marketing = channel.get("marketing") if isinstance(channel, dict) else None
        value = marketing.get("consent") if isinstance(marketing, dict) else None
        if isinstance(value, str):
            consent[ours] = value
    return consent


async def _members(
    client: Client,
    kind: str,
    group_id: str,
    identities: Iterable[Identity],
    priority: Priority,
    full_read_from: int,
) -> dict[Identity, bool]:
    wanted = list(dict.fromkeys(identities))
    call = Call(f"get_profiles_for_{kind}")
    ids = {"id": group_id}
    if len(wanted) >= full_read_from:
        member_keys = await _all_member_keys(client, call, ids, len(wanted), priority)
        if member_keys is not None:
            return {each: not member_keys.isdisjoint(_group_keys(each)) for each in wanted}
    # Members cannot be asked for by external id: such a profile is looked up first.
    external = [each for each in wanted if each.email is None and each.phone_number is None]
    known = await find_profiles(client, external, only_fields=(), priority=priority) if external else {}
    asked = {each: read.identity if (read := known.get(each)) else each for each in wanted}
    keys: set[str] = set()
    for name in ("email", "phone_number"):
        values = _values(asked.values(), name)
        query = sparse_fields("profile", IDENTIFIERS)
        for resource in await _matching(client, call, ids, name, values, query, priority):
            keys.update(_read(resource).identity.keys())
    members = {each: not keys.isdisjoint(_group_keys(identity)) for each, identity in asked.items()}
    for each, read in known.items():
        if read is not None and asked[each].email is None and asked[each].phone_number is None:
            members[each] = group_id in await _groups(client, kind, read.id, priority)
    return members


async def _all_member_keys(
    client: Client, call: Call, ids: Mapping[str, str], fewer_than: int, priority: Priority
) -> set[str] | None:
    """Reads the keys of all members of a group that has fewer than `fewer_than`; None for a larger group."""
    query = sparse_fields("profile", IDENTIFIERS)
    pages = client.pages(call, ids=ids, query=query, limit=fewer_than, priority=priority)
    found = [_read(resource).identity async for resource in pages]
    if len(found) >= fewer_than:
        return None
    return {key for identity in found for key in identity.keys()}


async def _groups(client: Client, kind: str, profile_id: str, priority: Priority) -> set[str]:
    """Reads the ids of a profile's lists or segments: 3 calls a second, so it is used only where no other read can
    answer."""
    pages = client.pages(Call(f"get_{kind}_ids_for_profile"), ids={"id": profile_id}, priority=priority)
    return {str(each.get("id")) async for each in pages}


async def _matching(
    client: Client,
    call: Call,
    ids: Mapping[str, str],
    name: str,
    values: Iterable[str],
    query: Mapping[str, str],
    priority: Priority,
) -> list[dict[str, Any]]:
    found = []
    for text, _ in any_of_batches(name, values):
        pages = client.pages(call, ids=ids, query={**query, "filter": text}, priority=priority)
        found += [resource async for resource in pages]
    return found


def _group_keys(identity: Identity) -> tuple[str, ...]:
    """Returns the keys by which a group's members are asked for: the external id only where there is nothing else.

    So the answer for one identity is the same, whichever others are asked for with it.
    """
    if identity.email is None and identity.phone_number is None:
        return identity.keys()
    return Identity(identity.email, identity.phone_number).keys()


def _values(identities: Iterable[Identity], name: str) -> list[str]:
    """Collects the identifiers of one kind; e-mails in lower case too, since filters are case-sensitive."""
    values = [value for each in identities if (value := getattr(each, name)) is not None]
    if name == "email":
        values += [fold_email(value) for value in values]
    return list(dict.fromkeys(values))


def _read(resource: Mapping[str, Any]) -> ProfileRead:
    attributes = resource.get("attributes")
    return ProfileRead(str(resource.get("id") or ""), attributes if isinstance(attributes, dict) else {})


def _strongest(identity: Identity, by_key: Mapping[str, ProfileRead]) -> ProfileRead | None:
    keys = identity.keys()
    found = [by_key[key] for key in keys if key in by_key]
    if not found:
        return None
    first = found[0]
    others = {read.id: read for read in found if read.id != first.id}
    return ProfileRead(first.id, first.attributes, tuple(others.values()))
