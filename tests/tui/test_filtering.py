"""What is typed behind `/`, and what it means for the tail."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.tui.screens.live.filter import TAIL_FILTER_FIELDS, InvalidFilterField, build_query
from askel_tui.tui.text.filtering import parse_filter

NOW = 1_764_000_000_000


def test_words_must_all_be_there_whatever_the_case() -> None:
    wanted = parse_filter("Ada gold")
    assert wanted.matches("ADA is Gold")
    assert not wanted.matches("ada is silver")


def test_a_mark_turns_a_word_round() -> None:
    wanted = parse_filter("ada !gold")
    assert wanted.matches("ada silver")
    assert not wanted.matches("ada gold")


def test_quotes_keep_words_together() -> None:
    assert parse_filter('"first points" step:"not vip"', TAIL_FILTER_FIELDS).words == ("first points",)
    assert parse_filter('step:"not vip"', TAIL_FILTER_FIELDS).fields == {"step": "not vip"}


def test_a_field_that_nobody_knows_is_a_word() -> None:
    assert parse_filter("https://x", TAIL_FILTER_FIELDS).words == ("https://x",)
    assert parse_filter("step:tier").words == ("step:tier",)


@given(st.text())
def test_any_line_means_something(text: str) -> None:
    wanted = parse_filter(text, TAIL_FILTER_FIELDS)
    wanted.matches(text)
    assert bool(wanted) == bool(wanted.words or wanted.excluded or wanted.fields)


def test_fields_become_the_audits_own() -> None:
    match = build_query(
        parse_filter("workflow:w step:s result:fail profile:a@b since:15m ada !bob", TAIL_FILTER_FIELDS), NOW
    )
    assert match is not None
    assert (match.wanted.workflow, match.wanted.step, match.wanted.status) == ("w", "s", "failed")
    assert (match.wanted.profile, match.wanted.since) == ("a@b", NOW - 900_000)
    assert (match.words, match.without, match.by_index) == (("ada",), ("bob",), False)


def test_nothing_typed_is_everything() -> None:
    assert build_query(parse_filter("  ", TAIL_FILTER_FIELDS), NOW) is None


@pytest.mark.parametrize("text", ["result:nonsense", "since:yesterday"])
def test_a_value_that_makes_no_sense_is_reported(text: str) -> None:
    with pytest.raises(InvalidFilterField, match="is"):
        build_query(parse_filter(text, TAIL_FILTER_FIELDS), NOW)
