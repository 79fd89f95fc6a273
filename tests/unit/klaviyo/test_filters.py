"""Filters match exactly the values they were made of, and fit a request line."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote

from hypothesis import given
from hypothesis import strategies as st

from askel_tui.contract.endpoints import endpoint
from askel_tui.klaviyo.filters import (
    MAX_FILTER_BYTES,
    any_of,
    any_of_batches,
    equals,
    parse_query,
    query_string,
    quote_literal,
)
from tests.support.queries import filter_problems

values = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def unquoted(literal: str) -> str:
    """What a reader of the filter language makes of a string literal."""
    assert literal[0] == literal[-1] == '"'
    return re.sub(r"\\(.)", r"\1", literal[1:-1], flags=re.DOTALL)


@given(values)
def test_a_literal_reads_back_as_the_value(value: str) -> None:
    literal = quote_literal(value)
    assert unquoted(literal) == value
    assert re.fullmatch(r'"(?:[^"\\]|\\.)*"', literal, flags=re.DOTALL), "no quote ends it early"


@given(st.lists(values, min_size=1))
def test_filters_are_grammatical(some: list[str]) -> None:
    one = endpoint("2026-07-15", "get_profiles")
    assert filter_problems(one, any_of("email", [value.replace("\n", "") for value in some])) == []
    assert filter_problems(one, equals("email", some[0].replace("\n", ""))) == []


@given(st.lists(values, max_size=400))
def test_many_values_are_cut_into_short_filters(some: list[str]) -> None:
    parts = list(any_of_batches("email", some))
    assert [value for _, part in parts for value in part] == list(dict.fromkeys(some))
    for text, part in parts:
        assert text == any_of("email", part)
        assert len(part) <= 100
        assert len(quote(text, safe="")) <= MAX_FILTER_BYTES + 100 or len(part) == 1


def test_a_hundred_usual_addresses_fit_one_filter_and_long_ones_do_not() -> None:
    usual = [f"shopper{n:05}@mapleandember.example" for n in range(100)]
    assert len(list(any_of_batches("email", usual))) == 1
    long = [f"{'x' * 80}{n:03}@mapleandember.example" for n in range(100)]
    assert len(list(any_of_batches("email", long))) > 1


@given(st.dictionaries(values.filter(bool), values))
def test_a_query_string_reads_back(query: dict[str, str]) -> None:
    text = query_string(query)
    assert dict(parse_qsl(text[1:], keep_blank_values=True)) == query
    assert parse_query(text[1:]) == query
    assert text.isascii()
    assert " " not in text
