"""The preview of re-planning: what becomes of a workflow's unsent operations under another version. Writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from askel_tui.core.exit_codes import AskelError, ExitCode
from askel_tui.core.operations import Operation, Target
from askel_tui.core.planning.diff import Change
from askel_tui.core.planning.replanning import Consents, QueuedOperation
from askel_tui.store.errors import UnknownStep
from askel_tui.sync.instance import Instance
from askel_tui.sync.planning.replanning import DecidedRecord, Replanning
from askel_tui.text.numbers import pluralize

SHOWN_RECORDS = 30
"""The number of records that a preview shows in full."""


@dataclass(frozen=True, slots=True)
class PlannedEffect:
    """An operation's effect: what it writes where."""

    kind: str
    profile: Mapping[str, str]
    target: Target | None
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OperationReplan:
    """An operation before and after. `outcome` is replanned, added, kept, closed or held."""

    step: str
    outcome: str
    before: PlannedEffect | None
    after: PlannedEffect | None

    def changes(self) -> dict[str, Change]:
        """Lists target, identifiers and fields of the body, before and after; None where there is none."""
        before, after = (dict(_flat(each)) for each in (self.before, self.after))
        if self.outcome == "kept":
            after = before
        names = dict.fromkeys((*before, *after))
        return {name: {"before": before.get(name), "after": after.get(name)} for name in names}


@dataclass(frozen=True, slots=True)
class ReplannedRecord:
    """A record with what becomes of its operations; `reason` says why they are held or closed."""

    record: str
    version: int
    """The version under which it was planned."""
    operations: tuple[OperationReplan, ...]
    reason: str = ""


@dataclass(slots=True)
class ReplanTotals:
    """Counts over all records with something unsent; operations by outcome and step."""

    records: int = 0
    replanned: Counter[str] = field(default_factory=Counter)
    added: Counter[str] = field(default_factory=Counter)
    """Operations of steps that older versions did not have."""
    kept: Counter[str] = field(default_factory=Counter)
    closed: Counter[str] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)
    consent_left_out: Counter[str] = field(default_factory=Counter)
    """New consent steps, which only `--with-consent` plans for older records."""
    unmatched: int = 0
    """Records that the new version refuses."""
    other_identity: int = 0
    """Records for which the new version names another profile."""


@dataclass(frozen=True, slots=True)
class OpenConsent:
    """A consent beyond re-planning that something waits for: `name` is its field in `Consents`."""

    name: str
    what: str
    """What waits for it, with the number of records."""
    does: str

    @property
    def flag(self) -> str:
        """The option that gives it on the command line."""
        return FLAGS[self.name]


FLAGS = {
    "new_consent_steps": "--with-consent",
    "close_unmatched": "--close-unmatched",
    "accept_identity": "--accept-identity",
}
"""The options of the command line, by the field of `Consents`."""


@dataclass(frozen=True, slots=True)
class ReplanPreview:
    """What becomes of a workflow's unsent operations under a version: totals, and some records in full."""

    workflow: str
    version: int
    totals: ReplanTotals
    records: tuple[ReplannedRecord, ...]

    def open_consents(self) -> list[OpenConsent]:
        """Lists the consents that would change something."""
        totals, version = self.totals, self.version
        left_out = totals.consent_left_out.total()
        rows = (
            (
                "close_unmatched",
                totals.unmatched,
                f"refused by version {version}",
                "closes what waits of them",
            ),
            (
                "accept_identity",
                totals.other_identity,
                "about another profile now",
                "plans for that one",
            ),
            ("new_consent_steps", left_out, "left without a new consent step", "plans that step too"),
        )
        return [
            OpenConsent(name, f"{pluralize(number, 'record')} {'is' if number == 1 else 'are'} {what}", does)
            for name, number, what, does in rows
            if number
        ]


class UnsentOperations(AskelError):
    """A question: operations wait unsent under older versions, and nobody said what becomes of them."""

    exit_code = ExitCode.REFUSED

    def __init__(self, preview: ReplanPreview) -> None:
        super().__init__(
            f"what {preview.workflow} has not sent under older versions waits for a decision: --replan plans it anew "
            f"under version {preview.version}, --keep-plans sends it as it was planned; nothing was changed"
        )
        self.preview = preview


async def preview_replan(
    instance: Instance,
    workflow: str,
    version: int,
    consents: Consents,
    on_record: Callable[[ReplannedRecord], None] | None = None,
    *,
    step: str | None = None,
) -> ReplanPreview:
    """Previews re-planning under a version; every record is given to `on_record`.

    With a `step` only of the records of which an operation of that step is unsent. Raises `VersionUnreadable`,
    `UnknownStep`.
    """
    if step is not None:
        await _check_step(instance, workflow, step)
    totals = ReplanTotals()
    shown: list[ReplannedRecord] = []
    replanning = await Replanning.load(instance, workflow, version, consents, step)
    async for page in replanning.decisions():
        for decided in page:
            _count(totals, decided)
            if on_record is not None or len(shown) < SHOWN_RECORDS:
                record = _show(decided)
                if on_record is not None:
                    on_record(record)
                if len(shown) < SHOWN_RECORDS:
                    shown.append(record)
    return ReplanPreview(workflow, version, totals, tuple(shown))


async def _check_step(instance: Instance, workflow: str, step: str) -> None:
    """Raises `UnknownStep` where no version of a workflow that can be read has such a step."""
    known: set[str] = set()
    for document in instance.state.versions(workflow):
        applied = await instance.applied_version(workflow, document.version)
        if applied is not None:
            known.update(each.id for each in applied.workflow.steps)
    if step not in known:
        raise UnknownStep(workflow, step, sorted(known))


def _count(totals: ReplanTotals, decided: DecidedRecord) -> None:
    replan = decided.replan
    totals.records += 1
    totals.consent_left_out.update(replan.declined)
    if replan.obstacle is not None:
        totals.held.update(each.operation.step for each in decided.queued if each.unsent)
        totals.unmatched += replan.obstacle == "unmatched"
        totals.other_identity += replan.obstacle == "other_identity"
        return
    for slot in replan.slots:
        counts: Counter[str] = getattr(totals, slot.outcome)
        counts[slot.shown.step] += 1
    totals.closed.update(each.operation.step for each in replan.closed)


def _show(decided: DecidedRecord) -> ReplannedRecord:
    record, queued, replan = decided
    if replan.obstacle is not None:
        rows = _held(queued, replan.offered)
    else:
        rows = [
            OperationReplan(
                slot.shown.step,
                slot.outcome,
                None if slot.queued is None else _effect(slot.queued.operation),
                _effect(slot.operation),
            )
            for slot in replan.slots
        ]
        rows += [
            OperationReplan(each.operation.step, "closed", _effect(each.operation), None)
            for each in replan.closed
        ]
    version = max(each.row.version for each in record.queued if each.unsent)
    return ReplannedRecord(record.stored.record.id, version, tuple(rows), replan.reason)


def _held(queued: Sequence[QueuedOperation], offered: Sequence[Operation]) -> list[OperationReplan]:
    """Shows both plans of a record of which neither is sent."""
    after = {each.step: each for each in offered}
    return [
        OperationReplan(
            each.operation.step,
            "held" if each.unsent else "kept",
            _effect(each.operation),
            _effect(after.pop(each.operation.step, None)) if each.unsent else None,
        )
        for each in queued
    ]


def _flat(effect: PlannedEffect | None) -> Iterator[tuple[str, Any]]:
    if effect is None:
        return
    if effect.target is not None:
        yield (
            "target",
            f"{effect.target.type} {effect.target.name} ({effect.target.id or 'made when it is sent'})",
        )
    for name, value in effect.profile.items():
        yield f"profile.{name}", value
    yield from _flat_values("", effect.body)


def _flat_values(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat_values(f"{prefix}{name}.", value)
        elif value != []:
            yield f"{prefix}{name}", value


def _effect(operation: Operation | None) -> PlannedEffect | None:
    if operation is None:
        return None
    return PlannedEffect(
        operation.kind, operation.profile.identifiers(), operation.destination, operation.body
    )
