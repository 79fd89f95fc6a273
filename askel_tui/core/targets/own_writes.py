"""Finds gates that ask for what their own workflow writes: Klaviyo computes segments a while after a write. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from askel_tui.core.catalog import Catalog, StepTargets
from askel_tui.core.problems import Problem
from askel_tui.core.segments import segment_reads
from askel_tui.core.workflows.model import (
    AddToList,
    RemoveFromList,
    RequireSegment,
    Step,
    Subscribe,
    TrackEvent,
    TriggerFlow,
    Unsubscribe,
    UpsertProfile,
    Workflow,
    line_of,
)


def warn_of_own_writes(
    workflow: Workflow, targets: Mapping[str, StepTargets], catalog: Catalog, file: str | None
) -> Iterator[Problem]:
    """Warns of each gate whose segment's definition reads what a step of the workflow writes."""
    definitions = {each.id: each.definition for each in catalog.segments}
    for number, gate in enumerate(workflow.steps):
        pinned = targets.get(gate.id)
        if not isinstance(gate, RequireSegment) or pinned is None:
            continue
        reads = segment_reads(definitions.get(pinned.target.id or ""))
        if reads is None:
            continue
        for position, step in enumerate(workflow.steps):
            read = reads.find_read(_written(step, targets))
            if read is None or (position < number and gate.within is not None):
                continue
            what = f"{pinned.target.name} reads {_label(read, step, targets)}, which step {step.id} writes"
            if position < number:
                why = (
                    "Klaviyo computes segments a while after a write, so the gate may get the answer from before it; "
                    "`within: 5m` waits for a new one"
                )
            else:
                why = "for a later record of the same person the gate may get the answer from before it"
            yield Problem(f"{what}: {why}", "segment", gate.id, file, line_of(gate, "segment"))
            break


def _written(step: Step, targets: Mapping[str, StepTargets]) -> list[str]:
    """Lists what a step writes under the names in `core.segments`."""
    pinned = targets.get(step.id)
    destination = (pinned.through or pinned.target) if pinned else None
    group = [f"{destination.type} {destination.id}"] if destination and destination.id else []
    match step:
        case UpsertProfile():
            return [*step.attributes, *(f"properties.{name}" for name in step.properties)]
        case AddToList() | RemoveFromList() | TrackEvent() | TriggerFlow():
            return group
        case Subscribe() | Unsubscribe():
            return [*group, *(f"consent {channel}" for channel in step.channels)]
    return []


def _label(read: str, step: Step, targets: Mapping[str, StepTargets]) -> str:
    pinned = targets.get(step.id)
    destination = (pinned.through or pinned.target) if pinned else None
    kind, _, ident = read.partition(" ")
    return f"{kind} {destination.name}" if destination and ident == destination.id else read
