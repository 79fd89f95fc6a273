"""The profile attributes that requests take (docs/klaviyo.md 3.1, 3.2)."""

from __future__ import annotations

from typing import Any

from askel_tui.contract.calls import Call
from askel_tui.contract.caps import LOCATION, caps, standard_attributes
from askel_tui.sandbox.jsonapi.errors import error_object
from askel_tui.sandbox.validation.checks import (
    Check,
    Errors,
    any_object,
    any_of,
    array,
    closed_object,
    coordinate,
    email,
    phone_number,
    string,
)

_IDENTIFIER_FIELDS = ("email", "phone_number", "external_id", "anonymous_id", "_kx")


def profile_attributes(revision: str, endpoint: str, more: dict[str, Check] | None = None) -> Check:
    """Returns the check for a profile's attributes as the endpoint takes them at the revision; `more` are further
    fields."""
    limits = caps(revision)
    fields: dict[str, Check] = {"email": email(limits.email), "phone_number": phone_number}
    fields["external_id"] = string(most=limits.external_id)
    in_event = endpoint in (Call.CREATE_EVENT, Call.BULK_CREATE_EVENTS)
    if in_event or (revision < "2025-10-15" and endpoint != Call.CREATE_PROFILE):
        fields["anonymous_id"] = string()
    if endpoint not in (Call.CREATE_PROFILE, Call.UPDATE_PROFILE):
        fields["_kx"] = string()
    fields |= {name: string() for name in standard_attributes(revision) if "." not in name}
    location = {name: coordinate if name in ("latitude", "longitude") else string() for name in LOCATION}
    fields["location"] = closed_object("profile", {}, location, null=True)
    fields["properties"] = any_object
    return closed_object("profile", {}, {**fields, **(more or {})})


def meta_patches(revision: str) -> Check:
    """Returns the check for the patches beside a profile's attributes."""
    unset = any_of(string(null=False), array(string(null=False)))
    patches = {"append": any_object, "unappend": any_object, "unset": unset}
    known = {"patch_properties": closed_object("meta", {}, patches)}
    if revision >= "2026-04-15":
        known["patch_identifiers"] = closed_object("meta", {}, {"append": any_object, "unappend": any_object})
    return closed_object("meta", {}, known)


def require_identifier(attributes: Any, at: str, errors: Errors) -> None:
    """Checks that there is at least one identifier."""
    if not any(attributes.get(name) for name in _IDENTIFIER_FIELDS):
        detail = (
            "One or more of the following identifiers must be provided: email, phone_number, external_id."
        )
        errors.append(error_object(detail, at))


def require_identity(value: Any, at: str, errors: Errors) -> None:
    """Checks that there is a profile's id, or at least one identifier."""
    if not value.get("id"):
        require_identifier(value["attributes"], f"{at}/attributes", errors)
