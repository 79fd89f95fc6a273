"""The result of a dry run: each record with its changes and requests, and totals over all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from askel_tui.contract.calls import Call
from askel_tui.core.catalog import FlowEntry
from askel_tui.core.operations import Identity, Operation, StepKind, Target
from askel_tui.core.planning.diff import Change
from askel_tui.core.planning.disposition import dropped_event
from askel_tui.core.planning.plan import Plan
from askel_tui.core.planning.rehearsal import RehearsedOperation, Skip
from askel_tui.core.problems import Problem
from askel_tui.services.reconciling.sent_records import Sent


@dataclass(frozen=True, slots=True)
class RequestPreview:
    """The request that an operation would send by itself."""

    method: str
    path: str
    body: Any


@dataclass(frozen=True, slots=True)
class MergePreview:
    """A profile that would become part of another one for good, because a record names identifiers of both."""

    into: str
    source: str


@dataclass(frozen=True, slots=True)
class OperationPreview:
    """An operation and what it would change, by field; a gate has no request."""

    step: str
    kind: StepKind
    target: Target | None
    changes: Mapping[str, Change]
    request: RequestPreview | None
    depends: str | None = None
    """What it hangs on that it is sent (a gate: which answer it gets), where that can't be known beforehand."""
    passes: bool | None = None
    """Whether a gate lets the steps below it run, where that is known."""
    merges: tuple[MergePreview, ...] = ()
    notes: tuple[str, ...] = ()
    """What else is to be said of it: a confirmation that is sent first, identifiers that are left out."""


@dataclass(frozen=True, slots=True)
class RecordPreview:
    """A record with its operations. `profile` holds its identifiers; `new` where the record would make its profile."""

    record: str
    profile: Mapping[str, str]
    new: bool
    operations: tuple[OperationPreview, ...]
    skipped: tuple[Skip, ...]
    problems: tuple[Problem, ...]
    unknown: bool = False
    """True if the account has no such profile, and the record would not make it either."""
    sent: Sent | None = None
    """When the workflow sent the record. Nothing would be sent then: `operations` are what the version would write."""
    warnings: tuple[Problem, ...] = ()
    """What does not stop the record, each with the kind that it is counted under."""

    @property
    def has_changes(self) -> bool:
        """True if an operation of the record would change something."""
        return any(each.changes and each.depends is None for each in self.operations)

    @property
    def depends(self) -> bool:
        """True if it can't be known beforehand whether an operation of the record is sent."""
        return any(each.depends is not None for each in self.operations)


@dataclass(frozen=True, slots=True)
class DryRunTotals:
    """Counts over a dry run: records, then operations by name of the list, metric or flow."""

    records: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    skipped: int = 0
    problems: int = 0
    subscribed: int = 0
    unsubscribed: int = 0
    added: Mapping[str, int] = field(default_factory=dict)
    removed: Mapping[str, int] = field(default_factory=dict)
    events: Mapping[str, int] = field(default_factory=dict)
    flows: Mapping[str, int] = field(default_factory=dict)
    """The number of profiles for which each live flow would start."""
    unknown: int = 0
    """The number of records whose profile the account has not, and that would not make it."""
    depends: int = 0
    """The number of records with operations of which can't be known whether they are sent; none of these is counted."""
    merges: int = 0
    already_sent: int = 0
    """The number of records that the workflow has sent; they are in no other count."""
    dropped: int = 0
    """The number of events that Klaviyo would accept and not keep."""
    confirmations: int = 0
    """The number of confirmations that double opt-in lists would send."""
    lifted: int = 0
    """The number of people who have opted out, or are suppressed, and would be subscribed again."""
    refused: int = 0
    """The number of subscriptions that are refused, on some channels or all, since the person opted out."""
    warnings: Mapping[str, int] = field(default_factory=dict)
    """The number of records by kind of warning (`core.problems.WARNING_TEXTS`)."""


@dataclass(frozen=True, slots=True)
class DryRun:
    """A dry run of a workflow's version, oldest record first."""

    workflow: str
    version: int
    connection: str
    records: tuple[RecordPreview, ...]
    totals: DryRunTotals
    warnings: tuple[Problem, ...] = ()
    """What is to be said of the version itself, with the account as it is: names that are nearly existing ones."""


def remarks(operation: OperationPreview) -> list[str]:
    """Lists what is to be said of an operation beside its changes, for people."""
    merges = [f"{each.source} is merged into {each.into}, for good" for each in operation.merges]
    depends = [f"depends on {operation.depends}"] if operation.depends else []
    closed = ["not let through"] if operation.passes is False else []
    return [*merges, *depends, *closed, *operation.notes]


class Totals:
    """Counts records and operations while a dry run is made."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._added: Counter[str] = Counter()
        self._removed: Counter[str] = Counter()
        self._events: Counter[str] = Counter()
        self._warnings: Counter[str] = Counter()
        self._reached: dict[tuple[str, str], set[Identity]] = {}
        """The profiles that operations would change, by list, segment or metric."""
        self._lifted: set[Identity] = set()

    def add_operation(self, rehearsed: RehearsedOperation) -> None:
        """Counts an operation that would be sent."""
        operation, changes = rehearsed.operation, rehearsed.effect.changes
        destination = operation.destination
        self._counts["merges"] += len(rehearsed.effect.merged_ids)
        if rehearsed.effect.lifted:
            self._lifted.add(operation.profile)
        if rehearsed.effect.disposition.kind == "confirm":
            self._counts["confirmations"] += 1
            return
        if dropped_event(operation) is not None:
            self._counts["dropped"] += 1
            return
        if operation.call == Call.CREATE_EVENT:
            self._events[operation.body["metric"]] += 1
        elif not changes:
            return
        elif operation.call == Call.ADD_PROFILES_TO_LIST and destination:
            self._added[destination.name] += 1
        elif operation.call == Call.REMOVE_PROFILES_FROM_LIST and destination:
            self._removed[destination.name] += 1
        elif operation.call in (Call.BULK_SUBSCRIBE_PROFILES, Call.BULK_UNSUBSCRIBE_PROFILES):
            self._counts[f"{operation.kind}d"] += 1
        if destination and destination.id and _starts_flows(operation):
            self._reached.setdefault((destination.type, destination.id), set()).add(operation.profile)

    def add_record(self, planned: Plan, preview: RecordPreview) -> None:
        """Counts a whole record."""
        self._counts["records"] += 1
        self._counts["new"] += preview.new
        self._counts["unknown"] += preview.unknown
        self._counts["depends"] += preview.depends
        self._counts["problems"] += bool(preview.problems)
        self._counts["skipped"] += bool(preview.skipped)
        self._warnings.update({each.kind for each in preview.warnings if each.kind})
        if planned.operations and not preview.new and not preview.unknown:
            if preview.has_changes:
                self._counts["changed"] += 1
            elif not preview.depends:
                self._counts["unchanged"] += 1

    def add_refused(self, count: int) -> None:
        """Counts subscriptions that are refused."""
        self._counts["refused"] += count

    def add_sent(self) -> None:
        """Counts a record that the workflow has sent."""
        self._counts["already_sent"] += 1

    def result(self, flows: Iterable[FlowEntry]) -> DryRunTotals:
        """Returns the totals, with those of the flows `flows` that are live and would start."""
        return DryRunTotals(
            **self._counts,
            lifted=len(self._lifted),
            added=dict(self._added),
            removed=dict(self._removed),
            events=dict(self._events),
            flows={flow.name: count for flow in flows if (count := self._started(flow))},
            warnings=dict(self._warnings),
        )

    def _started(self, flow: FlowEntry) -> int:
        """Counts the profiles for which the flow would start."""
        if flow.status != "live" or flow.archived:
            return 0
        reached = (self._reached.get((each.type, each.id or ""), set()) for each in flow.triggers or ())
        return len(set().union(*reached))


def _starts_flows(operation: Operation) -> bool:
    """Checks whether an operation that changes something can start flows: what joins or happens now can, what leaves a
    list or is history can't (docs/klaviyo.md 6, 8)."""
    leaves = (Call.REMOVE_PROFILES_FROM_LIST, Call.BULK_UNSUBSCRIBE_PROFILES)
    history = operation.body.get("historical") or operation.body.get("backfill")
    return operation.call not in leaves and not history
