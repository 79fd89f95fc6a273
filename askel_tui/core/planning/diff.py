"""Compares operations with a profile: the change that each makes, field by field. Pure.

The dry run applies operations to a `ProfileState` in order, so that later records meet what earlier ones would have
left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from askel_tui.contract.calls import Call
from askel_tui.contract.caps import ALL_STANDARD_ATTRIBUTES
from askel_tui.core.addressing import addressed_identity
from askel_tui.core.operations import IDENTIFIERS, Identity, Operation, fold_email
from askel_tui.core.opt_outs import OptOuts, join_opt_outs, lifted_by

_MERGED_ATTRIBUTES = frozenset((*IDENTIFIERS, *ALL_STANDARD_ATTRIBUTES))
"""The attributes that a merge moves; the others in an answer are Klaviyo's own."""

_NO_VALUE = (None, "NEVER_SUBSCRIBED")

Change = Mapping[str, Any]
"""A changed field: {"before": value, "after": value}; an absent value is None."""


@dataclass(slots=True)
class ProfileState:
    """A profile as far as it is known. `id` is None where the account does not have it yet."""

    id: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    """The standard attributes and identifiers, with `location` flattened with dots."""
    properties: dict[str, Any] = field(default_factory=dict)
    lists: set[str] = field(default_factory=set)
    """The ids of the lists that the profile is on, among those that the operations name."""
    segments: dict[str, bool] = field(default_factory=dict)
    """Whether the profile is in a segment, by the segment's id, where that was read."""
    consent: dict[str, str] = field(default_factory=dict)
    """The consent by channel, where it was read."""
    opt_outs: OptOuts = field(default_factory=dict)
    """The opt-outs by channel, where they were read."""
    events: set[str] = field(default_factory=set)
    """The `unique_id`s that earlier records of the same run would write."""
    written: dict[str, str] = field(default_factory=dict)
    """The steps that wrote something to the profile earlier in the run, by the names in `core.segments`."""
    unsettled: dict[str, str] = field(default_factory=dict)
    """Why a list's membership, or `profile` itself, may not show yet when a later step reads it, by name."""


def find_changes(operation: Operation, profile: ProfileState) -> dict[str, Change]:
    """Finds the fields that the operation changes. Fields that keep their values are left out."""
    match operation.call:
        case Call.CREATE_OR_UPDATE_PROFILE:
            return _upsert(operation, profile)
        case Call.ADD_PROFILES_TO_LIST | Call.REMOVE_PROFILES_FROM_LIST:
            destination = operation.destination
            if destination is None or destination.id is None:
                return {}
            adds = operation.call == Call.ADD_PROFILES_TO_LIST
            on = destination.id in profile.lists
            return {} if on == adds else {f"list {destination.name}": {"before": on, "after": adds}}
        case Call.CREATE_EVENT:
            body = operation.body
            if body["unique_id"] in profile.events:
                return {}
            after = {name: body[name] for name in ("value", "value_currency", "time") if name in body}
            after["properties"] = body["properties"]
            return {f"event {body['metric']}": {"before": None, "after": after}}
        case Call.BULK_SUBSCRIBE_PROFILES:
            return _consent(operation, profile, "SUBSCRIBED") | _joined_list(operation, profile)
        case Call.BULK_UNSUBSCRIBE_PROFILES if operation.destination is not None:
            # It leaves the list, and its consent elsewhere stays.
            name, on = operation.destination.name, operation.destination.id in profile.lists
            return {f"list {name}": {"before": True, "after": False}} if on else {}
        case Call.BULK_UNSUBSCRIBE_PROFILES if profile.id is not None:
            return _consent(operation, profile, "UNSUBSCRIBED")
    return {}


def written_names(operation: Operation, changes: Mapping[str, Change]) -> list[str]:
    """Lists what the operation writes under the names in `core.segments`."""
    destination = operation.destination
    if operation.call == Call.CREATE_EVENT:
        return [f"metric {destination.id if destination else None}"]
    ident = destination.id if destination else None
    return [f"list {ident}" if name.startswith("list ") else name for name in changes]


def _consent(operation: Operation, profile: ProfileState, wanted: str) -> dict[str, Change]:
    return {
        f"consent {channel}": {"before": profile.consent.get(channel), "after": wanted}
        for channel in operation.body["channels"]
        if profile.consent.get(channel) != wanted
    }


def _joined_list(operation: Operation, profile: ProfileState) -> dict[str, Change]:
    """Finds the list that a subscribe puts the profile on (docs/klaviyo.md 6); with double opt-in once it is
    confirmed."""
    destination = operation.destination
    if destination is None or destination.id is None or destination.id in profile.lists:
        return {}
    return {f"list {destination.name}": {"before": False, "after": True}}


def _upsert(operation: Operation, profile: ProfileState) -> dict[str, Change]:
    body = operation.body
    found: dict[str, Change] = {}
    wanted = {**operation.profile.identifiers(), **body["attributes"]}
    for name, after in wanted.items():
        before = profile.attributes.get(name)
        if not _same(before, after) and not (name == "email" and _same_address(before, after)):
            found[name] = {"before": before, "after": after}
    for name, after in body["properties"].items():
        before = profile.properties.get(name)
        if not _same(before, after):
            found[f"properties.{name}"] = {"before": before, "after": after}
    for name in body["unset"]:
        if name in profile.properties:
            found[f"properties.{name}"] = {"before": profile.properties[name], "after": None}
    return found


def _same(before: Any, after: Any) -> bool:
    """Checks whether two JSON values are equal: 1 is 1.0, but neither is true, at any depth."""
    match before, after:
        case dict(), dict():
            return before.keys() == after.keys() and all(_same(before[name], after[name]) for name in before)
        case list(), list():
            return len(before) == len(after) and all(map(_same, before, after))
    return isinstance(before, bool) == isinstance(after, bool) and bool(before == after)


def _same_address(before: Any, after: Any) -> bool:
    return isinstance(before, str) and isinstance(after, str) and fold_email(before) == fold_email(after)


def apply_operation(operation: Operation, profile: ProfileState) -> None:
    """Changes the profile as the operation would."""
    body = operation.body
    destination = operation.destination
    match operation.call:
        case Call.CREATE_OR_UPDATE_PROFILE:
            profile.id = profile.id or "new"
            profile.attributes.update(operation.profile.identifiers())
            profile.attributes.update(body["attributes"])
            profile.properties.update(body["properties"])
            for name in body["unset"]:
                profile.properties.pop(name, None)
        case Call.ADD_PROFILES_TO_LIST if destination and destination.id:
            profile.lists.add(destination.id)
        case Call.REMOVE_PROFILES_FROM_LIST if destination and destination.id:
            profile.lists.discard(destination.id)
        case Call.CREATE_EVENT:
            fill_identifiers(profile, operation.profile)
            profile.events.add(body["unique_id"])
        case Call.BULK_SUBSCRIBE_PROFILES:
            lifted = lifted_by(operation, profile.opt_outs)
            profile.opt_outs = {
                channel: None if each is None else [one for one in each if one not in lifted]
                for channel, each in profile.opt_outs.items()
            }
            profile.consent.update(dict.fromkeys(body["channels"], "SUBSCRIBED"))
            if destination and destination.id:
                fill_identifiers(profile, addressed_identity(operation))
                profile.lists.add(destination.id)
        case Call.BULK_UNSUBSCRIBE_PROFILES if destination and destination.id:
            profile.lists.discard(destination.id)
        case Call.BULK_UNSUBSCRIBE_PROFILES if profile.id is not None:
            profile.consent.update(dict.fromkeys(body["channels"], "UNSUBSCRIBED"))


def merge_into(profile: ProfileState, source: ProfileState) -> dict[str, Change]:
    """Merges a profile into another, whose own values stay (docs/klaviyo.md 2.5); returns what that one gains."""
    gained: dict[str, Change] = {}
    own: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
        ("", profile.attributes, source.attributes),
        ("properties.", profile.properties, source.properties),
        ("consent ", profile.consent, source.consent),
    )
    for prefix, values, others in own:
        for name, value in others.items():
            if prefix == "" and name not in _MERGED_ATTRIBUTES:
                continue
            lacks = name not in values if prefix == "properties." else values.get(name) in _NO_VALUE
            if lacks and value not in _NO_VALUE:
                gained[f"{prefix}{name}"] = {"before": None, "after": value}
                values[name] = value
    profile.opt_outs = join_opt_outs([profile.opt_outs, source.opt_outs])
    profile.lists |= source.lists
    profile.events |= source.events
    profile.written.update(dict.fromkeys(gained, "merge"))
    profile.unsettled.update(source.unsettled)
    return gained


def fill_identifiers(profile: ProfileState, identity: Identity) -> None:
    """Adds identifiers that the profile lacks, as an event or a consent job does; it never changes one."""
    profile.id = profile.id or "new"
    for name, value in identity.identifiers().items():
        if not profile.attributes.get(name):
            profile.attributes[name] = value
