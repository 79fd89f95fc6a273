"""What a request may say of a profile (contract.md 3.1, 3.2)."""

from __future__ import annotations

from typing import Any

from askel_tui.contract.caps import LOCATION, STANDARD_ATTRIBUTES, caps
from askel_tui.sandbox.jsonapi.errors import problem
from askel_tui.sandbox.validation.checks import (
    Check,
    Wrong,
    coordinate,
    either,
    email,
    free,
    phone,
    record,
    rows,
    text,
)

_IDENTIFIERS = ("email", "phone_number", "external_id", "anonymous_id", "_kx")


def profile_attributes(revision: str, endpoint: str, more: dict[str, Check] | None = None) -> Check:
    """A profile's attributes as the endpoint takes them at the revision; `more` are fields beside them."""
    limits = caps(revision)
    fields: dict[str, Check] = {"email": email(limits.email), "phone_number": phone}
    fields["external_id"] = text(most=limits.external_id)
    in_event = endpoint in ("create_event", "bulk_create_events")
    if in_event or (revision < "2025-10-15" and endpoint != "create_profile"):
        fields["anonymous_id"] = text()
    if endpoint not in ("create_profile", "update_profile"):
        fields["_kx"] = text()
    fields |= {name: text() for name in STANDARD_ATTRIBUTES[revision] if "." not in name}
    place = {name: coordinate if name in ("latitude", "longitude") else text() for name in LOCATION}
    fields["location"] = record("profile", {}, place, null=True)
    fields["properties"] = free
    return record("profile", {}, {**fields, **(more or {})})


def meta(revision: str) -> Check:
    """The patches beside a profile's attributes."""
    unset = either(text(null=False), rows(text(null=False)))
    patches = {"append": free, "unappend": free, "unset": unset}
    known = {"patch_properties": record("meta", {}, patches)}
    if revision >= "2026-04-15":
        known["patch_identifiers"] = record("meta", {}, {"append": free, "unappend": free})
    return record("meta", {}, known)


def identifiers(attributes: Any, at: str, wrong: Wrong) -> None:
    """At least one identifier."""
    if not any(attributes.get(name) for name in _IDENTIFIERS):
        detail = (
            "One or more of the following identifiers must be provided: email, phone_number, external_id."
        )
        wrong.append(problem(detail, at))
