"""Reads the catalog of an account, section by section, each with all its pages (docs/klaviyo.md 7, 8).

What fires a flow is known from lists, segments and metrics that are read with their flow triggers; at 2024-02-15 it
cannot be read. A section that the key may not read is marked as unread, and the others are read all the same.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from askel_tui.contract.calls import Call
from askel_tui.core.catalog import (
    API_INTEGRATION,
    Catalog,
    FlowEntry,
    FlowTrigger,
    ListEntry,
    MetricEntry,
    SegmentEntry,
    TemplateEntry,
)
from askel_tui.klaviyo.errors import NotInThisRevision, ScopeMissing
from askel_tui.klaviyo.reads.properties import sample_properties

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from askel_tui.klaviyo.client import Client
    from askel_tui.klaviyo.priority import Priority

SECTIONS = ("lists", "segments", "flows", "metrics", "templates", "properties")
"""The sections of a catalog, in the words of `askel browse`."""

SAMPLED_PROFILES = 500
"""How many profiles are sampled for custom properties."""

_TRIGGERS = {"lists": "list", "segments": "segment", "metrics": "metric"}
# The sections that must be read with their flow triggers before all triggers of a flow of this type are known.
_FIRED_BY = {"Added to List": ("lists", "segments"), "Metric": ("metrics",), "Unconfigured": ()}
_FIRED_BY_ITSELF = {"Date Based": "date", "Low Inventory": "low-inventory", "Price Drop": "price-drop"}
_LEAN = {
    "flows": {"fields[flow]": "name,status,archived,trigger_type"},
    "templates": {"fields[template]": "name,editor_type"},
}

_Resource = dict[str, Any]


async def read_catalog(
    client: Client,
    *,
    sections: Collection[str] = SECTIONS,
    account: str | None = None,
    sample: int = SAMPLED_PROFILES,
) -> Catalog:
    """The catalog as it is now. Sections that are not in `sections` are empty.

    Raises `KlaviyoError` for anything but a missing scope (`Catalog.unread` names those sections).
    """
    wanted = [section for section in SECTIONS if section in sections]
    with_triggers = "flows" in wanted
    reads = [_read_section(client, section, with_triggers, sample) for section in wanted]
    found = dict(zip(wanted, await _gather_all(reads), strict=True))
    resources = {section: read.resources for section, read in found.items() if read.resources is not None}
    linked = {section for section, read in found.items() if read.with_triggers}
    properties = found["properties"].properties if "properties" in found else ()
    return Catalog(
        taken=time.time_ns() // 1_000_000,
        account=client.account if account is None else account,
        lists=tuple(list_entry(each) for each in resources.get("lists", ())),
        segments=tuple(segment_entry(each) for each in resources.get("segments", ())),
        flows=_flows(resources, linked),
        metrics=tuple(metric_entry(each) for each in resources.get("metrics", ())),
        templates=tuple(_template(each) for each in resources.get("templates", ())),
        properties=tuple(properties),
        unread=tuple(section for section, read in found.items() if read.refused),
    )


async def read_flow_triggers(
    client: Client, flow_id: str, *, priority: Priority = "live"
) -> tuple[FlowTrigger, ...] | None:
    """The triggers of one flow, with their filters; None where the revision does not show them.

    One call per flow, 3 a second: for the flows that workflows name. Raises `KlaviyoError`.
    """
    one = client.endpoint(Call.GET_FLOW)
    if "definition" not in one.additional_fields.get("additional-fields[flow]", ()):
        return None
    response = await client.call(
        Call.GET_FLOW, ids={"id": flow_id}, query={"additional-fields[flow]": "definition"}, priority=priority
    )
    definition = _attributes(_dict(_dict(response.body).get("data"))).get("definition")
    triggers = _dict(definition).get("triggers")
    if not isinstance(triggers, list):
        return None
    return tuple(
        FlowTrigger(_text(each.get("type")), _maybe(each.get("id")), bool(each.get("trigger_filter")))
        for each in map(_dict, triggers)
    )


class _SectionRead:
    """The result of reading one section."""

    def __init__(
        self, resources: list[_Resource] | None = None, *, with_triggers: bool = False, refused: bool = False
    ) -> None:
        self.resources = resources
        self.with_triggers = with_triggers
        self.refused = refused
        self.properties: Sequence[Any] = ()


async def _read_section(client: Client, section: str, with_triggers: bool, sample: int) -> _SectionRead:
    try:
        if section == "properties":
            read = _SectionRead()
            read.properties = await sample_properties(client, sample)
            return read
        query = dict(_LEAN.get(section, {}))
        if with_triggers and "flow-triggers" in client.endpoint(Call(f"get_{section}")).include:
            try:
                linked = await _resources(client, section, {**query, "include": "flow-triggers"})
            except ScopeMissing:
                pass  # Perhaps only flows:read is missing: the section itself may still be readable.
            else:
                return _SectionRead(linked, with_triggers=True)
        return _SectionRead(await _resources(client, section, query))
    except (ScopeMissing, NotInThisRevision):
        return _SectionRead(refused=True)


async def _resources(client: Client, section: str, query: Mapping[str, str]) -> list[_Resource]:
    return [each async for each in client.pages(Call(f"get_{section}"), query=query)]


async def _gather_all(reads: Sequence[Any]) -> list[_SectionRead]:
    """All results, or the first failure once every read has ended."""
    results = await asyncio.gather(*reads, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if isinstance(result, _SectionRead)]


def _flows(resources: Mapping[str, list[_Resource]], linked: set[str]) -> tuple[FlowEntry, ...]:
    triggers: defaultdict[str, list[FlowTrigger]] = defaultdict(list)
    for section, kind in _TRIGGERS.items():
        if section not in linked:
            continue
        for each in resources.get(section, ()):
            relation = _dict(_dict(each.get("relationships")).get("flow-triggers")).get("data")
            for flow in relation if isinstance(relation, list) else ():
                triggers[_text(_dict(flow).get("id"))].append(FlowTrigger(kind, _text(each.get("id"))))
    return tuple(_flow(each, triggers, linked) for each in resources.get("flows", ()))


def _flow(
    resource: _Resource, triggers: Mapping[str, list[FlowTrigger]], linked: Collection[str]
) -> FlowEntry:
    attributes = _attributes(resource)
    kind = _maybe(attributes.get("trigger_type"))
    found = triggers.get(_text(resource.get("id")), [])
    known: tuple[FlowTrigger, ...] | None = None
    if found:
        known = tuple(found)
    elif kind in _FIRED_BY_ITSELF:
        known = (FlowTrigger(_FIRED_BY_ITSELF[kind]),)
    elif kind in _FIRED_BY and all(section in linked for section in _FIRED_BY[kind]):
        known = ()
    return FlowEntry(
        id=_text(resource.get("id")),
        name=_text(attributes.get("name")),
        status=_text(attributes.get("status")),
        archived=bool(attributes.get("archived")),
        trigger_type=kind,
        triggers=known,
    )


def list_entry(resource: _Resource) -> ListEntry:
    """The list that a resource describes."""
    attributes = _attributes(resource)
    return ListEntry(
        id=_text(resource.get("id")),
        name=_text(attributes.get("name")),
        opt_in_process=_maybe(attributes.get("opt_in_process")),
        created=_maybe(attributes.get("created")),
        updated=_maybe(attributes.get("updated")),
    )


def segment_entry(resource: _Resource) -> SegmentEntry:
    """The segment that a resource describes."""
    attributes = _attributes(resource)
    definition = attributes.get("definition")
    return SegmentEntry(
        id=_text(resource.get("id")),
        name=_text(attributes.get("name")),
        is_active=attributes.get("is_active") is not False,
        is_processing=attributes.get("is_processing") is True,
        definition=definition if isinstance(definition, dict) else None,
    )


def metric_entry(resource: _Resource) -> MetricEntry:
    """The metric that a resource describes."""
    attributes = _attributes(resource)
    integration = _dict(attributes.get("integration"))
    maker = integration.get("key") or integration.get("name")
    return MetricEntry(
        id=_text(resource.get("id")),
        name=_text(attributes.get("name")),
        integration=maker.lower() if isinstance(maker, str) else API_INTEGRATION,
    )


def _template(resource: _Resource) -> TemplateEntry:
    attributes = _attributes(resource)
    return TemplateEntry(
        id=_text(resource.get("id")),
        name=_text(attributes.get("name")),
        editor_type=_maybe(attributes.get("editor_type")),
    )


def _attributes(resource: _Resource) -> _Resource:
    return _dict(resource.get("attributes"))


def _dict(value: Any) -> _Resource:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _maybe(value: Any) -> str | None:
    return value if isinstance(value, str) else None
