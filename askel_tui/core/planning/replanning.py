"""Re-planning: what becomes of a record's unsent operations under a newer version of their workflow. Pure.

The preview and the engine call the same function. What was sent, or may have been, stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from askel_tui.contract.calls import Call
from askel_tui.core.operations import Identity, Operation, StepKind
from askel_tui.core.planning.history import FlowStarts, plan_history
from askel_tui.core.planning.plan import plan
from askel_tui.core.planning.step_matching import StepMatches
from askel_tui.core.planning.steps import AppliedWorkflow
from askel_tui.core.records.record import Record
from askel_tui.core.workflows.model import RequireSegment

Obstacle = Literal["unmatched", "other_identity"]
"""Why neither plan of a record goes out until a person decides: the new version refuses it, or names another
profile."""

Outcome = Literal["replanned", "added", "kept", "closed", "held"]
"""What becomes of an operation: planned anew, planned for the first time, left under its version, closed, held."""

CONSENT_KINDS: frozenset[StepKind] = frozenset(("subscribe", "unsubscribe"))


@dataclass(frozen=True, slots=True)
class Consents:
    """What a person agreed to beyond re-planning itself."""

    new_consent_steps: bool = False
    """True if steps that are new in the version may give or take consent for older records."""
    close_unmatched: bool = False
    """True if operations of records that the new version refuses are closed."""
    accept_identity: bool = False
    """True if records may be planned for another profile than before."""


@dataclass(frozen=True, slots=True)
class QueuedOperation:
    """An operation of a record in the queue. `unsent`: it was certainly never sent, or is a gate, which is a read."""

    seq: int
    operation: Operation
    unsent: bool


@dataclass(frozen=True, slots=True)
class Slot:
    """One operation of the record from now on, in their order.

    `queued` is the one that it takes the slot of, or that stays in it where there is no `operation`.
    """

    queued: QueuedOperation | None
    operation: Operation | None

    @property
    def shown(self) -> Operation:
        """The operation that is in the slot from now on."""
        if self.operation is not None:
            return self.operation
        assert self.queued is not None
        return self.queued.operation

    @property
    def outcome(self) -> Outcome:
        """What becomes of the operation."""
        if self.operation is None:
            return "kept"
        return "added" if self.queued is None else "replanned"


@dataclass(frozen=True, slots=True)
class RecordReplan:
    """What becomes of the operations of one record; with an `obstacle` the unsent ones stay held for the `reason`."""

    slots: Sequence[Slot] = ()
    closed: Sequence[QueuedOperation] = ()
    obstacle: Obstacle | None = None
    reason: str = ""
    offered: Sequence[Operation] = ()
    """The operations of the new version, where an obstacle keeps them from being planned."""
    declined: Sequence[str] = ()
    """The new consent steps that were left out."""


def replan_record(
    record: Record,
    old: AppliedWorkflow,
    new: AppliedWorkflow,
    matches: StepMatches,
    queued: Sequence[QueuedOperation],
    consents: Consents,
    history: FlowStarts | None = None,
) -> RecordReplan:
    """Plans a record's unsent operations anew. `queued` are its operations in the queue, in order; some are unsent.

    `history` is what starts flows, where the record is history.
    """
    unsent = [each for each in queued if each.unsent]
    before = unsent[0].operation.profile
    planned = plan(record, new)
    if planned is not None and history is not None:
        planned = plan_history(planned, history, record.time, new.revision)
    if planned is None or planned.problems:
        refusal = "its trigger or its `when` no longer matches"
        if planned is not None:
            refusal = "; ".join(str(problem) for problem in planned.problems)
        reason = f"version {new.version} refuses the record: {refusal}"
        if consents.close_unmatched:
            kept = [Slot(each, None) for each in queued if not each.unsent]
            return RecordReplan(kept, unsent, reason=reason)
        return RecordReplan(obstacle="unmatched", reason=reason)
    if planned.profile != before and not consents.accept_identity:
        reason = f"version {new.version} names another profile: {_label(planned.profile)} instead of {_label(before)}"
        return RecordReplan(obstacle="other_identity", reason=reason, offered=planned.operations)
    return _Replanner(record, old, new, matches, queued, consents).replan(planned.operations)


def _label(identity: Identity) -> str:
    return ", ".join(identity.identifiers().values())


class _Replanner:
    def __init__(
        self,
        record: Record,
        old: AppliedWorkflow,
        new: AppliedWorkflow,
        matches: StepMatches,
        queued: Sequence[QueuedOperation],
        consents: Consents,
    ) -> None:
        self._record = record
        self._old = old
        self._new = new
        self._matches = matches
        self._queued = queued
        self._consents = consents
        self._by_part = {_part(each.operation, old): each for each in queued}
        self._declined: list[str] = []

    def replan(self, planned: Sequence[Operation]) -> RecordReplan:
        slots = [slot for each in planned if (slot := self._slot(each)) is not None]
        while slots and slots[-1].operation is not None and slots[-1].operation.is_gate:
            del slots[-1]  # Nothing is left that the gate decides about.
        used = {slot.queued.seq for slot in slots if slot.queued is not None}
        left = [each for each in self._queued if each.seq not in used]
        for each in left:
            if not each.unsent:
                _insert_in_order(slots, Slot(each, None))
        closed = [each for each in left if each.unsent]
        return RecordReplan(slots, closed, declined=list(dict.fromkeys(self._declined)))

    def _slot(self, operation: Operation) -> Slot | None:
        """Finds what an operation of the new plan is for the record; None where it is not done (again)."""
        before = self._matches.old_by_new.get(operation.step)
        if before is None:
            if operation.kind in CONSENT_KINDS and not self._consents.new_consent_steps:
                self._declined.append(operation.step)
                return None
            return Slot(None, operation)
        is_own, step = _is_own(operation, self._new), self._old.workflow.step(before)
        queued = self._by_part.get((before, is_own))
        if queued is not None and not queued.unsent:
            return Slot(queued, None)
        main = self._by_part.get((before, True))
        if main is None:
            # It has ended. A gate that let the record pass is asked again where it is another question now.
            answered = isinstance(step, RequireSegment) and self._is_same_gate(operation, step)
            return Slot(None, operation) if operation.is_gate and not answered else None
        if not is_own and queued is None and (not main.unsent or self._has_upserted(operation.profile)):
            return None
        return Slot(queued, _with_unique_id(operation, main.operation))

    def _has_upserted(self, identity: Identity) -> bool:
        """Checks whether the upsert that made sure of the profile has ended."""
        upserts = [each for each in self._queued if each.operation.call == Call.CREATE_OR_UPDATE_PROFILE]
        return identity == self._queued[0].operation.profile and not any(each.unsent for each in upserts)

    def _is_same_gate(self, gate: Operation, before: RequireSegment) -> bool:
        pinned = self._old.targets.get(before.id)
        segment = pinned.target.id if pinned else None
        return (
            gate.target is not None
            and gate.target.id == segment
            and gate.body["member"] == before.member
            and gate.profile == self._queued[0].operation.profile
        )


def _with_unique_id(operation: Operation, queued: Operation) -> Operation:
    """Keeps an event the same event where its metric is the same."""
    if operation.call != Call.CREATE_EVENT or queued.body.get("metric") != operation.body["metric"]:
        return operation
    return replace(operation, body={**operation.body, "unique_id": queued.body["unique_id"]})


def _part(operation: Operation, applied: AppliedWorkflow) -> tuple[str, bool]:
    """Returns an operation's step, and whether it is the step's own effect or the upsert of identifiers before it."""
    return operation.step, _is_own(operation, applied)


def _is_own(operation: Operation, applied: AppliedWorkflow) -> bool:
    try:
        return operation.kind == applied.workflow.step(operation.step).kind
    except KeyError:
        return True


def _insert_in_order(slots: list[Slot], kept: Slot) -> None:
    """Inserts an operation that stays before the first one that takes the slot of a later one."""
    assert kept.queued is not None
    later = (
        at for at, slot in enumerate(slots) if slot.queued is not None and slot.queued.seq > kept.queued.seq
    )
    slots.insert(next(later, len(slots)), kept)
