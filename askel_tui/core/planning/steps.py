"""Plans the steps of a workflow for one record: evaluates and checks values, names problems. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any, Literal

from askel_tui.contract.calls import Call
from askel_tui.contract.caps import Caps, caps
from askel_tui.contract.dialects import CHANNEL_IDENTIFIER, dialect
from askel_tui.core.addressing import CONSENT_CALL_OF_STEP
from askel_tui.core.catalog import StepTargets
from askel_tui.core.expressions import values
from askel_tui.core.expressions.expression import EvaluationProblem, Expression
from askel_tui.core.operations import Identity, Operation, event_unique_id, operation_id
from askel_tui.core.planning.disposition import left_out_note
from askel_tui.core.planning.evaluation import Evaluation
from askel_tui.core.problems import CHANNEL_LEFT_OUT_KIND, CHANNEL_MISSING_KIND, Problem
from askel_tui.core.records.record import Record
from askel_tui.core.workflows.model import (
    FIRST_RULES,
    NEWEST_RULES,
    AddToList,
    Field,
    RemoveFromList,
    Require,
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
class AppliedWorkflow:
    """A version of a workflow as it was applied: checked, with its targets pinned.

    `account` is the Klaviyo account's id, or another constant where the key may not read it: the ids of events are
    derived from it.
    """

    workflow: Workflow
    version: int
    account: str
    revision: str
    targets: Mapping[str, StepTargets]
    event_steps: Mapping[str, str] = dataclass_field(default_factory=dict)
    """The step ids from which events' unique ids are derived, by step, where these are not the steps' own."""


PlainCall = Literal[
    Call.CREATE_OR_UPDATE_PROFILE,
    Call.ADD_PROFILES_TO_LIST,
    Call.REMOVE_PROFILES_FROM_LIST,
    Call.CREATE_EVENT,
    Call.GET_PROFILES_FOR_SEGMENT,
]
"""The calls that are not about consent: the only ones that steps other than consent steps plan."""

_REQUIRE_BY_RULES: Mapping[int, Require] = {FIRST_RULES: "all", NEWEST_RULES: "any"}


class StepPlanner:
    """Plans one record step by step. Collects `operations` in order, and `problems`."""

    __slots__ = (
        "_applied",
        "_evaluated",
        "_identity",
        "_limits",
        "_record",
        "_upserted",
        "operations",
        "problems",
    )

    def __init__(
        self,
        record: Record,
        evaluated: Evaluation,
        identity: Identity,
        applied: AppliedWorkflow,
    ) -> None:
        """Makes a planner that adds problems and warnings to those of `evaluated`."""
        self._record = record
        self._evaluated = evaluated
        self._identity = identity
        self._applied = applied
        self._limits = caps(applied.revision)
        self._upserted = False
        self.operations: list[Operation] = []
        self.problems = evaluated.problems

    def plan_step(self, step: Step) -> None:
        """Plans the next step."""
        match step:
            case UpsertProfile():
                self._add(step, Call.CREATE_OR_UPDATE_PROFILE, self._upsert(step))
                self._upserted = True
            case AddToList():
                self._identify(step)
                self._add(step, Call.ADD_PROFILES_TO_LIST)
            case RemoveFromList():
                self._add(step, Call.REMOVE_PROFILES_FROM_LIST)
            case TrackEvent():
                pinned = self._applied.targets.get(step.id)
                metric = pinned.target.name if pinned else step.metric
                self._add(step, Call.CREATE_EVENT, self._event(step, metric))
            case TriggerFlow():
                self._flow(step)
            case Subscribe():
                if step.list is None:
                    # Without a list a new address never becomes a profile (docs/klaviyo.md 6), so it is created first.
                    self._identify(step)
                self._add_consent(step, self._subscribe(step))
            case Unsubscribe():
                self._unsubscribe(step)
            case RequireSegment():
                waits = {} if step.within is None else {"within": step.within}
                self._add(step, Call.GET_PROFILES_FOR_SEGMENT, {"member": step.member, **waits})

    def _add(self, step: Step, call: PlainCall, body: Mapping[str, Any] | None = None) -> None:
        """Adds an operation of the step that is not about consent."""
        self._add_operation(step, call, step.id, body)

    def _add_consent(
        self, step: Subscribe | Unsubscribe, body: Mapping[str, Any], *, part: str | None = None
    ) -> None:
        """Adds an operation of a consent step; `part` tells it from another one of the same step."""
        name = f"{step.id}.{part}" if part else step.id
        self._add_operation(step, CONSENT_CALL_OF_STEP[step.kind], name, body)

    def _add_operation(self, step: Step, call: Call, name: str, body: Mapping[str, Any] | None) -> None:
        targets = self._applied.targets.get(step.id)
        self.operations.append(
            Operation(
                self._id(name),
                step.id,
                step.kind,
                call,
                self._identity,
                targets.target if targets else None,
                targets.through if targets else None,
                body or {},
            )
        )

    def _id(self, step: str) -> str:
        workflow = self._applied.workflow
        return operation_id(workflow.connection, workflow.name, self._applied.version, self._record.id, step)

    def _identify(self, step: Step) -> None:
        """Adds an upsert of the bare identifiers, unless an earlier step of the record has upserted them."""
        if self._upserted:
            return
        self._upserted = True
        self.operations.append(
            Operation(
                id=self._id(f"{step.id}.identify"),
                step=step.id,
                kind="upsert_profile",
                call=Call.CREATE_OR_UPDATE_PROFILE,
                profile=self._identity,
                body={"attributes": {}, "properties": {}, "unset": []},
            )
        )

    def _flow(self, step: TriggerFlow) -> None:
        targets = self._applied.targets[step.id]
        if targets.through is not None and targets.through.type == "metric":
            metric = targets.through.name
            self._add(step, Call.CREATE_EVENT, self._event(TrackEvent(id=step.id, metric=metric), metric))
        else:
            self._identify(step)
            self._add(step, Call.ADD_PROFILES_TO_LIST)

    def _upsert(self, step: UpsertProfile) -> dict[str, Any]:
        attributes: dict[str, Any] = {}
        properties: dict[str, Any] = {}
        unset: list[str] = []
        limits = self._limits
        for name, field in step.attributes.items():
            present, value = self._field(step, name, field)
            if not present:
                continue
            try:
                attributes[name] = values.check_attribute(name, value)
            except values.UnusableValue as problem:
                self._problem(step, name, str(problem))
        for name, field in step.properties.items():
            present, value = self._field(step, f"properties.{name}", field)
            if not present:
                continue
            if value is None:
                unset.append(name)
            else:
                properties[name] = value
        too_large = values.describe_excess(attributes | {"properties": properties}, limits.profile_bytes)
        if too_large:
            self._problem(step, _largest(attributes, properties), f"the profile would be {too_large}")
        return {"attributes": attributes, "properties": properties, "unset": unset}

    def _event(self, step: TrackEvent, metric: str) -> dict[str, Any]:
        workflow = self._applied.workflow
        limits = self._limits
        properties: dict[str, Any] = {}
        for name, expression in step.properties.items():
            value = self._value(step, f"properties.{name}", expression)
            if value is None:
                continue
            try:
                values.check_event_property(value, limits)
            except values.UnusableValue as problem:
                self._problem(step, f"properties.{name}", str(problem))
            else:
                properties[name] = value
        body: dict[str, Any] = {
            "metric": metric,
            "properties": properties,
            "time": self._time(step, limits),
            "unique_id": event_unique_id(
                self._applied.account,
                workflow.connection,
                workflow.name,
                self._record.id,
                self._applied.event_steps.get(step.id, step.id),
                metric,
            ),
        }
        self._checked(step, body, "value", step.value, values.check_amount)
        self._checked(step, body, "value_currency", step.value_currency, values.check_currency)
        if len(properties) > limits.event_properties:
            self._problem(
                step,
                "properties",
                f"{len(properties)} properties, where Klaviyo takes {limits.event_properties}",
            )
        too_large = values.describe_excess(properties, limits.event_bytes)
        if too_large:
            self._problem(step, _largest({}, properties), f"the event would be {too_large}")
        return body

    def _checked(
        self,
        step: Step,
        body: dict[str, Any],
        name: str,
        expression: Expression | None,
        check: Callable[[Any], Any],
    ) -> None:
        """Adds a field to the body if it has a value and `check` accepts the value."""
        value = self._value(step, name, expression) if expression is not None else None
        if value is None:
            return
        try:
            body[name] = check(value)
        except values.UnusableValue as problem:
            self._problem(step, name, str(problem))

    def _time(self, step: TrackEvent, limits: Caps) -> str:
        value = self._value(step, "time", step.time) if step.time is not None else None
        try:
            if value is None:
                return values.check_event_year(self._record.time, limits)
            return values.check_event_time(value, limits)
        except values.UnusableValue as problem:
            self._problem(step, "time", str(problem))
            return self._record.time

    def _subscribe(self, step: Subscribe) -> dict[str, Any]:
        body = self._channels(step)
        if step.custom_source is not None:
            body["custom_source"] = step.custom_source
        before = len(self.problems)
        if step.consented_at is not None:
            if not (step.historical and dialect(self._applied.revision).has_historical_consent):
                # Also refused when it is applied: a plan only holds what the revision can express (docs/klaviyo.md 6).
                self._problem(step, "consented_at", "only consent from the past takes the time it was given")
            self._checked(step, body, "consented_at", step.consented_at, values.check_time)
        if step.choice in ("consent_at", "proof", "refuse"):
            proof: dict[str, Any] = {}
            self._checked(step, proof, "consent_at", step.consent_at, values.check_time)
            body["proof"] = self._record.time if step.choice == "proof" else proof.get("consent_at")
        if step.historical:
            body["historical"] = True
            if step.consented_at is None and body.get("proof") is not None:
                body["consented_at"] = body["proof"]
            if "consented_at" not in body and len(self.problems) == before:
                field = "consented_at" if step.consent_at is None else "consent_at"
                self._problem(step, field, "consent from the past needs the time it was given")
        return body

    def _unsubscribe(self, step: Unsubscribe) -> None:
        body = self._channels(step)
        if not step.everywhere:
            self._add_consent(step, body)
            return
        if step.list is not None:
            self._add_consent(step, body, part="list")
        call = CONSENT_CALL_OF_STEP[step.kind]
        self.operations.append(
            Operation(self._id(step.id), step.id, step.kind, call, self._identity, body=body)
        )

    def _channels(self, step: Subscribe | Unsubscribe) -> dict[str, Any]:
        """Chooses the channels of a consent step; those that are left out for their identifiers are named."""
        present = self._identity.identifiers()
        lacking = [name for name in step.channels if CHANNEL_IDENTIFIER[name] not in present]
        given = [name for name in step.channels if name not in lacking]
        lenient = (step.require or _REQUIRE_BY_RULES[self._applied.workflow.rules]) == "any"
        if lacking and given and step.require is None:
            kind = CHANNEL_LEFT_OUT_KIND if lenient else CHANNEL_MISSING_KIND
            self._evaluated.warn(kind, left_out_note(lacking), step.id, "channels")
        if lacking and not (lenient and given):
            for channel in lacking:
                needed = CHANNEL_IDENTIFIER[channel]
                self._problem(
                    step, "channels", f"consent for {channel} needs {needed}, which this record has not"
                )
            return {"channels": list(step.channels)}
        return {"channels": given, "left_out": lacking} if lacking else {"channels": given}

    def _field(self, step: Step, name: str, field: Field) -> tuple[bool, Any]:
        """Evaluates a field: (whether it is written, its value). A null is not written, unless the field clears."""
        value = self._value(step, name, field.expression)
        if value is not None or field.clear is None:
            return value is not None, value
        reason = "missing" if field.expression.is_missing(self._evaluated.source) else "null"
        return field.clear in (reason, "both"), None

    def _value(self, step: Step, name: str, expression: Expression) -> Any:
        try:
            return self._evaluated.value(expression, step.id, name)
        except EvaluationProblem as problem:
            self._problem(step, name, str(problem))
            return None

    def _problem(self, step: Step, field: str, message: str) -> None:
        self.problems.append(Problem(message, field=field, step=step.id))


def _largest(attributes: Mapping[str, Any], properties: Mapping[str, Any]) -> str:
    fields = {**attributes, **{f"properties.{name}": value for name, value in properties.items()}}
    return max(fields, key=lambda name: values.json_size(fields[name]))
