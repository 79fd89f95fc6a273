"""What the simulator found in the engine, each in the shortest story that shows it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.__main__ import check, explain
from tests.simulator.story import Action, Story

IN_BULK = {"max_single_backlog_s": 0.0}
"""Limits under which nothing goes in single calls, whose answers show who is one person."""

EMAIL = {"email": "p7@mapleandember.example"}
PHONE = {"phone_number": "+442079460007"}
EXTERNAL_ID = {"external_id": "S-7"}


def take(after: float, *records: tuple[str, dict[str, str]]) -> Action:
    """Takes records, each an event and who it is about; `make` numbers them."""
    return Action(after, "take", {"records": [{"event": event, "data": {**who}} for event, who in records]})


def make(*actions: Action, limits: dict[str, Any] | None = None, known: Any = ()) -> Story:
    """Makes a story of actions."""
    number = 0
    for action in actions:
        for record in action.what.get("records", ()):
            number += 1
            record.update(id=f"r{number}", time="2026-11-23T08:00:00Z")
            record["data"].update(n=number, name=f"Name {number}", tier="gold")
    return Story("given", limits or {}, list(known), list(actions))


def assert_as_it_ought_to_be(story: Story) -> None:
    _, found = check(story)
    assert not found, explain(story, found)


@pytest.mark.parametrize(
    ("both", "held", "other"),
    [
        (EMAIL | PHONE, PHONE, EMAIL | EXTERNAL_ID),
        (EMAIL | PHONE, PHONE, EMAIL),
        (EMAIL | PHONE, EMAIL, PHONE),
        (PHONE | EXTERNAL_ID, PHONE, EXTERNAL_ID),
    ],
    ids=lambda each: "+".join(each),
)
def test_what_was_held_in_bulk_does_not_undo_what_was_written_by_another_identifier(
    both: dict[str, str], held: dict[str, str], other: dict[str, str]
) -> None:
    """Import jobs show no ids: the journal knows who has the phone number."""
    hold = Action(0.1, "hold", {"workflow": "leave", "step": "remove"})
    known = [{**EMAIL, **PHONE, **EXTERNAL_ID}]
    story = make(
        hold, take(0.1, ("join", both), ("leave", held), ("join", other)), limits=IN_BULK, known=known
    )
    assert_as_it_ought_to_be(story)


def test_a_record_that_waits_and_is_refused_makes_nobody_one_person() -> None:
    """The second record waits at its gate while the third is written; the fourth names both people, and conflicts."""
    fault = {"endpoint": "get_profiles_for_segment", "times": 4, "lost": True}
    first = take(0.1, ("points", PHONE | EXTERNAL_ID))
    others = take(
        5.0,
        ("visit", EMAIL),
        ("points", PHONE | EXTERNAL_ID),
        ("points", EMAIL | EXTERNAL_ID),
        ("visit", PHONE),
    )
    assert_as_it_ought_to_be(make(first, Action(0.0, "fault", fault), others))


START_ANEW = [
    Action(20.0, "crash", {"commits": 1, "last": "whole", "torn_at": 0.5}),
    take(0.0, ("quit", EMAIL)),
]
PERSON = {**EMAIL, **PHONE, **EXTERNAL_ID}


@pytest.mark.parametrize("known", [[PERSON], []], ids=["known", "unknown"])
@pytest.mark.parametrize(
    ("first", "then"),
    [
        (["leave"], START_ANEW),
        (["leave", *["visit"] * 40], []),
        (["leave", *["visit"] * 40], START_ANEW),
    ],
    ids=["a start between", "many records", "both"],
)
@pytest.mark.slow
def test_what_goes_on_after_a_pause_does_not_write_over_what_came_in_meanwhile(
    first: list[str], then: list[Action], known: list[dict[str, str]]
) -> None:
    pause = Action(0.1, "pause", {"workflow": "join"})
    passing = take(0.5, ("join", PERSON), *[(event, PERSON) for event in first])
    resume = Action(30.0, "resume", {"workflow": "join"})
    assert_as_it_ought_to_be(make(pause, passing, *then, resume, known=known))


def test_a_list_that_comes_back_has_whom_a_job_added_while_it_was_gone() -> None:
    actions = [take(0.1, ("join", EMAIL)), Action(1.0, "remove", {"list": "Promotions"})]
    assert_as_it_ought_to_be(make(*actions, limits=IN_BULK))


def test_a_clock_that_is_set_back_has_nothing_written_again_and_again() -> None:
    """By the clock the older writes were answered after the newer ones were sent, for two hours."""
    actions = [
        Action(0.1, "pause", {"workflow": "visit"}),
        take(0.1, ("visit", PERSON), ("leave", PERSON), ("points", PERSON)),
        Action(3.0, "clock", {"seconds": -7200.0}),
        take(0.1, ("join", PERSON), ("points", PERSON)),
        Action(3.0, "resume", {"workflow": "visit"}),
    ]
    story = make(*actions, known=[PERSON])
    assert_as_it_ought_to_be(story)
    again = [entry for entry in check(story)[0].entries if entry.kind == "written_again"]
    assert len(again) < 5
