"""Checks of the values that are to be written: identifiers, attributes, event fields. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from askel_tui.contract.caps import Caps
from askel_tui.core.canonical import canonical_json
from askel_tui.core.numbers import is_number, scalar_text
from askel_tui.core.problems import json_type_name
from askel_tui.core.records.record import RecordRefused, normalize_time
from askel_tui.text.invisible import find_unseen, name_character
from askel_tui.text.quoting import quote


class UnusableValue(ValueError):
    """A value that can't be written to its field; the message is for people."""


_EMAIL = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u0080-\U0010ffff-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u0080-\U0010ffff-]+)*"
    r"@(?:[A-Za-z0-9\u0080-\U0010ffff](?:[A-Za-z0-9\u0080-\U0010ffff-]{0,61}[A-Za-z0-9\u0080-\U0010ffff])?\.)+"
    r"[A-Za-z\u0080-\U0010ffff](?:[A-Za-z0-9\u0080-\U0010ffff-]{0,61}[A-Za-z0-9\u0080-\U0010ffff])"
)
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_NAMED = {"email": "an e-mail address", "phone_number": "a phone number", "external_id": "an external id"}
_NUMERIC_ATTRIBUTES = frozenset({"location.latitude", "location.longitude"})


def is_truthy(value: Any) -> bool:
    """Checks whether JMESPath takes the value for true: not null, false, or an empty string, list or object; 0 is
    true."""
    return not (value is None or value is False or value in ("", [], {}))


def check_identifier(name: str, value: Any, limits: Caps) -> str | None:
    """Checks an identifier and returns it as Klaviyo takes it; None for null and the empty string.

    Raises `UnusableValue`.
    """
    if value is None or value == "":
        return None
    if name == "external_id" and is_number(value):
        value = scalar_text(value)
    if not isinstance(value, str):
        raise UnusableValue(f"{json_type_name(value)} can't be {name.replace('_', ' ')}")
    unseen = find_unseen(value, symbols=name == "email")
    if unseen is not None:
        raise UnusableValue(f"not {_NAMED[name]}: {name_character(unseen)} in {quote(value)}")
    if name == "email":
        if len(value) > limits.email or not _EMAIL.fullmatch(value):
            raise UnusableValue(f"not an e-mail address: {quote(str(value))}")
    elif name == "phone_number":
        if not _E164.fullmatch(value):
            raise UnusableValue(f"not a phone number in international form (+44…): {quote(str(value))}")
    elif len(value) > limits.external_id:
        raise UnusableValue(
            f"an external id of {len(value)} characters, where Klaviyo takes {limits.external_id}"
        )
    return value


def check_attribute(name: str, value: Any) -> Any:
    """Checks the value of a standard attribute and returns it: text, or null to clear it.

    A number or boolean becomes its text: a file's cell `97209` is a zip. Coordinates stay numbers. Raises
    `UnusableValue`.
    """
    if value is None or isinstance(value, str):
        return value
    if name in _NUMERIC_ATTRIBUTES and is_number(value):
        return value
    if isinstance(value, bool | int | float) and name not in _NUMERIC_ATTRIBUTES:
        return scalar_text(value)
    raise UnusableValue(f"{name} takes text, not {json_type_name(value)}")


def check_event_property(value: Any, limits: Caps) -> None:
    """Checks an event property against Klaviyo's limits (docs/klaviyo.md 3.4). Raises `UnusableValue`."""
    stack: list[tuple[Any, int]] = [(value, 1)]
    while stack:
        item, depth = stack.pop()
        if isinstance(item, str):
            if (
                len(item) > limits.event_string_bytes
                or len(item.encode("utf-8", "replace")) > limits.event_string_bytes
            ):
                raise UnusableValue(
                    f"a text of {len(item):,} characters, where Klaviyo takes {limits.event_string_bytes:,} bytes"
                )
            continue
        if not isinstance(item, dict | list):
            continue
        if depth > limits.nesting:
            raise UnusableValue(f"more than {limits.nesting} levels deep")
        if isinstance(item, list) and len(item) > limits.array_items:
            raise UnusableValue(f"a list of {len(item):,}, where Klaviyo takes {limits.array_items:,}")
        stack.extend((child, depth + 1) for child in (item.values() if isinstance(item, dict) else item))


def check_amount(value: Any) -> float | int:
    """Checks an event's value: a number. Raises `UnusableValue`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnusableValue(f"value takes a number, not {json_type_name(value)}")
    return value


def check_currency(value: Any) -> str:
    """Checks a currency: three capital letters of ISO 4217. Raises `UnusableValue`."""
    if not isinstance(value, str) or not _CURRENCY.fullmatch(value):
        raise UnusableValue(f"not a currency code such as GBP: {quote(str(value))}")
    return value


def check_time(value: Any) -> str:
    """Checks a time of RFC 3339, with capital T and Z. Raises `UnusableValue`."""
    try:
        return normalize_time(value)
    except RecordRefused:
        raise UnusableValue(f"not a time such as 2026-11-23T09:14:05Z: {quote(str(value))}") from None


def check_event_time(value: Any, limits: Caps) -> str:
    """Checks an event's time: RFC 3339, not before the revision's floor (docs/klaviyo.md 3.4).

    Raises `UnusableValue`.
    """
    return check_event_year(check_time(value), limits)


def check_event_year(when: str, limits: Caps) -> str:
    """Checks the year of an event's time that is RFC 3339 already, as `check_event_time` does.

    Raises `UnusableValue`.
    """
    year = int(when[:4])
    if year <= limits.event_year_floor:
        with suppress(OverflowError):
            # Within a day of year 1 the offset leads out of the calendar.
            year = datetime.fromisoformat(when).astimezone(UTC).year
        if year < limits.event_year_floor:
            raise UnusableValue(f"Klaviyo takes no events before {limits.event_year_floor}: {quote(when)}")
    return when


def describe_excess(value: Mapping[str, Any], limit: int) -> str | None:
    """Describes how far the encoded value is over `limit` bytes; None where it is not."""
    if _max_json_size(value) <= limit:
        return None
    found = json_size(value)
    return f"{found:,} bytes, where Klaviyo takes {limit:,}" if found > limit else None


def _max_json_size(value: Any) -> int:
    """Returns a cheap upper bound of `json_size`: a character is at most 12 bytes, and 3 bits of an integer one
    digit."""
    total = 0
    stack = [value]
    for item in stack:
        if isinstance(item, str):
            total += 12 * len(item) + 2
        elif isinstance(item, dict):
            total += 2 + 4 * len(item) + 12 * sum(map(len, item))
            stack.extend(item.values())
        elif isinstance(item, list):
            total += 2 + len(item)
            stack.extend(item)
        else:
            total += 32 + (item.bit_length() // 3 if isinstance(item, int) else 0)
    return total


def json_size(value: Any) -> int:
    """Returns the length of the value as JSON in bytes."""
    return len(canonical_json(value))
