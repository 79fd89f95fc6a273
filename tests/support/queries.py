"""Whether an endpoint takes a query: parameter names, values, page sizes, filters (docs/klaviyo.md 7)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from askel_tui.contract.endpoints import Endpoint, endpoint
from tests.support.schemas import operation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LISTS = frozenset({"any", "contains-any", "contains-all"})
_OPENING = re.compile(r"\s*([a-z-]+)\(\s*")
_FIELD = re.compile(r"[A-Za-z_$][\w.$-]*")
_TEXT = r'"(?:[^"\\]|\\.)*"' + r"|'(?:[^'\\]|\\.)*'"
_BARE = r"[^\s,()\[\]\"']+"
_SCALAR = re.compile(rf"\s*(?:{_TEXT}|{_BARE})\s*")
_ARRAY = re.compile(rf"\s*\[\s*(?:{_TEXT}|{_BARE})(?:\s*,\s*(?:{_TEXT}|{_BARE}))*\s*\]\s*")


def query_problems(revision: str, name: str, query: Mapping[str, str]) -> list[str]:
    """What is wrong with a query, a line each."""
    at = endpoint(revision, name)
    return [problem for key, value in query.items() for problem in _parameter(revision, at, key, value)]


def _parameter(revision: str, at: Endpoint, key: str, value: str) -> Iterator[str]:
    if key == "page[size]":
        yield from _page_size(at, value)
    elif key == "page[cursor]":
        if not at.cursor:
            yield f"{key}: {at.name} has no cursor"
    elif key == "filter":
        yield from filter_problems(at, value)
    elif key == "sort":
        if value not in at.sort:
            yield f"{key}: {value!r} is none of {', '.join(at.sort) or 'none'}"
    elif key == "include":
        yield from _values(key, value, at.include)
    elif key.startswith("additional-fields["):
        yield from _values(key, value, at.additional_fields.get(key, ()))
    else:
        allowed = _sparse_fields(revision, at, key)
        if allowed is None:
            yield f"{key}: {at.name} takes no such parameter"
        else:
            yield from _values(key, value, allowed)


def _page_size(at: Endpoint, value: str) -> Iterator[str]:
    if not at.page_size_allowed:
        yield f"page[size]: {at.name} takes none at this revision"
    elif not value.isdecimal() or not 1 <= int(value) <= (at.page_max or 0):
        yield f"page[size]: {value!r} is not between 1 and {at.page_max}"


def _values(key: str, value: str, allowed: tuple[str, ...]) -> Iterator[str]:
    for one in value.split(","):
        if one not in allowed:
            yield f"{key}: {one!r} is none of {', '.join(allowed) or 'none'}"


def _sparse_fields(revision: str, at: Endpoint, key: str) -> tuple[str, ...] | None:
    described: dict[str, Any] = operation(revision, at.path, at.method) or {}
    for parameter in described.get("parameters", ()):
        if parameter["in"] == "query" and parameter["name"] == key:
            return tuple(parameter["schema"].get("items", {}).get("enum", ()))
    return None


def filter_problems(at: Endpoint, text: str) -> list[str]:
    """What is wrong with a filter: its grammar, its fields, their operators."""
    if not at.filters:
        return [f"filter: {at.name} takes none"]
    try:
        terms = list(_terms(text))
    except ValueError as problem:
        return [f"filter: {problem} in {text!r}"]
    problems = []
    for operator, field in terms:
        if field not in at.filters:
            problems.append(f"filter: {at.name} cannot be filtered by {field}")
        elif operator not in at.filters[field]:
            allowed = ", ".join(at.filters[field])
            problems.append(f"filter: {operator!r} is not allowed for {field}, only {allowed}")
    return problems


def _terms(text: str) -> Iterator[tuple[str, str]]:
    position = 0
    inside_and = False
    while True:
        opening = _OPENING.match(text, position)
        if opening is None:
            raise ValueError(f"no operator at {position}")
        position = opening.end()
        if opening[1] == "and" and not inside_and:
            inside_and = True
            continue
        field = _FIELD.match(text, position)
        if field is None:
            raise ValueError(f"no field at {position}")
        position = _closed(text, _value_end(text, opening[1], field.end()))
        yield opening[1], field[0]
        if inside_and and text[position : position + 1] == ")":
            inside_and = False
            position += 1
        if position == len(text) and not inside_and:
            return
        if text[position : position + 1] != ",":
            raise ValueError(f"no comma at {position}")
        position += 1


def _value_end(text: str, operator: str, position: int) -> int:
    if operator == "has":
        return position
    comma = re.compile(r"\s*,").match(text, position)
    if comma is None:
        raise ValueError(f"no value at {position}")
    value = (_ARRAY if operator in _LISTS else _SCALAR).match(text, comma.end())
    if value is None:
        raise ValueError(f"{'no array' if operator in _LISTS else 'no single value'} at {comma.end()}")
    return value.end()


def _closed(text: str, position: int) -> int:
    if text[position : position + 1] != ")":
        raise ValueError(f"no closing parenthesis at {position}")
    return position + 1
