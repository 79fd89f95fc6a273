"""Reading consent back, where the fate of a consent write is unknown."""

from __future__ import annotations

from askel_tui.core.operations import Operation
from askel_tui.klaviyo.client import Client
from askel_tui.klaviyo.errors import KlaviyoError
from askel_tui.klaviyo.profiles import read_subscriptions

_WANTED = {"bulk_subscribe_profiles": "SUBSCRIBED", "bulk_unsubscribe_profiles": "UNSUBSCRIBED"}


async def reads_back(client: Client, operation: Operation) -> bool:
    """Whether the account shows, for every channel, the consent that the operation writes (contract.md 6)."""
    try:
        found = await read_subscriptions(client, operation.profile)
    except KlaviyoError:
        return False
    wanted = _WANTED[operation.call]
    return all(found.get(channel) == wanted for channel in operation.body["channels"])
