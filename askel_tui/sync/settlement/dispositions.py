"""Settles operations before they are sent, as `core.planning.disposition` decides. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from askel_tui.contract.caps import Caps
from askel_tui.core.hold_causes import Cause
from askel_tui.core.operations import Identity
from askel_tui.core.planning.disposition import UNREADABLE_CONSENT, Known, dispose, next_ask
from askel_tui.core.problems import CONSENT_REFUSED_KIND
from askel_tui.store.journal.rows import DelayedOperation, GateAnswer, SettledOperation, StoredOperation
from askel_tui.sync.settlement.values import HeldOperations, Settlement


@dataclass(frozen=True, slots=True)
class Decided:
    """The operations that are to be sent, and the ends of the others."""

    going: Sequence[StoredOperation]
    ended: Sequence[SettledOperation]
    waiting: Sequence[DelayedOperation] = ()
    """The gates that are asked again later."""
    unreadable: Sequence[StoredOperation] = ()
    """The subscriptions of people whose opt-outs can't be read."""

    @property
    def settlements(self) -> Sequence[Settlement]:
        """The settlement of the operations that are not sent; none without such operations."""
        held = []
        if self.unreadable:
            held = [HeldOperations(self.unreadable, Cause.CONSENT_UNREADABLE, UNREADABLE_CONSENT)]
        return [Settlement(self.ended, held=held)] if self.ended or held else ()

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
    unreadable: list[StoredOperation] = []
    for stored in operations:
        is_known = known(stored)
        found = dispose(stored.operation, is_known, now, limits, server_now)
        if found.kind == "skip":
            kind = CONSENT_REFUSED_KIND if found.refused else None
            ended.append(SettledOperation(stored, "skipped", detail=found.why, warning=kind))
        elif found.kind == "refuse":
            ended.append(SettledOperation(stored, "failed", detail=found.why))
        elif found.kind == "wait" and is_known.member is not None:
            began = stored.retrying_since or now
            due = next_ask(began, now, stored.operation.body["within"], gate_asks_s)
            waiting.append(DelayedOperation(stored, due, found.why))
        elif found.kind == "wait" and is_known.opt_outs is not None:
            unreadable.append(stored)
        elif found.operation is not None:
            why = "; ".join(filter(None, ((stored.warning or (None, ""))[1], found.refused)))
            going.append(replace(stored, operation=found.operation, warning=(CONSENT_REFUSED_KIND, why)))
        else:
            going.append(stored)
    return Decided(going, ended, waiting, unreadable)
