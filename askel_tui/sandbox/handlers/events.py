"""Handlers of /api/events and /api/metrics (docs/klaviyo.md 2.11 to 2.13)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from askel_tui.contract.calls import Call
from askel_tui.sandbox.handlers import resources
from askel_tui.sandbox.handlers.context import Context, Reply
from askel_tui.sandbox.handlers.groups import add_included, list_reply, triggered_flows
from askel_tui.sandbox.handlers.resource_builder import reference
from askel_tui.sandbox.jsonapi import ids_and_times
from askel_tui.sandbox.jsonapi.errors import Refusal, error_object, invalid, not_found
from askel_tui.sandbox.state.events import (
    event_profile,
    is_dropped,
    profile_key,
    record_event,
    stored_unique_ids,
)
from askel_tui.sandbox.state.sorted_views import rows_between, sort_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from askel_tui.sandbox.state.model import Event
    from askel_tui.sandbox.state.sorted_views import SortKey
    from askel_tui.sandbox.validation.filters import Condition


_MAX_NUMBER: Final = 1 << 62
"""A number that is larger than every event's."""


def _create_event(ctx: Context) -> Reply:
    attributes = ctx.body["data"]["attributes"]
    data = attributes["profile"]["data"]
    if not _is_lost(ctx, data):
        profile = event_profile(
            ctx.account, data, data.get("meta") or data["attributes"].get("meta"), ctx.now
        )
        record_event(ctx.account, profile, attributes, ctx.now)
    return Reply(ctx.status)


def _bulk_create_events(ctx: Context) -> Reply:
    bulk = ctx.body["data"]["attributes"]["events-bulk-create"]["data"]
    if ctx.settings.bulk_repeat == "refuse":
        _refuse_repeats(ctx, bulk)
    for group in (row["attributes"] for row in bulk):
        data = group["profile"]["data"]
        if _is_lost(ctx, data):
            continue
        profile = event_profile(ctx.account, data, data.get("meta"), ctx.now)
        for event in group["events"]["data"]:
            backfill = bool(group.get("backfill"))
            record_event(ctx.account, profile, event["attributes"], ctx.now, backfill=backfill)
    return Reply(ctx.status)


def _is_lost(ctx: Context, data: dict[str, Any]) -> bool:
    """Checks whether a switch has the events of a profile accepted and not kept."""
    return ctx.revision == ctx.settings.lose_events_at or (
        ctx.settings.drop_example_domains and is_dropped(data)
    )


def _refuse_repeats(ctx: Context, bulk: list[dict[str, Any]]) -> None:
    """Refuses the whole call if a profile and metric have a unique id twice: in the call or, by a switch, in what is
    stored."""
    seen: set[tuple[Any, ...]] = set()
    wrong: list[dict[str, Any]] = []
    for index, group in enumerate(row["attributes"] for row in bulk):
        data = group["profile"]["data"]
        events = [event["attributes"] for event in group["events"]["data"]]
        stored: set[str] = set()
        if ctx.settings.bulk_repeat_scope == "stored":
            stored = stored_unique_ids(ctx.account, [(data, events)])
        person = profile_key(ctx.account, data)
        for position, event in enumerate(events):
            unique = event.get("unique_id")
            if unique is None:
                continue
            key = (person, event["metric"]["data"]["attributes"]["name"], unique)
            if key in seen or unique in stored:
                pointer = (
                    f"/data/attributes/events-bulk-create/data/{index}"
                    f"/attributes/events/data/{position}/attributes/unique_id"
                )
                detail = f"The unique_id '{unique}' is repeated for the same profile and metric."
                wrong.append(error_object(detail, pointer))
            seen.add(key)
    if wrong:
        raise Refusal(400, wrong)


def _get_events(ctx: Context) -> Reply:
    account, conditions = ctx.account, ctx.query.conditions
    times = [c for c in conditions if c.field in ("datetime", "timestamp")]
    metric, person = ctx.query.condition("metric_id", "equals"), ctx.query.condition("profile_id", "equals")
    if person:
        held = account.events_of_profile.get(str(person.value), [])
        rows = sort_rows(
            (e for e in held if all(c.is_met_by(_filter_value(e, c.field)) for c in conditions)), _sort_key
        )
    elif metric:
        name = f"metric:{metric.value}"
        held = account.events_of_metric.get(str(metric.value), [])
        rows = _rows_within(
            account.views.get(name, account.version(name, "metrics"), lambda: held, _sort_key), times
        )
    else:
        view = account.views.get("events", account.version("events"), account.events.values, _sort_key)
        rows = _rows_within(view, times)
    down = ctx.query.descending if ctx.query.sort else True
    page = ctx.page(rows, descending=down)
    data = [resources.event(ctx, event) for event in page.rows]
    body: dict[str, Any] = {"data": data, "links": ctx.links(page)}
    _add_included(ctx, body, page.rows)
    return Reply(200, body)


def _rows_within(rows: list[tuple[SortKey, Event]], times: list[Condition]) -> list[tuple[SortKey, Event]]:
    """Finds the rows within bounds of time; a row's key holds the time and a number, so bounds are given one too."""
    return rows_between(
        rows,
        [
            (
                one.operator,
                [one.value, _MAX_NUMBER if one.operator in ("greater-than", "less-or-equal") else -1],
            )
            for one in times
        ],
    )


def _sort_key(event: Event) -> SortKey:
    return ([event.time, event.number], event.id)


def _filter_value(event: Event, field: str) -> Any:
    return {
        "metric_id": event.metric,
        "profile_id": event.profile,
        "datetime": event.time,
        "timestamp": event.time,
        "profile": event.profile,
        "metric": event.metric,
    }.get(field)


def _add_included(ctx: Context, body: dict[str, Any], events: list[Event]) -> None:
    if not ctx.query.include:
        return
    included: dict[str, dict[str, Any]] = {}
    for event in events:
        if "metric" in ctx.query.include and event.metric in ctx.account.metrics:
            included[event.metric] = resources.metric(ctx, ctx.account.metrics[event.metric])
        profile = ctx.account.profile(event.profile, follow=True)
        if "profile" in ctx.query.include and profile is not None:
            included[profile.id] = resources.profile(ctx, profile)
    body["included"] = list(included.values())


def _requested_event(ctx: Context) -> Event:
    if not ids_and_times.is_event_id(ctx.path_id):
        raise invalid(f"Invalid Event ID: '{ctx.path_id}'", "/data/id")
    return ctx.requested("event", ctx.account.events)


def _get_event(ctx: Context) -> Reply:
    event = _requested_event(ctx)
    body: dict[str, Any] = {"data": resources.event(ctx, event), "links": ctx.links(paged=False)}
    _add_included(ctx, body, [event])
    return Reply(200, body)


def _metric_of_event(ctx: Context, *, whole: bool) -> Reply:
    metric = ctx.account.metrics[_requested_event(ctx).metric]
    data = resources.metric(ctx, metric) if whole else reference("metric", metric.id)
    return ctx.reply(data)


def _profile_of_event(ctx: Context, *, whole: bool) -> Reply:
    event = _requested_event(ctx)
    profile = ctx.account.profile(event.profile, follow=True)
    if profile is None:
        raise not_found("profile", event.profile)
    data = resources.profile(ctx, profile) if whole else reference("profile", profile.id)
    return ctx.reply(data)


def _get_metrics(ctx: Context) -> Reply:
    metrics = list(ctx.account.metrics.values())
    return list_reply(ctx, metrics, lambda one: resources.metric(ctx, one), "metric")


def _get_metric(ctx: Context) -> Reply:
    data = resources.metric(ctx, ctx.requested("metric", ctx.account.metrics))
    body: dict[str, Any] = {"data": data, "links": ctx.links(paged=False)}
    add_included(ctx, body, [data], "metric")
    return Reply(200, body)


def _metric_properties(*, whole: bool) -> Callable[[Context], Reply]:
    def handle(ctx: Context) -> Reply:
        metric = ctx.requested("metric", ctx.account.metrics)
        data = [resources.metric_property(ctx, metric, name) for name in sorted(metric.properties)]
        if not whole:
            data = [reference("metric-property", one["id"]) for one in data]
        return ctx.reply(data)

    return handle


def _get_property(ctx: Context) -> Reply:
    metric_id, name = ids_and_times.parse_property_id(ctx.path_id) or ("", "")
    metric = ctx.account.metrics.get(metric_id)
    if metric is None or name not in metric.properties:
        raise not_found("metric-property", ctx.path_id)
    data = resources.metric_property(ctx, metric, name)
    return ctx.reply(data, [resources.metric(ctx, metric)] if ctx.query.include else None)


HANDLERS: dict[str, Callable[[Context], Reply]] = {
    Call.CREATE_EVENT: _create_event,
    Call.BULK_CREATE_EVENTS: _bulk_create_events,
    Call.GET_EVENTS: _get_events,
    Call.GET_EVENT: _get_event,
    Call.GET_METRIC_FOR_EVENT: lambda ctx: _metric_of_event(ctx, whole=True),
    Call.GET_METRIC_ID_FOR_EVENT: lambda ctx: _metric_of_event(ctx, whole=False),
    Call.GET_PROFILE_FOR_EVENT: lambda ctx: _profile_of_event(ctx, whole=True),
    Call.GET_PROFILE_ID_FOR_EVENT: lambda ctx: _profile_of_event(ctx, whole=False),
    Call.GET_METRICS: _get_metrics,
    Call.GET_METRIC: _get_metric,
    Call.GET_FLOWS_TRIGGERED_BY_METRIC: triggered_flows("metric", whole=True),
    Call.GET_IDS_FOR_FLOWS_TRIGGERED_BY_METRIC: triggered_flows("metric", whole=False),
    Call.GET_PROPERTIES_FOR_METRIC: _metric_properties(whole=True),
    Call.GET_PROPERTY_IDS_FOR_METRIC: _metric_properties(whole=False),
    Call.GET_METRIC_PROPERTY: _get_property,
}
