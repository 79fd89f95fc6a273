"""Reads the catalog of an account, section by section, each with all its pages (docs/klaviyo.md 7, 8).

What fires a flow is known from lists, segments and metrics that are read with their flow triggers. What the pinned
revision can't read is read at the newest. A section that the key may not read is marked as unread, and the others are
read all the same.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from askel_tui.contract.calls import Call
from askel_tui.contract.revisions import Ability
from askel_tui.core.catalog import Catalog, FlowEntry, FlowTrigger, PropertyEntry
from askel_tui.klaviyo.errors import NotInThisRevision, ScopeMissing
from askel_tui.klaviyo.reads.entries import (
    Resource,
    definition_triggers,
    flow_entry,
    list_entry,
    metric_entry,
    read_with_triggers,
    section_revision,
    segment_entry,
    template_entry,
    triggers_by_flow,
)
from askel_tui.klaviyo.reads.properties import sample_properties
from askel_tui.klaviyo.responses import resource_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from askel_tui.klaviyo.client import Client
    from askel_tui.klaviyo.priority import Priority

SECTIONS = ("lists", "segments", "flows", "metrics", "templates", "properties")
"""The sections of a catalog, in the words of `askel browse`."""

SAMPLED_PROFILES = 500
"""The number of profiles that are sampled for custom properties."""

_TRIGGERS = {"lists": "list", "segments": "segment", "metrics": "metric"}
# The sections that must be read with their flow triggers before all triggers of a flow of this type are known.
_FIRED_BY = {"Added to List": ("lists", "segments"), "Metric": ("metrics",), "Unconfigured": ()}
_FIRED_BY_ITSELF = {"Date Based": "date", "Low Inventory": "low-inventory", "Price Drop": "price-drop"}
_LEAN: Mapping[str, Mapping[str, str]] = {
    "flows": {"fields[flow]": "name,status,archived,trigger_type"},
    "templates": {"fields[template]": "name,editor_type"},
}


async def read_catalog(
    client: Client,
    *,
    sections: Collection[str] = SECTIONS,
    account: str | None = None,
    sample: int = SAMPLED_PROFILES,
) -> Catalog:
    """Reads the catalog from the account. Sections that are not in `sections` are empty.

    Raises `KlaviyoError` for anything but a missing scope (`Catalog.unread` names those sections).
    """
    wanted = [section for section in SECTIONS if section in sections]
    with_triggers = "flows" in wanted
    reads = [_read_section(client, section, with_triggers, sample) for section in wanted]
    read = dict(zip(wanted, await _gather_all(reads), strict=True))
    none = _SectionRead()
    return Catalog(
        taken=time.time_ns() // 1_000_000,
        account=client.account if account is None else account,
        lists=tuple(map(list_entry, read.get("lists", none).resources)),
        segments=tuple(map(segment_entry, read.get("segments", none).resources)),
        flows=tuple(_flows(read)),
        metrics=tuple(map(metric_entry, read.get("metrics", none).resources)),
        templates=tuple(map(template_entry, read.get("templates", none).resources)),
        properties=tuple(read.get("properties", none).properties),
        unread=tuple(section for section, each in read.items() if each.refused),
    )


async def read_flow_triggers(
    client: Client, flow_id: str, *, priority: Priority = "live"
) -> tuple[FlowTrigger, ...] | None:
    """Reads the triggers of one flow, with their filters; None where it shows none.

    One call per flow, 3 a second: for the flows that workflows name. Raises `KlaviyoError`.
    """
    response = await client.call(
        Call.GET_FLOW,
        ids={"id": flow_id},
        query={"additional-fields[flow]": "definition"},
        priority=priority,
        revision=client.reading_revision(Ability.FLOW_DEFINITIONS),
    )
    return definition_triggers(resource_of(response.body))


@dataclass(frozen=True, slots=True)
class _SectionRead:
    """The result of reading one section."""

    resources: Sequence[Resource] = ()
    properties: Sequence[PropertyEntry] = ()
    with_triggers: bool = False
    refused: bool = False


async def _read_section(client: Client, section: str, with_triggers: bool, sample: int) -> _SectionRead:
    try:
        if section == "properties":
            return _SectionRead(properties=await sample_properties(client, sample))
        query = _LEAN.get(section, {})
        if with_triggers and (found := await read_with_triggers(client, section, query)) is not None:
            return _SectionRead(found, with_triggers=True)
        revision = section_revision(client, section)
        pages = client.pages(Call(f"get_{section}"), query=query, revision=revision)
        return _SectionRead([each async for each in pages])
    except (ScopeMissing, NotInThisRevision):
        return _SectionRead(refused=True)


async def _gather_all(reads: Sequence[Any]) -> list[_SectionRead]:
    """Returns all results, or the first failure once every read has ended."""
    results = await asyncio.gather(*reads, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if isinstance(result, _SectionRead)]


def _flows(read: Mapping[str, _SectionRead]) -> Iterator[FlowEntry]:
    linked = {section for section, each in read.items() if each.with_triggers}
    triggers: defaultdict[str, list[FlowTrigger]] = defaultdict(list)
    for section in linked & _TRIGGERS.keys():
        for flow_id, fired_by in triggers_by_flow(_TRIGGERS[section], read[section].resources).items():
            triggers[flow_id] += fired_by
    for resource in read["flows"].resources if "flows" in read else ():
        flow = flow_entry(resource)
        known: Sequence[FlowTrigger] | None = triggers.get(flow.id)
        kind = flow.trigger_type
        if known is None and kind in _FIRED_BY_ITSELF:
            known = (FlowTrigger(_FIRED_BY_ITSELF[kind]),)
        elif known is None and kind in _FIRED_BY and linked.issuperset(_FIRED_BY[kind]):
            known = ()
        yield replace(flow, triggers=None if known is None else tuple(known))
