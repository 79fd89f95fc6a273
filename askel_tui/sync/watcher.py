"""Looks at what is held: a hold whose cause is gone, with nothing left to decide, ends by itself."""

from __future__ import annotations

import logging

from askel_tui.klaviyo.client import Client
from askel_tui.klaviyo.errors import KlaviyoError, ScopeMissing
from askel_tui.store.journal import Hold
from askel_tui.sync.instance import Instance

log = logging.getLogger(__name__)

LOOK_MS = 15_000
"""How long between two looks at the same hold, in milliseconds (design: Looks)."""


WATCHED = frozenset({"target_gone", "key_refused"})
"""Causes that may go away with nothing left to decide."""


class Watcher:
    """Ends holds of targets that are back under the same id, and of keys that are accepted."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._looked: dict[tuple[str, str], int] = {}

    async def look(self) -> None:
        """One round over the holds that are due for a look."""
        now = self._instance.clock()
        for hold in await self._instance.journal.holds():
            key = (hold.workflow, hold.step)
            if hold.cause not in WATCHED or now - self._looked.get(key, hold.since) < LOOK_MS:
                continue
            self._looked[key] = now
            if await self._is_back(hold):
                await self._instance.journal.order(
                    "release", {"workflow": hold.workflow, "step": hold.step}, "askel", now
                )
                log.info("%s step %s: what it names is back", hold.workflow, hold.step)

    async def _is_back(self, hold: Hold) -> bool:
        client = await self._instance.client(hold.connection)
        if client is not None and hold.cause == "key_refused":
            return await _is_accepted(client)
        target = await self._instance.pinned_target(hold.workflow, hold.step)
        if target is None or target.id is None or client is None:
            return False
        try:
            await client.call(f"get_{target.type}", ids={"id": target.id})
        except KlaviyoError:
            return False
        return True


async def _is_accepted(client: Client) -> bool:
    """Whether Klaviyo takes the key; what it may do with it is not asked."""
    try:
        await client.call("get_accounts")
    except ScopeMissing:
        return True
    except KlaviyoError:
        return False
    return True
