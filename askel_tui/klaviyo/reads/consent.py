"""Reads consent back, to see whether the account shows what a consent write asked for (docs/klaviyo.md 6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby

from askel_tui.contract.calls import Call
from askel_tui.core.addressing import addressed_identity
from askel_tui.core.operations import Operation
from askel_tui.klaviyo.client import Client
from askel_tui.klaviyo.priority import Priority
from askel_tui.klaviyo.reads.profiles import members_of_list, read_consent


async def find_shown_operations(
    client: Client, operations: Iterable[Operation], *, priority: Priority = "live"
) -> set[str]:
    """Finds the consent operations whose effect the account shows, by id. Raises `KlaviyoError`.

    A subscribe is shown when every channel is subscribed and the profile is on the list that was named. An unsubscribe
    is shown when every channel is unsubscribed, or when the profile has left the list that was named (its consent
    elsewhere stays).
    """
    wanted = list(operations)
    identities = {each.id: addressed_identity(each) for each in wanted}
    consent = await read_consent(client, identities.values(), priority=priority)
    found: set[str] = set()
    for list_id, group in groupby(sorted(wanted, key=_list_of), key=_list_of):
        of_list = list(group)
        members = {}
        if list_id:
            named = [identities[each.id] for each in of_list]
            members = await members_of_list(client, list_id, named, priority=priority)
        for each in of_list:
            identity = identities[each.id]
            on_list = members.get(identity) if list_id else None
            if _is_shown(each, consent[identity], on_list):
                found.add(each.id)
    return found


def _list_of(operation: Operation) -> str:
    destination = operation.destination
    return (destination.id if destination else None) or ""


def _is_shown(operation: Operation, consent: Mapping[str, str], on_list: bool | None) -> bool:
    """Checks whether a profile's consent shows the operation's effect; `on_list` is None where no list was named."""
    channels = operation.body["channels"]
    if operation.call == Call.BULK_SUBSCRIBE_PROFILES:
        return on_list is not False and all(consent.get(channel) == "SUBSCRIBED" for channel in channels)
    withdrawn = all(consent.get(channel) == "UNSUBSCRIBED" for channel in channels)
    return withdrawn or on_list is False
