"""Workflows: a trigger, the identifiers of a profile, and ordered steps. `workflows.loader` reads them from files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

if TYPE_CHECKING:
    from askel_tui.core.expressions.expression import Expression
    from askel_tui.core.operations import StepKind, TargetType
    from askel_tui.core.problems import Problem

CONSENT_CHANNELS = ("email", "sms", "whatsapp", "push")
"""The channels of consent. Those that a revision takes are checked when the workflow is applied."""

FIRST_RULES, NEWEST_RULES = 1, 2
"""The rules that a workflow file follows: `askel: 2` at its head asks for the newest, without it the first hold."""

OnSharedPhone = Literal["leave_out", "fail", "go_on"]
"""What becomes of a phone number that another person's profile has: the record is written without it, or fails, or is
written with it, which takes the number and the profile over."""

DISPENSABLE_IDENTIFIER = "phone_number"
"""The identifier that may be left out where it is bad; the others are whom a record is about."""

ON_SHARED_PHONE: tuple[OnSharedPhone, ...] = get_args(OnSharedPhone)

DIRECT_VERSION = 0
"""The version of writes that are made directly, without a workflow."""

ClearWhen = Literal["null", "missing", "both"]
"""When a field that has no value clears: the record says null, the record has no such field, or either."""

Require = Literal["all", "any"]
"""What a consent step does where an identifier is missing: it fails the record, or leaves the channel out.

Without a word the newest rules leave it out, and the first fail.
"""

ConsentChoice = Literal["consent_at", "proof", "resubscribe", "refuse"]
"""What decides whether somebody who opted out is subscribed again: the time at which the person agreed, the record's
time as that, always, or never."""

FieldLines = Mapping[str, int]
"""The lines of the file by field name; the step's own line is under ''."""


@dataclass(frozen=True, slots=True)
class Field:
    """An attribute or property of a profile. A null is not written, unless the field clears."""

    expression: Expression
    clear: ClearWhen | None = None


@dataclass(frozen=True, slots=True)
class UpsertProfile:
    """Writes attributes and properties. Attributes name parts of the location with a dot (`location.city`)."""

    kind: ClassVar[StepKind] = "upsert_profile"
    id: str
    attributes: Mapping[str, Field] = field(default_factory=dict)
    properties: Mapping[str, Field] = field(default_factory=dict)
    lines: FieldLines = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class AddToList:
    """Adds the profile to a list, which gives no consent."""

    kind: ClassVar[StepKind] = "add_to_list"
    id: str
    list: str
    lines: FieldLines = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class RemoveFromList:
    """Removes the profile from a list, which takes no consent away."""

    kind: ClassVar[StepKind] = "remove_from_list"
    id: str
    list: str
    lines: FieldLines = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class TrackEvent:
    """Sends an event. Without `time` it has the record's time."""

    kind: ClassVar[StepKind] = "track_event"
    id: str
    metric: str
    value: Expression | None = None
    value_currency: Expression | None = None
    properties: Mapping[str, Expression] = field(default_factory=dict)
    time: Expression | None = None
    lines: FieldLines = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class TriggerFlow:
    """Fires a flow through the list or the metric that triggers it. At most one of them is named."""

    kind: ClassVar[StepKind] = "trigger_flow"
    id: str
    flow: str
    list: str | None = None
    metric: str | None = None
    lines: FieldLines = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Gives consent on channels. `historical` records consent of the past, given at `consented_at` or `consent_at`.

    `require` says what becomes of channels whose identifiers the record lacks, `choice` what becomes of people who have
    opted out; without it they are subscribed again, unread.
    """

    kind: ClassVar[StepKind] = "subscribe"
    id: str
    channels: tuple[str, ...]
    list: str | None = None
    custom_source: str | None = None
    consented_at: Expression | None = None
    historical: bool = False
    require: Require | None = None
    choice: ConsentChoice | None = None
    consent_at: Expression | None = None
    lines: FieldLines = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Takes consent away on channels; without a list, for all marketing of the channel (docs/klaviyo.md 6).

    With a list, who is not on it is skipped. `everywhere` takes it away for all marketing, and a list that is named is
    left as well.
    """

    kind: ClassVar[StepKind] = "unsubscribe"
    id: str
    channels: tuple[str, ...]
    list: str | None = None
    everywhere: bool = False
    require: Require | None = None
    lines: FieldLines = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class RequireSegment:
    """A gate: the steps below are carried out only where the profile's membership of the segment is `member`.

    `within` is the time, in seconds, for which it waits for that: Klaviyo computes segments a while after a write.
    """

    kind: ClassVar[StepKind] = "require_segment"
    id: str
    segment: str
    member: bool
    within: int | None = None
    lines: FieldLines = field(default_factory=dict, compare=False)


Step = (
    UpsertProfile
    | AddToList
    | RemoveFromList
    | TrackEvent
    | TriggerFlow
    | Subscribe
    | Unsubscribe
    | RequireSegment
)


@dataclass(frozen=True, slots=True)
class Workflow:
    """The content of a workflow file. `profile` has an expression per identifier; `source` is the file's text.

    `warnings` are what `NEWEST_RULES` would refuse, where the file follows the first.
    """

    name: str
    connection: str
    triggers: tuple[str, ...]
    when: Expression | None
    profile: Mapping[str, Expression]
    steps: tuple[Step, ...]
    source: str
    lines: FieldLines = field(default_factory=dict, compare=False)
    rules: int = FIRST_RULES
    shared_phone: OnSharedPhone | None = None
    """What the file says under `on_shared_phone`."""
    dispensable: frozenset[str] = frozenset()
    """The identifiers that are left out where their value is bad (`if_bad: leave_out`)."""
    literals: frozenset[tuple[str, str]] = frozenset()
    """The names that are meant as text (`{name: "…"}`), by step and field."""
    warnings: tuple[Problem, ...] = field(default=(), compare=False)

    @property
    def on_shared_phone(self) -> OnSharedPhone:
        """What becomes of a phone number that another person's profile has."""
        return self.shared_phone or ("leave_out" if self.rules >= NEWEST_RULES else "go_on")

    def step(self, step_id: str) -> Step:
        """Returns the step of an id. Raises `KeyError`."""
        for step in self.steps:
            if step.id == step_id:
                return step
        raise KeyError(step_id)


def line_of(item: Step | Workflow, name: str | None = None) -> int | None:
    """Finds the line of a field, of its nearest parent that has one (`properties` for `properties.Tier`), or of the
    whole item."""
    while name:
        if name in item.lines:
            return item.lines[name]
        name = name.rpartition(".")[0]
    return item.lines.get("")


def step_targets(step: Step) -> list[tuple[str, TargetType, str]]:
    """Lists the names in a step of objects in the account: (field, type, the name or id as written), in the file's
    order.

    Custom properties are among them: they are not pinned, but the step depends on them.
    """
    named: list[tuple[str, TargetType, str | None]] = []
    match step:
        case UpsertProfile():
            named = [(f"properties.{name}", "property", name) for name in step.properties]
        case AddToList() | RemoveFromList():
            named = [(step.kind, "list", step.list)]
        case TrackEvent():
            named = [("metric", "metric", step.metric)]
        case TriggerFlow():
            named = [
                ("flow", "flow", step.flow),
                ("list", "list", step.list),
                ("metric", "metric", step.metric),
            ]
        case Subscribe() | Unsubscribe():
            named = [("list", "list", step.list)]
        case RequireSegment():
            named = [("segment", "segment", step.segment)]
    return [(name, kind, written) for name, kind, written in named if written is not None]
