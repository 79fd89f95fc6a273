"""Simulates the account for the dry run: which profile holds which identifier, operation after operation. Pure.

An operation is about the profile that holds an identifier in its request, as Klaviyo finds it (docs/klaviyo.md 3). So
a later record meets what an earlier one would have left, and an upsert whose identifiers are held by several profiles
is known to be refused before it is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from askel_tui.contract.calls import Call
from askel_tui.core.addressing import addressed_identity
from askel_tui.core.operations import Identity, Operation
from askel_tui.core.planning import diff
from askel_tui.core.planning.diff import Change, ProfileState


@dataclass(frozen=True, slots=True)
class Effect:
    """The effect of an operation."""

    profile: ProfileState
    """The profile after the operation."""
    changes: Mapping[str, Change]
    creates_profile: bool = False
    """True if the profile would be new."""
    conflicting_profiles: tuple[ProfileState, ...] = ()
    """The holders of the identifiers, all of them, where Klaviyo would answer 409 (docs/klaviyo.md 3.1)."""


class SimulatedAccount:
    """The profiles of an account, found by the identifiers they hold."""

    def __init__(self, *, conflicts: bool = True) -> None:
        """Makes an account without profiles.

        With `conflicts`, a conflict of identifiers refuses the operation, as with `on_conflict: fail`.
        """
        self._conflicts = conflicts
        self._holders: dict[str, ProfileState] = {}

    def add_profile(self, profile: ProfileState) -> None:
        """Adds a profile that the account has."""
        for key in _keys(profile):
            self._holders.setdefault(key, profile)

    def find(self, identity: Identity) -> ProfileState | None:
        """Finds the profile that holds the strongest of the identifiers that are held."""
        return next(iter(self._found(identity)), None)

    def apply(self, operation: Operation) -> Effect:
        """Applies the operation to the account, and returns its effect."""
        holders = self._found(addressed_identity(operation))
        profile = holders[0] if holders else ProfileState()
        if operation.call == Call.CREATE_OR_UPDATE_PROFILE and len(holders) > 1:
            if self._conflicts:
                return Effect(profile, {}, conflicting_profiles=tuple(holders))
            operation = replace(operation, profile=self._free_identifiers(operation.profile, profile))
        known, before = profile.id, _keys(profile)
        changes = diff.find_changes(operation, profile)
        diff.apply_operation(operation, profile)
        if profile.id is not None:
            after = _keys(profile)
            for key in before:
                if key not in after and self._holders.get(key) is profile:
                    del self._holders[key]
            self.add_profile(profile)
        return Effect(profile, changes, creates_profile=known is None and profile.id is not None)

    def _found(self, identity: Identity) -> list[ProfileState]:
        found = (self._holders[key] for key in identity.keys() if key in self._holders)
        # Compared by object: new profiles have no id yet.
        return list({id(each): each for each in found}.values())

    def _free_identifiers(self, identity: Identity, holder: ProfileState) -> Identity:
        """Returns the identifiers that no profile other than the holder has."""
        free = {
            name: value
            for name, value in identity.identifiers().items()
            if self._holders.get(Identity(**{name: value}).keys()[0], holder) is holder
        }
        return Identity(**free)


def _keys(profile: ProfileState) -> tuple[str, ...]:
    return Identity.from_attributes(profile.attributes).keys()
