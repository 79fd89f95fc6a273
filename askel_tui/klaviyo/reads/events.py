"""Reads events, to see whether the account has one that was sent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from askel_tui.contract.calls import Call
from askel_tui.klaviyo.filters import equals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from askel_tui.klaviyo.client import Client
    from askel_tui.klaviyo.priority import Priority

MAX_EVENTS_READ = 200
"""The number of a profile's newest events that are read."""

MAX_WINDOW_EVENTS = 2_000
"""The number of a profile's events within a span that are read."""

UNIQUE_ID_PROPERTY = "$event_id"
"""The property that shows an event's `unique_id` (docs/klaviyo.md 2.13; not verified for every revision)."""


@dataclass(frozen=True, slots=True)
class SentEvent:
    """An event that was sent: its `unique_id`, its time, and its metric's id where it is known."""

    unique_id: str
    time: datetime
    metric_id: str | None = None


async def find_events(
    client: Client, profile_id: str, sent: Sequence[SentEvent]
) -> dict[SentEvent, bool | None]:
    """Looks events up among those that a profile has in the seconds around their times: None where it has too many.

    An event is known by its `unique_id`, or by its metric and second where no id is shown. Raises `KlaviyoError`.
    """
    since, until = min(each.time for each in sent), max(each.time for each in sent)
    bounds = [
        equals("profile_id", profile_id),
        f"greater-or-equal(datetime,{_seconds(since)})",
        f"less-or-equal(datetime,{_seconds(until + timedelta(seconds=1))})",
    ]
    query = {"filter": ",".join(bounds), "sort": "datetime"}
    found = [
        each
        async for each in client.pages(Call.GET_EVENTS, query=query, limit=MAX_WINDOW_EVENTS, priority="bulk")
    ]
    ids = {_properties(each).get(UNIQUE_ID_PROPERTY) for each in found} - {None}
    seconds = {(_metric_id(each), _second(_attributes(each).get("datetime"))) for each in found}
    seconds |= {(None, second) for _, second in seconds}
    missing = None if len(found) >= MAX_WINDOW_EVENTS else False
    return {
        each: (each.unique_id in ids if ids else (each.metric_id, int(each.time.timestamp())) in seconds)
        or missing
        for each in sent
    }


def _seconds(time: datetime) -> str:
    return time.astimezone(UTC).replace(microsecond=0).isoformat()


def _attributes(event: Mapping[str, Any]) -> Mapping[str, Any]:
    found = event.get("attributes")
    return found if isinstance(found, dict) else {}


def _properties(event: Mapping[str, Any]) -> Mapping[str, Any]:
    found = _attributes(event).get("event_properties")
    return found if isinstance(found, dict) else {}


def _metric_id(event: Mapping[str, Any]) -> str | None:
    try:
        return str(event["relationships"]["metric"]["data"]["id"])
    except (KeyError, TypeError):
        return None


def _second(time: object) -> int | None:
    try:
        return int(datetime.fromisoformat(str(time)).timestamp())
    except ValueError:
        return None


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
    return _second(time) is not None and any(_second(each.get("datetime")) == _second(time) for each in found)
