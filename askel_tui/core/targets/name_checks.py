"""Checks the names that Klaviyo would make anew: metrics and properties that are nearly existing ones, expressions that
stand where a name is meant, and values of another type than their property's. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from askel_tui.contract.calls import Call
from askel_tui.core.catalog import PropertyEntry, value_type
from askel_tui.core.problems import PROPERTY_TYPE_KIND, Problem
from askel_tui.core.targets.names import describe_expression, find_near_name
from askel_tui.core.workflows.model import (
    NEWEST_RULES,
    Step,
    Subscribe,
    TrackEvent,
    TriggerFlow,
    UpsertProfile,
    Workflow,
    line_of,
)

if TYPE_CHECKING:
    from askel_tui.core.catalog import Catalog
    from askel_tui.core.operations import Operation


def check_names(
    workflow: Workflow, catalog: Catalog, file: str | None
) -> tuple[list[Problem], list[Problem]]:
    """Checks the names of every step; returns problems and warnings.

    What only the newest rules refuse is a warning where the workflow follows the first.
    """
    refused: list[Problem] = []
    warnings: list[Problem] = []
    metrics = {name for each in catalog.metrics for name in (each.name, each.id)}
    properties = {each.name: each for each in catalog.properties}
    for step in workflow.steps:
        for field, written, existing, is_key in _named(step, metrics, properties.keys()):
            if written in existing:
                continue
            literal = (step.id, field) in workflow.literals
            why = None if literal else describe_expression(written, fields=not is_key)
            if why is not None:
                hint = "" if is_key else f'; where it is meant so, write {{name: "{written}"}}'
                refused.append(_located(f"{why}{hint}", field, step, file))
            elif (near := find_near_name(written, existing)) is not None:
                what = "property" if is_key else "metric"
                message = f"the account has no {what} {written!r}, so another one would be made"
                warnings.append(_located(message, field, step, file, near))
        if isinstance(step, UpsertProfile):
            warnings += _expected_types(step, properties, file)
    if workflow.rules >= NEWEST_RULES:
        return refused, warnings
    return [], [*refused, *warnings]


def _named(
    step: Step, metrics: Iterable[str], properties: Iterable[str]
) -> Iterator[tuple[str, str, Iterable[str], bool]]:
    """Yields the names in a step that would be made where they don't exist: (field, name, existing ones, whether it is
    a property's)."""
    match step:
        case UpsertProfile():
            for name in step.properties:
                yield f"properties.{name}", name, properties, True
        case TrackEvent():
            yield "metric", step.metric, metrics, False
            for name in step.properties:
                # Nobody lists the properties of events, so only an expression can be told.
                yield f"properties.{name}", name, (), True
        case TriggerFlow(metric=str() as metric):
            yield "metric", metric, metrics, False
        case Subscribe(custom_source=str() as source):
            yield "custom_source", source, (), False


def _expected_types(
    step: UpsertProfile, properties: Mapping[str, PropertyEntry], file: str | None
) -> Iterator[Problem]:
    for name, field in step.properties.items():
        found, entry = field.expression.result_type, properties.get(name)
        if found is not None and (message := _type_difference(entry, found)) is not None:
            yield _located(message, f"properties.{name}", step, file)


def find_type_differences(
    operations: Iterable[Operation], properties: Mapping[str, PropertyEntry]
) -> list[Problem]:
    """Finds the values of a record whose type is not their property's, as warnings."""
    return [
        Problem(message, f"properties.{name}", operation.step, kind=PROPERTY_TYPE_KIND)
        for operation in operations
        if operation.call == Call.CREATE_OR_UPDATE_PROFILE
        for name, value in operation.body["properties"].items()
        if (message := _type_difference(properties.get(name), value_type(value))) is not None
    ]


def _type_difference(entry: PropertyEntry | None, found: str) -> str | None:
    """Describes that a value of type `found` is not what the property holds; None where it may be."""
    held = entry.main_type if entry is not None else None
    if entry is None or held in (None, found) or found == "null" or (held, found) == ("text", "date"):
        return None
    seen = f" ({', '.join(entry.samples[:2])})" if entry.samples else ""
    return f"{entry.name} holds {held} in the account{seen}, and {found} would be written"


def _located(
    message: str, field: str, step: Step, file: str | None, suggestion: str | None = None
) -> Problem:
    return Problem(message, field, step.id, file, line_of(step, field), suggestion)
