"""Records: one thing that happened in the product, checked before it is stored."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from askel_tui.core.canonical import canonical_json, canonical_json_as_written
from askel_tui.core.numbers import read_float
from askel_tui.core.problems import json_type_name
from askel_tui.text.quoting import quote
from askel_tui.text.shortening import join_first

MAX_RECORD_BYTES = 5_000_000
MAX_NESTING_LEVELS = 64
"""The largest number of levels of objects and lists in a body; the record itself is the first."""
MAX_ID_CHARACTERS = 255
OWN_FIELDS = ("id", "event", "time", "data", "actor")

_BRACKETS_AND_STRINGS = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[{\]}]', re.DOTALL)
_TIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt](\d{2}:\d{2}):(\d{2})(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII
)
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_MAYBE_UNSTORABLE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")


class RecordRefused(ValueError):
    """A body that is no record. `reason` says why, without a full stop."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TimeRefused(RecordRefused):
    """A time that is none of RFC 3339, or does not exist."""


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that happened: `time` is RFC 3339 with capital T and Z; `notes` describe the changes made on the way
    in.

    Without `has_id` its id is a digest of its body; without `has_time` its time is that of its receipt.
    """

    id: str
    event: str
    time: str
    data: Mapping[str, Any]
    actor: str | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)
    has_id: bool = field(default=True, compare=False)
    has_time: bool = field(default=True, compare=False)
    by: str | None = field(default=None, compare=False)
    """Who handed it in, as this program knows: a token, a webhook or a user. `actor` is what the record says itself."""

    def as_dict(self) -> dict[str, Any]:
        """Returns the record as expressions see it; `actor` only where there is one."""
        own: dict[str, Any] = {"id": self.id, "event": self.event, "time": self.time, "data": self.data}
        return own if self.actor is None else own | {"actor": self.actor}

    def encode(self) -> bytes:
        """Encodes the canonical bytes of `as_dict`. Two records are the same exactly when these bytes are."""
        return canonical_json_as_written(self.as_dict())

    @classmethod
    def decode(cls, encoded: bytes) -> Record:
        """Decodes a record from the bytes of `encode`, without notes."""
        value = _STORED.decode(encoded.decode())
        return cls(value["id"], value["event"], value["time"], value["data"], value.get("actor"))


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A line that is no record: its number, the reason, and the line itself, cut at `records.files.MAX_SHOWN_BYTES`."""

    line: int
    reason: str
    text: bytes


def read_record(
    value: bytes | Mapping[str, Any], *, now: str, line: int = 0, by: str | None = None
) -> Record:
    """Reads a record from a body: bytes of JSON, or an object.

    `now` (RFC 3339) is the time of a record without one. `line` is only for the message. `by` hands it in. Raises
    `RecordRefused`.
    """
    try:
        body = _parsed(value) if isinstance(value, bytes | bytearray | memoryview) else _checked(value)
        return _record(*body, now=now, by=by)
    except RecordRefused as refused:
        if line:
            refused.args = (f"line {line}: {refused.reason}",)
        raise


def parse_body(value: bytes) -> Mapping[str, Any]:
    """Parses the body of a record, without checking its fields. Raises `RecordRefused`."""
    return _parsed(value)[0]


def _parsed(value: bytes | bytearray | memoryview) -> tuple[Mapping[str, Any], list[str]]:
    if len(value) > MAX_RECORD_BYTES:
        raise RecordRefused(f"over 5 MB ({len(value):,} bytes)")
    try:
        text = bytes(value).decode("utf-8")
    except UnicodeDecodeError as error:
        raise RecordRefused(f"not UTF-8 (byte {error.start + 1})") from None
    if text.count("{") + text.count("[") > MAX_NESTING_LEVELS and _levels_of_text(text) > MAX_NESTING_LEVELS:
        raise RecordRefused(f"nested deeper than {MAX_NESTING_LEVELS} levels")
    try:
        parsed = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise RecordRefused(f"not JSON: {error.msg} (column {error.pos + 1})") from None
    except RecordRefused:
        raise
    except (ValueError, RecursionError):
        # The one ValueError left is Python's refusal of integers with thousands of digits.
        raise RecordRefused("not JSON that can be kept: a number with more than 4,300 digits") from None
    if not isinstance(parsed, dict):
        raise RecordRefused(f"not an object but {json_type_name(parsed)}")
    return _remove_unstorable(parsed) if _MAYBE_UNSTORABLE.search(text) else (parsed, [])


def _checked(value: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[str]]:
    """Parses an object as `_parsed` does: it goes through JSON, so that nothing is shared with the caller."""
    if not isinstance(value, Mapping):
        raise RecordRefused(f"not an object but {json_type_name(value)}")
    if _levels_of_value(value) > MAX_NESTING_LEVELS:
        raise RecordRefused(f"nested deeper than {MAX_NESTING_LEVELS} levels")
    try:
        encoded = canonical_json_as_written(dict(value))
    except (TypeError, ValueError) as error:
        raise RecordRefused(f"not JSON: {error}") from None
    return _parsed(encoded)


def _record(body: Mapping[str, Any], notes: list[str], *, now: str, by: str | None) -> Record:
    event = body.get("event")
    if event is None or event == "":
        raise RecordRefused("no `event`")
    if not isinstance(event, str):
        raise RecordRefused(f"`event` is {json_type_name(event)}, not text")
    data = body.get("data")
    if data is None:
        data = {}
    elif not isinstance(data, dict):
        raise RecordRefused(f"`data` is {json_type_name(data)}, not an object")
    time = now if body.get("time") is None else normalize_time(body["time"])
    actor = body.get("actor")
    if actor is not None and not isinstance(actor, str):
        notes.append(f"`actor` was {json_type_name(actor)}, not text, and was left out")
        actor = None
    strange = [name for name in body if name not in OWN_FIELDS]
    if strange:
        shown = join_first([ascii(name[:40]) for name in strange])
        notes.append(
            f"not fields of a record, left out: {shown} (what belongs to the record goes into `data`)"
        )
    given = (body.get("id") is not None, body.get("time") is not None)
    return Record(_id(body), event, time, data, actor, tuple(notes), *given, by)


def _id(body: Mapping[str, Any]) -> str:
    given = body.get("id")
    if given is None:
        rest = {name: value for name, value in body.items() if name != "id"}
        return hashlib.sha256(canonical_json(rest)).hexdigest()[:32]
    if isinstance(given, int) and not isinstance(given, bool):
        given = str(given)
    if not isinstance(given, str):
        raise RecordRefused(f"`id` is {json_type_name(given)}, not text")
    if not given:
        raise RecordRefused("`id` is empty")
    if len(given) > MAX_ID_CHARACTERS:
        raise RecordRefused(f"`id` has {len(given):,} characters, more than {MAX_ID_CHARACTERS}")
    return given


def normalize_time(value: object) -> str:
    """Normalizes an RFC 3339 time to capital T and Z. Raises `TimeRefused` for anything else.

    A leap second is written as the second before it, which every reader of times understands.
    """
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise TimeRefused(f"`time` is no RFC 3339 time such as 2026-11-23T09:14:05Z: {_shown(value)}")
    day, minute, second, fraction, offset = match.group(1, 2, 3, 4, 5)
    leap = second == "60"
    normal = f"{day}T{minute}:{'59' if leap else second}{fraction or ''}{offset.upper()}"
    try:
        when = datetime.fromisoformat(f"{day}T{minute}:{'59' if leap else second}{offset.upper()}")
    except ValueError:
        raise TimeRefused(f"`time` does not exist: {_shown(value)}") from None
    minutes_of_day = (
        when.hour * 60 + when.minute - int((when.utcoffset() or timedelta()).total_seconds()) // 60
    )
    if leap and minutes_of_day % 1440 != 1439:
        raise TimeRefused(f"`time` does not exist: {_shown(value)}")
    return normal


def _remove_unstorable(body: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Removes NULs and replaces each lone surrogate by U+FFFD; returns the body, and notes about both."""
    removed: list[str] = []

    def tidy_text(text: str) -> str:
        found = _UNSTORABLE.findall(text)
        removed.extend(found)
        return (
            _UNSTORABLE.sub(lambda match: "" if match.group() == "\0" else "\ufffd", text) if found else text
        )

    def tidied(value: Any) -> Any:
        match value:
            case str():
                return tidy_text(value)
            case dict():
                return {tidy_text(name): tidied(each) for name, each in value.items()}
            case list():
                return [tidied(each) for each in value]
        return value

    tidy = tidied(body)
    nuls = removed.count("\0")
    notes = [f"NUL characters removed: {nuls}"] if nuls else []
    if len(removed) > nuls:
        notes.append(f"halves of a surrogate pair, replaced by U+FFFD: {len(removed) - nuls}")
    return tidy, notes


def _levels_of_text(text: str) -> int:
    """Measures the deepest nesting of brackets outside strings. Stops once it is over the limit."""
    level = deepest = 0
    for token in _BRACKETS_AND_STRINGS.finditer(text):
        match text[token.start()]:
            case "{" | "[":
                level += 1
                deepest = max(deepest, level)
                if deepest > MAX_NESTING_LEVELS:
                    break
            case "}" | "]":
                level -= 1
    return deepest


def _levels_of_value(value: object) -> int:
    """Measures the deepest nesting of a value. Stops once it is over the limit, so that circles end too."""
    deepest = 0
    stack = [(value, 1)]
    while stack and deepest <= MAX_NESTING_LEVELS:
        item, level = stack.pop()
        children: Iterator[Any] | None = None
        if isinstance(item, Mapping):
            children = iter(item.values())
        elif isinstance(item, list | tuple):
            children = iter(item)
        if children is not None:
            deepest = max(deepest, level)
            stack.extend((child, level + 1) for child in children)
    return deepest


def _float(text: str) -> float:
    number = read_float(text)
    if not math.isfinite(number):
        raise RecordRefused(f"not JSON that can be kept: the number {_shown(text)} is too large")
    return number


def _constant(name: str) -> None:
    raise RecordRefused(f"not JSON: {name} is no JSON value")


_DECODER = json.JSONDecoder(parse_float=_float, parse_constant=_constant)
_STORED = json.JSONDecoder(parse_float=read_float)


def _shown(value: object) -> str:
    """Describes a value in a sentence: text in quotes, the type's name of anything else."""
    return quote(value, 40) if isinstance(value, str) else json_type_name(value)
