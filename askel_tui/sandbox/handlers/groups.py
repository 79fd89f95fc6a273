"""Answers of /api/lists and /api/segments (contract.md 2.7, 2.13)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from askel_tui.sandbox.handlers import resources
from askel_tui.sandbox.handlers.context import Context, Reply
from askel_tui.sandbox.handlers.profiles import looked_up
from askel_tui.sandbox.jsonapi.errors import invalid, not_found
from askel_tui.sandbox.state import membership
from askel_tui.sandbox.state.model import ProfileList, Segment
from askel_tui.sandbox.state.sorted_views import ordered

if TYPE_CHECKING:
    from collections.abc import Callable

    from askel_tui.sandbox.state.model import Flow, Metric
    from askel_tui.sandbox.state.sorted_views import Key

    Group = ProfileList | Segment


_IGNORED: Final = ("is_starred",)
"""Filters that live answers accept and do not apply (contract.md 7)."""


def collection(
    ctx: Context,
    rows: list[Any],
    build: Callable[[Any], dict[str, Any]],
    trigger: str | None = None,
) -> Reply:
    """A listing of few things: filtered, sorted and cut to a page, with the flows that they trigger if included."""
    sort = ctx.query.sort or "id"
    conditions = [c for c in ctx.query.conditions if c.field not in _IGNORED]
    kept = [row for row in rows if all(c.holds(_value(row, c.field)) for c in conditions)]

    def key(row: Any) -> Key:
        return (_value(row, sort), row.id)

    page = ctx.page(ordered(kept, key))
    data = [build(row) for row in page.rows]
    body: dict[str, Any] = {"data": data, "links": ctx.links(page)}
    include(ctx, body, data, trigger)
    return Reply(200, body)


def include(ctx: Context, body: dict[str, Any], data: list[dict[str, Any]], trigger: str | None) -> None:
    """Adds what `include` asked for: tags (there are none) and the flows that lists, segments, metrics trigger."""
    if not ctx.query.include:
        return
    included: dict[str, dict[str, Any]] = {}
    for one in data:
        if "tags" in ctx.query.include:
            one["relationships"]["tags"]["data"] = []
        if trigger and "flow-triggers" in ctx.query.include:
            flows = ctx.account.triggered_by(trigger, one["id"])
            one["relationships"]["flow-triggers"]["data"] = [resources.reference("flow", f.id) for f in flows]
            included |= {flow.id: resources.flow(ctx, flow) for flow in flows}
    body["included"] = list(included.values())


def _value(row: Any, field: str) -> Any:
    if field == "trigger_type":
        return resources.trigger_type(row)
    if field.startswith("integration."):
        return row.integration.get(field.partition(".")[2])
    return getattr(row, field, None)


def the_list(ctx: Context) -> ProfileList:
    """The list that the path names. Raises the 404."""
    if ctx.ident not in ctx.account.lists:
        raise not_found("list", ctx.ident)
    return ctx.account.lists[ctx.ident]


def the_segment(ctx: Context) -> Segment:
    """The segment that the path names. Raises the 404."""
    if ctx.ident not in ctx.account.segments:
        raise not_found("segment", ctx.ident)
    return ctx.account.segments[ctx.ident]


def _get_lists(ctx: Context) -> Reply:
    return collection(
        ctx, list(ctx.account.lists.values()), lambda one: resources.profile_list(ctx, one), "list"
    )


def _get_segments(ctx: Context) -> Reply:
    return collection(
        ctx, list(ctx.account.segments.values()), lambda one: resources.segment(ctx, one), "segment"
    )


def _one(ctx: Context, data: dict[str, Any], trigger: str) -> Reply:
    body: dict[str, Any] = {"data": data, "links": ctx.links(paged=False)}
    include(ctx, body, [data], trigger)
    return Reply(200, body)


def _get_list(ctx: Context) -> Reply:
    return _one(ctx, resources.profile_list(ctx, the_list(ctx)), "list")


def _get_segment(ctx: Context) -> Reply:
    return _one(ctx, resources.segment(ctx, the_segment(ctx)), "segment")


def _create_list(ctx: Context) -> Reply:
    attributes = ctx.body["data"]["attributes"]
    taken = {**ctx.account.lists, **ctx.account.deleted_lists}
    made = ProfileList(ctx.account.new_id(taken), attributes["name"], ctx.now, ctx.now)
    made.opt_in_process = attributes.get("opt_in_process") or made.opt_in_process
    ctx.account.lists[made.id] = made
    data = resources.profile_list(ctx, made, fresh=True)
    return Reply(ctx.status, {"data": data, "links": ctx.links(paged=False)})


def _update_list(ctx: Context) -> Reply:
    one, attributes = the_list(ctx), _attributes(ctx)
    one.name = attributes.get("name") or one.name
    one.opt_in_process = attributes.get("opt_in_process") or one.opt_in_process
    one.updated = ctx.now
    data = resources.profile_list(ctx, one, fresh=True)
    return Reply(ctx.status, {"data": data, "links": ctx.links(paged=False)})


def _delete_list(ctx: Context) -> Reply:
    one = the_list(ctx)
    ctx.account.deleted_lists[one.id] = ctx.account.lists.pop(one.id)
    return Reply(ctx.status)


def _create_segment(ctx: Context) -> Reply:
    attributes = ctx.body["data"]["attributes"]
    made = Segment(ctx.account.new_id(ctx.account.segments), attributes["name"], ctx.now, ctx.now)
    _change_segment(made, attributes)
    ctx.account.segments[made.id] = made
    data = resources.segment(ctx, made)
    return Reply(ctx.status, {"data": data, "links": ctx.links(paged=False)})


def _update_segment(ctx: Context) -> Reply:
    one, attributes = the_segment(ctx), _attributes(ctx)
    _change_segment(one, attributes)
    one.updated = ctx.now
    ctx.account.changed("segments")
    return Reply(ctx.status, {"data": resources.segment(ctx, one), "links": ctx.links(paged=False)})


def _change_segment(one: Segment, attributes: dict[str, Any]) -> None:
    one.name = attributes.get("name") or one.name
    if "definition" in attributes:
        one.definition, one.members = attributes["definition"], None
    for name in ("is_starred", "is_active"):
        if attributes.get(name) is not None:
            setattr(one, name, attributes[name])


def _delete_segment(ctx: Context) -> Reply:
    one = the_segment(ctx)
    ctx.account.deleted_segments[one.id] = ctx.account.segments.pop(one.id)
    return Reply(ctx.status)


def _attributes(ctx: Context) -> dict[str, Any]:
    data = ctx.body["data"]
    if data["id"] != ctx.ident:
        raise invalid("The id of the body and that of the path must be the same.", "/data/id")
    found: dict[str, Any] = data["attributes"]
    return found


def _members(kind: str, *, whole: bool) -> Callable[[Context], Reply]:
    """Answers the members of a list or segment, as objects or as ids only."""

    def answer(ctx: Context) -> Reply:
        group: Group = the_list(ctx) if kind == "list" else the_segment(ctx)
        page = ctx.page(_member_rows(ctx, group))
        data: list[dict[str, Any]]
        if whole:
            data = [
                resources.profile(ctx, profile, joined=joined)
                for ident, joined in page.rows
                for profile in (ctx.account.profiles[ident],)
            ]
        else:
            data = [resources.reference("profile", ident) for ident, _ in page.rows]
        return Reply(200, {"data": data, "links": ctx.links(page)})

    return answer


def _member_rows(ctx: Context, group: Group) -> list[tuple[Key, tuple[str, float]]]:
    def key(member: tuple[str, float]) -> Key:
        return (member[1], member[0])

    account, conditions = ctx.account, ctx.query.conditions
    lookups = [c for c in conditions if c.field != "joined_group_at"]
    if lookups:
        wanted = [{profile.id for profile in looked_up(account, c)} for c in lookups]
        idents = set.intersection(*wanted)
        found = [(ident, at) for ident in idents if (at := _joined(ctx, group, ident)) is not None]
        return ordered((m for m in found if all(c.holds(m[1]) for c in conditions if c not in lookups)), key)
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
        return [row for row in rows if all(c.holds(row[0][0]) for c in conditions)]
    return rows


def _joined(ctx: Context, group: Group, ident: str) -> float | None:
    if isinstance(group, ProfileList):
        return group.members.get(ident)
    profile = ctx.account.profiles[ident]
    if not ctx.account.in_segment(group, profile):
        return None
    return profile.created if group.members is None else group.members[ident]


def _add_members(ctx: Context) -> Reply:
    group = the_list(ctx)
    found = [(row["id"], ctx.account.profile(row["id"])) for row in ctx.body["data"]]
    unknown = [ident for ident, profile in found if profile is None]
    if unknown and ctx.settings.unknown_member == "refuse":
        raise not_found("profile", unknown[0])
    for _, profile in found:
        if profile is not None:
            membership.join(ctx.account, group, profile, ctx.now)
    return Reply(ctx.status)


def _remove_members(ctx: Context) -> Reply:
    group = the_list(ctx)
    for row in ctx.body["data"]:
        profile = ctx.account.profile(row["id"])
        if profile is not None:
            membership.leave(ctx.account, group, profile)
    return Reply(ctx.status)


def triggered(kind: str, *, whole: bool) -> Callable[[Context], Reply]:
    """Answers the flows that a list, segment or metric triggers, as objects or as ids only."""

    def answer(ctx: Context) -> Reply:
        held: dict[str, ProfileList] | dict[str, Segment] | dict[str, Metric] = {
            "list": ctx.account.lists,
            "segment": ctx.account.segments,
            "metric": ctx.account.metrics,
        }[kind]  # type: ignore[assignment]
        if ctx.ident not in held:
            raise not_found(kind, ctx.ident)
        flows: list[Flow] = ctx.account.triggered_by(kind, ctx.ident)
        data = [resources.flow(ctx, f) if whole else resources.reference("flow", f.id) for f in flows]
        return Reply(200, {"data": data, "links": ctx.links(paged=False)})

    return answer


HANDLERS = {
    "get_lists": _get_lists,
    "get_list": _get_list,
    "create_list": _create_list,
    "update_list": _update_list,
    "delete_list": _delete_list,
    "get_profiles_for_list": _members("list", whole=True),
    "get_profile_ids_for_list": _members("list", whole=False),
    "add_profiles_to_list": _add_members,
    "remove_profiles_from_list": _remove_members,
    "get_flows_triggered_by_list": triggered("list", whole=True),
    "get_ids_for_flows_triggered_by_list": triggered("list", whole=False),
    "get_segments": _get_segments,
    "get_segment": _get_segment,
    "create_segment": _create_segment,
    "update_segment": _update_segment,
    "delete_segment": _delete_segment,
    "get_profiles_for_segment": _members("segment", whole=True),
    "get_profile_ids_for_segment": _members("segment", whole=False),
    "get_flows_triggered_by_segment": triggered("segment", whole=True),
    "get_ids_for_flows_triggered_by_segment": triggered("segment", whole=False),
}
