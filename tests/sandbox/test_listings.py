"""Pages and filters as pure functions: nothing is lost, doubled or misread."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.sandbox.jsonapi.errors import Refusal
from askel_tui.sandbox.state.sorted_views import InvalidCursor, cut_page, sort_rows
from askel_tui.sandbox.validation.filters import parse_filter

_ROWS = st.lists(st.integers(0, 5), max_size=40).map(lambda values: list(enumerate(values)))
_ALLOWED = {"name": ("equals", "any", "contains"), "created": ("greater-than",)}


@given(_ROWS, st.integers(1, 7), st.booleans())
def test_pages_are_the_whole_in_order_there_and_back(
    rows: list[tuple[int, int]], size: int, down: bool
) -> None:
    view = sort_rows(rows, lambda row: (row[1], f"{row[0]:03d}"))
    wanted = [row for _, row in view][:: -1 if down else 1]
    first = one = cut_page(view, None, size, descending=down)
    seen, previous = list(one.rows), one.rows
    while one.next:
        previous = one.rows
        one = cut_page(view, one.next, size, descending=down)
        seen += one.rows
    assert seen == wanted
    assert first.prev is None
    if one.prev:
        assert cut_page(view, one.prev, size, descending=down).rows == previous


@given(_ROWS, st.integers(1, 7))
def test_a_row_that_comes_in_between_moves_no_other(rows: list[tuple[int, int]], size: int) -> None:
    view = sort_rows(rows, lambda row: (row[1], f"{row[0]:03d}"))
    one = cut_page(view, None, size, descending=False)
    if one.next:
        more = sort_rows([*rows, (999, -1)], lambda row: (row[1], f"{row[0]:03d}"))
        assert (
            cut_page(more, one.next, size, descending=False).rows
            == cut_page(view, one.next, size, descending=False).rows
        )


@pytest.mark.parametrize("cursor", ["nonsense", "e30", "W10", "WzEsMl0", "W3RydWUsInRleHQiLCIxIl0"])
def test_a_cursor_of_nobody_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        cut_page(sort_rows([(1, 2)], lambda row: (row[1], "1")), cursor, 5, descending=False)


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_any_text_can_be_filtered_for(values: list[str]) -> None:
    quoted = [f'"{_escaped(value)}"' for value in values]
    [condition] = parse_filter(f"any(name,[{','.join(quoted)}])", _ALLOWED)
    assert condition.value == values
    [one] = parse_filter(f"equals(name,{quoted[0]})", _ALLOWED)
    assert one.is_met_by(values[0])


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


@given(st.text())
def test_a_filter_is_read_or_refused(text: str) -> None:
    with suppress(Refusal):
        assert all(one.field in _ALLOWED for one in parse_filter(text, _ALLOWED))
