"""The history of a step's holds: what a person released and comes back stays; passing trouble never does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.core.hold_causes import HOLD_CAUSES, Cause
from askel_tui.core.hold_history import MAX_PAUSE_MS, HoldHistory, HoldTerms, note_begin, note_end, pause_ms

MINUTE = 60_000
CHANGES = sorted(name for name, cause in HOLD_CAUSES.items() if cause.is_account_change)
PASSING = sorted(name for name, cause in HOLD_CAUSES.items() if cause.is_passing)

STORIES = [
    # Each: when (in minutes) which hold began (its cause) or ended (by whom), and whether the last one stays.
    ([(0, "gone"), (1, "ada"), (2, "gone"), (3, "askel"), (4, "gone")], True),
    ([(0, "gone"), (1, "ada"), (2, "gone"), (3, "askel"), (14, "gone")], False),
    ([(0, "gone"), (1, "askel"), (2, "gone"), (3, "askel"), (4, "gone")], False),
    ([(0, "gone"), (1, "ada"), (2, "gone"), (3, "ada"), (4, "gone")], True),
    ([(0, "gone"), (1, "ada"), (12, "gone"), (13, "askel"), (14, "gone")], False),
    ([(0, "gone"), (1, "ada"), (2, "gone"), (3, "askel"), (4, "gone"), (5, "ada"), (6, "gone")], False),
    ([(0, "out"), (1, "ada"), (2, "out"), (3, "askel"), (4, "out")], False),
]


@pytest.mark.parametrize(("story", "stays"), STORIES)
def test_what_was_released_and_comes_back_twice_stays(story: list[tuple[int, str]], stays: bool) -> None:
    history, terms, cause = HoldHistory(), HoldTerms(), ""
    for minute, what in story:
        now = minute * MINUTE
        if what in ("gone", "out"):
            cause = Cause.TARGET_GONE if what == "gone" else Cause.OUTAGE
            history, terms = note_begin(history, cause, now)
        else:
            history = note_end(history, cause, now, by_itself=what == "askel", stayed=terms.stays)
    assert terms.stays is stays


STEPS = st.lists(st.tuples(st.integers(0, 20 * MINUTE), st.booleans()), max_size=40)


@given(STEPS, st.sampled_from(PASSING))
def test_passing_trouble_never_stays_and_its_pauses_grow_to_a_quarter_of_an_hour(
    steps: list[tuple[int, bool]], cause: str
) -> None:
    history, now, pauses = HoldHistory(), 0, [0]
    for wait, by_itself in steps:
        history, terms = note_begin(history, cause, now)
        assert not terms.stays
        pause = pause_ms(15_000, terms.repeats)
        assert pause <= MAX_PAUSE_MS
        assert pause == 15_000 or pause == min(2 * pauses[-1], MAX_PAUSE_MS)
        pauses.append(pause)
        now += pause
        history = note_end(history, cause, now, by_itself=by_itself, stayed=False)
        now += wait


@given(STEPS, st.sampled_from(CHANGES))
def test_what_nobody_released_ends_by_itself_as_often_as_it_comes(
    steps: list[tuple[int, bool]], cause: str
) -> None:
    history, now = HoldHistory(), 0
    for wait, _ in steps:
        history, terms = note_begin(history, cause, now)
        assert not terms.stays
        now += wait
        history = note_end(history, cause, now, by_itself=True, stayed=False)


def test_a_pause_is_bounded_however_often_it_repeats() -> None:
    assert [pause_ms(15_000, repeats) for repeats in (0, 1, 2, 6, 10_000)] == [
        15_000, 30_000, 60_000, MAX_PAUSE_MS, MAX_PAUSE_MS,
    ]  # fmt: skip
    assert pause_ms(2 * MAX_PAUSE_MS, 3) == 2 * MAX_PAUSE_MS
