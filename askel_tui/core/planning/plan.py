"""Plans what one record does under one applied workflow. Pure: the dry run and live call the same function.

A plan holds every operation of the record, gates included; live reads a gate when its turn comes. A dry run passes
`facts` (the memberships that the gates ask for), and the plan then names the steps that would be skipped, and why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from askel_tui.contract.caps import Caps, caps
from askel_tui.core.expressions import values
from askel_tui.core.expressions.expression import EvaluationProblem
from askel_tui.core.operations import (
    IDENTIFIERS,
    Identity,
    Operation,
    Target,
)
from askel_tui.core.planning.steps import AppliedWorkflow, StepPlanner
from askel_tui.core.problems import Problem
from askel_tui.core.records.record import Record
from askel_tui.core.workflows.model import Workflow

Facts = Mapping[tuple[str, Identity], bool | None]
"""Memberships by (segment id, identity); None where they could not be read."""


@dataclass(frozen=True, slots=True)
class Skip:
    """A step that a gate would skip."""

    step: str
    why: str


@dataclass(slots=True)
class Plan:
    """The effect that one record would have: operations in order, or the problems that stop all of them."""

    record: str
    workflow: str
    version: int
    profile: Identity
    operations: tuple[Operation, ...] = ()
    skipped: tuple[Skip, ...] = ()
    problems: tuple[Problem, ...] = ()


def plan(record: Record, applied: AppliedWorkflow, facts: Facts | None = None) -> Plan | None:
    """Plans a record under the workflow; None where its trigger or its `when` does not match.

    Never raises for the content of a record: a value that cannot be used becomes a problem that names step and field.
    """
    workflow = applied.workflow
    if record.event not in workflow.triggers:
        return None
    source = record.as_dict()
    try:
        if workflow.when is not None and not values.is_truthy(workflow.when.evaluate(source)):
            return None
    except EvaluationProblem as problem:
        return _failed(record, applied, [Problem(str(problem), field="when")])
    problems: list[Problem] = []
    identity = _identity(workflow, source, caps(applied.revision), problems)
    made = StepPlanner(record, source, identity, applied, problems)
    for step in workflow.steps:
        made.plan_step(step)
    if problems:
        return _failed(record, applied, problems, identity)
    kept, skipped = _through_gates(made.operations, facts) if facts is not None else (made.operations, ())
    return Plan(
        record.id, workflow.name, applied.version, identity, operations=tuple(kept), skipped=tuple(skipped)
    )


def _failed(
    record: Record, applied: AppliedWorkflow, problems: Sequence[Problem], identity: Identity | None = None
) -> Plan:
    return Plan(
        record.id, applied.workflow.name, applied.version, identity or Identity(), problems=tuple(problems)
    )


def _identity(
    workflow: Workflow, source: Mapping[str, Any], limits: Caps, problems: list[Problem]
) -> Identity:
    """Evaluates the identifiers of the record.

    Adds a problem for each that is unusable, and one where there are none.
    """
    found: dict[str, str] = {}
    before = len(problems)
    for name in IDENTIFIERS:
        expression = workflow.profile.get(name)
        if expression is None:
            continue
        try:
            value = values.check_identifier(name, expression.evaluate(source), limits)
        except (EvaluationProblem, values.UnusableValue) as problem:
            problems.append(Problem(str(problem), field=f"profile.{name}"))
        else:
            if value is not None:
                found[name] = value
    if not found and len(problems) == before:
        asked = ", ".join(workflow.profile)
        problems.append(Problem(f"the record names nobody: {asked} all come out empty", field="profile"))
    return Identity(**found)


def _through_gates(planned: Sequence[Operation], facts: Facts) -> tuple[list[Operation], list[Skip]]:
    """Divides planned operations into operations and skipped steps, by `facts`: the first gate that refuses skips
    every step below it."""
    kept: list[Operation] = []
    skipped: list[Skip] = []
    why: str | None = None
    for operation in planned:
        if why is not None:
            if not any(skip.step == operation.step for skip in skipped):
                skipped.append(Skip(operation.step, why))
            continue
        kept.append(operation)
        if operation.is_gate:
            refusal = gate_refusal(operation, facts.get((_segment(operation), operation.profile)))
            why = f"gate {operation.step}: {refusal}" if refusal else None
    return kept, skipped


def gate_refusal(gate: Operation, member: bool | None) -> str | None:
    """Describes why a gate skips the steps below it; None where it lets them pass."""
    segment = gate.target.name if gate.target else "?"
    if member is None:
        return f"whether the profile is in {segment} can't be read; the steps below would wait"
    wanted = bool(gate.body["member"])
    if member == wanted:
        return None
    return f"the profile is {'' if member else 'not '}in {segment}"


def _segment(gate: Operation) -> str:
    target: Target | None = gate.target
    return (target.id if target else None) or ""
