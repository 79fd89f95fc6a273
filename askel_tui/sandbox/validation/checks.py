"""Checks of request bodies, put together from small ones. Every check notes all errors, each with its pointer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from askel_tui.sandbox.jsonapi.errors import error_object
from askel_tui.sandbox.jsonapi.ids_and_times import parse_time

Errors = list[dict[str, Any]]
Check = Callable[[Any, str, Errors], None]
"""A check: takes a value, its JSON pointer, and the list to add errors to."""

_EMAIL: Final = re.compile(
    r"[^\s@\"<>(),:;\\\[\]]+@(?:[^\s@.\"<>(),:;\\\[\]]+\.)+[^\s@.\"<>(),:;\\\[\]]{2,}\Z"
)
_PHONE: Final = re.compile(r"\+[1-9][0-9]{7,14}\Z")
PHONE_DETAIL: Final = "Invalid phone number format (Example of a valid format: +12345678901)"


def closed_object(
    resource: str,
    required: Mapping[str, Check],
    optional: Mapping[str, Check] | None = None,
    *,
    null: bool = False,
) -> Check:
    """Returns a check for an object with the fields `required` and `optional` and no others; errors name the
    `resource` of the fields."""
    checks = {**required, **(optional or {})}

    def check(value: Any, at: str, errors: Errors) -> None:
        if value is None and null:
            return
        if not isinstance(value, dict):
            errors.append(error_object("The payload provided in the request is invalid.", at))
            return
        for name, inner in value.items():
            field = checks.get(name)
            if field is None:
                detail = f"'{name}' is not a valid field for the resource '{resource}'."
                errors.append(error_object(detail, f"{at}/{name}"))
            else:
                field(inner, f"{at}/{name}", errors)
        for name in required:
            if name not in value:
                errors.append(error_object(f"'{name}' is a required field.", f"{at}/{name}"))

    return check


def resource_object(
    kind: str,
    required: Mapping[str, Check] | None = None,
    optional: Mapping[str, Check] | None = None,
) -> Check:
    """Returns a check for a JSON:API object of a type."""
    return closed_object(kind, {"type": one_of(kind), **(required or {})}, optional)


def document(check: Check) -> Check:
    """Returns a check for the document `{"data": …}`."""
    return closed_object("document", {"data": check})


def holder(name: str, data: Check) -> Check:
    """Returns a check for an object with `data` alone; errors call the object `name`."""
    return closed_object(name, {"data": data})


def creation(
    kind: str,
    required: Mapping[str, Check],
    optional: Mapping[str, Check] | None = None,
    *,
    other_fields: Mapping[str, Check] | None = None,
) -> Check:
    """Returns a check for the document that makes a resource, with required and optional attributes, and optional
    other fields."""
    attributes = closed_object(kind, required, optional)
    return document(resource_object(kind, {"attributes": attributes}, other_fields))


def update(kind: str, required: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    """Returns a check for the document that changes a resource, with its id, and required and optional attributes."""
    attributes = closed_object(kind, required, optional)
    return document(resource_object(kind, {"id": string(null=False), "attributes": attributes}))


def reference(kind: str) -> Check:
    """Returns a check for a resource identifier."""
    return resource_object(kind, {"id": string(null=False)})


def one_of(*allowed: str, null: bool = False) -> Check:
    """Returns a check for one of several words."""

    def check(value: Any, at: str, errors: Errors) -> None:
        if value not in allowed and not (null and value is None):
            shown = f"'{value}'" if isinstance(value, str) else "This value"
            errors.append(
                error_object(f"{shown} is not one of the allowed values: {', '.join(allowed)}.", at)
            )

    return check


def string(*, null: bool = True, least: int = 0, most: int | None = None) -> Check:
    """Returns a check for a text of a length in characters."""

    def check(value: Any, at: str, errors: Errors) -> None:
        if value is None and null:
            return
        if not isinstance(value, str):
            errors.append(error_object("Not a valid string.", at))
        elif len(value) < least:
            errors.append(error_object(f"Must have at least {least} characters.", at))
        elif most is not None and len(value) > most:
            errors.append(error_object(f"Must have at most {most} characters.", at))

    return check


def email(most: int, *, null: bool = True) -> Check:
    """Returns a check for an e-mail address of at most `most` characters."""

    def check(value: Any, at: str, errors: Errors) -> None:
        if value is None and null:
            return
        if not isinstance(value, str) or len(value) > most or not _EMAIL.match(value):
            errors.append(error_object("Invalid email address", at))

    return check


def phone_number(value: Any, at: str, errors: Errors) -> None:
    """Checks a phone number in E.164, or null."""
    if value is not None and not (isinstance(value, str) and _PHONE.match(value)):
        errors.append(error_object(PHONE_DETAIL, at))


def boolean(value: Any, at: str, errors: Errors) -> None:
    """Checks a value that is true, false or null."""
    if value is not None and not isinstance(value, bool):
        errors.append(error_object("Not a valid boolean.", at))


def number(value: Any, at: str, errors: Errors) -> None:
    """Checks a number, or null."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        errors.append(error_object("Not a valid number.", at))


def coordinate(value: Any, at: str, errors: Errors) -> None:
    """Checks a latitude or longitude, as text or number."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float | str)):
        errors.append(error_object("Not a valid coordinate.", at))


def any_object(value: Any, at: str, errors: Errors) -> None:
    """Checks an object of any content, or null."""
    if value is not None and not isinstance(value, dict):
        errors.append(error_object("Not a valid object.", at))


def anything(value: Any, at: str, errors: Errors) -> None:
    """Accepts any value."""


def date_time(value: Any, at: str, errors: Errors) -> None:
    """Checks an RFC 3339 time, or null."""
    if value is not None and not (isinstance(value, str) and parse_time(value) is not None):
        errors.append(error_object("Not a valid datetime.", at))


def array(check: Check, *, most: int | None = None, least: int = 0) -> Check:
    """Returns a check for an array of at least `least` and at most `most` items, each of which is checked."""

    def check_all(value: Any, at: str, errors: Errors) -> None:
        if not isinstance(value, list):
            errors.append(error_object("Not a valid list.", at))
            return
        if most is not None and len(value) > most:
            errors.append(error_object(f"At most {most} items are allowed, {len(value)} were given.", at))
            return
        if len(value) < least:
            errors.append(error_object(f"At least {least} items are needed.", at))
        for index, item in enumerate(value):
            check(item, f"{at}/{index}", errors)

    return check_all


def any_of(*checks: Check) -> Check:
    """Returns a check that accepts a value if one of the checks does; else it notes the errors of the first one."""

    def check(value: Any, at: str, errors: Errors) -> None:
        notes: list[Errors] = []
        for one in checks:
            noted: Errors = []
            one(value, at, noted)
            if not noted:
                return
            notes.append(noted)
        errors += notes[0]

    return check


def all_of(first: Check, *others: Check) -> Check:
    """Returns a check that runs all checks; the others only where the first finds nothing."""

    def check(value: Any, at: str, errors: Errors) -> None:
        before = len(errors)
        first(value, at, errors)
        for other in others:
            if len(errors) == before:
                other(value, at, errors)

    return check


def json_bytes(value: Any) -> int:
    """Measures a value as compact UTF-8 JSON, in bytes."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"))
