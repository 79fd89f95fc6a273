"""The simulator: seeds whose runs end as the reference says, the same seed twice, and what it is to find."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from askel_tui.sandbox.state import membership
from tests.simulator.__main__ import check, explain
from tests.simulator.run import play
from tests.simulator.shrinking import delta_debug, shortest
from tests.simulator.story import Action, Story, make_story
from tests.support.files import ROOT

QUICK_ACTIONS = 10
MORE_SEEDS = (
    range(1_000_000, 1_000_021),
    range(2_000_001, 2_000_025),
    range(3_000_000, 3_000_025),
    range(4_000_000, 4_000_025),
)
"""Seeds of four tests, about six minutes of processor in all. They are the same ones each time: fresh ones, which
`make simulate HOURS=…` draws, still find what README.md says is known."""

PRINT_DIGEST = """
from tests.simulator.run import play
from tests.simulator.story import Action, Story, make_story
print(play(make_story("7", frozenset({"faults", "crashes", "holds", "bulk"}), 12)).digest())
"""


@pytest.mark.parametrize("seed", range(20))
def test_a_seed_ends_as_the_reference_says(seed: int) -> None:
    story = make_story(str(seed), actions=QUICK_ACTIONS)
    ending, found = check(story)
    assert not found, explain(story, found)
    assert ending.operations > 0


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seeds", MORE_SEEDS, ids=str)
def test_more_seeds_end_as_the_reference_says(seeds: range) -> None:
    for seed in seeds:
        story = make_story(str(seed))
        _, found = check(story)
        assert not found, explain(story, found)


def test_a_seed_decides_everything() -> None:
    """Two processes whose sets and dictionaries have different orders tell the same story to the byte."""
    there = subprocess.run(
        [sys.executable, "-c", PRINT_DIGEST],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    here = play(make_story("7", frozenset({"faults", "crashes", "holds", "bulk"}), 12)).digest()
    assert there.strip() == here


@pytest.mark.slow
def test_a_write_that_is_not_made_is_found_and_shortened(monkeypatch: pytest.MonkeyPatch) -> None:
    """An account that takes nobody off a list is found out, by the two records that it takes."""
    monkeypatch.setattr(membership, "remove_member", lambda *given: True)
    takes = [
        Action(0.1, "take", {"records": [_record(f"{event}-{who}", event, who) for event in events]})
        for who, events in (
            ("ada", ["join", "visit"]),
            ("bo", ["points", "leave", "join"]),
            ("ada", ["leave"]),
        )
    ]
    story = Story("given", {}, [], [takes[0], Action(0.5, "pause", {"workflow": "news"}), *takes[1:]])
    _, found = check(story)
    assert found == ["ada@mapleandember.example: lists is ['Promotions'], but it ought to be []"]
    short = shortest(story, lambda each: bool(check(each)[1]))
    assert [each["id"] for action in short.actions for each in action.what["records"]] == [
        "join-ada",
        "leave-ada",
    ]
    assert "join-ada" in explain(short, found)


def _record(ident: str, event: str, who: str) -> dict[str, Any]:
    data = {"email": f"{who}@mapleandember.example", "n": 1, "name": who, "tier": "gold"}
    return {"id": ident, "event": event, "time": "2026-11-23T08:00:00Z", "data": data}


def test_delta_debugging_finds_the_two_that_matter() -> None:
    tries: list[int] = []

    def fails(items: object) -> bool:
        tries.append(1)
        assert isinstance(items, list)
        return {3, 17} <= set(items)

    assert delta_debug(list(range(40)), fails) == [3, 17]
    assert len(tries) < 100
