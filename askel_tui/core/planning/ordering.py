"""Keeps the order of records across workflows when their operations are planned workflow by workflow. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

TouchedLines = tuple[int, Sequence[Hashable]]
"""A record by its position in the order, and the lines of a workflow's operations of it (see `core.lines`)."""

_SEVERAL_WORKFLOWS = -1


def cut_points(workflows: Sequence[Sequence[TouchedLines]]) -> Iterator[int | None]:
    """Finds where to cut the records of several workflows, so that planning each range workflow by workflow keeps the
    order.

    In one range no line is touched by two records under different workflows. Returns the position of the last record
    of each range; None for the last range, which has no end.
    """
    merged = sorted(
        (position, number, lines)
        for number, touched in enumerate(workflows)
        for position, lines in touched
        if lines
    )
    earlier: dict[Hashable, int] = {}
    """The workflow under which earlier records of the range touch a line."""
    current: dict[Hashable, int] = {}
    """The workflow under which the present record touches a line."""
    last: int | None = None
    for position, number, lines in merged:
        if position != last:
            _add(earlier, current)
            current = {}
        if any(earlier.get(line, number) != number for line in lines):
            assert last is not None
            yield last if position != last else position - 1
            earlier = {}
        _add(current, dict.fromkeys(lines, number))
        last = position
    yield None


def _add(workflow_of: dict[Hashable, int], more: dict[Hashable, int]) -> None:
    for line, number in more.items():
        workflow_of[line] = number if workflow_of.get(line, number) == number else _SEVERAL_WORKFLOWS
