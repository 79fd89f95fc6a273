"""Finds drift: changes of the account since a workflow was applied. Pure.

A section that was not read gives no finding, since nothing is known about it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from askel_tui.core.canonical import canonical_json
from askel_tui.core.hold_causes import HOLD_CAUSES, Cause, Policy
from askel_tui.core.workflows.model import UpsertProfile

if TYPE_CHECKING:
    from askel_tui.core.catalog import Catalog, FlowEntry, ListEntry, MetricEntry, SegmentEntry, StepTargets
    from askel_tui.core.operations import StepKind, Target
    from askel_tui.core.workflows.model import Workflow

MIN_WITNESSES = 5
"""Fewer profiles that are known to have had a property prove nothing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A change since the workflow was applied.

    `detail` is one sentence for people. `evidence` is equal for equal findings, now and later.
    """

    step: str
    cause: str
    detail: str
    evidence: str
    policy: Policy


@dataclass(frozen=True, slots=True)
class StepDependencies:
    """What one step of an applied workflow depends on.

    `applied_details` are the `target_details` of when it was applied; `cleared` are properties that a workflow itself
    removes.
    """

    step: str
    kind: StepKind
    target: Target | None = None
    through: Target | None = None
    applied_details: Mapping[str, Any] = field(default_factory=dict)
    properties: tuple[str, ...] = ()
    cleared: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()

    @property
    def destination(self) -> Target | None:
        """The list, segment or metric that the step's calls address."""
        return self.through or self.target


@dataclass(frozen=True, slots=True)
class PropertyWitness:
    """A profile that is known to have had properties: their values before, and all its properties now.

    `ever_carried` are all properties that it was ever read with. `read_since_write`: it was read after the last write.
    """

    before: Mapping[str, Any]
    now: Mapping[str, Any]
    ever_carried: frozenset[str] = frozenset()
    read_since_write: bool = True


@dataclass(frozen=True, slots=True)
class AccountSnapshot:
    """The targets as the account has them; None for sections that were not read.

    Lists, segments, flows and metrics are those that exist, by id. `namesakes` are the ids of all lists and segments of
    a name, by (type, name). `lost_scopes` are the scopes that refused reads lack.
    """

    account: str | None = None
    key_refused: str | None = None
    lists: Mapping[str, ListEntry] | None = None
    segments: Mapping[str, SegmentEntry] | None = None
    flows: Mapping[str, FlowEntry] | None = None
    metrics: Mapping[str, MetricEntry] | None = None
    namesakes: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    lost_scopes: frozenset[str] = frozenset()


def target_details(targets: StepTargets, catalog: Catalog) -> dict[str, Any]:
    """The details of a step's targets that are stored when a workflow is applied, to find changes of them later."""
    target = targets.target
    if target.type == "segment":
        segment = next((each for each in catalog.segments if each.id == target.id), None)
        return {} if segment is None else {"definition": segment.definition, "is_active": segment.is_active}
    if target.type == "flow":
        flow = next((each for each in catalog.flows if each.id == target.id), None)
        return (
            {}
            if flow is None
            else {"status": flow.status, "archived": flow.archived, "trigger_type": flow.trigger_type}
        )
    return {}


def step_dependencies(
    workflow: Workflow,
    targets: Mapping[str, StepTargets],
    applied_details: Mapping[str, Mapping[str, Any]],
    scopes: Mapping[str, Collection[str]],
) -> list[StepDependencies]:
    """The dependencies of each step of a workflow. `applied_details` and `scopes` are by step."""
    found = []
    for step in workflow.steps:
        pinned = targets.get(step.id)
        one = StepDependencies(
            step.id,
            step.kind,
            target=None if pinned is None else pinned.target,
            through=None if pinned is None else pinned.through,
            applied_details=applied_details.get(step.id, {}),
            scopes=frozenset(scopes.get(step.id, ())),
        )
        if isinstance(step, UpsertProfile):
            one = replace(
                one,
                properties=tuple(step.properties),
                cleared=frozenset(name for name, each in step.properties.items() if each.clear),
            )
        found.append(one)
    return found


def find_drift(
    step: StepDependencies,
    snapshot: AccountSnapshot,
    witnesses: Sequence[PropertyWitness] = (),
    *,
    account: str | None = None,
) -> list[Finding]:
    """Everything that is no longer as the step needs it.

    `witnesses` are profiles that it is known to have written to; `account` is the account's id when the connection was
    made.
    """
    if snapshot.key_refused is not None:
        return [_finding(step, Cause.KEY_REFUSED, snapshot.key_refused)]
    if account is not None and snapshot.account is not None and snapshot.account != account:
        detail = f"the key opens the account {snapshot.account}, the connection was made with {account}"
        return [_finding(step, Cause.OTHER_ACCOUNT, detail, snapshot.account)]
    found = [
        *_scopes(step, snapshot),
        *_lists(step, snapshot),
        *_segment(step, snapshot),
        *_flow(step, snapshot),
    ]
    return [*found, *_metric(step, snapshot), *find_lost_properties(step, witnesses)]


def _finding(
    step: StepDependencies, cause: Cause, detail: str, evidence: str = "", policy: Policy | None = None
) -> Finding:
    return Finding(step.step, cause, detail, f"{cause}:{evidence}", policy or HOLD_CAUSES[cause].policy)


def _scopes(step: StepDependencies, snapshot: AccountSnapshot) -> Iterator[Finding]:
    for scope in sorted(snapshot.lost_scopes):
        policy: Policy = "hold" if scope in step.scopes else "warn"
        yield _finding(step, Cause.SCOPE_MISSING, f"the key has lost the scope {scope}", scope, policy)


def _lists(step: StepDependencies, snapshot: AccountSnapshot) -> Iterator[Finding]:
    target = step.destination
    if target is None or target.type != "list" or target.id is None or snapshot.lists is None:
        return
    entry = snapshot.lists.get(target.id)
    if entry is None:
        yield _gone(step, target, snapshot)
    elif entry.name != target.name:
        others = [each for each in snapshot.namesakes.get(("list", target.name), ()) if each != target.id]
        also = f", and another list ({', '.join(others)}) has the old name" if others else ""
        detail = f"the list {target.name} ({target.id}) is now called {entry.name}{also}"
        yield _finding(step, Cause.LIST_RENAMED, detail, f"{target.id}:{entry.name}:{','.join(others)}")


def _gone(step: StepDependencies, target: Target, snapshot: AccountSnapshot) -> Finding:
    detail = f"the {target.type} {target.name} ({target.id}) is gone from the account"
    anew = snapshot.namesakes.get((target.type, target.name), ())
    if not anew:
        return _finding(step, Cause.TARGET_GONE, detail, f"{target.type}:{target.id}")
    ids = ", ".join(anew)
    detail += f"; another one of that name was made ({ids}), which the workflow does not mean by itself"
    return _finding(step, Cause.MADE_ANEW, detail, f"{target.type}:{target.id}:{ids}")


def _segment(step: StepDependencies, snapshot: AccountSnapshot) -> Iterator[Finding]:
    target = step.target
    if target is None or target.type != "segment" or target.id is None or snapshot.segments is None:
        return
    entry = snapshot.segments.get(target.id)
    if entry is None:
        yield _gone(step, target, snapshot)
        return
    subject = f"the segment {target.name} ({target.id})"
    before = step.applied_details.get("definition")
    if before is not None and entry.definition is not None and entry.definition != before:
        detail = (
            f"{subject} has another definition than when the workflow was applied: it may hold other people"
        )
        yield _finding(step, Cause.SEGMENT_REDEFINED, detail, f"{target.id}:{_digest(entry.definition)}")
    if not entry.is_active and step.applied_details.get("is_active", True):
        yield _finding(
            step,
            Cause.SEGMENT_INACTIVE,
            f"{subject} was switched off: its members no longer change",
            target.id,
        )


def _digest(value: Any) -> str:
    """A short digest of a JSON value."""
    return sha256(canonical_json(value)).hexdigest()[:12]


def _flow(step: StepDependencies, snapshot: AccountSnapshot) -> Iterator[Finding]:
    target = step.target
    if target is None or target.type != "flow" or target.id is None or snapshot.flows is None:
        return
    entry = snapshot.flows.get(target.id)
    subject = f"the flow {target.name} ({target.id})"
    if entry is None:
        detail = f"{subject} is gone from the account"
        yield _finding(step, Cause.TARGET_GONE, detail, f"flow:{target.id}")
        return
    if entry.archived and not step.applied_details.get("archived", False):
        yield _finding(step, Cause.FLOW_ARCHIVED, f"{subject} was archived: it will not fire", target.id)
    elif entry.status != "live" and step.applied_details.get("status", "live") == "live":
        detail = f"{subject} is {entry.status}, no longer live"
        yield _finding(step, Cause.FLOW_NOT_LIVE, detail, f"{target.id}:{entry.status}")
    yield from _trigger(step, entry, subject)


def _trigger(step: StepDependencies, entry: FlowEntry, subject: str) -> Iterator[Finding]:
    through = step.through
    if through is None or through.id is None:
        return
    if entry.triggers is not None:
        if any((each.type, each.id) == (through.type, through.id) for each in entry.triggers):
            return
        other = entry.triggers[0] if entry.triggers else None
        by = "nothing" if other is None else f"a {other.type}" + (f" ({other.id})" if other.id else "")
        detail = (
            f"{subject} is no longer fired by the {through.type} {through.name} ({through.id}), but by {by}"
        )
        yield _finding(step, Cause.TRIGGER_MOVED, detail, f"{entry.id}:{by}")
        return
    before = step.applied_details.get("trigger_type")
    if before is not None and entry.trigger_type is not None and entry.trigger_type != before:
        detail = f"{subject} is no longer fired as before ({before}), but by: {entry.trigger_type}"
        yield _finding(step, Cause.TRIGGER_MOVED, detail, f"{entry.id}:{entry.trigger_type}")


def _metric(step: StepDependencies, snapshot: AccountSnapshot) -> Iterator[Finding]:
    target = step.destination
    if target is None or target.type != "metric" or target.id is None or snapshot.metrics is None:
        return
    if target.id in snapshot.metrics:
        return
    detail = f"the metric {target.name} ({target.id}) is gone: events make a new one of that name"
    # A flow waits for the old metric, so that events of a new one fire nothing.
    policy: Policy = "hold" if step.kind == "trigger_flow" else "warn"
    yield _finding(step, Cause.METRIC_GONE, detail, target.id, policy)


def find_lost_properties(step: StepDependencies, witnesses: Sequence[PropertyWitness]) -> Iterator[Finding]:
    """The properties that at least half of the witnesses no longer have, where there are enough of them.

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
        share = f"{len(lost[0])} of {lost[1]} profiles known to have had the property {name} no longer do"
        new = _new_name(name, lost[0])
        if new is not None:
            detail = f"{share}; it was probably renamed to {new}, which holds their old values"
            yield _finding(step, Cause.PROPERTY_RENAMED, detail, f"{name}:{new}")
        elif name not in step.cleared:
            yield _finding(step, Cause.PROPERTY_VANISHED, share, name)


def _lost(name: str, known: Sequence[PropertyWitness]) -> tuple[list[PropertyWitness], int] | None:
    """The witnesses that no longer have the property, and the number of all; None where they are too few."""
    lost = [each for each in known if each.now.get(name) is None]
    enough = len(known) >= MIN_WITNESSES and 2 * len(lost) >= len(known)
    return (lost, len(known)) if enough else None


def _new_name(name: str, lost: Sequence[PropertyWitness]) -> str | None:
    """The key that now holds the old values of at least half of these witnesses, preferably one they never had."""
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
