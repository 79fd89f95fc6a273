"""Sections of a catalog: columns, rows, searched texts and details. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from askel_tui.core.catalog import (
    API_INTEGRATION,
    Catalog,
    FlowEntry,
    ListEntry,
    MetricEntry,
    PropertyEntry,
    SegmentEntry,
    TemplateEntry,
)
from askel_tui.core.workflows.model import Workflow, step_targets
from askel_tui.text.json_text import format_json
from askel_tui.text.numbers import pluralize
from askel_tui.tui.text.charts import bar
from askel_tui.tui.widgets.rows import Cell, Row
from askel_tui.tui.widgets.table import Column

if TYPE_CHECKING:
    from askel_tui.store.state.documents import WorkflowDoc

SECTIONS: Mapping[str, tuple[str, str]] = {
    "lists": ("Lists", "list"),
    "segments": ("Segments", "segment"),
    "flows": ("Flows", "flow"),
    "templates": ("Templates", "template"),
    "metrics": ("Metrics", "metric"),
    "properties": ("Properties", "property"),
}
"""The title of each section, and the type of a target in it."""

COLUMNS: Mapping[str, tuple[Column, ...]] = {
    "lists": (Column("name", 20, 3), Column("id", 8), Column("opt-in", 8), Column("used", 5)),
    "segments": (Column("name", 20, 3), Column("id", 8), Column("state", 12), Column("used", 5)),
    "flows": (Column("name", 18, 3), Column("id", 8), Column("status", 10), Column("fired by", 12, 2),
              Column("used", 5)),
    "templates": (Column("name", 24, 3), Column("id", 8), Column("editor", 16)),
    "metrics": (Column("name", 20, 3), Column("id", 8), Column("made by", 14, 1), Column("used", 5)),
    "properties": (Column("name", 18, 2), Column("type", 10, 1), Column("filled", 6, align_right=True),
                   Column("values", 14, 3), Column("used", 5)),
}  # fmt: skip

FLOW_STATE_CELLS = {
    "live": ("● live", "$success"),
    "manual": ("◐ manual", "$warning"),
    "draft": ("○ draft", ""),
}

Uses = Mapping[tuple[str, str], Sequence[str]]
"""The steps that name an entry, as `workflow › step`, by type and id (of a property or metric: its name)."""

Detail = tuple[str, str]


def scope_of(section: str) -> str:
    """Returns the scope that reading a section needs."""
    return "profiles:read" if section == "properties" else f"{section}:read"


def entries(catalog: Catalog, section: str) -> Sequence[Any]:
    """Returns the entries of a section."""
    found: Sequence[Any] = getattr(catalog, section)
    return found


def count_text(catalog: Catalog, section: str) -> str:
    """Formats the number of entries of a section: `14 lists`."""
    title, noun = SECTIONS[section]
    return pluralize(len(entries(catalog, section)), noun, title.lower())


def find_entry(catalog: Catalog, section: str, key: str | None) -> Any:
    """Finds the entry of a key; None where there is none."""
    return next((each for each in entries(catalog, section) if entry_key(each) == key), None)


def entry_key(entry: Any) -> str:
    """Returns the id of an entry, or a property's name."""
    return str(entry.name if isinstance(entry, PropertyEntry) else entry.id)


def search_text(entry: Any) -> str:
    """Returns the text of an entry that is searched: its name, and the id where it has one."""
    return str(entry.name) if isinstance(entry, PropertyEntry) else f"{entry.name} {entry.id}"


def find_uses(docs: Sequence[tuple[WorkflowDoc, Workflow | None]], connections: Collection[str]) -> Uses:
    """Finds the uses of entries by steps, in the newest versions of the workflows of `connections`."""
    found: dict[tuple[str, str], dict[str, None]] = {}

    def note(kind: str, named: str | None, step: str) -> None:
        if named is not None:
            found.setdefault((kind, named), {})[step] = None

    for doc, workflow in docs:
        if doc.connection not in connections:
            continue
        for step, pinned in doc.targets.items():
            for target in filter(None, (pinned.target, pinned.through)):
                named = target.name if target.type == "metric" else target.id
                note(target.type, named, f"{doc.workflow} › {step}")
        for each in workflow.steps if workflow else ():
            for _, kind, written in step_targets(each):
                if kind == "property":
                    note(kind, written, f"{doc.workflow} › {each.id}")
    return {named: tuple(steps) for named, steps in found.items()}


def steps_using(entry: Any, section: str, used: Uses) -> Sequence[str]:
    """Returns the steps that name an entry."""
    named = entry.name if isinstance(entry, PropertyEntry | MetricEntry) else entry.id
    return used.get((SECTIONS[section][1], named), ())


def table_row(entry: Any, section: str, catalog: Catalog, used: Uses) -> Row:
    """Makes the row of an entry, under the entry's key."""
    count = len(steps_using(entry, section, used))
    steps: Cell = (f"● {count}", "$success") if count else ""
    cells: tuple[Cell, ...]
    match entry:
        case ListEntry():
            cells = (entry.name, entry.id, (entry.opt_in_process or "").removesuffix("_opt_in"), steps)
        case SegmentEntry():
            cells = (entry.name, entry.id, segment_state(entry), steps)
        case FlowEntry():
            cells = (entry.name, entry.id, flow_state(entry), describe_triggers(entry, catalog), steps)
        case TemplateEntry():
            cells = (entry.name, entry.id, entry.editor_type or "")
        case MetricEntry():
            cells = (entry.name, entry.id, metric_source(entry), steps)
        case PropertyEntry():
            cells = (entry.name, describe_types(entry), fill_rate(entry), ", ".join(entry.samples), steps)
    return entry_key(entry), cells


def segment_state(entry: SegmentEntry) -> Cell:
    """Names the state of a segment: active, inactive, or being calculated."""
    if entry.is_processing:
        return "◐ processing", "$warning"
    return "● active" if entry.is_active else ("○ inactive", "$warning")


def flow_state(entry: FlowEntry) -> Cell:
    """Names the status of a flow, or says that it is archived."""
    return ("✗ archived", "$warning") if entry.archived else FLOW_STATE_CELLS.get(entry.status, entry.status)


def describe_triggers(entry: FlowEntry, catalog: Catalog) -> str:
    """Describes the triggers of a flow, by name."""
    if entry.triggers is None:
        return f"{entry.trigger_type or 'unknown'}; which one, can't be read with this key"
    named: list[Any] = [*catalog.lists, *catalog.segments, *catalog.metrics]
    names = {each.id: each.name for each in named}
    facts = [f"{each.type} {names.get(each.id or '', each.id or '')}".strip() for each in entry.triggers]
    return ", ".join(facts) or entry.trigger_type or "nothing"


def metric_source(entry: MetricEntry) -> str:
    """Names the integration that sends the events of a metric."""
    return "the API" if entry.integration == API_INTEGRATION else entry.integration


def describe_types(entry: PropertyEntry) -> str:
    """Describes the types of a property's values, with counts where there are several."""
    several = len(entry.types) > 1
    return ", ".join(f"{kind} {count:,}" if several else kind for kind, count in entry.types.items())


def fill_rate(entry: PropertyEntry) -> str:
    """Formats the share of the sampled profiles that have the property."""
    return f"{entry.seen / entry.of:.0%}" if entry.of else ""


def details(entry: Any, section: str, catalog: Catalog, used: Uses) -> list[Detail]:
    """Lists the facts about an entry, as labels and texts."""
    steps = steps_using(entry, section, used)
    in_askel = ("in Askel", "; ".join(steps) if steps else "no workflow names it")
    match entry:
        case ListEntry():
            opt_in = (entry.opt_in_process or "unknown").replace("_", " ")
            facts = [("id", entry.id), ("opt-in", opt_in), *_flows_fired_by("list", entry.id, catalog)]
        case SegmentEntry():
            facts = [("id", entry.id), ("state", _cell_text(segment_state(entry)))]
            facts += _flows_fired_by("segment", entry.id, catalog)
        case FlowEntry():
            facts = [
                ("id", entry.id),
                ("status", _cell_text(flow_state(entry))),
                ("fired by", describe_triggers(entry, catalog)),
            ]
            if any(each.filtered for each in entry.triggers or ()):
                facts.append(("filter", "a trigger filter may keep it from firing"))
        case MetricEntry():
            facts = [
                ("id", entry.id),
                ("made by", metric_source(entry)),
                *_flows_fired_by("metric", entry.id, catalog),
            ]
            if entry.integration != API_INTEGRATION:
                facts.append(("mind", "events that Askel sends under this name make a metric of their own"))
        case TemplateEntry():
            return [("id", entry.id), ("editor", entry.editor_type or "unknown")]
        case PropertyEntry():
            rate = f"{bar(entry.seen, entry.of, 8)} {fill_rate(entry)}"
            filled = f"{rate}, {entry.seen:,} of {entry.of:,} sampled"
            facts = [
                ("types", describe_types(entry)),
                ("filled", filled),
                ("values", ", ".join(entry.samples) or "none"),
            ]
    if isinstance(entry, ListEntry):
        dates = [("created", _date_part(entry.created)), ("updated", _date_part(entry.updated))]
        return [*facts, in_askel, *(each for each in dates if each[1])]
    return [*facts, in_askel]


def definition_json(entry: Any) -> str | None:
    """Formats a segment's definition as indented JSON, where the revision shows one."""
    found = entry.definition if isinstance(entry, SegmentEntry) else None
    return format_json(found) if found else None


def _flows_fired_by(kind: str, named: str, catalog: Catalog) -> list[Detail]:
    fired = [
        f"{flow.name} ({_cell_text(flow_state(flow))})"
        for flow in catalog.flows
        if any((each.type, each.id) == (kind, named) for each in flow.triggers or ())
    ]
    return [("fires", ", ".join(fired))] if fired else []


def _date_part(moment: str | None) -> str:
    return (moment or "")[:10]


def _cell_text(cell: Cell) -> str:
    return cell if isinstance(cell, str) else cell[0]
