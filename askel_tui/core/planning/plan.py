"""Plans what one record does under one applied workflow. Pure: the dry run and live call the same function.

A plan holds every operation of the record, gates included. What becomes of each is decided in `disposition`: by live
when its turn comes, by a dry run in `rehearsal`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from askel_tui.contract.caps import Caps, caps
from askel_tui.core.expressions import values
from askel_tui.core.expressions.functions import EvaluationProblem, Remark, collect_remarks
from askel_tui.core.operations import (
    IDENTIFIERS,
    Identity,
    Operation,
)
from askel_tui.core.planning.evaluation import Evaluation
from askel_tui.core.planning.steps import AppliedWorkflow, StepPlanner
from askel_tui.core.problems import LEFT_OUT_KIND, Problem
from askel_tui.core.records.record import Record
from askel_tui.core.workflows.model import Workflow


@dataclass(slots=True)
class Plan:
    """The effect that one record would have: operations in order, or the problems that stop all of them."""

    record: str
    workflow: str
    version: int
    profile: Identity
    operations: tuple[Operation, ...] = ()
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    """What does not stop the record, each with its kind: by this it is counted."""


def plan(record: Record, applied: AppliedWorkflow) -> Plan | None:
    """Plans a record under the workflow; None where its trigger or its `when` does not match.

    Never raises for the content of a record: a value that cannot be used becomes a problem that names step and field.
    """
    workflow = applied.workflow
    if record.event not in workflow.triggers:
        return None
    with collect_remarks() as remarks:
        return _plan(record, applied, remarks)


def _plan(record: Record, applied: AppliedWorkflow, remarks: list[Remark]) -> Plan | None:
    workflow = applied.workflow
    source = record.as_dict()
    try:
        if workflow.when is not None and not values.is_truthy(workflow.when.evaluate(source)):
            return None
    except EvaluationProblem as problem:
        return _failed(record, applied, [Problem(str(problem), field="when")])
    problems: list[Problem] = []
    warnings: list[Problem] = []
    evaluated = Evaluation(source, workflow.rules, problems, warnings, remarks)
    identity = _identity(workflow, evaluated, caps(applied.revision))
    made = StepPlanner(record, evaluated, identity, applied)
    for step in workflow.steps:
        made.plan_step(step)
    if problems:
        return replace(_failed(record, applied, problems, identity), warnings=tuple(warnings))
    return Plan(
        record.id,
        workflow.name,
        applied.version,
        identity,
        operations=tuple(made.operations),
        warnings=tuple(warnings),
    )


def _failed(
    record: Record, applied: AppliedWorkflow, problems: Sequence[Problem], identity: Identity | None = None
) -> Plan:
    return Plan(
        record.id, applied.workflow.name, applied.version, identity or Identity(), problems=tuple(problems)
    )


def _identity(workflow: Workflow, evaluated: Evaluation, limits: Caps) -> Identity:
    """Evaluates the identifiers of the record.

    Adds a problem for each that is unusable, and one where there are none. One that may be left out is, with a warning.
    """
    found: dict[str, str] = {}
    before = len(evaluated.problems)
    for name in IDENTIFIERS:
        expression = workflow.profile.get(name)
        if expression is None:
            continue
        field = f"profile.{name}"
        try:
            value = values.check_identifier(name, evaluated.value(expression, None, field), limits)
        except (EvaluationProblem, values.UnusableValue) as problem:
            if name in workflow.dispensable:
                evaluated.warn(LEFT_OUT_KIND, f"{problem}: it is left out", None, field)
            else:
                evaluated.problems.append(Problem(str(problem), field=field))
        else:
            if value is not None:
                found[name] = value
    if not found and len(evaluated.problems) == before:
        asked = ", ".join(workflow.profile)
        verb = "comes" if len(workflow.profile) == 1 else "all come"
        message = f"the record names nobody: {asked} {verb} out empty"
        evaluated.problems.append(Problem(message, field="profile"))
    return Identity(**found)
