"""Keeps the order of records across workflows when their operations are planned workflow by workflow. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

TouchedProfile = tuple[int, Sequence[str]]
"""A record by its position in the order, and the keys of the profile that a workflow's operations of it are about."""

_SEVERAL_WORKFLOWS = -1


def cut_points(workflows: Sequence[Sequence[TouchedProfile]]) -> Iterator[int | None]:
    """Finds where to cut the records of several workflows, so that planning each range workflow by workflow keeps the
    order.

    In one range no profile is touched by two records under different workflows. Returns the position of the last record
    of each range; None for the last range, which has no end.
    """
    merged = sorted(
        (position, number, keys)
        for number, touched in enumerate(workflows)
        for position, keys in touched
        if keys
    )
    earlier: dict[str, int] = {}
    """The workflow under which earlier records of the range touch a profile, by the profile's key."""
    current: dict[str, int] = {}
    """The workflow under which the present record touches a profile, by the profile's key."""
    last: int | None = None
    for position, number, keys in merged:
        if position != last:
            _add(earlier, current)
            current = {}
        if any(earlier.get(key, number) != number for key in keys):
            assert last is not None
            yield last if position != last else position - 1
            earlier = {}
        _add(current, dict.fromkeys(keys, number))
        last = position
    yield None


def _add(workflow_of: dict[str, int], more: dict[str, int]) -> None:
    for key, number in more.items():
        workflow_of[key] = number if workflow_of.get(key, number) == number else _SEVERAL_WORKFLOWS
