"""The bodies of event requests, and the caps on them (docs/klaviyo.md 2.11, 2.12, 3.4)."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from askel_tui.contract.calls import Call
from askel_tui.contract.caps import caps
from askel_tui.contract.endpoints import published_endpoints
from askel_tui.contract.revisions import Ability, can
from askel_tui.sandbox.jsonapi.errors import error_object
from askel_tui.sandbox.jsonapi.ids_and_times import parse_time
from askel_tui.sandbox.validation.checks import (
    Check,
    Errors,
    all_of,
    array,
    boolean,
    closed_object,
    creation,
    date_time,
    document,
    holder,
    json_bytes,
    number,
    resource_object,
    string,
)
from askel_tui.sandbox.validation.profile_checks import meta_patches, profile_attributes, require_identity

if TYPE_CHECKING:
    from askel_tui.contract.caps import Caps


def event_body(revision: str) -> Check:
    """Returns the check for the body of a single event; `meta` is in its profile's attributes, or beside them."""
    meta = {"meta": meta_patches(revision)}
    is_outside = can(revision, Ability.EVENT_PROFILE_META)
    attributes = profile_attributes(revision, Call.CREATE_EVENT, {} if is_outside else meta)
    optional = {"id": string(), **(meta if is_outside else {})}
    profile = {"profile": _profile(revision, attributes, optional)}
    return document(resource_object("event", {"attributes": _event_attributes(revision, profile)}))


def bulk_events_body(revision: str) -> Check:
    """Returns the check for the body of a bulk event call."""
    attributes = profile_attributes(revision, Call.BULK_CREATE_EVENTS)
    profile = _profile(revision, attributes, {"id": string(), "meta": meta_patches(revision)})
    event = resource_object("event", {"attributes": _event_attributes(revision, {})})
    fields = {"profile": profile, "events": holder("events", array(event, least=1))}
    group = closed_object("event-bulk-create", fields, _backfill(revision))
    most = published_endpoints(revision)[Call.BULK_CREATE_EVENTS].max_items or 0

    def check_count(value: Any, at: str, errors: Errors) -> None:
        count = sum(len(row["attributes"]["events"]["data"]) for row in value)
        if count > most:
            errors.append(error_object(f"At most {most} events are allowed, {count} were given.", at))

    groups = all_of(array(resource_object("event-bulk-create", {"attributes": group}), least=1), check_count)
    return creation("event-bulk-create-job", {"events-bulk-create": holder("data", groups)})


def _profile(revision: str, attributes: Check, optional: dict[str, Check]) -> Check:
    profile = resource_object("profile", {"attributes": attributes}, optional)
    return holder("profile", all_of(profile, require_identity, _max_profile_size(revision)))


def _event_attributes(revision: str, more: dict[str, Check]) -> Check:
    limits = caps(revision)
    named = closed_object(
        "metric", {"name": string(null=False, least=1, most=limits.metric_name)}, {"service": string()}
    )
    metric = closed_object("metric", {"data": resource_object("metric", {"attributes": named})})
    optional = {
        "time": all_of(date_time, _time_bounds(limits)),
        "value": number,
        "value_currency": string(),
        "unique_id": string(least=1, most=limits.unique_id),
        **_backfill(revision),
    }
    return closed_object(
        "event", {"properties": _event_properties(limits), "metric": metric, **more}, optional
    )


def _backfill(revision: str) -> dict[str, Check]:
    return {"backfill": boolean} if can(revision, Ability.EVENT_BACKFILL) else {}


def _max_profile_size(revision: str) -> Check:
    most = caps(revision).event_profile_bytes

    def check(value: Any, at: str, errors: Errors) -> None:
        if json_bytes(value) > most:
            errors.append(error_object(f"The profile is larger than {most} bytes.", at))

    return check


def _time_bounds(limits: Caps) -> Check:
    floor = datetime(limits.event_year_floor, 1, 1, tzinfo=UTC).timestamp()
    ahead = timedelta(days=limits.event_days_ahead).total_seconds()

    def check(value: Any, at: str, errors: Errors) -> None:
        when = parse_time(value) if value else None
        if when is None:
            return
        if when < floor:
            errors.append(error_object(f"The time must be in {limits.event_year_floor} or later.", at))
        elif when > time.time() + ahead:
            errors.append(error_object("The time must not be more than a year ahead.", at))

    return check


def _event_properties(limits: Caps) -> Check:
    def walk(value: Any, level: int, at: str, errors: Errors) -> None:
        if isinstance(value, str):
            if len(value) > limits.event_string_bytes or (
                len(value) * 4 > limits.event_string_bytes
                and len(value.encode("utf-8", "surrogatepass")) > limits.event_string_bytes
            ):
                errors.append(error_object(f"A string is larger than {limits.event_string_bytes} bytes.", at))
        elif isinstance(value, dict | list):
            if level > limits.nesting:
                errors.append(error_object(f"Nested deeper than {limits.nesting} levels.", at))
                return
            if isinstance(value, list) and len(value) > limits.array_items:
                errors.append(error_object(f"An array has more than {limits.array_items} elements.", at))
                return
            for inner in value.values() if isinstance(value, dict) else value:
                walk(inner, level + 1, at, errors)

    def check(value: Any, at: str, errors: Errors) -> None:
        if not isinstance(value, dict):
            errors.append(error_object("Not a valid object.", at))
            return
        if len(value) > limits.event_properties:
            errors.append(error_object(f"An event takes at most {limits.event_properties} properties.", at))
        for name, inner in value.items():
            walk(inner, 2, f"{at}/{name}", errors)

    return check
