"""The operations of one step for one record: values are evaluated and checked, problems are named. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from askel_tui.contract.caps import Caps, caps
from askel_tui.contract.dialects import CHANNEL_IDENTIFIER, dialect
from askel_tui.core import values
from askel_tui.core.catalogs import StepTargets
from askel_tui.core.expressions import EvaluationProblem, Expression
from askel_tui.core.operations import Identity, Operation, event_unique_id, operation_id
from askel_tui.core.problems import Problem
from askel_tui.core.records import Record
from askel_tui.core.workflows import (
    AddToList,
    Field,
    RemoveFromList,
    RequireSegment,
    Step,
    Subscribe,
    TrackEvent,
    TriggerFlow,
    Unsubscribe,
    UpsertProfile,
    Workflow,
)


@dataclass(frozen=True, slots=True)
class Applied:
    """A version of a workflow as it was applied: checked, with its targets pinned.

    `account` is the Klaviyo account's id, or another constant word where the key may not read it: ids of events
    are derived from it.
    """

    workflow: Workflow
    version: int
    account: str
    revision: str
    targets: Mapping[str, StepTargets]


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One step of the workflow with everything its operations are made of."""

    step: Step
    record: Record
    source: Mapping[str, Any]
    identity: Identity
    applied: Applied
    problems: list[Problem]

    def operations(self, earlier: Sequence[Operation]) -> Iterator[Operation]:
        """The operations of this step; problems are added to the list of the record."""
        step = self.step
        match step:
            case UpsertProfile():
                yield self._operation("create_or_update_profile", body=self._upsert(step))
            case AddToList():
                yield from self._identified(earlier)
                yield self._operation("add_profiles_to_list")
            case RemoveFromList():
                yield self._operation("remove_profiles_from_list")
            case TrackEvent():
                pinned = self.applied.targets.get(step.id)
                metric = pinned.target.name if pinned else step.metric
                yield self._operation("create_event", body=self._event(step, metric))
            case TriggerFlow():
                yield from self._flow(earlier)
            case Subscribe():
                if step.list is None:
                    # Without a list a new address never becomes a profile (contract.md 6), so it is made first.
                    yield from self._identified(earlier)
                yield self._operation("bulk_subscribe_profiles", body=self._subscribe(step))
            case Unsubscribe():
                yield self._operation("bulk_unsubscribe_profiles", body=self._channels(step.channels))
            case RequireSegment():
                yield self._operation("get_profiles_for_segment", body={"member": step.member})

    def _operation(self, call: str, *, body: Mapping[str, Any] | None = None) -> Operation:
        targets = self.applied.targets.get(self.step.id)
        return Operation(
            id=self._id(self.step.id),
            step=self.step.id,
            kind=self.step.kind,
            call=call,
            profile=self.identity,
            target=targets.target if targets else None,
            through=targets.through if targets else None,
            body=body or {},
        )

    def _id(self, step: str) -> str:
        workflow = self.applied.workflow
        return operation_id(workflow.connection, workflow.name, self.applied.version, self.record.id, step)

    def _identified(self, earlier: Sequence[Operation]) -> Iterator[Operation]:
        """An upsert of the bare identifiers, where nothing before in this record has upserted them."""
        if any(operation.call == "create_or_update_profile" for operation in earlier):
            return
        yield Operation(
            id=self._id(f"{self.step.id}.identify"),
            step=self.step.id,
            kind="upsert_profile",
            call="create_or_update_profile",
            profile=self.identity,
            body={"attributes": {}, "properties": {}, "unset": []},
        )

    def _flow(self, earlier: Sequence[Operation]) -> Iterator[Operation]:
        targets = self.applied.targets[self.step.id]
        if targets.through is not None and targets.through.type == "metric":
            metric = targets.through.name
            event = self._event(TrackEvent(id=self.step.id, metric=metric), metric)
            yield self._operation("create_event", body=event)
        else:
            yield from self._identified(earlier)
            yield self._operation("add_profiles_to_list")

    def _upsert(self, step: UpsertProfile) -> dict[str, Any]:
        attributes: dict[str, Any] = {}
        properties: dict[str, Any] = {}
        unset: list[str] = []
        limits = caps(self.applied.revision)
        for name, field in step.attributes.items():
            present, value = self._field(name, field)
            if not present:
                continue
            try:
                attributes[name] = values.attribute(name, value)
            except values.Unusable as problem:
                self._problem(name, str(problem))
        for name, field in step.properties.items():
            present, value = self._field(f"properties.{name}", field)
            if not present:
                continue
            if value is None:
                unset.append(name)
            else:
                properties[name] = value
        too_large = values.over(attributes | {"properties": properties}, limits.profile_bytes)
        if too_large:
            self._problem(_largest(attributes, properties), f"the profile would be {too_large}")
        return {"attributes": attributes, "properties": properties, "unset": unset}

    def _event(self, step: TrackEvent, metric: str) -> dict[str, Any]:
        workflow = self.applied.workflow
        limits = caps(self.applied.revision)
        properties: dict[str, Any] = {}
        for name, expression in step.properties.items():
            value = self._value(f"properties.{name}", expression)
            if value is None:
                continue
            try:
                values.event_property(value, limits)
            except values.Unusable as problem:
                self._problem(f"properties.{name}", str(problem))
            else:
                properties[name] = value
        body: dict[str, Any] = {
            "metric": metric,
            "properties": properties,
            "time": self._time(step, limits),
            "unique_id": event_unique_id(
                self.applied.account, workflow.connection, workflow.name, self.record.id, step.id, metric
            ),
        }
        self._checked(body, "value", step.value, values.amount)
        self._checked(body, "value_currency", step.value_currency, values.currency)
        if len(properties) > limits.event_properties:
            self._problem(
                "properties", f"{len(properties)} properties, where Klaviyo takes {limits.event_properties}"
            )
        too_large = values.over(properties, limits.event_bytes)
        if too_large:
            self._problem(_largest({}, properties), f"the event would be {too_large}")
        return body

    def _checked(
        self, body: dict[str, Any], name: str, expression: Expression | None, check: Callable[[Any], Any]
    ) -> None:
        """Adds a field to the body if it has a value, once `check` has found it usable."""
        value = self._value(name, expression) if expression is not None else None
        if value is None:
            return
        try:
            body[name] = check(value)
        except values.Unusable as problem:
            self._problem(name, str(problem))

    def _time(self, step: TrackEvent, limits: Caps) -> str:
        value = self._value("time", step.time) if step.time is not None else None
        try:
            return values.event_time(self.record.time if value is None else value, limits)
        except values.Unusable as problem:
            self._problem("time", str(problem))
            return self.record.time

    def _subscribe(self, step: Subscribe) -> dict[str, Any]:
        body = self._channels(step.channels)
        if step.custom_source is not None:
            body["custom_source"] = step.custom_source
        before = len(self.problems)
        if step.consented_at is not None:
            if not (step.historical and dialect(self.applied.revision).historical):
                # Refused when applied; a plan is always one that the revision can say (contract.md 6).
                self._problem("consented_at", "only consent from the past takes the time it was given")
            self._checked(body, "consented_at", step.consented_at, values.moment)
        if step.historical:
            body["historical"] = True
            if "consented_at" not in body and len(self.problems) == before:
                self._problem("consented_at", "consent from the past needs the time it was given")
        return body

    def _channels(self, channels: Sequence[str]) -> dict[str, Any]:
        present = self.identity.identifiers()
        for channel in channels:
            needed = CHANNEL_IDENTIFIER[channel]
            if needed not in present:
                self._problem("channels", f"consent for {channel} needs {needed}, which this record has not")
        return {"channels": list(channels)}

    def _field(self, name: str, field: Field) -> tuple[bool, Any]:
        """(whether the field is written, its value); null is left out unless the field clears."""
        value = self._value(name, field.expression)
        return (value is not None or field.clear), value

    def _value(self, name: str, expression: Expression) -> Any:
        try:
            return expression.evaluate(self.source)
        except EvaluationProblem as problem:
            self._problem(name, str(problem))
            return None

    def _problem(self, field: str, message: str) -> None:
        self.problems.append(Problem(message, field=field, step=self.step.id))


def _largest(attributes: Mapping[str, Any], properties: Mapping[str, Any]) -> str:
    fields = {**attributes, **{f"properties.{name}": value for name, value in properties.items()}}
    return max(fields, key=lambda name: values.size(fields[name]))
