"""Settles operations before they are sent, as `core.planning.disposition` decides. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from askel_tui.contract.caps import Caps
from askel_tui.core.operations import Identity
from askel_tui.core.planning.disposition import Known, dispose, next_ask
from askel_tui.store.journal.rows import DelayedOperation, GateAnswer, SettledOperation, StoredOperation
from askel_tui.sync.settlement.values import Settlement


@dataclass(frozen=True, slots=True)
class Decided:
    """The operations that are to be sent, and the ends of the others."""

    going: Sequence[StoredOperation]
    ended: Sequence[SettledOperation]
    waiting: Sequence[DelayedOperation] = ()
    """The gates that are asked again later."""

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
        return Settlement(ended, waiting=self.waiting)


def decide(
    operations: Sequence[StoredOperation],
    known: Callable[[StoredOperation], Known],
    now: int,
    limits: Caps,
    gate_asks_s: Sequence[float] = (),
    server_now: int | None = None,
) -> Decided:
    """Decides what becomes of operations whose turn has come; `known` is what is known of the account for each.

    `gate_asks_s` are the times, in seconds after the first, at which a gate is asked again that waits. `server_now`
    is the time by Klaviyo's clock, where it is known.
    """
    going: list[StoredOperation] = []
    ended: list[SettledOperation] = []
    waiting: list[DelayedOperation] = []
    for stored in operations:
        is_known = known(stored)
        found = dispose(stored.operation, is_known, now, limits, server_now)
        if found.kind == "skip":
            ended.append(SettledOperation(stored, "skipped", detail=found.why))
        elif found.kind == "refuse":
            ended.append(SettledOperation(stored, "failed", detail=found.why))
        elif found.kind == "wait" and is_known.member is not None:
            began = stored.retrying_since or now
            due = next_ask(began, now, stored.operation.body["within"], gate_asks_s)
            waiting.append(DelayedOperation(stored, due, found.why))
        else:
            going.append(stored)
    return Decided(going, ended, waiting)
