"""Klaviyo's filter language and query strings (docs/klaviyo.md 7). Pure.

Servers commonly refuse a request line of more than 8 KB, so long lists of values are split into several filters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

MAX_FILTER_BYTES = 6_000
"""The largest percent-encoded filter, in bytes: 8 KB less the path and the other parameters."""

MAX_VALUES_PER_FILTER = 100
"""The most values in one `any` filter: one page holds a row for each."""


def quote_literal(value: str) -> str:
    """Quotes a value as a string literal of the filter language."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def equals(field: str, value: str) -> str:
    """Builds the filter `equals(field,"value")`."""
    return f"equals({field},{quote_literal(value)})"


def any_of(field: str, values: Iterable[str]) -> str:
    """Builds the filter `any(field,["a","b"])`."""
    return f"any({field},[{','.join(map(quote_literal, values))}])"


def any_of_batches(
    field: str, values: Iterable[str], *, max_values: int = MAX_VALUES_PER_FILTER
) -> Iterator[tuple[str, list[str]]]:
    """Builds `any` filters that together name all values, each short enough to send, with the values in it."""
    part: list[str] = []
    size = 0
    for value in dict.fromkeys(values):
        length = len(quote(quote_literal(value), safe="")) + len("%2C")
        if part and (len(part) == max_values or size + length > MAX_FILTER_BYTES):
            yield any_of(field, part), part
            part, size = [], 0
        part.append(value)
        size += length
    if part:
        yield any_of(field, part), part


def query_string(query: Mapping[str, str]) -> str:
    """Encodes parameters as a query string, percent-encoded and with its question mark; empty without parameters."""
    if not query:
        return ""
    return "?" + "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query.items())


def parse_query(query: str) -> dict[str, str]:
    """Decodes the parameters of a query string."""
    return dict(parse_qsl(query, keep_blank_values=True))


def sparse_fields(resource: str, names: Sequence[str]) -> dict[str, str]:
    """Builds the sparse fieldset parameter of a resource."""
    return {f"fields[{resource}]": ",".join(names)}
