"""Questions of a product to the account: membership in a segment, and the data of a profile.

Names are resolved in a catalog that is cached for a minute, so that a question is one call to Klaviyo.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from askel_tui.contract.calls import Call
from askel_tui.core.catalog import Catalog, SegmentEntry
from askel_tui.core.operations import Identity
from askel_tui.klaviyo import responses
from askel_tui.klaviyo.client import Client
from askel_tui.klaviyo.errors import NotInAccount
from askel_tui.klaviyo.reads.catalog import read_catalog
from askel_tui.klaviyo.reads.profiles import consent_of, find_profiles, members_of_segment
from askel_tui.services.direct.requests import NotFound, find_segment
from askel_tui.sync.instance import Instance

CATALOG_MAX_AGE_S = 60.0
"""Time that names of lists, segments, flows and metrics are cached, in seconds."""

MEMBERSHIP_MAX_AGE_S = 15.0
"""Time that an answer about a segment is cached, in seconds."""

MAX_CACHED_MEMBERSHIPS = 20_000
"""The number of answers about segments that are cached."""


@dataclass(frozen=True, slots=True)
class SegmentMembership:
    """The answer to whether a profile is in a segment, and the age of that answer in seconds."""

    segment_id: str
    segment_name: str
    is_member: bool
    age_s: float


class AccountQueries:
    """A client of questions to the accounts of an instance; it caches answers for a short while."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._catalogs: dict[tuple[str, frozenset[str]], tuple[float, Catalog]] = {}
        self._catalog_locks: dict[tuple[str, frozenset[str]], asyncio.Lock] = {}
        self._memberships: OrderedDict[tuple[str, str, Identity | str], tuple[float, bool]] = OrderedDict()

    def forget(self) -> None:
        """Empties the caches."""
        self._catalogs.clear()
        self._memberships.clear()

    async def catalog(self, connection: str, sections: Collection[str], *, fresh: bool = False) -> Catalog:
        """Returns sections of the account's catalog, at most a minute old. Raises `KeyNotStored`, `KlaviyoError`."""
        key = (connection, frozenset(sections))
        async with self._catalog_locks.setdefault(key, asyncio.Lock()):
            read, catalog = self._catalogs.get(key, (0.0, None))
            if catalog is None or fresh or time.monotonic() - read > CATALOG_MAX_AGE_S:
                catalog = await read_catalog(await self._instance.client(connection), sections=sections)
                self._catalogs[key] = (time.monotonic(), catalog)
            return catalog

    async def segment_membership(
        self, connection: str, segment: str, who: Identity | str, *, fresh: bool = False
    ) -> SegmentMembership:
        """Returns whether a profile (an identity, or a profile's id) is in a segment, which is given by its id or
        name.

        Raises `NotFound`, `KeyNotStored`, `UnknownConnection`, `KlaviyoError`.
        """
        found = await self._find_segment(connection, segment)
        segment_id, name = found.id, found.name
        key = (connection, segment_id, who)
        known = self._memberships.get(key)
        if known is not None and not fresh and time.monotonic() - known[0] <= MEMBERSHIP_MAX_AGE_S:
            return SegmentMembership(segment_id, name, known[1], time.monotonic() - known[0])
        client = await self._instance.client(connection)
        if isinstance(who, Identity):
            member = (await members_of_segment(client, segment_id, [who]))[who]
        else:
            member = await _is_in_segment(client, who, segment_id)
        self._memberships[key] = (time.monotonic(), member)
        self._memberships.move_to_end(key)
        while len(self._memberships) > MAX_CACHED_MEMBERSHIPS:
            self._memberships.popitem(last=False)
        return SegmentMembership(segment_id, name, member, 0.0)

    async def _find_segment(self, connection: str, segment: str) -> SegmentEntry:
        catalog = await self.catalog(connection, ("segments",))
        try:
            return find_segment(catalog, connection, segment)
        except NotFound:
            catalog = await self.catalog(connection, ("segments",), fresh=self._may_read_again(connection))
            return find_segment(catalog, connection, segment)

    def _may_read_again(self, connection: str) -> bool:
        """Checks whether the catalog may be read again for an unknown name: not within ten seconds."""
        read, _ = self._catalogs[connection, frozenset(("segments",))]
        return time.monotonic() - read > 10

    async def read_profile(
        self, connection: str, who: Identity | str, *, consent: bool = False
    ) -> dict[str, Any] | None:
        """Reads a profile from the account; None where there is none. Raises as `segment_membership` does."""
        client = await self._instance.client(connection)
        extra = ["subscriptions"] if consent else []
        if isinstance(who, Identity):
            found = (await find_profiles(client, [who], additional_fields=extra))[who]
            if found is None:
                return None
            profile_id, attributes = found.id, dict(found.attributes)
        else:
            query = {"additional-fields[profile]": "subscriptions"} if consent else {}
            try:
                answer = await client.call(Call.GET_PROFILE, ids={"id": who}, query=query)
            except NotInAccount:
                return None
            profile_id, attributes = who, responses.attributes_of(responses.resource_of(answer.body))
        profile = {"id": profile_id, "attributes": attributes}
        return {**profile, "consent": consent_of(attributes)} if consent else profile


async def _is_in_segment(client: Client, profile: str, segment: str) -> bool:
    try:
        pages = client.pages(Call.GET_SEGMENT_IDS_FOR_PROFILE, ids={"id": profile})
        return any([each.get("id") == segment async for each in pages])
    except NotInAccount:
        return False
