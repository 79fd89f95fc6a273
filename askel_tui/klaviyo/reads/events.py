"""Reads events, to see whether the account has one that was sent."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from askel_tui.contract.calls import Call
from askel_tui.klaviyo.filters import equals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from askel_tui.klaviyo.client import Client
    from askel_tui.klaviyo.priority import Priority

MAX_EVENTS_READ = 200
"""The number of a profile's newest events that are read."""

UNIQUE_ID_PROPERTY = "$event_id"
"""The property that shows an event's `unique_id` (docs/klaviyo.md 2.13; not verified for every revision)."""


async def has_event(
    client: Client, profile_id: str, unique_id: str, time: str, *, priority: Priority = "bulk"
) -> bool:
    """Checks whether a profile has the event among its newest: found by `unique_id`, or by its time where no id is
    shown.

    Raises `KlaviyoError`.
    """
    query = {"filter": equals("profile_id", profile_id), "sort": "-datetime"}
    found = [
        each.get("attributes") or {}
        async for each in client.pages(Call.GET_EVENTS, query=query, limit=MAX_EVENTS_READ, priority=priority)
    ]
    properties = [each.get("event_properties") or {} for each in found]
    if any(UNIQUE_ID_PROPERTY in each for each in properties):
        return any(each.get(UNIQUE_ID_PROPERTY) == unique_id for each in properties)
    return any(_same_second(each, time) for each in found)


def _same_second(event: Mapping[str, Any], time: str) -> bool:
    try:
        seen, sent = datetime.fromisoformat(str(event.get("datetime"))), datetime.fromisoformat(time)
        return int(seen.timestamp()) == int(sent.timestamp())
    except ValueError:
        return False
