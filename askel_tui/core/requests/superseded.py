"""What a state write may no longer write, because later writes of the same profile overtook it. Pure.

An operation that failed or was held comes back after younger ones were sent. What these have written since is newer:
the older operation leaves it out. Events are never overtaken.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from askel_tui.contract.calls import Call
from askel_tui.core.operations import IDENTIFIERS, Identity, Operation

FieldNames = frozenset[str]
"""Names of what is written: `attribute first_name`, `property Tier`, `list ID`, `consent email ID`."""

_LIST = re.compile(r"/api/lists/([^/]+)/relationships/profiles/?")
_NESTED = ("properties", "location", "subscriptions", "meta")


@dataclass(frozen=True, slots=True)
class WrittenFields:
    """What a request wrote: for every profile in it, and for those that it names by identifier."""

    every_profile: FieldNames
    by_key: Mapping[str, FieldNames]

    def for_profile(self, identity: Identity) -> FieldNames:
        """What it wrote for a profile."""
        return self.every_profile.union(*(self.by_key.get(key, ()) for key in identity.keys()))


def read_written_fields(path: str, body: bytes | None) -> WrittenFields:
    """What a request that was answered well wrote; nothing where its body was folded away."""
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
        given = {name: value for name in IDENTIFIERS if isinstance(value := attributes.get(name), str)}
        names = frozenset(_names(attributes, resource.get("meta"), consent))
        for key in Identity(**given).keys():
            by_key[key] = by_key.get(key, frozenset()) | names
    return WrittenFields(frozenset(lists), by_key)


def without_superseded(operation: Operation, superseded: FieldNames) -> Operation | None:
    """The operation without what was overtaken; None where nothing is left of it, itself where nothing was."""
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
    mine = _mine(operation)
    return None if mine and mine <= superseded else operation


def _mine(operation: Operation) -> FieldNames:
    target = operation.destination
    ident = (target.id if target else None) or ""
    if operation.call in (Call.ADD_PROFILES_TO_LIST, Call.REMOVE_PROFILES_FROM_LIST):
        return frozenset([f"list {ident}"])
    if operation.call in (Call.BULK_SUBSCRIBE_PROFILES, Call.BULK_UNSUBSCRIBE_PROFILES):
        return frozenset(f"consent {channel} {ident}" for channel in operation.body.get("channels", ()))
    return frozenset()


def _kept(kind: str, values: Mapping[str, Any], overtaken: FieldNames) -> dict[str, Any]:
    return {name: value for name, value in values.items() if f"{kind} {name}" not in overtaken}


def _names(attributes: Mapping[str, Any], meta: Any, consent: str) -> Iterator[str]:
    for name in attributes:
        if name not in _NESTED and name not in IDENTIFIERS:
            yield f"attribute {name}"
    yield from (f"attribute location.{name}" for name in attributes.get("location") or ())
    yield from (f"property {name}" for name in attributes.get("properties") or ())
    yield from (f"property {name}" for name in _at(meta, "patch_properties", "unset") or ())
    yield from (f"consent {channel} {consent}" for channel in attributes.get("subscriptions") or ())


def _profiles(value: Any) -> Iterator[Mapping[str, Any]]:
    """The profile resources in a body, wherever they stand in it."""
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
