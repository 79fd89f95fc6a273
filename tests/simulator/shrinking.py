"""Shortens a story that fails: actions, then records of those that are left, are left out while it still fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from tests.simulator.story import Action, Story

T = TypeVar("T")

MAX_TRIES = 400
"""The number of runs after which the shortest story so far has to do."""


def shortest(story: Story, fails: Callable[[Story], bool]) -> Story:
    """Returns the shortest story that was found to fail; the given one where none is shorter."""
    tries = 0

    def still(actions: Sequence[Action]) -> bool:
        nonlocal tries
        tries += 1
        return tries <= MAX_TRIES and fails(replace(story, actions=list(actions)))

    actions = delta_debug(story.actions, still)
    for number in range(len(actions)):
        actions = _with_fewer_records(actions, number, still)
    return replace(story, actions=actions)


def _with_fewer_records(
    actions: Sequence[Action], number: int, fails: Callable[[Sequence[Action]], bool]
) -> list[Action]:
    """Leaves out records of one of the actions."""

    def with_records(records: Sequence[Any]) -> list[Action]:
        changed = replace(actions[number], what={"records": list(records)})
        return [*actions[:number], changed, *actions[number + 1 :]]

    records = actions[number].what.get("records", [])
    return (
        with_records(delta_debug(records, lambda left: fails(with_records(left)))) if records else [*actions]
    )


def delta_debug(items: Sequence[T], fails: Callable[[Sequence[T]], bool]) -> list[T]:
    """Returns a part of the items that fails, from which no single one can be left out (Zeller's ddmin)."""
    left, parts = list(items), 2
    while len(left) >= 2:
        size = -(-len(left) // parts)
        for start in range(0, len(left), size):
            rest = [*left[:start], *left[start + size :]]
            if rest and fails(rest):
                left, parts = rest, max(2, parts - 1)
                break
        else:
            if size == 1:
                break
            parts = min(len(left), parts * 2)
    return left
