"""Problems: their texts, and what they suggest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.core.problems import Problem, did_you_mean


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (Problem("is missing"), "is missing"),
        (Problem("is missing", field="profile", file="w.yaml", line=3), "w.yaml:3: profile: is missing"),
        (Problem("is missing", file="w.yaml"), "w.yaml: is missing"),
        (Problem("is missing", line=3), "line 3: is missing"),
        (
            Problem("no such list", "list", "welcome", "w.yaml", 9, "Welcome Flow"),
            "w.yaml:9: step welcome, list: no such list. Did you mean 'Welcome Flow'?",
        ),
    ],
)
def test_a_problem_names_its_location(problem: Problem, expected: str) -> None:
    assert str(problem) == expected


@given(st.text(), st.text(), st.text())
def test_a_problem_is_one_printable_line(message: str, field: str, suggestion: str) -> None:
    assert str(Problem(message, field, suggestion=suggestion)).isprintable()


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("Welcom Flow", "Welcome Flow"),
        ("welcome flow", "Welcome Flow"),
        ("news", "Newsletter"),
        ("VIP", None),
        ("", None),
        ("x" * 1_000_000, None),
    ],
)
def test_the_nearest_known_word_is_suggested(word: str, meant: str | None) -> None:
    assert did_you_mean(word, ["Newsletter", "Welcome Flow", "Promotions"]) == meant
