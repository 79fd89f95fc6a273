"""JSON:API objects of everything the account holds, per revision and as recorded (docs/klaviyo.md 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from askel_tui.contract.revisions import Ability, can
from askel_tui.sandbox.handlers.resource_builder import build_resource, reference
from askel_tui.sandbox.jsonapi import ids_and_times
from askel_tui.sandbox.state.consent import subscriptions
from askel_tui.sandbox.state.model import ATTRIBUTES, LOCATION_FIELDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from askel_tui.sandbox.handlers.context import Context
    from askel_tui.sandbox.state.model import (
        Event,
        Flow,
        Job,
        Metric,
        Profile,
        ProfileList,
        Segment,
        Template,
    )

_SINCE_REVISION = {"locale": "2024-07-15", "anonymous_id": "2026-07-15", "whatsapp_bsuid": "2026-07-15"}
_PREDICTIVE_FIELDS = (
    "historic_number_of_orders",
    "predicted_number_of_orders",
    "average_days_between_orders",
    "average_order_value",
    "historic_clv",
    "predicted_clv",
    "total_clv",
    "churn_probability",
    "expected_date_of_next_order",
    "ranked_channel_affinity",
)


def account(ctx: Context) -> dict[str, Any]:
    """Builds the resource of the account."""
    one = ctx.account
    attributes: dict[str, Any] = {
        "test_account": True,
        "contact_information": {
            "default_sender_name": one.name,
            "default_sender_email": one.sender,
            "website_url": one.website,
            "organization_name": one.name,
            "street_address": {
                "address1": "4 Kiln Lane",
                "address2": "",
                "city": "Portland",
                "region": "OR",
                "country": "United States",
                "zip": "97209",
            },
        },
        "industry": one.industry,
        "timezone": one.timezone,
        "preferred_currency": one.currency,
        "public_api_key": one.id,
    }
    if ctx.revision >= "2024-05-15":
        attributes["locale"] = "en-US"
    return build_resource(ctx, "account", "accounts", one.id, attributes)


def profile(
    ctx: Context, one: Profile, *, joined: float | None = None, fresh: bool = False, plural: bool = False
) -> dict[str, Any]:
    """Builds the resource of a profile.

    `fresh`: times of this request carry microseconds; `plural`: relations as reads name them.
    """
    stamp = _fresh_time_format(ctx) if fresh else ids_and_times.format_seconds
    shown = (name for name in ATTRIBUTES if ctx.revision >= _SINCE_REVISION.get(name, ""))
    attributes: dict[str, Any] = {name: one.attributes.get(name) for name in shown}
    attributes["created"] = stamp(one.created)
    attributes["updated"] = stamp(one.updated)
    attributes["last_event_date"] = (
        None if one.last_event is None else ids_and_times.format_seconds(one.last_event)
    )
    attributes["location"] = {name: one.location.get(name) for name in LOCATION_FIELDS}
    attributes["properties"] = dict(one.properties)
    if joined is not None:
        attributes["joined_group_at"] = ids_and_times.format_seconds(joined)
    if ctx.is_requested("profile", "subscriptions"):
        attributes["subscriptions"] = subscriptions(one, ctx.revision)
    if ctx.is_requested("profile", "predictive_analytics"):
        attributes["predictive_analytics"] = dict.fromkeys(_PREDICTIVE_FIELDS)
    relations = ["lists", "segments"]
    if ctx.revision >= "2025-07-15":
        relations += ["push-tokens", "conversations" if plural else "conversation"]
    return build_resource(ctx, "profile", "profiles", one.id, attributes, relations)


def profile_list(ctx: Context, one: ProfileList, *, fresh: bool = False) -> dict[str, Any]:
    """Builds the resource of a list."""
    stamp = _fresh_time_format(ctx) if fresh else ids_and_times.format_seconds
    attributes: dict[str, Any] = {
        "name": one.name,
        "created": stamp(one.created),
        "updated": stamp(one.updated),
        "opt_in_process": one.opt_in_process,
    }
    if ctx.is_requested("list", "profile_count"):
        attributes["profile_count"] = len(one.members)
    return build_resource(ctx, "list", "lists", one.id, attributes, _group_relations(ctx))


def segment(ctx: Context, one: Segment) -> dict[str, Any]:
    """Builds the resource of a segment."""
    attributes: dict[str, Any] = {"name": one.name}
    if can(ctx.revision, Ability.SEGMENT_DEFINITIONS):
        attributes["definition"] = one.definition
    attributes |= {
        "created": ids_and_times.format_seconds(one.created),
        "updated": ids_and_times.format_seconds(one.updated),
        "is_active": one.is_active,
        "is_processing": one.is_processing,
        "is_starred": one.is_starred,
    }
    if ctx.is_requested("segment", "profile_count"):
        attributes["profile_count"] = sum(1 for _ in ctx.account.segment_members(one))
    return build_resource(ctx, "segment", "segments", one.id, attributes, _group_relations(ctx))


def metric(ctx: Context, one: Metric) -> dict[str, Any]:
    """Builds the resource of a metric."""
    attributes = {
        "name": one.name,
        "created": ids_and_times.format_seconds(one.created),
        "updated": ids_and_times.format_seconds(one.updated),
        "integration": one.integration,
    }
    relations = ["flow-triggers"] if can(ctx.revision, Ability.FLOW_TRIGGERS) else []
    return build_resource(ctx, "metric", "metrics", one.id, attributes, relations)


def metric_property(ctx: Context, one: Metric, name: str) -> dict[str, Any]:
    """Builds the resource of a property of a metric's events."""
    label = f"{one.name} Value" if name == "$value" else name
    attributes: dict[str, Any] = {"label": label, "property": name, "inferred_type": one.properties[name]}
    if ctx.is_requested("metric-property", "sample_values"):
        attributes["sample_values"] = None
    ident = ids_and_times.property_id(one.id, name)
    related = {"metric": reference("metric", one.id)}
    return build_resource(ctx, "metric-property", "metric-properties", ident, attributes, ["metric"], related)


def event(ctx: Context, one: Event) -> dict[str, Any]:
    """Builds the resource of an event, with value and unique id under the `$` names that Klaviyo shows."""
    properties = dict(one.properties)
    if one.value_currency is not None:
        properties["$value_currency"] = one.value_currency
    if one.unique_id is not None:
        properties["$event_id"] = one.unique_id
    if one.value is not None:
        properties["$value"] = one.value
    attributes = {
        "timestamp": one.time,
        "event_properties": properties,
        "datetime": ids_and_times.format_seconds(one.time),
        "uuid": f"{one.time:08x}-{one.number >> 16 & 0xFFFF:04x}-11f1-8001-{one.number:012x}",
    }
    related = {"profile": reference("profile", one.profile), "metric": reference("metric", one.metric)}
    return build_resource(ctx, "event", "events", one.id, attributes, ["profile", "metric"], related)


def flow(ctx: Context, one: Flow) -> dict[str, Any]:
    """Builds the resource of a flow."""
    attributes: dict[str, Any] = {
        "name": one.name,
        "status": one.status,
        "archived": one.archived,
        "created": ids_and_times.format_seconds(one.created),
        "updated": ids_and_times.format_seconds(one.updated),
        "trigger_type": one.trigger_type,
    }
    if ctx.is_requested("flow", "definition"):
        attributes["definition"] = {
            "triggers": [one.trigger] if one.trigger else [],
            "profile_filter": one.profile_filter,
            "actions": [],
            "entry_action_id": None,
            "reentry_criteria": None,
        }
    return build_resource(ctx, "flow", "flows", one.id, attributes, ["flow-actions", "tags"])


def template(ctx: Context, one: Template) -> dict[str, Any]:
    """Builds the resource of a template."""
    attributes = {"name": one.name, "editor_type": one.editor_type, "html": one.html, "text": one.text}
    if can(ctx.revision, Ability.FLOW_DEFINITIONS):
        attributes["amp"] = one.amp
    attributes |= {
        "created": ids_and_times.format_seconds(one.created),
        "updated": ids_and_times.format_seconds(one.updated),
    }
    return build_resource(ctx, "template", "templates", one.id, attributes)


def import_job(ctx: Context, one: Job, *, with_lists: bool = False) -> dict[str, Any]:
    """Builds the resource of a bulk import job. `with_lists`: its lists are named, even where there are none."""
    attributes = {
        "status": one.status,
        "created_at": ids_and_times.format_seconds(one.created),
        "total_count": one.total,
        "completed_count": one.completed,
        "failed_count": one.failed,
        "completed_at": None if one.ended is None else ids_and_times.format_seconds(one.ended),
        "expires_at": ids_and_times.format_seconds(one.created + 7 * 86400),
        "started_at": None if one.started is None else ids_and_times.format_seconds(one.started),
    }
    related: dict[str, Any] = {}
    if with_lists or one.lists:
        related["lists"] = [reference("list", ident) for ident in one.lists]
    path = "profile-bulk-import-jobs"
    relations = ["lists", "profiles", "import-errors"]
    made = build_resource(ctx, "profile-bulk-import-job", path, one.id, attributes, relations, related)
    made["relationships"]["import-errors"]["links"].pop("self")
    return made


def suppression_job(ctx: Context, one: Job) -> dict[str, Any]:
    """Builds the resource of a job that suppresses profiles, or of one that lifts suppressions."""
    verb = "create" if one.kind == "suppress" else "delete"
    kind = f"profile-suppression-bulk-{verb}-job"
    attributes = {
        "status": one.status,
        "created_at": ids_and_times.format_microseconds(one.created),
        "total_count": one.total,
        "completed_count": one.completed,
        "completed_at": None if one.ended is None else ids_and_times.format_microseconds(one.ended),
        "skipped_count": one.skipped,
    }
    return build_resource(ctx, kind, f"{kind}s", one.id, attributes, ["lists", "segments"])


def import_error(ctx: Context, one: Mapping[str, Any]) -> dict[str, Any]:
    """Builds the resource that says why a row of an import job failed."""
    attributes = {key: value for key, value in one.items() if key != "id"}
    made = build_resource(ctx, "import-error", "import-errors", one["id"], attributes)
    del made["links"]
    return made


def _group_relations(ctx: Context) -> list[str]:
    return ["profiles", "tags", *(["flow-triggers"] if can(ctx.revision, Ability.FLOW_TRIGGERS) else [])]


def _fresh_time_format(ctx: Context) -> Any:
    return lambda at: (
        ids_and_times.format_microseconds(at) if at == ctx.now else ids_and_times.format_seconds(at)
    )
