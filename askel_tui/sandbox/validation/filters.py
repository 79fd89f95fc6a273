"""Klaviyo's filter language: `op(field,value)`, joined with commas (docs/klaviyo.md 7)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from askel_tui.sandbox.jsonapi.errors import invalid
from askel_tui.sandbox.jsonapi.ids_and_times import parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping

_OPERATOR: Final = re.compile(r"\s*([a-z-]+)\s*\(\s*")
_FIELD: Final = re.compile(r"([A-Za-z0-9_$.\[\]'\"-]+?)\s*(?=[,)])")
_BARE: Final = re.compile(r"[^,()\[\]\s]+")


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition. Times are seconds since 1970, other values as written."""

    operator: str
    field: str
    value: Any

    def is_met_by(self, actual: Any) -> bool:
        """Checks whether a value meets the condition; None meets none but `any`."""
        if self.operator == "any":
            return actual in self.value
        if actual is None:
            return False
        wanted = self.value
        if self.operator == "equals":
            return bool(actual == wanted)
        if self.operator == "has":
            return True
        if self.operator in ("contains", "starts-with", "ends-with"):
            return isinstance(wanted, str) and _text_matches(self.operator, str(actual), wanted)
        if not isinstance(wanted, int | float) or not isinstance(actual, int | float):
            return False
        return {
            "greater-than": actual > wanted,
            "greater-or-equal": actual >= wanted,
            "less-than": actual < wanted,
            "less-or-equal": actual <= wanted,
        }.get(self.operator, False)


def parse_filter(text: str, allowed: Mapping[str, tuple[str, ...]]) -> list[Condition]:
    """Parses a filter into conditions, all of which have to be met.

    Raises the 400 for bad syntax, fields and operators.
    """
    found: list[Condition] = []
    at = 0
    while True:
        at = _read_condition(text, at, allowed, found)
        rest = text[at:].lstrip()
        if not rest:
            return found
        if not rest.startswith(","):
            raise _unreadable(text)
        at = len(text) - len(rest) + 1


def _read_condition(
    text: str, at: int, allowed: Mapping[str, tuple[str, ...]], found: list[Condition]
) -> int:
    opening = _OPERATOR.match(text, at)
    if not opening:
        raise _unreadable(text)
    operator, at = opening[1], opening.end()
    if operator == "and":
        while True:
            at = _read_condition(text, at, allowed, found)
            closing = _skip_spaces(text, at)
            if text[closing : closing + 1] == ")":
                return closing + 1
            if text[closing : closing + 1] != ",":
                raise _unreadable(text)
            at = closing + 1
    named = _FIELD.match(text, at)
    if not named:
        raise _unreadable(text)
    field, at = named[1], named.end()
    if field not in allowed:
        raise invalid(f"'{field}' is not a valid field for filtering.", parameter="filter")
    if operator not in allowed[field]:
        names = ",".join(allowed[field])
        detail = f"'{operator}' is not an allowed filter operator for {field}.  Allowed operators are {names}"
        raise invalid(detail, parameter="filter")
    value: Any = None
    at = _skip_spaces(text, at)
    if text[at : at + 1] == ",":
        value, at = _read_value(text, _skip_spaces(text, at + 1))
    elif operator != "has":
        raise _unreadable(text)
    at = _skip_spaces(text, at)
    if text[at : at + 1] != ")" or isinstance(value, list) != (operator == "any"):
        raise _unreadable(text)
    found.append(Condition(operator, field, value))
    return at + 1


def _read_value(text: str, at: int) -> tuple[Any, int]:
    letter = text[at : at + 1]
    if letter in ('"', "'") and letter:
        return _read_string(text, at + 1, letter)
    if letter == "[":
        values: list[Any] = []
        at = _skip_spaces(text, at + 1)
        while text[at : at + 1] != "]":
            value, at = _read_value(text, at)
            values.append(value)
            at = _skip_spaces(text, at)
            if text[at : at + 1] == ",":
                at = _skip_spaces(text, at + 1)
            elif text[at : at + 1] != "]":
                raise _unreadable(text)
        return values, at + 1
    bare = _BARE.match(text, at)
    if not bare:
        raise _unreadable(text)
    return _read_scalar(bare[0]), bare.end()


def _read_string(text: str, at: int, quote: str) -> tuple[str, int]:
    letters: list[str] = []
    while at < len(text):
        if text[at] == "\\" and at + 1 < len(text):
            letters.append(text[at + 1])
            at += 2
        elif text[at] == quote:
            return "".join(letters), at + 1
        else:
            letters.append(text[at])
            at += 1
    raise _unreadable(text)


def _read_scalar(word: str) -> Any:
    if word in ("true", "false"):
        return word == "true"
    when = parse_time(word)
    if when is not None:
        return when
    try:
        return float(word) if "." in word else int(word)
    except ValueError:
        raise _unreadable(word) from None


def _text_matches(operator: str, actual: str, wanted: str) -> bool:
    if operator == "contains":
        return wanted in actual
    return actual.startswith(wanted) if operator == "starts-with" else actual.endswith(wanted)


def _skip_spaces(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _unreadable(text: str) -> Exception:
    return invalid(f"The filter could not be read near {text[:80]!r}.", parameter="filter")
