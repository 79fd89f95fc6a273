"""Writes to profiles: finding the profile, attributes, properties, patches, merging (docs/klaviyo.md 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from askel_tui.sandbox.jsonapi.errors import duplicate_profile, not_found
from askel_tui.sandbox.state import membership
from askel_tui.sandbox.state.model import ATTRIBUTES, IDENTIFIERS, LOCATION_FIELDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from askel_tui.sandbox.state.account import Account
    from askel_tui.sandbox.state.model import Profile

_PLAIN_ATTRIBUTES = tuple(name for name in ATTRIBUTES if name not in IDENTIFIERS)


def create_profile(account: Account, attributes: Mapping[str, Any], now: float) -> Profile:
    """Makes a new profile. Raises the 409 when one of its identifiers is taken."""
    owners = account.profiles_with(attributes)
    if owners:
        raise duplicate_profile(owners[0].id)
    profile = account.new_profile(now)
    write_attributes(account, profile, attributes, None, now)
    return profile


def upsert_profile(
    account: Account,
    ident: str | None,
    attributes: Mapping[str, Any],
    meta: Mapping[str, Any] | None,
    now: float,
    *,
    keep_nulls: bool = False,
) -> tuple[Profile, bool]:
    """Creates or updates the profile of an id or of identifiers. Returns the profile, and whether it is new.

    `keep_nulls`: null leaves an attribute as it is (bulk import). Raises the 409 where the identifiers belong to
    two profiles, the 404 for an unknown id.
    """
    owners = account.profiles_with(attributes)
    if ident:
        profile = account.profile(ident, follow=True)
        if profile is None:
            raise not_found("profile", ident)
        owners = [profile, *(other for other in owners if other.id != profile.id)]
    if len(owners) > 1:
        raise duplicate_profile(owners[1].id)
    new = not owners
    profile = account.new_profile(now) if new else owners[0]
    if keep_nulls:
        attributes = {key: value for key, value in attributes.items() if value is not None}
    write_attributes(account, profile, attributes, meta, now)
    return profile, new


def update_profile(
    account: Account,
    profile: Profile,
    attributes: Mapping[str, Any],
    meta: Mapping[str, Any] | None,
    now: float,
) -> None:
    """Changes a known profile. Raises the 409 when an identifier belongs to another one."""
    for other in account.profiles_with(attributes):
        if other.id != profile.id:
            raise duplicate_profile(other.id)
    write_attributes(account, profile, attributes, meta, now)


def resolve_profile(
    account: Account, ident: str | None, attributes: Mapping[str, Any], now: float
) -> Profile:
    """Finds the profile that an event or a consent job means: the strongest identifier decides, others never move."""
    known = account.profile(ident, follow=True) if ident else None
    if known is None:
        owners = account.profiles_with(attributes)
        known = owners[0] if owners else account.new_profile(now)
    for kind in IDENTIFIERS:
        value = attributes.get(kind)
        if value and not known.attributes.get(kind) and account.find_profile(kind, value) is None:
            account.set_identifier(known, kind, value)
    return known


def write_attributes(
    account: Account,
    profile: Profile,
    attributes: Mapping[str, Any],
    meta: Mapping[str, Any] | None,
    now: float,
    *,
    identifiers: bool = True,
) -> None:
    """Sets attributes (null clears) and merges properties per top-level key, then applies the patches."""
    before = membership.segments_with_live_flow(account, profile)
    account.delay_segments(profile, now)
    if identifiers:
        for kind in IDENTIFIERS:
            if kind in attributes:
                account.set_identifier(profile, kind, attributes[kind])
    for name in _PLAIN_ATTRIBUTES:
        if name in attributes:
            profile.attributes[name] = attributes[name]
    for name, value in (attributes.get("location") or {}).items():
        if name in LOCATION_FIELDS:
            profile.location[name] = value
    profile.properties.update(attributes.get("properties") or {})
    if meta:
        _patch(profile.properties, meta.get("patch_properties") or {})
    profile.updated = now
    account.mark_changed("profiles")
    membership.start_flows_of_entered_segments(account, profile, before, now)


def _patch(properties: dict[str, Any], patches: Mapping[str, Any]) -> None:
    unset = patches.get("unset") or []
    for name in [unset] if isinstance(unset, str) else unset:
        properties.pop(name, None)
    for name, value in (patches.get("append") or {}).items():
        properties[name] = [*_as_list(properties.get(name)), *_as_list(value)]
    for name, value in (patches.get("unappend") or {}).items():
        gone = _as_list(value)
        if name in properties:
            properties[name] = [one for one in _as_list(properties[name]) if one not in gone]


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def merge_profiles(account: Account, into: Profile, source: Profile, now: float) -> None:
    """Merges one profile into another, whose own values stay; it gets those that it lacks."""
    identifiers = {kind: source.attributes.get(kind) for kind in IDENTIFIERS}
    memberships = dict(source.lists)
    account.remove_profile(source)
    for kind, value in identifiers.items():
        if value and not into.attributes.get(kind):
            account.set_identifier(into, kind, value)
    for name in _PLAIN_ATTRIBUTES:
        if into.attributes.get(name) is None and source.attributes.get(name) is not None:
            into.attributes[name] = source.attributes[name]
    into.location = {**source.location, **{k: v for k, v in into.location.items() if v is not None}}
    into.properties = {**source.properties, **into.properties}
    for kind, record in source.consent.items():
        into.consent.setdefault(kind, record)
    for ident, joined in memberships.items():
        if ident in account.lists:
            membership.add_member(account, account.lists[ident], into, joined, fires=False)
    for event in account.events_of_profile.pop(source.id, []):
        event.profile = into.id
        account.events_of_profile.setdefault(into.id, []).append(event)
        account.event_keys[into.id, event.metric, event.unique_id or str(event.time)] = event.id
    into.last_event = max(filter(None, (into.last_event, source.last_event)), default=None)
    into.updated = now
    account.merged[source.id] = into.id
    account.mark_changed("profiles")
    account.mark_changed("events")
