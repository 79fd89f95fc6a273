"""Matches the steps of two versions of a workflow: which of the new one goes on with which of the old one. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from askel_tui.core.operations import Target
from askel_tui.core.planning.steps import AppliedWorkflow
from askel_tui.core.workflows.model import Step, UpsertProfile


@dataclass(frozen=True, slots=True)
class StepMatches:
    """The step of the old version that each step of the new one goes on with, both ways; by step id."""

    old_by_new: Mapping[str, str] = field(default_factory=dict)
    new_by_old: Mapping[str, str] = field(default_factory=dict)


def match_steps(old: AppliedWorkflow, new: AppliedWorkflow) -> StepMatches:
    """Matches steps by id, and then by kind and target where each version has exactly one such step left."""
    old_ids = {step.id for step in old.workflow.steps}
    new_ids = {step.id for step in new.workflow.steps}
    matched = {step: step for step in old_ids & new_ids}
    left_new = _by_effect(new, (step for step in new.workflow.steps if step.id not in matched))
    for effect, steps in _by_effect(old, (s for s in old.workflow.steps if s.id not in matched)).items():
        others = left_new.get(effect, ())
        if len(steps) == len(others) == 1:
            matched[others[0]] = steps[0]
    return StepMatches(matched, {before: after for after, before in matched.items()})


def event_steps(old: AppliedWorkflow, new: AppliedWorkflow) -> dict[str, str]:
    """Finds the step ids from which the new version derives its events' unique ids, where they are not the steps' own.

    A renamed step keeps the id of before. A step that takes an id which another one keeps gets one of its own.
    """
    old_by_new = match_steps(old, new).old_by_new
    kept = {step: old.event_steps.get(before, before) for step, before in old_by_new.items()}
    found = {}
    for step in new.workflow.steps:
        source = kept.get(step.id, step.id)
        if step.id not in kept and source in kept.values():
            source = f"{step.id}@{new.version}"
        if source != step.id:
            found[step.id] = source
    return found


def dropped_properties(
    old: AppliedWorkflow, old_step: str, new: AppliedWorkflow, new_step: str
) -> frozenset[str]:
    """Lists the custom properties that the old step writes and the new one no longer names."""
    return _properties(old, old_step) - _properties(new, new_step)


def _properties(applied: AppliedWorkflow, step_id: str) -> frozenset[str]:
    step = applied.workflow.step(step_id)
    return frozenset(step.properties) if isinstance(step, UpsertProfile) else frozenset()


def _by_effect(applied: AppliedWorkflow, steps: Iterable[Step]) -> dict[tuple[object, ...], list[str]]:
    found: dict[tuple[object, ...], list[str]] = {}
    for step in steps:
        pinned = applied.targets.get(step.id)
        targets = (None, None) if pinned is None else (_object(pinned.target), _object(pinned.through))
        found.setdefault((step.kind, *targets), []).append(step.id)
    return found


def _object(target: Target | None) -> tuple[str, str] | None:
    """Returns what identifies an object of the account: its id, or the name of a metric that is yet to be made."""
    return None if target is None else (target.type, target.id or target.name)
