"""Sorted views of collections, kept until the collection changes, and pages cut from them by cursor."""

from __future__ import annotations

import base64
import json
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

T = TypeVar("T")
SortKey = tuple[Any, str]
"""The key that rows are sorted by: a value, and the row's id to make the key unique."""


class InvalidCursor(ValueError):
    """A `page[cursor]` that no response has given."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Rows of one page and the cursors before and after it."""

    rows: list[T]
    next: str | None
    prev: str | None


class SortedViews:
    """The sorted views by name; one is built anew when its version is another."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, tuple[int, list[tuple[SortKey, Any]]]] = {}

    def get(
        self, name: Hashable, version: int, rows: Callable[[], Iterable[T]], key: Callable[[T], SortKey]
    ) -> list[tuple[SortKey, T]]:
        """Returns the rows in ascending order, each with its key."""
        kept = self._kept.get(name)
        if kept is None or kept[0] != version:
            if len(self._kept) > 100:
                self._kept.clear()
            kept = (version, sort_rows(rows(), key))
            self._kept[name] = kept
        return kept[1]


def sort_rows(rows: Iterable[T], key: Callable[[T], SortKey]) -> list[tuple[SortKey, T]]:
    """Sorts the rows in ascending order, each with its key."""
    return sorted(((key(row), row) for row in rows), key=_key_of)


def rows_between(rows: list[tuple[SortKey, T]], bounds: Iterable[tuple[str, Any]]) -> list[tuple[SortKey, T]]:
    """Finds the part of ascending rows within bounds on their sort value; a bound is (filter operator, value)."""
    start, end = 0, len(rows)
    for operator, value in bounds:
        after = bisect_right(rows, value, key=_sorted_value)
        before = bisect_left(rows, value, key=_sorted_value)
        if operator.startswith("greater"):
            start = max(start, after if operator == "greater-than" else before)
        else:
            end = min(end, before if operator == "less-than" else after)
    return rows[start:end]


def cut_page(rows: list[tuple[SortKey, T]], cursor: str | None, size: int, *, descending: bool) -> Page[T]:
    """Cuts a page from rows in ascending order. Raises `InvalidCursor`."""
    start, end = 0, len(rows)
    if cursor is None:
        start, end = (max(0, end - size), end) if descending else (0, min(size, end))
    else:
        forward, at = _decode(cursor)
        try:
            upward = forward != descending
            edge = bisect_right(rows, at, key=_key_of) if upward else bisect_left(rows, at, key=_key_of)
        except TypeError as error:
            raise InvalidCursor(cursor) from error
        start, end = (edge, min(edge + size, end)) if upward else (max(0, edge - size), edge)
    cut = rows[start:end]
    if descending:
        cut.reverse()
    before, after = (end < len(rows), start > 0) if descending else (start > 0, end < len(rows))
    return Page(
        [row for _, row in cut],
        _encode(True, cut[-1][0]) if cut and after else None,
        _encode(False, cut[0][0]) if cut and before else None,
    )


def _sorted_value(row: tuple[SortKey, Any]) -> Any:
    return row[0][0]


def _key_of(row: tuple[SortKey, Any]) -> SortKey:
    return row[0]


def _encode(forward: bool, key: SortKey) -> str:
    text = json.dumps([forward, key[0], key[1]], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(cursor: str) -> tuple[bool, SortKey]:
    cursor = cursor.removeprefix("=")  # the official SDK cuts one out of a URL with its equals sign
    try:
        forward, value, ident = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, TypeError) as error:
        raise InvalidCursor(cursor) from error
    return bool(forward), (value, str(ident))
