"""Superseded fields: those that a state write leaves out, as later writes of the same profile wrote them. Pure.

An operation that failed or was held is sent after younger ones. The fields that these have written are newer, so the
older operation leaves them out. Events are never superseded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from askel_tui.contract.calls import Call
from askel_tui.contract.dialects import CHANNEL_IDENTIFIER
from askel_tui.core.addressing import CONSENT_CALLS, NEEDS_PROFILE_ID
from askel_tui.core.operations import IDENTIFIERS, Identity, Operation

FieldNames = frozenset[str]
"""Names of written fields: `attribute first_name`, `property Tier`, `list ID`, `consent email ID`."""

_LIST = re.compile(r"/api/lists/([^/]+)/relationships/profiles/?")
_NESTED = ("properties", "location", "subscriptions", "meta")


@dataclass(frozen=True, slots=True)
class WrittenFields:
    """The fields that a request wrote: of every profile in it, and of each profile that it names by identifier."""

    every_profile: FieldNames
    by_key: Mapping[str, FieldNames]

    def for_profile(self, identity: Identity) -> FieldNames:
        """Returns the fields that the request wrote of this profile."""
        return self.every_profile.union(*(self.by_key.get(key, ()) for key in identity.keys()))


def read_written_fields(path: str, body: bytes | None) -> WrittenFields:
    """Reads the fields that a successful request wrote; none where its body was pruned."""
    try:
        document = json.loads(body or b"null")
    except ValueError:
        document = None
    lists = [f"list {listed}" for listed in _LIST.findall(path)]
    relationships = _at(document, "data", "relationships")
    lists += [f"list {each['id']}" for each in _at(relationships, "lists", "data") or ()]
    consent = _at(relationships, "list", "data", "id") or ""
    by_key: dict[str, FieldNames] = {}
    for resource in _profiles(document):
        attributes = resource["attributes"]
        names = frozenset(_names(attributes, resource.get("meta"), consent))
        for key in Identity.from_attributes(attributes).keys():
            by_key[key] = by_key.get(key, frozenset()) | names
    return WrittenFields(frozenset(lists), by_key)


def removed_fields(kind: str, list_id: str, identity: Identity) -> FieldNames:
    """Returns the fields that a removal from a list means, or an unsubscribe of all channels that the identity has."""
    if kind == "remove_from_list":
        return frozenset([f"list {list_id}"])
    held = identity.identifiers()
    return frozenset(
        f"consent {name} {list_id}" for name, needed in CHANNEL_IDENTIFIER.items() if needed in held
    )


def without_superseded(operation: Operation, superseded: FieldNames) -> Operation | None:
    """Removes superseded fields from an operation: None where none is left, the same object where none was
    superseded."""
    body = operation.body
    if operation.call == Call.CREATE_OR_UPDATE_PROFILE:
        kept = {
            "attributes": _kept("attribute", body.get("attributes", {}), superseded),
            "properties": _kept("property", body.get("properties", {}), superseded),
            "unset": [name for name in body.get("unset", ()) if f"property {name}" not in superseded],
        }
        if all(len(kept[name]) == len(body.get(name, ())) for name in kept):
            return operation
        return replace(operation, body={**body, **kept}) if any(kept.values()) else None
    fields = _list_and_consent_fields(operation)
    return None if fields and fields <= superseded else operation


def read_written_values(body: bytes | None, identity: Identity, names: FieldNames) -> dict[str, Any]:
    """Reads the values of some fields that a request wrote of a profile, as the body of an upsert has them."""
    keys = set(identity.keys())
    attributes: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    unset: list[str] = []
    for resource in _profiles(json.loads(body or b"null")):
        given = resource["attributes"]
        if keys.isdisjoint(Identity.from_attributes(given).keys()):
            continue
        flat = {name: value for name, value in given.items() if name not in (*_NESTED, *IDENTIFIERS)}
        flat |= {f"location.{name}": value for name, value in (given.get("location") or {}).items()}
        attributes |= {name: value for name, value in flat.items() if f"attribute {name}" in names}
        written = given.get("properties") or {}
        properties |= {name: value for name, value in written.items() if f"property {name}" in names}
        removed = _at(resource.get("meta"), "patch_properties", "unset") or ()
        unset += [name for name in removed if f"property {name}" in names]
    return {"attributes": attributes, "properties": properties, "unset": unset}


def _list_and_consent_fields(operation: Operation) -> FieldNames:
    target = operation.destination
    list_id = (target.id if target else None) or ""
    if operation.call in NEEDS_PROFILE_ID:
        return frozenset([f"list {list_id}"])
    if operation.call in CONSENT_CALLS:
        return frozenset(f"consent {channel} {list_id}" for channel in operation.body.get("channels", ()))
    return frozenset()


def _kept(kind: str, values: Mapping[str, Any], superseded: FieldNames) -> dict[str, Any]:
    return {name: value for name, value in values.items() if f"{kind} {name}" not in superseded}


def _names(attributes: Mapping[str, Any], meta: Any, consent: str) -> Iterator[str]:
    for name in attributes:
        if name not in _NESTED and name not in IDENTIFIERS:
            yield f"attribute {name}"
    yield from (f"attribute location.{name}" for name in attributes.get("location") or ())
    yield from (f"property {name}" for name in attributes.get("properties") or ())
    yield from (f"property {name}" for name in _at(meta, "patch_properties", "unset") or ())
    yield from (f"consent {channel} {consent}" for channel in attributes.get("subscriptions") or ())


def _profiles(value: Any) -> Iterator[Mapping[str, Any]]:
    """Finds all profile resources in a body, at any depth."""
    if isinstance(value, list):
        for each in value:
            yield from _profiles(each)
    elif isinstance(value, dict):
        if value.get("type") == "profile" and isinstance(value.get("attributes"), dict):
            yield value
        else:
            for each in value.values():
                yield from _profiles(each)


def _at(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value
