"""Parts of request bodies that are the same in every revision: profiles, events, consent jobs. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from askel_tui.contract.caps import LOCATION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Body: TypeAlias = dict[str, Any]
"""A JSON:API document or a part of one."""

_IDENTIFIERS = frozenset({"email", "phone_number", "external_id"})
_LOCATION = frozenset(LOCATION)


class Inexpressible(ValueError):
    """The API, or this revision of it, has no field for something; the message names it."""


def profile(
    identifiers: Mapping[str, str],
    attributes: Mapping[str, Any],
    properties: Mapping[str, Any],
    unset: Sequence[str],
) -> Body:
    """Builds a profile resource, with `meta` next to its attributes (docs/klaviyo.md 3.2).

    Raises `Inexpressible` without any identifier, and for an unknown identifier or field of a location.
    """
    if not identifiers:
        raise Inexpressible("A profile needs an identifier.")
    if not identifiers.keys() <= _IDENTIFIERS:
        _refuse("identifier", identifiers, _IDENTIFIERS)
    if "location" in attributes:
        location = attributes["location"]
        if location is None:
            raise Inexpressible("A location is cleared field by field, not with null.")
        if not location.keys() <= _LOCATION:
            _refuse("field of a location", location, _LOCATION)
    fields: Body = {**identifiers, **attributes}
    if properties:
        fields["properties"] = dict(properties)
    resource: Body = {"type": "profile", "attributes": fields}
    if unset:
        resource["meta"] = {"patch_properties": {"unset": list(unset)}}
    return resource


def event(
    metric: str,
    properties: Mapping[str, Any],
    time: str,
    unique_id: str,
    value: float | None,
    value_currency: str | None,
    backfill: bool,
) -> Body:
    """Builds an event's attributes, without its profile (docs/klaviyo.md 2.11)."""
    attributes: Body = {
        "metric": {"data": {"type": "metric", "attributes": {"name": metric}}},
        "properties": dict(properties),
        "time": time,
        "unique_id": unique_id,
    }
    if value is not None:
        attributes["value"] = value
    if value_currency is not None:
        attributes["value_currency"] = value_currency
    if backfill:
        attributes["backfill"] = True
    return attributes


def with_meta_inside(profile: Body) -> Body:
    """Moves a profile's `meta` into its attributes: single events before 2026-10-15 (docs/klaviyo.md 2.11)."""
    outside = {name: part for name, part in profile.items() if name != "meta"}
    if "meta" in profile:
        outside["attributes"] = {**profile["attributes"], "meta": profile["meta"]}
    return outside


def consent_profile(identifiers: Mapping[str, str], subscriptions: Body) -> Body:
    """Builds a profile of a consent job: its e-mail and phone number, no other identifiers (docs/klaviyo.md 3.1)."""
    attributes: Body = {name: identifiers[name] for name in ("email", "phone_number") if name in identifiers}
    attributes["subscriptions"] = subscriptions
    return {"type": "profile", "attributes": attributes}


def consent_job(kind: str, attributes: Body, list_id: str | None) -> Body:
    """Builds the document of a subscribe or unsubscribe job (docs/klaviyo.md 2.8, 2.9)."""
    data: Body = {"type": kind, "attributes": attributes}
    if list_id is not None:
        data["relationships"] = {"list": {"data": {"type": "list", "id": list_id}}}
    return {"data": data}


def _refuse(what: str, given: Mapping[str, Any], known: frozenset[str]) -> None:
    raise Inexpressible(f"{', '.join(sorted(given.keys() - known))}: no {what}.")
