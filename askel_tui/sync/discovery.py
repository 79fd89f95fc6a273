"""Discovery: what exists in a connection's account, read now and kept."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from askel_tui.core.catalogs import Catalog
from askel_tui.klaviyo.catalog import SAMPLE, SECTIONS, read_catalog
from askel_tui.klaviyo.client import Client
from askel_tui.sync.instance import Instance


@dataclass(frozen=True, slots=True)
class Discovered:
    """The catalog as it was just read, and the sections that the key may not read."""

    catalog: Catalog
    unread: tuple[str, ...]


async def discover(
    instance: Instance,
    connection: str,
    client: Client,
    sections: Collection[str] = SECTIONS,
    *,
    sample: int = SAMPLE,
) -> Discovered:
    """Reads sections of the catalog and keeps them. What fires a flow is read along with the flows.

    `sample` is how many profiles are looked at for custom properties. Raises `KlaviyoError`.
    """
    wanted = set(sections)
    if "flows" in wanted:
        wanted |= {"lists", "segments", "metrics"}
    found = await read_catalog(client, sections=wanted, sample=sample)
    readable = wanted - set(found.unread)
    await instance.keep_catalog(connection, replace(found, unread=()), readable)
    return Discovered(found, found.unread)
