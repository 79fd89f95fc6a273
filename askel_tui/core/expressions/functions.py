"""The functions that expressions have besides JMESPath's. Null gives null; any other wrong value is a problem."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from askel_tui.core.expressions.phones import (
    NotAPhoneNumber,
    PhoneObjection,
    is_known_region,
    read_phone_number,
)
from askel_tui.core.numbers import WrittenNumber, scalar_text
from askel_tui.text.invisible import trim_unseen
from askel_tui.text.quoting import quote

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WORD_START = re.compile(r"(^|[\s\-\u2010\u2011\u2013])([^\w\s]*)(\w)")
_NAME_PREFIX = re.compile(r"(?<!\w)([DLO]['\u2019])([a-z]{3,})")
_MIN_MILLISECONDS = 100_000_000_000
"""The smallest number that is read as milliseconds since 1970; smaller ones are seconds."""


class EvaluationProblem(ValueError):
    """A value that an expression can't evaluate: a problem of that field of that record."""


class Remark(NamedTuple):
    """What an expression made of a value, and something speaks against it."""

    kind: PhoneObjection
    text: str


_REMARKS: ContextVar[list[Remark] | None] = ContextVar("remarks", default=None)
_OBJECTIONS: Mapping[PhoneObjection, str] = {
    "placeholder_phone": "a placeholder, not a phone number",
    "unknown_phone": "in no range of phone numbers that is known",
}


@contextmanager
def collect_remarks() -> Iterator[list[Remark]]:
    """Collects the remarks of the expressions that are evaluated in the block."""
    remarks: list[Remark] = []
    token = _REMARKS.set(remarks)
    try:
        yield remarks
    finally:
        _REMARKS.reset(token)


@dataclass(frozen=True, slots=True)
class Function:
    """A function and its number of arguments; `max_arguments` is None where there is no upper limit."""

    call: Callable[..., Any]
    min_arguments: int
    max_arguments: int | None


def describe_value(value: Any) -> str:
    """Describes a value by its JSON type: `text '12'`, `the number 0`, `a list`."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | float():
            return f"the number {_cut(_number_text(value))}"
        case str():
            return f"text {quote(value)}"
        case list():
            return "a list"
        case Mapping():
            return "an object"
    return "an expression"


def _cut(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}…"


def _number_text(value: float) -> str:
    try:
        return json.dumps(value)
    except ValueError:
        return "of thousands of digits"


def _text_function(name: str, change: Callable[[str], str]) -> Function:
    def call(value: Any) -> str | None:
        if value is None:
            return None
        if not isinstance(value, str):
            raise EvaluationProblem(f"{name} takes text, not {describe_value(value)}")
        return change(value)

    return Function(call, 1, 1)


def _title(text: str) -> str:
    started = _WORD_START.sub(lambda m: m.group(1) + m.group(2) + m.group(3).title(), text)
    # The letter after O', D' and L' starts a name; in "don't" and "it's" it does not.
    return _NAME_PREFIX.sub(lambda m: m.group(1) + m.group(2).capitalize(), started)


def _concat(*values: Any) -> str | None:
    if any(value is None for value in values):
        return None
    for value in values:
        if isinstance(value, list | Mapping):
            raise EvaluationProblem(f"concat takes text and numbers, not {describe_value(value)}")
    return "".join(str(_text(value)) for value in values)


def _coalesce(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _number(value: Any) -> int | float | None:
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    text = value.strip() if isinstance(value, str) else ""
    if not _NUMBER.fullmatch(text):
        raise EvaluationProblem(f"not a number: {describe_value(value)}")
    try:
        number = int(text) if text.lstrip("+-").isdigit() else float(text)
    except ValueError:
        raise EvaluationProblem(f"a number of too many digits: {describe_value(value)}") from None
    if isinstance(number, float) and not math.isfinite(number):
        raise EvaluationProblem(f"a number too large to be kept: {describe_value(value)}")
    return number


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, str | WrittenNumber):
        return scalar_text(value)
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        raise EvaluationProblem(f"text can't be made of {describe_value(value)}") from None


def _date(value: Any) -> str | None:
    if value is None:
        return None
    try:
        return _moment(value).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError, TypeError):
        raise EvaluationProblem(f"not a date or time: {describe_value(value)}") from None


def _moment(value: Any) -> datetime:
    """Reads a moment from a date, a time or a number of (milli)seconds since 1970. Without an offset it is UTC."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError
    if isinstance(value, str):
        # Week dates and basic forms would parse too, but are far more often something else, such as an order number.
        if not re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:$|[Tt ])", value.strip()):
            raise ValueError
        moment = datetime.fromisoformat(value.strip().upper())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    unit = timedelta(milliseconds=1) if abs(value) >= _MIN_MILLISECONDS else timedelta(seconds=1)
    return datetime(1970, 1, 1, tzinfo=UTC) + value * unit


def _e164(phone: Any, region: Any) -> str | None:
    if phone is None or region is None:
        return None
    if isinstance(phone, bool) or not isinstance(phone, str | int):
        raise EvaluationProblem(f"e164 takes text, not {describe_value(phone)}")
    if not isinstance(region, str):
        raise EvaluationProblem(f"e164 takes a region such as 'GB', not {describe_value(region)}")
    text = phone if isinstance(phone, str) else _text(phone) or ""
    if not text.strip():
        return None
    if not is_known_region(region):
        raise EvaluationProblem(f"not a region such as 'GB': {quote(region)}")
    try:
        number, objection = read_phone_number(text, region.upper())
    except NotAPhoneNumber as error:
        raise EvaluationProblem(f"{error}: {quote(text)}") from None
    remarks = _REMARKS.get()
    if objection is not None and remarks is not None:
        remarks.append(Remark(objection, f"{_OBJECTIONS[objection]}: {quote(text)}"))
    return number


CUSTOM_FUNCTIONS: Mapping[str, Function] = {
    "title": _text_function("title", _title),
    "lower": _text_function("lower", str.lower),
    "upper": _text_function("upper", str.upper),
    "trim": _text_function("trim", trim_unseen),
    "concat": Function(_concat, 1, None),
    "coalesce": Function(_coalesce, 1, None),
    "number": Function(_number, 1, 1),
    "text": Function(_text, 1, 1),
    "date": Function(_date, 1, 1),
    "e164": Function(_e164, 2, 2),
}
"""The functions by name."""
