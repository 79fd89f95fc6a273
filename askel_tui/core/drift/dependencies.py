"""The dependencies of a workflow's steps on the account, and the details that are stored to notice changes. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from askel_tui.core.workflows.model import UpsertProfile

if TYPE_CHECKING:
    from askel_tui.core.catalog import Catalog, StepTargets
    from askel_tui.core.operations import StepKind, Target
    from askel_tui.core.workflows.model import Workflow


@dataclass(frozen=True, slots=True)
class StepDependencies:
    """The dependencies of one step of an applied workflow on the account.

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


def target_details(targets: StepTargets, catalog: Catalog) -> dict[str, Any]:
    """Collects the details of a step's targets that are stored when a workflow is applied, to find changes of them
    later."""
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
    """Collects the dependencies of each step of a workflow. `applied_details` and `scopes` are by step."""
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
