"""Finds custom properties that were renamed or removed in the account, by profiles known to have had them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from askel_tui.core.drift.findings import Finding, make_finding
from askel_tui.core.hold_causes import Cause

if TYPE_CHECKING:
    from askel_tui.core.drift.dependencies import StepDependencies

MIN_WITNESSES = 5
"""The number of witnesses below which a missing property proves nothing."""


@dataclass(frozen=True, slots=True)
class PropertyWitness:
    """A profile that is known to have had properties: their values before, and all its properties now.

    `ever_carried` are all properties that it was ever read with. `read_since_write`: it was read after the last write.
    """

    before: Mapping[str, Any]
    now: Mapping[str, Any]
    ever_carried: frozenset[str] = frozenset()
    read_since_write: bool = True


def find_lost_properties(step: StepDependencies, witnesses: Sequence[PropertyWitness]) -> Iterator[Finding]:
    """Finds the properties that at least half of the witnesses no longer have, where there are enough of them.

    `witnesses` are in the order in which they were written to. Those not read since may have been written to after the
    property was renamed, and then show nothing: so the witnesses up to the last one that lost it decide too.
    """
    for name in step.properties:
        known = [each for each in witnesses if each.before.get(name) is not None]
        last = max(
            (
                at
                for at, each in enumerate(known, 1)
                if not each.read_since_write and each.now.get(name) is None
            ),
            default=0,
        )
        older = max(last, sum(each.read_since_write for each in known))
        lost = _lost(name, known) or _lost(name, known[:older])
        if lost is None:
            continue
        share = f"{len(lost[0])} of {lost[1]} profiles {_loss_of(name)}"
        new = _new_name(name, lost[0])
        if new is not None:
            detail = f"{share}; it was probably renamed to {new}, which holds their old values"
            yield make_finding(step, Cause.PROPERTY_RENAMED, detail, f"{name}:{new}", lost_property=name)
        elif name not in step.cleared:
            yield make_finding(step, Cause.PROPERTY_VANISHED, share, name, lost_property=name)


def is_carried(name: str, witnesses: Sequence[PropertyWitness]) -> bool:
    """Checks whether enough witnesses show that a property is there: no sign of a loss is not enough for that."""
    known = [each for each in witnesses if each.before.get(name) is not None]
    return len(known) >= MIN_WITNESSES and _lost(name, known) is None


def describes_loss(detail: str, name: str) -> bool:
    """Checks whether the detail of a finding is about a property."""
    return _loss_of(name) in detail


def _loss_of(name: str) -> str:
    return f"known to have had the property {name} no longer do"


def _lost(name: str, known: Sequence[PropertyWitness]) -> tuple[list[PropertyWitness], int] | None:
    """Finds the witnesses that no longer have the property; also counts all. None where they are too few."""
    lost = [each for each in known if each.now.get(name) is None]
    enough = len(known) >= MIN_WITNESSES and 2 * len(lost) >= len(known)
    return (lost, len(known)) if enough else None


def _new_name(name: str, lost: Sequence[PropertyWitness]) -> str | None:
    """Finds the key that now holds the old values of at least half of the witnesses `lost`, preferably one they never
    had."""
    holding: dict[str, int] = {}
    unknown: dict[str, int] = {}
    for witness in lost:
        old = witness.before[name]
        for key, value in witness.now.items():
            if key != name and value == old and type(value) is type(old) and key not in witness.before:
                holding[key] = holding.get(key, 0) + 1
                unknown[key] = unknown.get(key, 0) + (key not in witness.ever_carried)
    likely = [key for key, count in holding.items() if 2 * count >= len(lost)]
    return max(likely, key=lambda key: (unknown[key], holding[key], key), default=None)
