"""Finds drift: changes of the account since a workflow was applied. Pure.

A section that was not read gives no finding, since nothing is known about it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from askel_tui.core.canonical import canonical_json
from askel_tui.core.drift.findings import Finding, make_finding
from askel_tui.core.drift.lost_properties import PropertyWitness, find_lost_properties
from askel_tui.core.hold_causes import Cause, Policy

if TYPE_CHECKING:
    from askel_tui.core.catalog import FlowEntry, ListEntry, MetricEntry, SegmentEntry
    from askel_tui.core.drift.dependencies import StepDependencies
    from askel_tui.core.operations import Target


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


def find_drift(
    step: StepDependencies,
    snapshot: AccountSnapshot,
    witnesses: Sequence[PropertyWitness] = (),
    *,
    account: str | None = None,
) -> list[Finding]:
    """Finds every way in which the account is no longer as the step needs it.

    `witnesses` are profiles that it is known to have written to; `account` is the account's id when the connection was
    made.
    """
    if snapshot.key_refused is not None:
        return [make_finding(step, Cause.KEY_REFUSED, snapshot.key_refused)]
    if account is not None and snapshot.account is not None and snapshot.account != account:
        detail = f"the key opens the account {snapshot.account}, the connection was made with {account}"
        return [make_finding(step, Cause.OTHER_ACCOUNT, detail, snapshot.account)]
    found = [
        *_scopes(step, snapshot),
        *_lists(step, snapshot),
        *_segment(step, snapshot),
        *_flow(step, snapshot),
    ]
    return [*found, *_metric(step, snapshot), *find_lost_properties(step, witnesses)]


def _scopes(step: StepDependencies, snapshot: AccountSnapshot) -> Iterator[Finding]:
    for scope in sorted(snapshot.lost_scopes):
        policy: Policy = "hold" if scope in step.scopes else "warn"
        yield make_finding(step, Cause.SCOPE_MISSING, f"the key has lost the scope {scope}", scope, policy)


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
        yield make_finding(step, Cause.LIST_RENAMED, detail, f"{target.id}:{entry.name}:{','.join(others)}")


def _gone(step: StepDependencies, target: Target, snapshot: AccountSnapshot) -> Finding:
    detail = f"the {target.type} {target.name} ({target.id}) is gone from the account"
    anew = snapshot.namesakes.get((target.type, target.name), ())
    if not anew:
        return make_finding(step, Cause.TARGET_GONE, detail, f"{target.type}:{target.id}")
    ids = ", ".join(anew)
    detail += f"; another one of that name was made ({ids}), which the workflow does not mean by itself"
    return make_finding(step, Cause.MADE_ANEW, detail, f"{target.type}:{target.id}:{ids}")


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
        yield make_finding(step, Cause.SEGMENT_REDEFINED, detail, f"{target.id}:{_digest(entry.definition)}")
    if not entry.is_active and step.applied_details.get("is_active", True):
        yield make_finding(
            step,
            Cause.SEGMENT_INACTIVE,
            f"{subject} was switched off: its members no longer change",
            target.id,
        )


def _digest(value: Any) -> str:
    """Makes a short digest of a JSON value."""
    return sha256(canonical_json(value)).hexdigest()[:12]


def _flow(step: StepDependencies, snapshot: AccountSnapshot) -> Iterator[Finding]:
    target = step.target
    if target is None or target.type != "flow" or target.id is None or snapshot.flows is None:
        return
    entry = snapshot.flows.get(target.id)
    subject = f"the flow {target.name} ({target.id})"
    if entry is None:
        detail = f"{subject} is gone from the account"
        yield make_finding(step, Cause.TARGET_GONE, detail, f"flow:{target.id}")
        return
    if entry.archived and not step.applied_details.get("archived", False):
        yield make_finding(step, Cause.FLOW_ARCHIVED, f"{subject} was archived: it will not fire", target.id)
    elif entry.status != "live" and step.applied_details.get("status", "live") == "live":
        detail = f"{subject} is {entry.status}, no longer live"
        yield make_finding(step, Cause.FLOW_NOT_LIVE, detail, f"{target.id}:{entry.status}")
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
        yield make_finding(step, Cause.TRIGGER_MOVED, detail, f"{entry.id}:{by}")
        return
    before = step.applied_details.get("trigger_type")
    if before is not None and entry.trigger_type is not None and entry.trigger_type != before:
        detail = f"{subject} is no longer fired as before ({before}), but by: {entry.trigger_type}"
        yield make_finding(step, Cause.TRIGGER_MOVED, detail, f"{entry.id}:{entry.trigger_type}")


def _metric(step: StepDependencies, snapshot: AccountSnapshot) -> Iterator[Finding]:
    target = step.destination
    if target is None or target.type != "metric" or target.id is None or snapshot.metrics is None:
        return
    if target.id in snapshot.metrics:
        return
    detail = f"the metric {target.name} ({target.id}) is gone: events make a new one of that name"
    # A flow waits for the old metric, so that events of a new one fire nothing.
    policy: Policy = "hold" if step.kind == "trigger_flow" else "warn"
    yield make_finding(step, Cause.METRIC_GONE, detail, target.id, policy)
