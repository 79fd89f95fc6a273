"""Discovery: reads what exists in a connection's account, and stores it as the catalog."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from askel_tui.core.catalog import Catalog, FlowEntry, PropertyEntry
from askel_tui.klaviyo.client import Client
from askel_tui.klaviyo.reads.catalog import SAMPLED_PROFILES, SECTIONS, read_catalog, read_flow_triggers
from askel_tui.klaviyo.reads.properties import sample_properties
from askel_tui.sync.instance import Instance


@dataclass(frozen=True, slots=True)
class DiscoveredCatalog:
    """The catalog as it was just read, and the sections that the key may not read."""

    catalog: Catalog
    unreadable_sections: tuple[str, ...]


async def discover(
    instance: Instance,
    connection: str,
    client: Client,
    sections: Collection[str] = SECTIONS,
    *,
    sample: int = SAMPLED_PROFILES,
) -> DiscoveredCatalog:
    """Reads sections of the catalog and stores them. The triggers of flows are read along with the flows.

    `sample` is the number of profiles that are searched for custom properties. Raises `KlaviyoError`.
    """
    wanted = set(sections)
    if "flows" in wanted:
        wanted |= {"lists", "segments", "metrics"}
    found = await read_catalog(client, sections=wanted, sample=sample)
    readable = wanted - set(found.unread)
    await instance.save_catalog(connection, found, readable)
    return DiscoveredCatalog(found, found.unread)


async def custom_properties(instance: Instance, connection: str, client: Client) -> tuple[PropertyEntry, ...]:
    """Returns the account's custom properties as they were last read, or samples them now, which stores nothing: a
    stored catalog has all sections or none of its own. Raises `KlaviyoError`."""
    stored = instance.catalog(connection)
    if stored is not None and stored.properties:
        return stored.properties
    return tuple(await sample_properties(client, SAMPLED_PROFILES))


async def with_trigger_filters(client: Client, catalog: Catalog, flows: Collection[str]) -> Catalog:
    """Reads, for the named flows (by id or name), whether a filter may keep them from firing; returns the catalog
    with that.

    Klaviyo shows this one flow at a time, and not at every revision. Raises `KlaviyoError`.
    """
    entries = [
        await _flow_with_filters(client, each)
        if each.triggers and not {each.id, each.name}.isdisjoint(flows)
        else each
        for each in catalog.flows
    ]
    return replace(catalog, flows=tuple(entries))


async def with_dates(client: Client, catalog: Catalog) -> Catalog:
    """Reads of which properties the dates start live flows; returns the catalog with that. Raises `KlaviyoError`."""
    entries = [
        replace(each, triggers=await read_flow_triggers(client, each.id) or each.triggers)
        if each.status == "live"
        and not each.archived
        and any(one.type == "date" for one in each.triggers or ())
        else each
        for each in catalog.flows
    ]
    return replace(catalog, flows=tuple(entries))


async def _flow_with_filters(client: Client, flow: FlowEntry) -> FlowEntry:
    known = await read_flow_triggers(client, flow.id) or ()
    filtered = {(each.type, each.id) for each in known if each.filtered}
    triggers = tuple(
        replace(each, filtered=each.filtered or (each.type, each.id) in filtered)
        for each in flow.triggers or ()
    )
    return replace(flow, triggers=triggers)
