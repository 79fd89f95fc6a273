"""Handlers of /api/lists and /api/segments (docs/klaviyo.md 2.7, 2.13)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from askel_tui.contract.calls import Call
from askel_tui.sandbox.handlers import resources
from askel_tui.sandbox.handlers.context import Context, Reply
from askel_tui.sandbox.handlers.profiles import find_by_identifier
from askel_tui.sandbox.handlers.resource_builder import reference
from askel_tui.sandbox.jsonapi.errors import not_found
from askel_tui.sandbox.state import membership
from askel_tui.sandbox.state.model import ProfileList, Segment
from askel_tui.sandbox.state.sorted_views import sort_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from askel_tui.sandbox.state.model import Flow, Metric
    from askel_tui.sandbox.state.sorted_views import SortKey

    Group = ProfileList | Segment


_IGNORED_FILTERS: Final = ("is_starred",)
"""Filters that Klaviyo accepts and does not apply (docs/klaviyo.md 7)."""


def list_reply(
    ctx: Context,
    rows: list[Any],
    build: Callable[[Any], dict[str, Any]],
    trigger: str | None = None,
) -> Reply:
    """Builds the reply of a listing of few resources: filtered, sorted and cut to a page, with the flows that they
    trigger if included."""
    sort = ctx.query.sort or "id"
    conditions = [c for c in ctx.query.conditions if c.field not in _IGNORED_FILTERS]
    kept = [row for row in rows if all(c.is_met_by(_filter_value(row, c.field)) for c in conditions)]

    def key(row: Any) -> SortKey:
        return (_filter_value(row, sort), row.id)

    page = ctx.page(sort_rows(kept, key))
    data = [build(row) for row in page.rows]
    body: dict[str, Any] = {"data": data, "links": ctx.links(page)}
    add_included(ctx, body, data, trigger)
    return Reply(200, body)


def add_included(ctx: Context, body: dict[str, Any], data: list[dict[str, Any]], trigger: str | None) -> None:
    """Adds the resources that `include` names: tags (there are none) and the flows that lists, segments and metrics
    trigger."""
    if not ctx.query.include:
        return
    included: dict[str, dict[str, Any]] = {}
    for one in data:
        if "tags" in ctx.query.include:
            one["relationships"]["tags"]["data"] = []
        if trigger and "flow-triggers" in ctx.query.include:
            flows = ctx.account.flows_triggered_by(trigger, one["id"])
            one["relationships"]["flow-triggers"]["data"] = [reference("flow", f.id) for f in flows]
            included |= {flow.id: resources.flow(ctx, flow) for flow in flows}
    body["included"] = list(included.values())


def _filter_value(row: Any, field: str) -> Any:
    if field.startswith("integration."):
        return row.integration.get(field.partition(".")[2])
    return getattr(row, field, None)


def _get_lists(ctx: Context) -> Reply:
    return list_reply(
        ctx, list(ctx.account.lists.values()), lambda one: resources.profile_list(ctx, one), "list"
    )


def _get_segments(ctx: Context) -> Reply:
    return list_reply(
        ctx, list(ctx.account.segments.values()), lambda one: resources.segment(ctx, one), "segment"
    )


def _single(ctx: Context, data: dict[str, Any], trigger: str) -> Reply:
    body: dict[str, Any] = {"data": data, "links": ctx.links(paged=False)}
    add_included(ctx, body, [data], trigger)
    return Reply(200, body)


def _get_list(ctx: Context) -> Reply:
    return _single(ctx, resources.profile_list(ctx, ctx.requested("list", ctx.account.lists)), "list")


def _get_segment(ctx: Context) -> Reply:
    return _single(ctx, resources.segment(ctx, ctx.requested("segment", ctx.account.segments)), "segment")


def _create_list(ctx: Context) -> Reply:
    attributes = ctx.body["data"]["attributes"]
    taken = {**ctx.account.lists, **ctx.account.deleted_lists}
    made = ProfileList(ctx.account.new_id(taken), attributes["name"], ctx.now, ctx.now)
    made.opt_in_process = attributes.get("opt_in_process") or made.opt_in_process
    ctx.account.lists[made.id] = made
    data = resources.profile_list(ctx, made, fresh=True)
    return ctx.reply(data, status=ctx.status)


def _update_list(ctx: Context) -> Reply:
    one, attributes = ctx.requested("list", ctx.account.lists), ctx.body_data()["attributes"]
    one.name = attributes.get("name") or one.name
    one.opt_in_process = attributes.get("opt_in_process") or one.opt_in_process
    one.updated = ctx.now
    data = resources.profile_list(ctx, one, fresh=True)
    return ctx.reply(data, status=ctx.status)


def _delete_list(ctx: Context) -> Reply:
    one = ctx.requested("list", ctx.account.lists)
    ctx.account.deleted_lists[one.id] = ctx.account.lists.pop(one.id)
    return Reply(ctx.status)


def _create_segment(ctx: Context) -> Reply:
    attributes = ctx.body["data"]["attributes"]
    made = Segment(ctx.account.new_id(ctx.account.segments), attributes["name"], ctx.now, ctx.now)
    _change_segment(made, attributes)
    ctx.account.segments[made.id] = made
    data = resources.segment(ctx, made)
    return ctx.reply(data, status=ctx.status)


def _update_segment(ctx: Context) -> Reply:
    one, attributes = ctx.requested("segment", ctx.account.segments), ctx.body_data()["attributes"]
    _change_segment(one, attributes)
    one.updated = ctx.now
    ctx.account.mark_changed("segments")
    return ctx.reply(resources.segment(ctx, one), status=ctx.status)


def _change_segment(one: Segment, attributes: dict[str, Any]) -> None:
    one.name = attributes.get("name") or one.name
    if "definition" in attributes:
        one.definition, one.members = attributes["definition"], None
    for name in ("is_starred", "is_active"):
        if attributes.get(name) is not None:
            setattr(one, name, attributes[name])


def _delete_segment(ctx: Context) -> Reply:
    one = ctx.requested("segment", ctx.account.segments)
    ctx.account.deleted_segments[one.id] = ctx.account.segments.pop(one.id)
    return Reply(ctx.status)


def _group_members(kind: str, *, whole: bool) -> Callable[[Context], Reply]:
    """Makes the handler that lists the members of a list or segment, as objects or as ids only."""

    def handle(ctx: Context) -> Reply:
        groups: Mapping[str, Group] = ctx.account.lists if kind == "list" else ctx.account.segments
        group = ctx.requested(kind, groups)
        page = ctx.page(_member_rows(ctx, group))
        data: list[dict[str, Any]]
        if whole:
            data = [
                resources.profile(ctx, profile, joined=joined)
                for ident, joined in page.rows
                for profile in (ctx.account.profiles[ident],)
            ]
        else:
            data = [reference("profile", ident) for ident, _ in page.rows]
        return Reply(200, {"data": data, "links": ctx.links(page)})

    return handle


def _member_rows(ctx: Context, group: Group) -> list[tuple[SortKey, tuple[str, float]]]:
    def key(member: tuple[str, float]) -> SortKey:
        return (member[1], member[0])

    account, conditions = ctx.account, ctx.query.conditions
    lookups = [c for c in conditions if c.field != "joined_group_at"]
    if lookups:
        wanted = [{profile.id for profile in find_by_identifier(account, c)} for c in lookups]
        idents = set.intersection(*wanted)
        found = [(ident, at) for ident in idents if (at := _joined_at(ctx, group, ident)) is not None]
        return sort_rows(
            (m for m in found if all(c.is_met_by(m[1]) for c in conditions if c not in lookups)), key
        )
    if isinstance(group, ProfileList):
        rows = account.views.get(
            ("members", group.id), account.version(f"list:{group.id}"), group.members.items, key
        )
    else:
        rows = account.views.get(
            ("segment", group.id),
            account.version("profiles", "segments"),
            lambda: ((profile.id, at) for profile, at in account.segment_members(group)),
            key,
        )
    if conditions:
        return [row for row in rows if all(c.is_met_by(row[0][0]) for c in conditions)]
    return rows


def _joined_at(ctx: Context, group: Group, ident: str) -> float | None:
    if isinstance(group, ProfileList):
        return group.members.get(ident)
    profile = ctx.account.profiles[ident]
    if not ctx.account.in_segment(group, profile):
        return None
    return profile.created if group.members is None else group.members[ident]


def _add_members(ctx: Context) -> Reply:
    group = ctx.requested("list", ctx.account.lists)
    found = [(row["id"], ctx.account.profile(row["id"])) for row in ctx.body["data"]]
    unknown = [ident for ident, profile in found if profile is None]
    if unknown and ctx.settings.unknown_member == "refuse":
        raise not_found("profile", unknown[0])
    for _, profile in found:
        if profile is not None:
            membership.add_member(ctx.account, group, profile, ctx.now)
    return Reply(ctx.status)


def _remove_members(ctx: Context) -> Reply:
    group = ctx.requested("list", ctx.account.lists)
    for row in ctx.body["data"]:
        profile = ctx.account.profile(row["id"])
        if profile is not None:
            membership.remove_member(ctx.account, group, profile, ctx.now)
    return Reply(ctx.status)


def triggered_flows(kind: str, *, whole: bool) -> Callable[[Context], Reply]:
    """Makes the handler that lists the flows of a list, segment or metric, as objects or as ids only."""

    def handle(ctx: Context) -> Reply:
        held: dict[str, ProfileList] | dict[str, Segment] | dict[str, Metric] = {
            "list": ctx.account.lists,
            "segment": ctx.account.segments,
            "metric": ctx.account.metrics,
        }[kind]  # type: ignore[assignment]
        ctx.requested(kind, held)
        flows: list[Flow] = ctx.account.flows_triggered_by(kind, ctx.path_id)
        data = [resources.flow(ctx, f) if whole else reference("flow", f.id) for f in flows]
        return ctx.reply(data)

    return handle


HANDLERS: dict[str, Callable[[Context], Reply]] = {
    Call.GET_LISTS: _get_lists,
    Call.GET_LIST: _get_list,
    Call.CREATE_LIST: _create_list,
    Call.UPDATE_LIST: _update_list,
    Call.DELETE_LIST: _delete_list,
    Call.GET_PROFILES_FOR_LIST: _group_members("list", whole=True),
    Call.GET_PROFILE_IDS_FOR_LIST: _group_members("list", whole=False),
    Call.ADD_PROFILES_TO_LIST: _add_members,
    Call.REMOVE_PROFILES_FROM_LIST: _remove_members,
    Call.GET_FLOWS_TRIGGERED_BY_LIST: triggered_flows("list", whole=True),
    Call.GET_IDS_FOR_FLOWS_TRIGGERED_BY_LIST: triggered_flows("list", whole=False),
    Call.GET_SEGMENTS: _get_segments,
    Call.GET_SEGMENT: _get_segment,
    Call.CREATE_SEGMENT: _create_segment,
    Call.UPDATE_SEGMENT: _update_segment,
    Call.DELETE_SEGMENT: _delete_segment,
    Call.GET_PROFILES_FOR_SEGMENT: _group_members("segment", whole=True),
    Call.GET_PROFILE_IDS_FOR_SEGMENT: _group_members("segment", whole=False),
    Call.GET_FLOWS_TRIGGERED_BY_SEGMENT: triggered_flows("segment", whole=True),
    Call.GET_IDS_FOR_FLOWS_TRIGGERED_BY_SEGMENT: triggered_flows("segment", whole=False),
}
