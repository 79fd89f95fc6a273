"""What a request may say of events, and the caps on it (contract.md 2.11, 2.12, 3.4)."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from askel_tui.contract.caps import caps
from askel_tui.contract.endpoints import as_written
from askel_tui.sandbox.jsonapi.errors import problem
from askel_tui.sandbox.jsonapi.ids_and_times import parse_time
from askel_tui.sandbox.validation.checks import (
    Check,
    Wrong,
    also,
    boolean,
    document,
    moment,
    number,
    record,
    resource,
    rows,
    text,
    weight,
)
from askel_tui.sandbox.validation.profile_checks import identifiers, meta, profile_attributes

if TYPE_CHECKING:
    from askel_tui.contract.caps import Caps


def event(revision: str) -> Check:
    """The body of a single event."""
    attributes = profile_attributes(revision, "create_event", {"meta": meta(revision)})
    person = resource("profile", {"attributes": attributes}, {"id": text()})
    profile = {"profile": record("profile", {"data": also(person, _known, _light(revision))})}
    return document(resource("event", {"attributes": _attributes(revision, profile)}))


def bulk_events(revision: str) -> Check:
    """The body of a bulk event call."""
    attributes = profile_attributes(revision, "bulk_create_events")
    person = resource("profile", {"attributes": attributes}, {"id": text(), "meta": meta(revision)})
    one = resource("event", {"attributes": _attributes(revision, {})})
    group = record(
        "event-bulk-create",
        {
            "profile": record("profile", {"data": also(person, _known, _light(revision))}),
            "events": record("events", {"data": rows(one, least=1)}),
        },
        _backfill(revision),
    )
    most = as_written(revision)["bulk_create_events"].max_items or 0

    def few(value: Any, at: str, wrong: Wrong) -> None:
        count = sum(len(row["attributes"]["events"]["data"]) for row in value)
        if count > most:
            wrong.append(problem(f"At most {most} events are allowed, {count} were given.", at))

    groups = also(rows(resource("event-bulk-create", {"attributes": group}), least=1), few)
    whole = record("event-bulk-create-job", {"events-bulk-create": record("data", {"data": groups})})
    return document(resource("event-bulk-create-job", {"attributes": whole}))


def _attributes(revision: str, more: dict[str, Check]) -> Check:
    limits = caps(revision)
    named = record(
        "metric", {"name": text(null=False, least=1, most=limits.metric_name)}, {"service": text()}
    )
    metric = record("metric", {"data": resource("metric", {"attributes": named})})
    optional = {
        "time": also(moment, _bounds(limits)),
        "value": number,
        "value_currency": text(),
        "unique_id": text(least=1, most=limits.unique_id),
        **_backfill(revision),
    }
    return record("event", {"properties": _properties(limits), "metric": metric, **more}, optional)


def _backfill(revision: str) -> dict[str, Check]:
    return {"backfill": boolean} if revision >= "2026-04-15" else {}


def _known(value: Any, at: str, wrong: Wrong) -> None:
    if not value.get("id"):
        identifiers(value["attributes"], f"{at}/attributes", wrong)


def _light(revision: str) -> Check:
    most = caps(revision).event_profile_bytes

    def check(value: Any, at: str, wrong: Wrong) -> None:
        if weight(value) > most:
            wrong.append(problem(f"The profile is larger than {most} bytes.", at))

    return check


def _bounds(limits: Caps) -> Check:
    floor = datetime(limits.event_year_floor, 1, 1, tzinfo=UTC).timestamp()
    ahead = timedelta(days=limits.event_days_ahead).total_seconds()

    def check(value: Any, at: str, wrong: Wrong) -> None:
        when = parse_time(value) if value else None
        if when is None:
            return
        if when < floor:
            wrong.append(problem(f"The time must be in {limits.event_year_floor} or later.", at))
        elif when > time.time() + ahead:
            wrong.append(problem("The time must not be more than a year ahead.", at))

    return check


def _properties(limits: Caps) -> Check:
    def walk(value: Any, level: int, at: str, wrong: Wrong) -> None:
        if isinstance(value, str):
            if len(value) > limits.event_string_bytes or (
                len(value) * 4 > limits.event_string_bytes
                and len(value.encode("utf-8", "surrogatepass")) > limits.event_string_bytes
            ):
                wrong.append(problem(f"A string is larger than {limits.event_string_bytes} bytes.", at))
        elif isinstance(value, dict | list):
            if level > limits.nesting:
                wrong.append(problem(f"Nested deeper than {limits.nesting} levels.", at))
                return
            if isinstance(value, list) and len(value) > limits.array_items:
                wrong.append(problem(f"An array has more than {limits.array_items} elements.", at))
                return
            for inner in value.values() if isinstance(value, dict) else value:
                walk(inner, level + 1, at, wrong)

    def check(value: Any, at: str, wrong: Wrong) -> None:
        if not isinstance(value, dict):
            wrong.append(problem("Not a valid object.", at))
            return
        if len(value) > limits.event_properties:
            wrong.append(problem(f"An event takes at most {limits.event_properties} properties.", at))
        for name, inner in value.items():
            walk(inner, 2, f"{at}/{name}", wrong)

    return check
