"""A workflow while it is edited: a plain structure and its changes. Pure.

Every step is a kind and named fields with their text, so that an editor shows and changes all kinds alike:
expressions and names as they are written, `channels` with commas, flags as `true` and `false`. Fields of profile and
event properties are named `properties.NAME`, parts of an address `location.PART`. An empty field is not written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from askel_tui.core.spans import format_span
from askel_tui.core.workflows.consent_choices import CHOICES
from askel_tui.core.workflows.model import (
    DISPENSABLE_IDENTIFIER,
    FIRST_RULES,
    NEWEST_RULES,
    AddToList,
    RemoveFromList,
    RequireSegment,
    Subscribe,
    TrackEvent,
    TriggerFlow,
    Unsubscribe,
    UpsertProfile,
    Workflow,
)

if TYPE_CHECKING:
    from askel_tui.core.expressions.expression import Expression
    from askel_tui.core.workflows.model import ClearWhen, Step

FIELDS_BY_KIND: Mapping[str, tuple[str, ...]] = {
    "upsert_profile": (),
    "add_to_list": ("list",),
    "remove_from_list": ("list",),
    "track_event": ("metric", "value", "value_currency", "time"),
    "trigger_flow": ("flow", "list", "metric"),
    "subscribe": ("channels", "list", "custom_source", "consented_at", "historical", "require", *CHOICES),
    "unsubscribe": ("channels", "list", "everywhere", "require"),
    "require_segment": ("segment", "member", "within"),
}
"""The named fields of each kind of step; `upsert_profile` and `track_event` take others as well."""

DEFAULT_STEP_IDS: Mapping[str, str] = {
    "upsert_profile": "profile",
    "add_to_list": "join",
    "remove_from_list": "leave",
    "track_event": "event",
    "trigger_flow": "flow",
    "subscribe": "subscribe",
    "unsubscribe": "unsubscribe",
    "require_segment": "gate",
}
"""The id of a new step of each kind."""

MAX_UNDO_STATES = 500
"""The number of changes that can be undone."""

CLEAR_ORDER: Sequence[ClearWhen] = ("null", "missing", "both")
"""The occasions on which a field clears, in the order in which they are gone through."""

PROPERTY_PREFIX, LOCATION_PREFIX = "properties.", "location."


@dataclass(frozen=True, slots=True)
class StepDraft:
    """A step: its id, its kind, its fields' texts, and when those clear that do."""

    id: str
    kind: str
    fields: Mapping[str, str] = field(default_factory=dict)
    clears: Mapping[str, ClearWhen] = field(default_factory=dict)
    literals: frozenset[str] = frozenset()
    """The fields whose names are meant as text, whatever they look like."""

    def with_field(self, name: str, text: str) -> StepDraft:
        """Returns the step with a field's text set; a new field comes last."""
        return replace(self, fields={**self.fields, name: text.strip()})

    def without_field(self, name: str) -> StepDraft:
        """Returns the step without a field."""
        kept = {key: text for key, text in self.fields.items() if key != name}
        return replace(self, fields=kept, clears=_without(self.clears, name))

    def with_literal_turned(self, name: str) -> StepDraft:
        """Returns the step in which a field's name is meant as text from now on, or no longer."""
        return replace(self, literals=self.literals ^ {name})

    def with_next_clear(self, name: str) -> StepDraft:
        """Returns the step with a field that clears on the next occasion: on null, if missing, on both, never."""
        follows = CLEAR_ORDER.index(self.clears[name]) + 1 if name in self.clears else 0
        kept = _without(self.clears, name)
        return replace(
            self, clears={**kept, name: CLEAR_ORDER[follows]} if follows < len(CLEAR_ORDER) else kept
        )


@dataclass(frozen=True, slots=True)
class Draft:
    """A workflow while it is edited; `profile` holds the texts of the identifiers' expressions.

    A new one follows the newest rules, one from a file those of the file.
    """

    name: str = ""
    connection: str = ""
    triggers: tuple[str, ...] = ()
    when: str = ""
    profile: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[StepDraft, ...] = ()
    rules: int = NEWEST_RULES
    shared_phone: str = ""
    dispensable: frozenset[str] = frozenset()
    """The identifiers that are left out where they are bad."""

    def with_identifier(self, name: str, text: str) -> Draft:
        """Returns the draft with an identifier's expression set, or removed by an empty text."""
        kept = {**self.profile, name: text.strip()}
        return replace(self, profile={key: value for key, value in kept.items() if value})

    @property
    def uses_phone(self) -> bool:
        """True if what becomes of bad and shared phone numbers is of interest."""
        return bool(self.profile.get(DISPENSABLE_IDENTIFIER) or self.shared_phone or self.dispensable)

    def with_bad_left_out(self, left_out: bool) -> Draft:
        """Returns the draft in which a bad phone number is left out, or fails the record."""
        return replace(self, dispensable=frozenset([DISPENSABLE_IDENTIFIER] if left_out else ()))

    def with_step(self, at: int, change: Callable[[StepDraft], StepDraft]) -> Draft:
        """Returns the draft with the step at an index changed."""
        steps = [change(step) if index == at else step for index, step in enumerate(self.steps)]
        return replace(self, steps=tuple(steps))

    def with_new_step(self, kind: str, at: int, fields: Mapping[str, str] | None = None) -> Draft:
        """Returns the draft with a new step at an index; its id is one that no other step has."""
        given = dict.fromkeys(FIELDS_BY_KIND[kind], "") | (
            {"member": "true"} if kind == "require_segment" else {}
        )
        step = StepDraft(
            unused_id(DEFAULT_STEP_IDS[kind], [each.id for each in self.steps]),
            kind,
            given | dict(fields or {}),
        )
        return replace(self, steps=(*self.steps[:at], step, *self.steps[at:]))

    def without_step(self, at: int) -> Draft:
        """Returns the draft without the step at an index."""
        return replace(self, steps=(*self.steps[:at], *self.steps[at + 1 :]))

    def with_step_moved(self, at: int, by: int) -> Draft:
        """Returns the draft with the step at an index moved up (-1) or down (1), as far as there is room."""
        to = min(max(0, at + by), len(self.steps) - 1)
        steps = [*self.steps]
        steps.insert(to, steps.pop(at))
        return replace(self, steps=tuple(steps))

    def as_dict(self) -> dict[str, Any]:
        """Converts the draft to plain JSON values."""
        steps = [
            {
                "id": step.id,
                "kind": step.kind,
                "fields": dict(step.fields),
                "clears": dict(step.clears),
                "literals": sorted(step.literals),
            }
            for step in self.steps
        ]
        return {
            "name": self.name,
            "connection": self.connection,
            "triggers": list(self.triggers),
            "when": self.when,
            "profile": dict(self.profile),
            "steps": steps,
            "rules": self.rules,
            "shared_phone": self.shared_phone,
            "dispensable": sorted(self.dispensable),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Draft:
        """Reads a draft from the values of `as_dict`. Raises `KeyError`, `TypeError`."""
        steps = tuple(
            StepDraft(
                each["id"],
                each["kind"],
                dict(each["fields"]),
                _read_clears(each["clears"]),
                frozenset(each.get("literals", ())),
            )
            for each in value["steps"]
        )
        profile = dict(value["profile"])
        return cls(
            value["name"],
            value["connection"],
            tuple(value["triggers"]),
            value["when"],
            profile,
            steps,
            value.get("rules", FIRST_RULES),
            value.get("shared_phone", ""),
            frozenset(value.get("dispensable", ())),
        )


def unused_id(wanted: str, taken: Collection[str]) -> str:
    """Returns the wanted id, with a number where it is taken."""
    if wanted not in taken:
        return wanted
    number = 2
    while f"{wanted}-{number}" in taken:
        number += 1
    return f"{wanted}-{number}"


def split_list(text: str) -> list[str]:
    """Splits a text into the words between its commas."""
    return [word.strip() for word in text.split(",") if word.strip()]


class DraftHistory:
    """A draft with its earlier states, for undo and redo."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self._past: list[Draft] = []
        self._undone: list[Draft] = []

    def change(self, draft: Draft) -> bool:
        """Replaces the draft; returns False where nothing is different."""
        if draft == self.draft:
            return False
        self._past = [*self._past[-(MAX_UNDO_STATES - 1) :], self.draft]
        self._undone.clear()
        self.draft = draft
        return True

    def undo(self) -> bool:
        """Goes back one change; returns False at the first."""
        if not self._past:
            return False
        self._undone.append(self.draft)
        self.draft = self._past.pop()
        return True

    def redo(self) -> bool:
        """Makes an undone change again; returns False where none was undone."""
        if not self._undone:
            return False
        self._past.append(self.draft)
        self.draft = self._undone.pop()
        return True


# From a workflow.


def draft_from_workflow(workflow: Workflow) -> Draft:
    """Makes the draft that describes the same as a workflow."""
    return Draft(
        workflow.name,
        workflow.connection,
        workflow.triggers,
        _text(workflow.when),
        {name: each.text for name, each in workflow.profile.items()},
        tuple(replace(_step(step), literals=_literals(workflow.literals, step)) for step in workflow.steps),
        workflow.rules,
        workflow.shared_phone or "",
        workflow.dispensable,
    )


def _without(clears: Mapping[str, ClearWhen], name: str) -> dict[str, ClearWhen]:
    return {key: when for key, when in clears.items() if key != name}


def _read_clears(kept: Mapping[str, ClearWhen] | list[str]) -> Mapping[str, ClearWhen]:
    """Reads when fields clear from a kept draft; version 0.2.0 kept a list of the fields that clear on both."""
    return dict.fromkeys(kept, "both") if isinstance(kept, list) else kept


def _literals(literals: Collection[tuple[str, str]], step: Step) -> frozenset[str]:
    return frozenset("list" if name == step.kind else name for owner, name in literals if owner == step.id)


def _step(step: Step) -> StepDraft:
    clears: dict[str, ClearWhen] = {}
    given: dict[str, str] = {}
    match step:
        case UpsertProfile():
            written = {
                **step.attributes,
                **{PROPERTY_PREFIX + name: each for name, each in step.properties.items()},
            }
            given = {name: each.expression.text for name, each in written.items()}
            clears = {name: each.clear for name, each in written.items() if each.clear}
        case AddToList() | RemoveFromList():
            given = {"list": step.list}
        case TrackEvent():
            own = {
                "metric": step.metric,
                "value": _text(step.value),
                "value_currency": _text(step.value_currency),
            }
            properties = {PROPERTY_PREFIX + name: each.text for name, each in step.properties.items()}
            given = {**own, "time": _text(step.time), **properties}
        case TriggerFlow():
            given = {"flow": step.flow, "list": step.list or "", "metric": step.metric or ""}
        case Subscribe():
            given = {
                "channels": ", ".join(step.channels),
                "list": step.list or "",
                "custom_source": step.custom_source or "",
                "consented_at": _text(step.consented_at),
                "historical": "true" if step.historical else "",
                "require": step.require or "",
                "consent_at": _text(step.consent_at),
                "proof": "record" if step.choice == "proof" else "",
                "resubscribe": "true" if step.choice == "resubscribe" else "",
                "refuse": "true" if step.choice == "refuse" else "",
            }
        case Unsubscribe():
            given = {
                "channels": ", ".join(step.channels),
                "list": step.list or "",
                "everywhere": "true" if step.everywhere else "",
                "require": step.require or "",
            }
        case RequireSegment():
            given = {"segment": step.segment, "member": "true" if step.member else "false", "within": ""}
            if step.within is not None:
                given["within"] = format_span(step.within)
    return StepDraft(step.id, step.kind, given, clears)


def _text(expression: Expression | None) -> str:
    return expression.text if expression else ""


def slug(text: str) -> str:
    """Makes a text into the name of a workflow or the id of a step."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:64].strip("-")
