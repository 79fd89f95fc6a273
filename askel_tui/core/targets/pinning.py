"""Pins targets: resolves what a workflow names to the account's lists, segments, flows and metrics. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeVar

from askel_tui.contract.caps import standard_attributes
from askel_tui.contract.dialects import dialect
from askel_tui.core.catalog import API_INTEGRATION, StepTargets
from askel_tui.core.operations import Target
from askel_tui.core.problems import Problem, did_you_mean
from askel_tui.core.targets.name_checks import check_names
from askel_tui.core.targets.own_writes import warn_of_own_writes
from askel_tui.core.workflows.model import (
    Subscribe,
    TrackEvent,
    TriggerFlow,
    Unsubscribe,
    UpsertProfile,
    line_of,
    step_targets,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from askel_tui.core.catalog import Catalog, FlowEntry, FlowTrigger, ListEntry, MetricEntry, SegmentEntry
    from askel_tui.core.workflows.model import Step, Workflow

Named = Literal["list", "segment", "flow"]
E = TypeVar("E", "ListEntry", "SegmentEntry", "FlowEntry", "ListEntry | SegmentEntry")

_TRIGGERS = {"Added to List": "list", "Metric": "metric"}
"""The targets that may fire a flow by its `trigger_type`, where nothing more can be read (docs/klaviyo.md 8)."""
_UNKNOWN_TRIGGERS = (None, "", "Unconfigured")


@dataclass(frozen=True, slots=True)
class Pinned:
    """The targets of each step, by the step's id. Problems keep the workflow from being applied, warnings do not."""

    targets: dict[str, StepTargets] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)


def pin_targets(
    workflow: Workflow,
    catalog: Catalog,
    *,
    file: str | None = None,
    only_lists: Collection[str] = (),
    revision: str | None = None,
) -> Pinned:
    """Resolves the targets of every step, by id or by name; an id wins over a name.

    `only_lists`: the only lists, by id or name, that the connection may touch; empty means all. `revision`: channels
    and attributes that it lacks are problems. A metric that the account lacks is no problem: the first event makes it.
    """
    pinned = Pinned()
    for step in workflow.steps:
        at = _StepPinner(step, catalog, file, tuple(only_lists), pinned)
        if revision is not None:
            at.check_revision(revision)
        targets = at.resolve_targets()
        if targets is not None:
            pinned.targets[step.id] = targets
    refused, warnings = check_names(workflow, catalog, file)
    pinned.problems.extend(refused)
    pinned.warnings.extend(warnings)
    pinned.warnings.extend(warn_of_own_writes(workflow, pinned.targets, catalog, file))
    return pinned


@dataclass(frozen=True, slots=True)
class _StepPinner:
    """The pinner of one step: it resolves what the step names, and collects problems."""

    step: Step
    catalog: Catalog
    file: str | None
    only_lists: tuple[str, ...]
    pinned: Pinned

    def resolve_targets(self) -> StepTargets | None:
        """Resolves the step's targets; None where it names none, or where they can't be resolved, which adds a
        problem."""
        step = self.step
        if isinstance(step, UpsertProfile):
            return None
        if isinstance(step, TrackEvent):
            return StepTargets(self.resolve_metric("metric", step.metric))
        if isinstance(step, TriggerFlow):
            return self.resolve_flow(step)
        for name, kind, written in step_targets(step):
            if kind == "list" or kind == "segment":
                found = self.resolve_group(kind, name, written)
                return None if found is None else StepTargets(found)
        return None

    def resolve_group(self, kind: Literal["list", "segment"], name: str, written: str) -> Target | None:
        """Resolves a list or segment by its id or name."""
        entries: Sequence[ListEntry | SegmentEntry] = (
            self.catalog.lists if kind == "list" else self.catalog.segments
        )
        entry = self.find_entry(kind, name, written, entries)
        if entry is None or (kind == "list" and not self.may_touch(name, entry.id, entry.name)):
            return None
        if not getattr(entry, "is_active", True):
            self.add_warning(name, f"the segment {entry.name!r} is inactive: its members no longer change")
        return Target(kind, entry.id, entry.name)

    def may_touch(self, name: str, list_id: str, list_name: str) -> bool:
        """Checks whether the connection may touch the list. Adds a problem where it may not."""
        if not self.only_lists or list_id in self.only_lists or list_name in self.only_lists:
            return True
        allowed = ", ".join(self.only_lists)
        self.add_problem(
            name, f"this connection may touch only {allowed}, and the list {list_name!r} is none of them"
        )
        return False

    def resolve_metric(self, name: str, written: str) -> Target:
        """Resolves the metric of events that are called `name`: one that the API made, or else a new one."""
        by_id = next((each for each in self.catalog.metrics if each.id == written), None)
        metric_name = by_id.name if by_id else written
        alike = [each for each in self.catalog.metrics if each.name == metric_name]
        made_by_api = [each for each in alike if _is_api(each)]
        if made_by_api:
            return Target("metric", made_by_api[0].id, metric_name)
        if alike:
            self.add_warning(
                name,
                f"the metric {metric_name!r} is {alike[0].integration}'s, not one that the API makes: events from here "
                "go to a new metric of the same name",
            )
        return Target("metric", None, metric_name)

    def resolve_flow(self, step: TriggerFlow) -> StepTargets | None:
        """Resolves the flow and the list or metric that fires it."""
        entry = self.find_entry("flow", "flow", step.flow, self.catalog.flows)
        if entry is None:
            return None
        if entry.archived:
            self.add_warning("flow", f"the flow {entry.name!r} is archived: it will not fire")
        elif entry.status != "live":
            self.add_warning(
                "flow", f"the flow {entry.name!r} is {entry.status}, not live: it will not send by itself"
            )
        through = (
            self.trigger_from_file(step, entry)
            if entry.triggers is None
            else self.trigger_from_account(step, entry, entry.triggers)
        )
        if through is None:
            return None
        return StepTargets(Target("flow", entry.id, entry.name), through)

    def trigger_from_file(self, step: TriggerFlow, entry: FlowEntry) -> Target | None:
        """Resolves what fires the flow according to the workflow file, where the account does not show it."""
        by = _TRIGGERS.get(entry.trigger_type or "")
        if by is None and entry.trigger_type not in _UNKNOWN_TRIGGERS:
            self.add_unfireable_problem(entry, entry.trigger_type or "")
            return None
        named: Literal["list", "metric"] | None = "list" if step.list else "metric" if step.metric else None
        if named is None:
            what = f"its {by}" if by else "its list or metric"
            shape = f"{{flow: {entry.name}, {by or 'list'}: …}}"
            self.add_problem(
                "flow",
                f"what fires the flow {entry.name!r} can't be read with this key: name {what}, {shape}",
            )
            return None
        if by is not None and by != named:
            self.add_problem(named, f"the flow {entry.name!r} is fired by a {by}, so name that: {by}: …")
            return None
        if named == "list":
            return self.resolve_group("list", "list", step.list or "")
        return self.resolve_trigger_metric(step.metric or "")

    def resolve_trigger_metric(self, written: str) -> Target | None:
        """Resolves the metric that the file names as a trigger. It must exist, since a flow waits for it."""
        target = self.resolve_metric("metric", written)
        known = any(each.name == target.name for each in self.catalog.metrics)
        if not known and "metrics" not in self.catalog.unread:
            like = did_you_mean(written, [each.name for each in self.catalog.metrics])
            self.add_problem(
                "metric", f"the account has no metric {written!r}, so no flow is fired by it", like
            )
            return None
        return target

    def trigger_from_account(
        self, step: TriggerFlow, entry: FlowEntry, triggers: Sequence[FlowTrigger]
    ) -> Target | None:
        """Resolves what fires the flow according to the account. The file may name nothing else."""
        if not triggers:
            self.add_problem("flow", f"the flow {entry.name!r} has no trigger yet, so nothing can fire it")
            return None
        trigger = next((each for each in triggers if each.type in ("list", "metric")), None)
        if trigger is None:
            self.add_unfireable_problem(entry, triggers[0].type)
            return None
        found = self.resolve_trigger(entry, trigger)
        if found is None:
            return None
        for kind, written in (("list", step.list), ("metric", step.metric)):
            if written is not None and (kind != found.type or written not in (found.id, found.name)):
                self.add_problem(
                    kind, f"the flow {entry.name!r} is fired by the {found.type} {found.name!r}, not by this"
                )
                return None
        if trigger.filtered:
            self.add_warning(
                "flow", f"the trigger of the flow {entry.name!r} has a filter, which may keep it from firing"
            )
        return found

    def resolve_trigger(self, entry: FlowEntry, trigger: FlowTrigger) -> Target | None:
        """Resolves the list or metric of a flow's trigger."""
        if trigger.type == "list":
            listed = next((each for each in self.catalog.lists if each.id == trigger.id), None)
            if listed is None:
                self.add_problem(
                    "flow", f"the list that fires the flow {entry.name!r} ({trigger.id}) is gone"
                )
                return None
            return (
                Target("list", listed.id, listed.name)
                if self.may_touch("flow", listed.id, listed.name)
                else None
            )
        metric = next((each for each in self.catalog.metrics if each.id == trigger.id), None)
        if metric is None:
            unread = "metrics" in self.catalog.unread
            why = "can't be read with this key: metrics:read is missing" if unread else "is gone"
            self.add_problem("flow", f"the metric that fires the flow {entry.name!r} ({trigger.id}) {why}")
            return None
        if not _is_api(metric):
            self.add_warning(
                "flow",
                f"the flow {entry.name!r} waits for {metric.integration}'s metric {metric.name!r}, not for one that "
                "the API makes: an event from here will not fire it",
            )
        return Target("metric", metric.id, metric.name)

    def add_unfireable_problem(self, entry: FlowEntry, by: str) -> None:
        """Adds the problem that only lists and metrics can fire a flow from here (docs/klaviyo.md 8)."""
        self.add_problem(
            "flow", f"the flow {entry.name!r} is fired by its {by.lower()}, which nobody can do from here"
        )

    def find_entry(self, kind: Named, name: str, written: str, entries: Sequence[E]) -> E | None:
        """Finds the entry of an id, or else the only one of a name."""
        by_id = next((each for each in entries if each.id == written), None)
        if by_id is not None:
            return by_id
        alike = [each for each in entries if each.name == written]
        if len(alike) == 1:
            return alike[0]
        if alike:
            ids = ", ".join(each.id for each in alike)
            self.add_problem(
                name, f"{len(alike)} {kind}s are named {written!r} ({ids}): write the id instead"
            )
        elif f"{kind}s" in self.catalog.unread:
            self.add_problem(
                name, f"the key may not read {kind}s, so {written!r} can't be found: it needs {kind}s:read"
            )
        else:
            like = did_you_mean(written, [each.name for each in entries])
            self.add_problem(name, f"the account has no {kind} {written!r}", like)
        return None

    def check_revision(self, revision: str) -> None:
        """Adds problems for attributes and channels that the revision lacks."""
        step, revision_dialect = self.step, dialect(revision)
        if isinstance(step, UpsertProfile):
            for name in step.attributes:
                if name not in standard_attributes(revision):
                    self.add_problem(name, f"no standard attribute of a profile at revision {revision}")
        if isinstance(step, Subscribe | Unsubscribe):
            known = (
                revision_dialect.subscribe_channels
                if isinstance(step, Subscribe)
                else revision_dialect.unsubscribe_channels
            )
            for channel in step.channels:
                if channel not in known:
                    self.add_problem(
                        "channels", f"revision {revision} takes no {channel} here, only {', '.join(known)}"
                    )
        if isinstance(step, Subscribe) and step.historical and not revision_dialect.has_historical_consent:
            self.add_problem("historical", f"revision {revision} can't record consent of the past")
        if (
            isinstance(step, Subscribe)
            and step.consented_at
            and revision_dialect.has_historical_consent
            and not step.historical
        ):
            message = f"revision {revision} takes the time of consent only with `historical: true`"
            self.add_problem("consented_at", message)

    def add_problem(self, name: str, message: str, suggestion: str | None = None) -> None:
        self.pinned.problems.append(self._located_problem(name, message, suggestion))

    def add_warning(self, name: str, message: str) -> None:
        self.pinned.warnings.append(self._located_problem(name, message))

    def _located_problem(self, name: str, message: str, suggestion: str | None = None) -> Problem:
        return Problem(message, name, self.step.id, self.file, line_of(self.step, name), suggestion)


def _is_api(metric: MetricEntry) -> bool:
    return metric.integration.casefold() == API_INTEGRATION
