"""Settles operations before they are sent, as `core.planning.disposition` decides. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from askel_tui.contract.caps import Caps
from askel_tui.core.operations import Identity
from askel_tui.core.planning.disposition import Known, dispose
from askel_tui.store.journal.rows import GateAnswer, SettledOperation, StoredOperation
from askel_tui.sync.settlement.values import Settlement


@dataclass(frozen=True, slots=True)
class Decided:
    """The operations that are to be sent, and the ends of the others."""

    going: Sequence[StoredOperation]
    ended: Sequence[SettledOperation]

    @property
    def settlements(self) -> Sequence[Settlement]:
        """The settlement of the operations that are not sent; none without such operations."""
        return [Settlement(self.ended)] if self.ended else ()

    def answered(self, members: Mapping[Identity, bool], read: int) -> Settlement:
        """Makes the settlement of gates, of which those that go have let their record through.

        `members` are the answers of the account, which were read at a time in milliseconds since 1970.
        """
        ended = [*(SettledOperation(stored, "passed") for stored in self.going), *self.ended]
        for each in ended:
            each.gate = GateAnswer(members[each.operation.operation.profile], read)
        return Settlement(ended)


def decide(
    operations: Sequence[StoredOperation],
    known: Callable[[StoredOperation], Known],
    now: int,
    limits: Caps,
) -> Decided:
    """Decides what becomes of operations whose turn has come; `known` is what is known of the account for each."""
    going: list[StoredOperation] = []
    ended: list[SettledOperation] = []
    for stored in operations:
        found = dispose(stored.operation, known(stored), now, limits)
        if found.kind == "skip":
            ended.append(SettledOperation(stored, "skipped", detail=found.why))
        elif found.kind == "refuse":
            ended.append(SettledOperation(stored, "failed", detail=found.why))
        else:
            going.append(stored)
    return Decided(going, ended)
