"""Re-planning an instance's workflow: reads what is unsent under older versions, and decides what becomes of it.

The preview and the command share it; only the command writes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from askel_tui.core.drift.lost_properties import describes_loss
from askel_tui.core.exit_codes import AskelError, ExitCode
from askel_tui.core.hold_causes import Cause, hold_cause
from askel_tui.core.operations import Encoder, Operation
from askel_tui.core.planning.history import History
from askel_tui.core.planning.replanning import Consents, QueuedOperation, RecordReplan, replan_record
from askel_tui.core.planning.step_matching import StepMatches, dropped_properties, match_steps
from askel_tui.core.planning.steps import AppliedWorkflow
from askel_tui.store.errors import UnknownVersion, UnknownWorkflow
from askel_tui.store.journal.rows import Hold
from askel_tui.store.journal.states import OTHER_IDENTITY, UNMATCHED
from askel_tui.store.journal.tables.replanning import StoredReplan, UnsentRecord
from askel_tui.sync.instance import Instance

MARKS = {"unmatched": UNMATCHED, "other_identity": OTHER_IDENTITY}


class VersionUnreadable(AskelError):
    """A version that can't be read any more, so that nothing can be planned by it."""

    exit_code = ExitCode.REFUSED


@dataclass(frozen=True, slots=True)
class HoldsAfter:
    """What becomes of the holds of older versions once nothing waits in them."""

    carried: Sequence[tuple[Hold, str]]
    """The holds that stay, with the step of the new version that they hold as well."""
    repaired: Sequence[tuple[int, str, str | None]]
    """The holds that end (version, step), with the step of the new version that goes on."""


class DecidedRecord(NamedTuple):
    """A record, and what becomes of its unsent operations."""

    record: UnsentRecord
    queued: Sequence[QueuedOperation]
    replan: RecordReplan


class Replanning:
    """Decides what becomes of what a workflow has not sent under other versions than the one that it gets."""

    def __init__(
        self,
        instance: Instance,
        workflow: str,
        new: AppliedWorkflow,
        consents: Consents,
        step: str | None = None,
    ) -> None:
        self._instance = instance
        self._workflow = workflow
        self._new = new
        self._consents = consents
        self._step = step
        """The step of which a record has to have something unsent; None for any."""
        self._old: dict[int, tuple[AppliedWorkflow, StepMatches] | None] = {}

    @classmethod
    async def load(
        cls, instance: Instance, workflow: str, version: int, consents: Consents, step: str | None = None
    ) -> Replanning:
        """Loads the new version. Raises `VersionUnreadable`."""
        new = await instance.applied_version(workflow, version)
        if new is None:
            raise VersionUnreadable(
                f"version {version} of {workflow} can't be read any more: apply its file again"
            )
        return cls(instance, workflow, new, consents, step)

    async def decisions(self, *, revived: bool = False) -> AsyncIterator[list[DecidedRecord]]:
        """Yields the records with something unsent, page by page, in order of receipt; with `revived` only those of
        which something had failed or was discarded."""
        after, limit = 0, self._instance.limits.records_per_transaction
        while True:
            page = await self._instance.journal.unsent_records(
                self._workflow, self._new.version, after, limit, revived=revived
            )
            if not page:
                return
            yield await self.decide(page)
            after = page[-1].stored.seq

    async def decide(self, records: Sequence[UnsentRecord]) -> list[DecidedRecord]:
        """Decides what becomes of records."""
        found = []
        seqs = [each.stored.seq for each in records]
        rules = await self._instance.journal.record_histories(self._workflow, seqs)
        for each in records:
            queued = [
                QueuedOperation(one.row.seq, Operation.decode(one.body), one.unsent) for one in each.queued
            ]
            if self._step is not None and not any(
                one.unsent and one.operation.step == self._step for one in queued
            ):
                continue
            version = max(one.row.version for one in each.queued if one.unsent)
            known = await self._old_version(version)
            if known is None:
                # Which of its steps have ended is not known any more.
                reason = f"version {version}, under which it was planned, can't be read any more"
                kept = RecordReplan(obstacle="unmatched", reason=reason)
                if self._consents.close_unmatched:
                    kept = RecordReplan(closed=[one for one in queued if one.unsent], reason=reason)
                found.append(DecidedRecord(each, queued, kept))
                continue
            old, matches = known
            rule = rules.get(each.stored.seq)
            starts = History.decode(rule).starts if rule is not None else None
            replan = replan_record(
                each.stored.record, old, self._new, matches, queued, self._consents, starts
            )
            found.append(DecidedRecord(each, queued, replan))
        return found

    async def holds_after(self) -> HoldsAfter:
        """Decides which holds of other versions hold the new one as well, and which end."""
        carried, repaired = [], []
        for hold in await self._instance.journal.holds():
            if hold.workflow != self._workflow or hold.version == self._new.version:
                continue
            cause = hold_cause(hold.cause)
            known = await self._old_version(hold.version)
            step = known[1].new_by_old.get(hold.step) if known is not None else None
            if cause.needs_replan:
                continue
            if known is None or step is None or self._is_repaired(hold, known[0], step):
                repaired.append((hold.version, hold.step, step))
            else:
                carried.append((hold, step))
        return HoldsAfter(carried, repaired)

    def _is_repaired(self, hold: Hold, old: AppliedWorkflow, step: str) -> bool:
        """Checks whether the new version no longer names for a step what the hold is about."""
        cause = hold_cause(hold.cause)
        if cause.is_about_key or not (
            cause.is_drift or hold.cause in (Cause.GATE_UNREADABLE, Cause.CONSENT_UNREADABLE)
        ):
            return False
        if hold.cause in (Cause.PROPERTY_RENAMED, Cause.PROPERTY_VANISHED):
            dropped = dropped_properties(old, hold.step, self._new, step)
            return any(describes_loss(hold.detail, name) for name in dropped)
        before = self._instance.workflow_document(self._workflow, hold.version).targets.get(hold.step)
        return before != self._instance.workflow_document(self._workflow, self._new.version).targets.get(step)

    async def _old_version(self, version: int) -> tuple[AppliedWorkflow, StepMatches] | None:
        if version not in self._old:
            try:
                old = await self._instance.applied_version(self._workflow, version)
            except (UnknownVersion, UnknownWorkflow):
                old = None
            self._old[version] = None if old is None else (old, match_steps(old, self._new))
        return self._old[version]


def encode(decided: Sequence[DecidedRecord]) -> list[StoredReplan]:
    """Encodes decisions, to be stored."""
    encoder = Encoder()
    return [_encode(each, encoder) for each in decided]


def _encode(decided: DecidedRecord, encoder: Encoder) -> StoredReplan:
    record, queued, replan = decided
    seen = [(one.row.seq, one.row.state, one.row.request) for one in record.queued]
    if replan.obstacle is not None:
        held = [(each.seq, replan.reason) for each in queued if each.unsent]
        return StoredReplan(record.stored.seq, seen, (), held, MARKS[replan.obstacle], replan.reason)
    slots = [
        (
            None if slot.queued is None else slot.queued.seq,
            None
            if slot.operation is None
            else (slot.operation.step, slot.operation.is_gate, encoder.encode(slot.operation)),
        )
        for slot in replan.slots
    ]
    reason = replan.reason or "the new version no longer does it"
    profiles = {slot.operation.profile for slot in replan.slots if slot.operation is not None}
    other = profiles - {queued[0].operation.profile}
    return StoredReplan(
        record.stored.seq,
        seen,
        slots,
        [(each.seq, reason) for each in replan.closed],
        profile=other.pop().identifiers() if other else None,
    )
