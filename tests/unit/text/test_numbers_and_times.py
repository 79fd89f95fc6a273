"""Numbers and times as words: one unit, never more than there is, the same in every time zone."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.text.numbers import abbreviate_count, pluralize
from askel_tui.text.shortening import join_first, shorten
from askel_tui.text.times import format_age, format_time_of_day, format_timestamp, to_rfc3339


def test_a_count_agrees_with_its_noun() -> None:
    assert pluralize(1, "entry", "entries") == "1 entry"
    assert pluralize(1_200, "record") == "1,200 records"


@given(st.integers(0, 10**15))
def test_a_short_count_fits_and_never_says_more_than_there_is(number: int) -> None:
    shown = abbreviate_count(number)
    assert len(shown) <= 6 or number >= 10**12
    figure, _, unit = shown.partition(" ")
    assert float(figure.replace(",", "")) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[unit] <= number


@pytest.mark.parametrize(
    ("number", "shown"), [(98_765, "98,765"), (123_456, "123 k"), (1_299_999, "1.2 M"), (54_000_000, "54 M")]
)
def test_short_counts(number: int, shown: str) -> None:
    assert abbreviate_count(number) == shown


def test_an_age_has_one_unit() -> None:
    ages = [format_age(0, ms) for ms in (500, 59_000, 60_000, 7_200_000, 200_000_000)]
    assert ages == ["0 s", "59 s", "1 min", "2 h", "2 d"]
    assert format_age(10_000, 0) == "0 s"


@given(st.integers(0, 4_000_000_000_000))
def test_a_time_reads_back_to_the_millisecond(ms: int) -> None:
    assert round(datetime.fromisoformat(to_rfc3339(ms)).timestamp() * 1000) == ms


def test_times_are_written_in_utc() -> None:
    ms = 1_769_850_000_123
    assert to_rfc3339(ms) == "2026-01-31T09:00:00.123Z"
    assert format_timestamp(ms) == "2026-01-31 09:00:00Z"
    assert format_timestamp(ms, milliseconds=True) == "2026-01-31 09:00:00.123Z"
    assert format_timestamp(ms, zone=" UTC") == "2026-01-31 09:00:00 UTC"
    assert format_time_of_day(ms) == "09:00:00"


def test_long_texts_and_lists_are_shortened() -> None:
    assert [shorten("abcd", 4), shorten("abcde", 4), shorten("abc", 0)] == ["abcd", "abc…", "…"]
    assert join_first(["a", "b"], 2) == "a, b"
    assert join_first(["a", "b", "c"], 2) == "a, b, …"
