"""Differences: what Klaviyo's own answer to a write shows otherwise than it was sent. Pure.

Klaviyo may answer 2xx and leave a part out; a header of the answer may name it (docs/klaviyo.md 3.3).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from askel_tui.core.operations import Operation

Difference = Mapping[str, Any]
"""A field, and its value as `sent` and as `answered`; null is nothing, and stands too where a header alone names it.
With `rows`, one or more of so many rows of the request are meant."""

MAX_DIFFERENCES = 20
"""The number of differences that one answer is known by."""

MAX_VALUE_CHARS = 200
"""The number of characters, as JSON, up to which a difference keeps a value."""

_NO_DIGITS = str.maketrans("", "", " ()-./")
_COORDINATES = ("location.latitude", "location.longitude")
_MAX_FIELD_NAME_CHARS = 100


def find_differences(
    sent: Mapping[str, Any], answered: Mapping[str, Any], left_out: str | None
) -> list[Difference]:
    """Compares the profile that an upsert sent with the attributes that its answer shows.

    Both are as Klaviyo has them: `sent` is the request's resource. What the answer does not show is not known to
    differ, unless `left_out`, the header's value, names it.
    """
    found = list(_differences(sent, answered))
    named = {each["field"] for each in found}
    attributes = sent.get("attributes") or {}
    found += [
        _difference(field, attributes.get(field), None)
        for field in left_out_fields(left_out)
        if field not in named
    ]
    return found[:MAX_DIFFERENCES]


def merge_differences(destination: str, answered: Any, left_out: str | None) -> list[Difference]:
    """Compares the profile that a merge names as its destination with the one that its answer shows, if it does."""
    found = [] if answered in (None, destination) else [_difference("id", destination, answered)]
    return found + [_difference(field, None, None) for field in left_out_fields(left_out)]


def left_out_fields(header: str | None) -> list[str]:
    """Reads the fields that the header of an answer names; none without the header."""
    if not header:
        return []
    named = (each.strip()[:_MAX_FIELD_NAME_CHARS] for each in header.split(","))
    return list(dict.fromkeys(filter(None, named)))[:MAX_DIFFERENCES]


def differences_of(
    operation: Operation, found: Sequence[Difference] | None, left_out: str | None, rows: int
) -> Sequence[Difference]:
    """Picks the differences that are an operation's own out of those of its request, which carried so many `rows`.

    `found` are those of an upsert's request. Other answers show nothing (None): what the header names may be the
    operation's where it has such an identifier, and the difference says of how many `rows` one is meant.
    """
    if not found and not left_out:
        return ()
    identifiers = operation.profile.identifiers()
    if found is None:
        of = {"rows": rows} if rows > 1 else {}
        return [
            {**_difference(field, identifiers.get(field), None), **of}
            for field in left_out_fields(left_out)
            if rows == 1 or field in identifiers
        ]
    if rows == 1:
        return found
    written = set(identifiers)
    for name, value in operation.body["attributes"].items():
        written |= {f"{name}.{part}" for part in value} if isinstance(value, dict) else {name}
    written |= {f"properties.{name}" for name in (*operation.body["properties"], *operation.body["unset"])}
    return [each for each in found if each["field"] in written]


def describe_differences(found: Any) -> str:
    """Describes the differences that an entry holds for people, in one line; empty without any."""
    known = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    return "not as sent: " + "; ".join(map(_describe, known)) if known else ""


def is_same(field: str, sent: Any, answered: Any) -> bool:
    """Compares a value as it was sent with the one that was answered, under a field's name such as `email`.

    E-mails are compared without case, phone numbers by their digits, numbers by value, times by instant; an empty
    text is nothing.
    """
    if sent is answered:
        return True
    if isinstance(sent, bool) or isinstance(answered, bool):
        return False
    if isinstance(sent, str) and isinstance(answered, str):
        return sent == answered or _same_text(field, sent, answered)
    if isinstance(sent, int | float) and isinstance(answered, int | float):
        return sent == answered
    if isinstance(sent, list) and isinstance(answered, list):
        pairs = zip(sent, answered, strict=False)
        return len(sent) == len(answered) and all(is_same("", *pair) for pair in pairs)
    if isinstance(sent, dict) and isinstance(answered, dict):
        return sent.keys() == answered.keys() and all(
            is_same("", sent[name], answered[name]) for name in sent
        )
    if field in _COORDINATES:
        return _number(sent) is not None and _number(sent) == _number(answered)
    return sent in (None, "") and answered in (None, "")


def _differences(sent: Mapping[str, Any], answered: Mapping[str, Any]) -> Iterator[Difference]:
    for name, value in (sent.get("attributes") or {}).items():
        if name not in answered:
            continue
        shown = answered[name]
        if name not in ("properties", "location"):
            if not is_same(name, value, shown):
                yield _difference(name, value, shown)
        elif isinstance(shown, dict) and isinstance(value, dict):
            for part, inner in value.items():
                field = f"{name}.{part}"
                if not is_same(field, inner, shown.get(part)):
                    yield _difference(field, inner, shown.get(part))
    properties = answered.get("properties")
    if isinstance(properties, dict) and sent.get("meta"):
        for name in sent["meta"]["patch_properties"].get("unset", ()):
            if properties.get(name) not in (None, ""):
                yield _difference(f"properties.{name}", None, properties[name])


def _difference(field: str, sent: Any, answered: Any) -> Difference:
    return {"field": field, "sent": _bounded(sent), "answered": _bounded(answered)}


def _bounded(value: Any) -> Any:
    if value is None or isinstance(value, int | float):
        return value
    text = json.dumps(value, ensure_ascii=False)
    if len(text) <= MAX_VALUE_CHARS:
        return value
    return f"{value if isinstance(value, str) else text}"[:MAX_VALUE_CHARS] + "…"


def _describe(each: Difference) -> str:
    field, sent, answered = str(each.get("field")), each.get("sent"), each.get("answered")
    if each.get("rows"):
        return f"{field} was left out of one or more of {each['rows']} rows"
    if answered is None and sent is None:
        return f"{field} was left out"
    shown = "nothing" if answered is None else _json(answered)
    return f"{field} is {shown}, was {'nothing' if sent is None else _json(sent)}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _same_text(field: str, sent: str, answered: str) -> bool:
    if field == "email":
        return sent.strip().lower() == answered.strip().lower()
    if field == "phone_number":
        return sent.translate(_NO_DIGITS) == answered.translate(_NO_DIGITS)
    if field in _COORDINATES:
        return _number(sent) is not None and _number(sent) == _number(answered)
    instant = _instant(sent)
    return instant is not None and instant == _instant(answered)


def _instant(text: str) -> datetime | None:
    """Reads a text that begins as a date and a time do; None for any other. Without an offset it is UTC."""
    if not 16 <= len(text) <= 40 or text[4:5] != "-" or text[10:11] not in ("T", "t", " "):
        return None
    try:
        read = datetime.fromisoformat(text)
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None
