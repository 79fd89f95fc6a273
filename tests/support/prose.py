"""Rules for request bodies that Klaviyo states in prose only, so that no schema holds them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from askel_tui.contract.caps import caps
from askel_tui.contract.dialects import CHANNEL_IDENTIFIER
from askel_tui.contract.endpoints import endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Body = Any

_ITEMS = {
    "add_profiles_to_list": ("data",),
    "remove_profiles_from_list": ("data",),
    "merge_profiles": ("data", "relationships", "profiles", "data"),
    "bulk_import_profiles": ("data", "attributes", "profiles", "data"),
    "bulk_subscribe_profiles": ("data", "attributes", "profiles", "data"),
    "bulk_unsubscribe_profiles": ("data", "attributes", "profiles", "data"),
    "bulk_suppress_profiles": ("data", "attributes", "profiles", "data"),
    "bulk_unsuppress_profiles": ("data", "attributes", "profiles", "data"),
    "bulk_create_events": ("data", "attributes", "events-bulk-create", "data"),
}
_IDENTIFIERS = ("email", "phone_number", "external_id", "anonymous_id", "_kx")


def prose_problems(revision: str, name: str, ids: Mapping[str, str], body: Body) -> Iterator[str]:
    """What is wrong with a body that fits its schema, a line each. `ids` are those of the path."""
    items = _at(body, _ITEMS[name]) if name in _ITEMS else []
    yield from _sizes(revision, name, items, body)
    if name.startswith("update_") and body["data"]["id"] != ids.get("id"):
        yield f"/data/id: {body['data']['id']!r} is not the path's {ids.get('id')!r}"
    if name == "create_or_update_profile":
        yield from _identified(body["data"])
    elif name == "bulk_import_profiles":
        for item in items:
            yield from _identified(item)
            if None in item["attributes"].values():
                yield "bulk import cannot clear with null (docs/klaviyo.md 3.2)"
    elif name == "create_event":
        yield from _event(revision, body["data"]["attributes"])
        yield from _identified(body["data"]["attributes"]["profile"]["data"])
    elif name == "bulk_create_events":
        yield from _bulk_events(revision, items)
    elif name in ("bulk_subscribe_profiles", "bulk_unsubscribe_profiles"):
        historical = bool(body["data"]["attributes"].get("historical_import"))
        for item in items:
            yield from _consent(item["attributes"], historical)


def _sizes(revision: str, name: str, items: list[Body], body: Body) -> Iterator[str]:
    at = endpoint(revision, name)
    count = len(items) if name != "bulk_create_events" else sum(1 for _ in _events(items))
    if at.max_items is not None and count > at.max_items:
        yield f"{count} items, where {name} takes {at.max_items}"
    if at.max_bytes is not None and _size(body) > at.max_bytes:
        yield f"{_size(body)} bytes, where {name} takes {at.max_bytes}"
    if at.max_item_bytes is not None:
        for item in items:
            if _size(item) > at.max_item_bytes:
                yield f"an item of {_size(item)} bytes, where {name} takes {at.max_item_bytes}"


def _identified(profile: Body) -> Iterator[str]:
    attributes = profile["attributes"]
    if not profile.get("id") and not any(attributes.get(name) for name in _IDENTIFIERS):
        yield "a profile without any identifier (docs/klaviyo.md 3.1)"


def _event(revision: str, attributes: Body) -> Iterator[str]:
    limits = caps(revision)
    if len(attributes["properties"]) > limits.event_properties:
        yield f"{len(attributes['properties'])} event properties (docs/klaviyo.md 3.4)"
    if not 1 <= len(attributes.get("unique_id", "-")) <= limits.unique_id:
        yield f"unique_id {attributes['unique_id']!r} is empty or too long (docs/klaviyo.md 3.4)"
    if not 1 <= len(attributes["metric"]["data"]["attributes"]["name"]) <= limits.metric_name:
        yield "a metric name that is empty or too long (docs/klaviyo.md 3.4)"


def _bulk_events(revision: str, groups: list[Body]) -> Iterator[str]:
    seen = set()
    for group in groups:
        yield from _identified(group["attributes"]["profile"]["data"])
    for event in _events(groups):
        yield from _event(revision, event["attributes"])
        unique_id = event["attributes"].get("unique_id")
        if unique_id is not None and unique_id in seen:
            yield f"unique_id {unique_id!r} twice in one call, which then fails whole (docs/klaviyo.md 1.2)"
        seen.add(unique_id)


def _events(groups: list[Body]) -> Iterator[Body]:
    for group in groups:
        yield from group["attributes"]["events"]["data"]


def _consent(attributes: Body, historical: bool) -> Iterator[str]:
    for channel, consents in attributes.get("subscriptions", {}).items():
        if not attributes.get(CHANNEL_IDENTIFIER[channel]):
            yield f"consent for {channel} without {CHANNEL_IDENTIFIER[channel]} (docs/klaviyo.md 3.3)"
        for consent in consents.values():
            if isinstance(consent, dict) and ("consented_at" in consent) != historical:
                yield f"consent for {channel}: dated exactly when historical_import is true (docs/klaviyo.md 6)"


def _at(body: Body, path: tuple[str, ...]) -> list[Body]:
    for step in path:
        body = (body or {}).get(step)
    return body or []


def _size(value: Body) -> int:
    return len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass"))
