"""Catalogs: snapshots of what exists in an account. `klaviyo.reads.catalog` reads them. Pure."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from askel_tui.core.operations import Target

if TYPE_CHECKING:
    from collections.abc import Mapping

_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?")

MAIN_TYPE_SHARE = 0.8
"""The share of a property's values that have its main type."""

API_INTEGRATION = "api"
"""The integration of metrics that the API makes. An event for a metric of another integration makes a new metric."""


@dataclass(frozen=True, slots=True)
class ListEntry:
    """A list; `opt_in_process` is `single_opt_in` or `double_opt_in`."""

    id: str
    name: str
    opt_in_process: str | None = None
    created: str | None = None
    updated: str | None = None


@dataclass(frozen=True, slots=True)
class SegmentEntry:
    """A segment; its definition where the revision shows one."""

    id: str
    name: str
    is_active: bool = True
    is_processing: bool = False
    definition: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class FlowTrigger:
    """A trigger of a flow: `type` is list, segment, metric, date, price-drop or low-inventory (docs/klaviyo.md 8).

    `filtered`: the trigger has a filter, so that not every event or addition fires the flow. `property` is what a date
    is read of.
    """

    type: str
    id: str | None = None
    filtered: bool = False
    property: str | None = None


@dataclass(frozen=True, slots=True)
class FlowEntry:
    """A flow. `status` is draft, manual or live; `triggers` is None where the revision does not show them."""

    id: str
    name: str
    status: str
    archived: bool = False
    trigger_type: str | None = None
    triggers: tuple[FlowTrigger, ...] | None = None


@dataclass(frozen=True, slots=True)
class MetricEntry:
    """A metric; `integration` is the key of what makes it, `api` for the API."""

    id: str
    name: str
    integration: str = API_INTEGRATION


@dataclass(frozen=True, slots=True)
class TemplateEntry:
    """A template."""

    id: str
    name: str
    editor_type: str | None = None


@dataclass(frozen=True, slots=True)
class PropertyEntry:
    """A custom property as sampled: `seen` on some of the `of` profiles, with counts by type and sample values."""

    name: str
    types: Mapping[str, int] = field(default_factory=dict)
    seen: int = 0
    of: int = 0
    samples: tuple[str, ...] = ()

    @property
    def main_type(self) -> str | None:
        """The type of nearly all of its values; None where they are of several, or all null."""
        counted = {name: count for name, count in self.types.items() if name != "null"}
        most = max(counted, key=lambda name: counted[name], default=None)
        enough = most is not None and counted[most] >= MAIN_TYPE_SHARE * sum(counted.values())
        return most if enough else None


def value_type(value: object) -> str:
    """Returns the type of a property's value, in a word for people."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "date" if _DATE.fullmatch(value) else "text"
        case list():
            return "list"
    return "object"


@dataclass(frozen=True)
class Catalog:
    """The contents of an account, as read at `taken` (milliseconds since 1970, UTC).

    `unread` names the sections that the key may not read (`metrics`, …): whether they are empty is not known.
    """

    taken: int
    account: str
    lists: tuple[ListEntry, ...] = ()
    segments: tuple[SegmentEntry, ...] = ()
    flows: tuple[FlowEntry, ...] = ()
    metrics: tuple[MetricEntry, ...] = ()
    templates: tuple[TemplateEntry, ...] = ()
    properties: tuple[PropertyEntry, ...] = ()
    unread: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Converts the catalog to plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Catalog:
        """Reads a catalog from the values of `as_dict`, through JSON or not. Raises `KeyError` or `TypeError`."""
        return cls(
            taken=value["taken"],
            account=value["account"],
            lists=tuple(ListEntry(**each) for each in value["lists"]),
            segments=tuple(SegmentEntry(**each) for each in value["segments"]),
            flows=tuple(_flow(each) for each in value["flows"]),
            metrics=tuple(MetricEntry(**each) for each in value["metrics"]),
            templates=tuple(TemplateEntry(**each) for each in value["templates"]),
            properties=tuple(
                PropertyEntry(**{**each, "samples": tuple(each["samples"])}) for each in value["properties"]
            ),
            unread=tuple(value.get("unread", ())),
        )


def _flow(value: Mapping[str, Any]) -> FlowEntry:
    triggers = value["triggers"]
    read = None if triggers is None else tuple(FlowTrigger(**each) for each in triggers)
    return FlowEntry(**{**value, "triggers": read})


@dataclass(frozen=True, slots=True)
class StepTargets:
    """The pinned targets of a step. `through` is the list or metric that carries a `trigger_flow`."""

    target: Target
    through: Target | None = None

    def as_dict(self) -> dict[str, Any]:
        """Converts the pinned targets to plain JSON values."""
        return {"target": self.target.as_dict(), "through": self.through and self.through.as_dict()}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> StepTargets:
        """Reads the targets from the values of `as_dict`."""
        through = value["through"]
        return cls(Target(**value["target"]), through and Target(**through))
