"""What is typed behind `/`, and what it means for the tail."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.tui.screens.live.filter import FIELDS, BadField, match_of
from askel_tui.tui.text.filtering import parse

NOW = 1_764_000_000_000


def test_words_must_all_be_there_whatever_the_case() -> None:
    wanted = parse("Ada gold")
    assert wanted.fits("ADA is Gold")
    assert not wanted.fits("ada is silver")


def test_a_mark_turns_a_word_round() -> None:
    wanted = parse("ada !gold")
    assert wanted.fits("ada silver")
    assert not wanted.fits("ada gold")


def test_quotes_keep_words_together() -> None:
    assert parse('"first points" step:"not vip"', FIELDS).words == ("first points",)
    assert parse('step:"not vip"', FIELDS).fields == {"step": "not vip"}


def test_a_field_that_nobody_knows_is_a_word() -> None:
    assert parse("https://x", FIELDS).words == ("https://x",)
    assert parse("step:tier").words == ("step:tier",)


@given(st.text())
def test_any_line_means_something(text: str) -> None:
    wanted = parse(text, FIELDS)
    wanted.fits(text)
    assert bool(wanted) == bool(wanted.words or wanted.without or wanted.fields)


def test_fields_become_the_audits_own() -> None:
    match = match_of(parse("workflow:w step:s result:fail profile:a@b since:15m ada !bob", FIELDS), NOW)
    assert match is not None
    assert (match.wanted.workflow, match.wanted.step, match.wanted.status) == ("w", "s", "failed")
    assert (match.wanted.profile, match.wanted.since) == ("a@b", NOW - 900_000)
    assert (match.words, match.without, match.by_index) == (("ada",), ("bob",), False)


def test_nothing_typed_is_everything() -> None:
    assert match_of(parse("  ", FIELDS), NOW) is None


@pytest.mark.parametrize("text", ["result:nonsense", "since:yesterday"])
def test_a_value_that_makes_no_sense_is_told(text: str) -> None:
    with pytest.raises(BadField, match="is"):
        match_of(parse(text, FIELDS), NOW)
