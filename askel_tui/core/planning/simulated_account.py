"""The account as a dry run leaves it: who holds which identifier, operation after operation. Pure.

An operation means the profile that holds an identifier its request names, just as Klaviyo finds it (docs/klaviyo.md 3):
a later record meets what an earlier one would have left behind, and an upsert whose identifiers are held by several
profiles is seen to be refused before it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from askel_tui.contract.calls import Call
from askel_tui.core.addressing import addressed_identity
from askel_tui.core.operations import IDENTIFIERS, Identity, Operation
from askel_tui.core.planning import diff
from askel_tui.core.planning.diff import Change, ProfileState

UPSERT_CALL = Call.CREATE_OR_UPDATE_PROFILE


@dataclass(frozen=True, slots=True)
class Effect:
    """What an operation met, and what it would do."""

    profile: ProfileState
    """The profile, as it is left."""
    changes: Mapping[str, Change]
    creates_profile: bool = False
    """Whether the profile would be new."""
    conflicting_profiles: tuple[ProfileState, ...] = ()
    """All holders of the identifiers where Klaviyo would answer 409 (docs/klaviyo.md 3.1); else empty."""


class SimulatedAccount:
    """Profiles by the identifiers they hold."""

    def __init__(self, *, conflicts: bool = True) -> None:
        """`conflicts`: whether a conflict of identifiers ends a record, as `on_conflict: fail` has it."""
        self._conflicts = conflicts
        self._holders: dict[str, ProfileState] = {}

    def add_profile(self, seen: ProfileState) -> None:
        """Takes in a profile that the account holds."""
        for key in _keys(seen):
            self._holders.setdefault(key, seen)

    def find(self, identity: Identity) -> ProfileState | None:
        """The profile of the strongest identifier that somebody holds."""
        return next(iter(self._found(identity)), None)

    def apply(self, operation: Operation) -> Effect:
        """What the operation changes; leaves the shadow as the account would be after it."""
        holders = self._found(addressed_identity(operation))
        seen = holders[0] if holders else ProfileState()
        if operation.call == UPSERT_CALL and len(holders) > 1:
            if self._conflicts:
                return Effect(seen, {}, conflicting_profiles=tuple(holders))
            operation = replace(operation, profile=self._not_taken(operation.profile, seen))
        known, before = seen.id, _keys(seen)
        changes = diff.find_changes(operation, seen)
        diff.apply_operation(operation, seen)
        if seen.id is not None:
            after = _keys(seen)
            for key in before:
                if key not in after and self._holders.get(key) is seen:
                    del self._holders[key]
            self.add_profile(seen)
        return Effect(seen, changes, creates_profile=known is None and seen.id is not None)

    def _found(self, identity: Identity) -> list[ProfileState]:
        found = (self._holders[key] for key in identity.keys() if key in self._holders)
        # Profiles are told apart by being the same object: new ones have no id yet.
        return list({id(seen): seen for seen in found}.values())

    def _not_taken(self, identity: Identity, holder: ProfileState) -> Identity:
        """The identifiers that nobody but the holder has."""
        free = {
            name: value
            for name, value in identity.identifiers().items()
            if self._holders.get(Identity(**{name: value}).keys()[0], holder) is holder
        }
        return Identity(**free)


def _keys(seen: ProfileState) -> tuple[str, ...]:
    held = {
        name: value for name in IDENTIFIERS if isinstance(value := seen.attributes.get(name), str) and value
    }
    return Identity(**held).keys() if held else ()
