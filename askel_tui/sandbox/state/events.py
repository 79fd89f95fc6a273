"""Events: their profile and metric, repeats, and the flows that they start (docs/klaviyo.md 2.11, 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from askel_tui.contract.caps import DROPPED_EVENT_DOMAINS
from askel_tui.sandbox.jsonapi.ids_and_times import event_id, parse_time
from askel_tui.sandbox.state import membership, profiles
from askel_tui.sandbox.state.definitions import event_matches
from askel_tui.sandbox.state.model import IDENTIFIERS, Event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from askel_tui.sandbox.state.account import Account
    from askel_tui.sandbox.state.model import Metric, Profile


def event_profile(
    account: Account, data: Mapping[str, Any], meta: Mapping[str, Any] | None, now: float
) -> Profile:
    """Finds or makes the profile of an event, changed by the attributes in the event."""
    attributes = data.get("attributes") or {}
    profile = profiles.resolve_profile(account, data.get("id"), attributes, now)
    profiles.write_attributes(account, profile, attributes, meta, now, identifiers=False)
    return profile


def record_event(
    account: Account, profile: Profile, attributes: Mapping[str, Any], now: float, *, backfill: bool = False
) -> Event | None:
    """Stores an event, unless the profile and metric have one with its unique id or, without one, its second.

    A repeat and a backfill start no flow. None for a repeat.
    """
    named = attributes["metric"]["data"]["attributes"]
    metric = account.get_or_create_metric(named["name"], named.get("service"), now)
    at = int(event_time(attributes, now))
    unique = attributes.get("unique_id")
    if (profile.id, metric.id, unique or str(at)) in account.event_keys:
        return None
    number = account.next_number()
    event = Event(
        id=event_id(number),
        number=number,
        metric=metric.id,
        profile=profile.id,
        time=at,
        properties=dict(attributes.get("properties") or {}),
        unique_id=unique,
        value=attributes.get("value"),
        value_currency=attributes.get("value_currency"),
        backfill=backfill or bool(attributes.get("backfill")),
        received=now,
    )
    account.add_event(event)
    _note_properties(metric, event)
    profile.last_event = max(profile.last_event or 0.0, float(at))
    if not event.backfill:
        for flow in account.flows_triggered_by("metric", metric.id):
            if event_matches((flow.trigger or {}).get("trigger_filter"), event.properties):
                membership.start_flow(account, flow, profile, now, {"event": event.id})
    return event


def stored_unique_ids(
    account: Account, bulk: list[tuple[Mapping[str, Any], list[Mapping[str, Any]]]]
) -> set[str]:
    """Finds the unique ids of a bulk call that stored events of the same profile and metric already have."""
    found: set[str] = set()
    for data, events in bulk:
        attributes = data.get("attributes") or {}
        owners = account.profiles_with(attributes)
        profile = account.profile(data.get("id") or "", follow=True) or (owners[0] if owners else None)
        for event in events:
            named = event["metric"]["data"]["attributes"]
            unique = event.get("unique_id")
            metric = account.find_metric(named["name"], named.get("service"))
            if unique and profile and metric and (profile.id, metric.id, unique) in account.event_keys:
                found.add(unique)
    return found


def profile_key(account: Account, data: Mapping[str, Any]) -> tuple[str, ...]:
    """Makes a key for the profile that an event's profile object means: a known profile's id, or its first
    identifier."""
    attributes = data.get("attributes") or {}
    profile = account.profile(data.get("id") or "", follow=True)
    owners = [profile] if profile else account.profiles_with(attributes)
    if owners:
        return (owners[0].id,)
    return next(((kind, str(attributes[kind])) for kind in IDENTIFIERS if attributes.get(kind)), ())


def is_dropped(data: Mapping[str, Any]) -> bool:
    """Checks whether Klaviyo would drop an event of this profile silently (docs/klaviyo.md 3.3)."""
    email = (data.get("attributes") or {}).get("email") or ""
    return email.rpartition("@")[2].lower() in DROPPED_EVENT_DOMAINS


def event_time(attributes: Mapping[str, Any], now: float) -> float:
    """Returns the time that an event names, else now; seconds since 1970."""
    written = attributes.get("time")
    at = parse_time(written) if written else None
    return now if at is None else at


def inferred_type(value: Any) -> str:
    """Names a metric property's type as Klaviyo does."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "numeric"
    if isinstance(value, list):
        return "list"
    return "string" if isinstance(value, str) else "object"


def _note_properties(metric: Metric, event: Event) -> None:
    for name, value in event.properties.items():
        if name not in metric.properties:
            metric.properties[name] = inferred_type(value)
    if event.value is not None:
        metric.properties.setdefault("$value", "numeric")
