"""History: what records of the past write, so that no live flow starts and no consent counts as given today. Pure.

Names of what is written are those of `core.segments`: `properties.Tier`, `list ID`, `metric ID`, `consent email`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from askel_tui.contract.calls import Call
from askel_tui.contract.dialects import dialect
from askel_tui.core.canonical import canonical_json
from askel_tui.core.catalog import Catalog, FlowEntry
from askel_tui.core.operations import Operation
from askel_tui.core.planning.plan import Plan
from askel_tui.core.problems import HISTORY_ASIDE_KIND, Problem
from askel_tui.core.segments import SegmentReads, segment_reads, written_name

UNREADABLE_FLOWS = "flows that the key can't read"
"""The name that stands for all flows where the key lacks flows:read."""

_EVERYTHING = SegmentReads(frozenset(), ("",))
_FIRED_BY_KIND = {"Added to List": "list", "Metric": "metric"}


@dataclass(frozen=True, slots=True)
class FlowStarts:
    """What starts the live flows of an account, each by the flow's name."""

    at_once: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The flows that start with what is written itself: an addition to their list, an event of their metric."""
    by_reading: tuple[tuple[str, SegmentReads], ...] = ()
    """The flows that start by what a segment or a date reads of a profile: no mark of a write keeps them back."""
    unknown: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The flows of which can't be read what starts them, by what may: `list` or `metric`."""

    def started_at_once(self, operation: Operation) -> list[str]:
        """Lists the flows that an operation may start by itself."""
        if operation.call not in _STARTING or operation.body.get("historical"):
            return []
        kinds = {name.partition(" ")[0] for name in written_names(operation)}
        found = [self.at_once.get(name, ()) for name in written_names(operation)]
        found += [flows for kind, flows in self.unknown.items() if kind in kinds]
        return list(dict.fromkeys(flow for flows in found for flow in flows))

    def started_by(self, name: str) -> list[str]:
        """Lists the flows that start by what is read of one written name."""
        return list(dict.fromkeys(flow for flow, reads in self.by_reading if reads.find_read([name])))

    def started(self, operation: Operation) -> list[str]:
        """Lists all live flows that an operation may start."""
        found = [flow for name in written_names(operation) for flow in self.started_by(name)]
        return list(dict.fromkeys((*self.started_at_once(operation), *found)))


_STARTING = frozenset({Call.CREATE_EVENT, Call.ADD_PROFILES_TO_LIST, Call.BULK_SUBSCRIBE_PROFILES})
"""The calls that can start flows of a list or metric."""


def flow_starts(catalog: Catalog) -> FlowStarts:
    """Finds what starts the live flows of a catalog that was read with flows, lists, segments and metrics."""
    if "flows" in catalog.unread:
        return FlowStarts(unknown=dict.fromkeys(("list", "metric"), (UNREADABLE_FLOWS,)))
    at_once: dict[str, tuple[str, ...]] = {}
    by_reading: list[tuple[str, SegmentReads]] = []
    unknown: dict[str, tuple[str, ...]] = {}
    definitions = {each.id: segment_reads(each.definition) for each in catalog.segments}
    metrics = {each.id: each.name for each in catalog.metrics}
    for flow in catalog.flows:
        if flow.status != "live" or flow.archived:
            continue
        for kind, ident in _triggers(flow):
            if kind == "date":
                names = {written_name(ident or ""), f"properties.{ident}"}
                by_reading.append((flow.name, SegmentReads(frozenset(names))))
            elif ident is None:
                unknown[kind] = (*unknown.get(kind, ()), flow.name)
            elif kind == "segment":
                by_reading.append((flow.name, definitions.get(ident) or _EVERYTHING))
            else:
                started_by = [f"{kind} {ident}"]
                if kind == "metric" and ident in metrics:
                    started_by.append(_metric_name(metrics[ident]))
                for name in started_by:
                    at_once[name] = (*at_once.get(name, ()), flow.name)
    return FlowStarts(at_once, tuple(by_reading), unknown)


def _triggers(flow: FlowEntry) -> Iterator[tuple[str, str | None]]:
    """Yields what starts a flow: its kind, and its id where that is known."""
    if flow.triggers is None:
        kind = _FIRED_BY_KIND.get(flow.trigger_type or "")
        if kind is not None:
            yield kind, None
    for each in flow.triggers or ():
        if each.type in ("list", "metric", "segment"):
            yield each.type, each.id
        elif each.type == "date" and each.property:
            yield each.type, each.property


def _metric_name(name: str) -> str:
    return f"metric named {name}"


def written_names(operation: Operation) -> list[str]:
    """Lists what an operation writes, under the names of `core.segments`; a metric by its name too."""
    body, destination = operation.body, operation.destination
    group = [f"{destination.type} {destination.id}"] if destination and destination.id else []
    match operation.call:
        case Call.CREATE_OR_UPDATE_PROFILE:
            properties = (*body["properties"], *body["unset"])
            return [*body["attributes"], *(f"properties.{name}" for name in properties)]
        case Call.CREATE_EVENT:
            return [*group, _metric_name(body["metric"])]
        case Call.ADD_PROFILES_TO_LIST | Call.REMOVE_PROFILES_FROM_LIST:
            return group
        case Call.BULK_SUBSCRIBE_PROFILES | Call.BULK_UNSUBSCRIBE_PROFILES:
            return [*group, *(f"consent {channel}" for channel in body["channels"])]
    return []


@dataclass(frozen=True, slots=True)
class History:
    """The records of a workflow that are history: those up to `until` (a record's `seq`), or all without it."""

    starts: FlowStarts
    until: int | None = None

    def covers(self, record_seq: int) -> bool:
        """Checks whether a record is history."""
        return self.until is None or record_seq <= self.until

    def encode(self) -> str:
        """Encodes the rule as JSON, to be stored."""
        reading = [
            [flow, sorted(reads.names), list(reads.prefixes)] for flow, reads in self.starts.by_reading
        ]
        value = {
            "until": self.until,
            "at_once": dict(self.starts.at_once),
            "by_reading": reading,
            "unknown": dict(self.starts.unknown),
        }
        return canonical_json(value).decode()

    @classmethod
    def decode(cls, text: str) -> History:
        """Decodes a rule from the JSON of `encode`."""
        value = json.loads(text)
        reading = [
            (flow, SegmentReads(frozenset(names), tuple(prefixes)))
            for flow, names, prefixes in value["by_reading"]
        ]
        starts = FlowStarts(_tuples(value["at_once"]), tuple(reading), _tuples(value["unknown"]))
        return cls(starts, value["until"])


def _tuples(value: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(flows) for name, flows in value.items()}


def plan_history(planned: Plan, starts: FlowStarts, time: str, revision: str) -> Plan:
    """Makes of a record's plan what it writes as history; `time` is the record's.

    Events are marked where the revision can mark them, and consent counts as given at its time. What would start a
    flow all the same is left out, with a warning; so is consent that can't be dated.
    """
    writer = _HistoryWriter(starts, time, revision)
    made = [each for operation in planned.operations if (each := writer.write(operation)) is not None]
    while made and made[-1].is_gate:
        made.pop()  # Nothing is left that the gate decides about.
    if all(each.is_gate or _only_identifies(each) for each in made):
        made = [] if len(made) < len(planned.operations) else made
    return replace(planned, operations=tuple(made), warnings=(*planned.warnings, *writer.warnings))


def _only_identifies(operation: Operation) -> bool:
    """Checks whether an operation is an upsert of the bare identifiers, which another one needs."""
    written = operation.call == Call.CREATE_OR_UPDATE_PROFILE and not written_names(operation)
    return written and operation.target is None


class _HistoryWriter:
    def __init__(self, starts: FlowStarts, time: str, revision: str) -> None:
        self._starts = starts
        self._time = time
        self._dialect = dialect(revision)
        self.warnings: list[Problem] = []

    def write(self, operation: Operation) -> Operation | None:
        """Returns an operation as history writes it; None where it is left out."""
        if operation.is_gate:
            return operation
        if operation.call == Call.CREATE_OR_UPDATE_PROFILE:
            return self._upsert(operation)
        for name in written_names(operation):
            if flows := self._starts.started_by(name):
                self._leave_out(operation, flows)
                return None
        match operation.call:
            case Call.CREATE_EVENT if self._dialect.has_backfill:
                return replace(operation, body={**operation.body, "backfill": True})
            case Call.BULK_SUBSCRIBE_PROFILES:
                return self._subscribe(operation)
        flows = self._starts.started_at_once(operation)
        if flows:
            self._leave_out(operation, flows)
        return None if flows else operation

    def _subscribe(self, operation: Operation) -> Operation | None:
        if not self._dialect.has_historical_consent:
            why = f"revision {self._dialect.revision} takes no consent of the past"
            self.warnings.append(_aside(operation, None, why))
            return None
        body = {**operation.body, "historical": True}
        body.setdefault("consented_at", body.get("proof") or self._time)
        # Whoever opted out since then is not subscribed again, whatever the step chooses for new records.
        body.setdefault("proof", body["consented_at"])
        return replace(operation, body=body)

    def _upsert(self, operation: Operation) -> Operation:
        """Leaves out of an update what a live flow would start by."""
        names = written_names(operation)
        read = {name: flows for name in names if (flows := self._starts.started_by(name))}
        if not read:
            return operation
        for name, flows in read.items():
            self.warnings.append(_aside(operation, name, _would_start(flows)))
        body = operation.body
        kept: dict[str, Any] = {
            "attributes": {name: value for name, value in body["attributes"].items() if name not in read},
            "properties": {
                name: value for name, value in body["properties"].items() if f"properties.{name}" not in read
            },
            "unset": [name for name in body["unset"] if f"properties.{name}" not in read],
        }
        return replace(operation, body={**body, **kept})

    def _leave_out(self, operation: Operation, flows: Sequence[str]) -> None:
        self.warnings.append(_aside(operation, None, _would_start(flows)))


def _would_start(flows: Sequence[str]) -> str:
    return f"it would start {', '.join(flows)}"


def _aside(operation: Operation, written: str | None, why: str) -> Problem:
    destination = operation.destination
    what = written or (f"{operation.kind} {destination.name}" if destination else operation.kind)
    return Problem(f"{what} is left aside as history: {why}", step=operation.step, kind=HISTORY_ASIDE_KIND)
