"""Text of unknown origin: nothing in it acts on a terminal, and it takes the cells that it is given."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from askel_tui.text.cells import pad, truncate
from askel_tui.text.json_text import format_json, format_value
from askel_tui.text.sanitizing import sanitize, sanitize_lines

TRICKY = st.sampled_from(
    "\x00\x07\x08\t\n\r\x1b\x7f\x80\x9b\x9d\u200b\u200d\u202a\u202e\u2066\u2069\ufeff\u0301\ud800[]/\\@漢🔥é"
)
HOSTILE = st.one_of(
    st.text(), st.text(alphabet=TRICKY), st.text(alphabet=st.characters(categories=("Cc", "Cf", "Mn", "So")))
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), HOSTILE),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(HOSTILE, inner, max_size=4)),
    max_leaves=12,
)
ACTING = ("Cc", "Cf", "Cs", "Zl", "Zp")


def acts(text: str) -> list[str]:
    """Characters that a terminal would act upon or that reorder or hide text."""
    return [hex(ord(char)) for char in text if unicodedata.category(char) in ACTING]


@given(HOSTILE)
def test_nothing_in_it_acts(text: str) -> None:
    assert acts(sanitize(text)) == []
    assert acts(sanitize_lines(text).replace("\n", "")) == []


@given(HOSTILE, st.integers(-2, 200))
def test_it_takes_no_more_cells_than_there_are(text: str, cells: int) -> None:
    assert cell_len(truncate(text, cells)) <= max(cells, 0)
    assert cell_len(pad(text, cells)) == max(cells, 0)
    assert cell_len(pad(text, max(cells, 0), align_right=True)) == max(cells, 0)


@given(JSON)
def test_values_are_shown_whatever_they_hold(value: Any) -> None:
    assert acts(format_value(value)) == []
    assert acts(format_json(value).replace("\n", "")) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain text", "plain text"),
        ("[bold red]Rob[/] [@click=app.quit]x[/]", "[bold red]Rob[/] [@click=app.quit]x[/]"),
        ("\x1b[2J\x1b]0;owned\x07 \u202etxet", "␛[2J␛]0;owned␇ <202e>txet"),
        ("A\x00B", "A␀B"),
        ("Zoë 🔥 Ember", "Zoë 🔥 Ember"),
    ],
)
def test_what_it_looks_like(text: str, expected: str) -> None:
    assert sanitize(text) == expected


def test_heaps_of_marks_stay_on_their_line() -> None:
    assert len(sanitize("a" + "\u0301" * 500)) <= 5


def test_long_text_is_cut_unread() -> None:
    assert len(sanitize("x" * 200_000)) == 4_096
    assert truncate("x" * 200_000, 10) == "xxxxxxxxx…"
    assert truncate("漢字漢字漢字", 5) == "漢字…"


def test_deep_values_do_not_sink_the_screen() -> None:
    deep: Any = "end"
    for _ in range(100_000):
        deep = [deep]
    assert format_value(deep) == "(cannot be shown)"
