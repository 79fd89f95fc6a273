"""The entries of a catalog, read from Klaviyo's resources, and the flows that resources fire. Pure but for one read."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from askel_tui.contract.calls import Call
from askel_tui.contract.revisions import Ability
from askel_tui.core.catalog import (
    API_INTEGRATION,
    FlowEntry,
    FlowTrigger,
    ListEntry,
    MetricEntry,
    SegmentEntry,
    TemplateEntry,
)
from askel_tui.klaviyo.errors import ScopeMissing
from askel_tui.klaviyo.responses import attributes_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from askel_tui.klaviyo.client import Client
    from askel_tui.klaviyo.priority import Priority

Resource = dict[str, Any]


async def read_with_triggers(
    client: Client, section: str, query: Mapping[str, str], *, priority: Priority = "live"
) -> list[Resource] | None:
    """Reads a section's resources with the flows they fire; None where they fire none, or the key cannot read these.

    Raises `KlaviyoError`. The key may lack flows:read only: the section itself may still be readable.
    """
    call, revision = Call(f"get_{section}"), client.reading_revision(Ability.FLOW_TRIGGERS)
    if "flow-triggers" not in client.endpoint(call, revision).include:
        return None
    with_flows = {**query, "include": "flow-triggers"}
    pages = client.pages(call, query=with_flows, priority=priority, revision=revision)
    try:
        return [each async for each in pages]
    except ScopeMissing:
        return None


def section_revision(client: Client, section: str) -> str:
    """Returns the revision at which a section is read without its flows: segments where they show their definition."""
    return client.reading_revision(*([Ability.SEGMENT_DEFINITIONS] if section == "segments" else []))


def triggers_by_flow(kind: str, resources: Iterable[Resource]) -> dict[str, list[FlowTrigger]]:
    """Groups the triggers that `resources` (all of type `kind`) are by the id of the flow that they fire."""
    found: defaultdict[str, list[FlowTrigger]] = defaultdict(list)
    for each in resources:
        relation = _dict(_dict(each.get("relationships")).get("flow-triggers")).get("data")
        for flow in relation if isinstance(relation, list) else ():
            found[_text(_dict(flow).get("id"))].append(FlowTrigger(kind, _text(each.get("id"))))
    return found


def definition_triggers(flow: Resource) -> tuple[FlowTrigger, ...] | None:
    """Reads the triggers in a flow's definition; None where it has none."""
    triggers = _dict(attributes_of(flow).get("definition")).get("triggers")
    if not isinstance(triggers, list):
        return None
    return tuple(
        FlowTrigger(
            _text(each.get("type")),
            _optional(each.get("id")),
            bool(each.get("trigger_filter")),
            _optional(each.get("date_profile_property")),
        )
        for each in map(_dict, triggers)
    )


def flow_entry(resource: Resource, triggers: tuple[FlowTrigger, ...] | None = None) -> FlowEntry:
    """Makes the catalog entry of a flow."""
    attributes = attributes_of(resource)
    return FlowEntry(
        id=_text(resource.get("id")),
        name=_text(attributes.get("name")),
        status=_text(attributes.get("status")),
        archived=bool(attributes.get("archived")),
        trigger_type=_optional(attributes.get("trigger_type")),
        triggers=triggers,
    )


def list_entry(resource: Resource) -> ListEntry:
    """Makes the catalog entry of a list."""
    attributes = attributes_of(resource)
    return ListEntry(
        id=_text(resource.get("id")),
        name=_text(attributes.get("name")),
        opt_in_process=_optional(attributes.get("opt_in_process")),
        created=_optional(attributes.get("created")),
        updated=_optional(attributes.get("updated")),
    )


def segment_entry(resource: Resource) -> SegmentEntry:
    """Makes the catalog entry of a segment."""
    attributes = attributes_of(resource)
    definition = attributes.get("definition")
    return SegmentEntry(
        id=_text(resource.get("id")),
        name=_text(attributes.get("name")),
        is_active=attributes.get("is_active") is not False,
        is_processing=attributes.get("is_processing") is True,
        definition=definition if isinstance(definition, dict) else None,
    )


def metric_entry(resource: Resource) -> MetricEntry:
    """Makes the catalog entry of a metric."""
    attributes = attributes_of(resource)
    integration = _dict(attributes.get("integration"))
    maker = integration.get("key") or integration.get("name")
    return MetricEntry(
        id=_text(resource.get("id")),
        name=_text(attributes.get("name")),
        integration=maker.lower() if isinstance(maker, str) else API_INTEGRATION,
    )


def template_entry(resource: Resource) -> TemplateEntry:
    """Makes the catalog entry of a template."""
    attributes = attributes_of(resource)
    return TemplateEntry(
        id=_text(resource.get("id")),
        name=_text(attributes.get("name")),
        editor_type=_optional(attributes.get("editor_type")),
    )


def _dict(value: Any) -> Resource:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _optional(value: Any) -> str | None:
    return value if isinstance(value, str) else None
