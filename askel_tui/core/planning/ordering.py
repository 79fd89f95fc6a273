"""The order of arrival across workflows. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

TouchedProfile = tuple[int, Sequence[str]]
"""A record by its place in the order, and the keys of the profile that a workflow's operations of it are about."""

_SEVERAL = -1


def cut_points(workflows: Sequence[Sequence[TouchedProfile]]) -> Iterator[int | None]:
    """Where to cut records that several workflows plan, so that planning each stretch workflow by workflow keeps order.

    In one stretch no profile is touched by two records under different workflows. Gives the place of the last record
    of each stretch; None for the last one, which has no end.
    """
    merged = sorted(
        (place, number, keys) for number, touched in enumerate(workflows) for place, keys in touched if keys
    )
    before: dict[str, int] = {}
    """By key: which workflow earlier records of the stretch touch it under."""
    now: dict[str, int] = {}
    """The same for the record at hand, in all its workflows."""
    last: int | None = None
    for place, number, keys in merged:
        if place != last:
            _add(before, now)
            now = {}
        if any(before.get(key, number) != number for key in keys):
            assert last is not None
            yield last if place != last else place - 1
            before = {}
        _add(now, dict.fromkeys(keys, number))
        last = place
    yield None


def _add(held: dict[str, int], more: dict[str, int]) -> None:
    for key, number in more.items():
        held[key] = number if held.get(key, number) == number else _SEVERAL
