"""What exists in an account, and direct questions to it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal

from askel_tui.tui.backend.base import Base, in_its_own_thread

if TYPE_CHECKING:
    from askel_tui.core.catalog import Catalog
    from askel_tui.services.discovery import DiscoveredCatalog
    from askel_tui.sync.instance import Instance


@in_its_own_thread
class Account(Base):
    """Reads the catalog, and asks about one thing."""

    async def catalog(self, connection: str) -> Catalog | None:
        """The catalog as it was last read."""
        return await self._do(lambda instance: asyncio.to_thread(instance.catalog, connection))

    async def discover(
        self, connection: str, sections: Collection[str] | None = None, *, sample: int | None = None
    ) -> DiscoveredCatalog:
        """Reads sections of the catalog (all without) from Klaviyo and keeps them."""
        from askel_tui.klaviyo.reads.catalog import SAMPLED_PROFILES, SECTIONS
        from askel_tui.services.discovery import discover

        async def work(instance: Instance) -> DiscoveredCatalog:
            client = await instance.client(connection)
            return await discover(
                instance, connection, client, sections or SECTIONS, sample=sample or SAMPLED_PROFILES
            )

        return await self._do(work)

    async def segment_check(self, connection: str, segment: str, profile: str) -> dict[str, Any]:
        """Whether a profile (as typed) is in a segment (`services.direct_requests.check_segment_membership`)."""
        from askel_tui.services.direct_requests import check_segment_membership, parse_identity

        return await self._do(
            lambda instance: check_segment_membership(instance, connection, segment, parse_identity(profile))
        )

    async def members(self, connection: str, kind: Literal["list", "segment"], named: str) -> int | None:
        """How many profiles are on a list or in a segment, asked now; 15 such calls a minute. Raises `KlaviyoError`."""

        async def work(instance: Instance) -> int | None:
            from askel_tui.contract.calls import Call

            client = await instance.client(connection)
            query = {f"additional-fields[{kind}]": "profile_count", f"fields[{kind}]": "name,profile_count"}
            answer = await client.call(Call(f"get_{kind}"), ids={"id": named}, query=query)
            found = answer.body["data"]["attributes"].get("profile_count")
            return found if isinstance(found, int) else None

        return await self._do(work)
