"""Handlers of /api/profiles, /api/profile-import, /api/profile-merge and data privacy (docs/klaviyo.md 2.2 to 2.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from askel_tui.contract.calls import Call
from askel_tui.sandbox.handlers import resources
from askel_tui.sandbox.handlers.context import Context, Reply
from askel_tui.sandbox.handlers.resource_builder import reference
from askel_tui.sandbox.jsonapi.errors import forbidden, invalid, not_found
from askel_tui.sandbox.state import profiles
from askel_tui.sandbox.state.model import ascii_lower
from askel_tui.sandbox.state.sorted_views import rows_between, sort_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from askel_tui.sandbox.state.account import Account
    from askel_tui.sandbox.state.model import Profile, ProfileList, Segment
    from askel_tui.sandbox.state.sorted_views import SortKey
    from askel_tui.sandbox.validation.filters import Condition

_INDEXED_FIELDS = ("id", "email", "phone_number", "external_id", "_kx")
_DATE_FIELDS = ("created", "updated")


def requested_profile(ctx: Context, ident: str) -> Profile:
    """Finds the profile with the id of the path. Raises the 404."""
    follow = ctx.settings.merged_profile == "survivor"
    profile = ctx.account.profile(ident, follow=follow)
    if profile is None:
        raise not_found("profile", ident)
    return profile


def find_by_identifier(account: Account, condition: Condition) -> list[Profile]:
    """Finds the profiles that an `equals` or `any` on an identifier names, by index."""
    values = condition.value if condition.operator == "any" else [condition.value]
    found: dict[str, Profile] = {}
    for value in values:
        if condition.field in ("id", "profile_id"):
            profile = account.profiles.get(str(value))
        elif condition.field == "push_token":
            profile = None
        else:
            profile = account.find_profile(condition.field, str(value))
        if profile is not None:
            found.setdefault(profile.id, profile)
    return list(found.values())


def _get_profiles(ctx: Context) -> Reply:
    sort = ctx.query.sort or "id"
    if sort.startswith("subscriptions"):
        sort = "id"
    key = _sort_key(sort)
    conditions = ctx.query.conditions
    indexed = next((c for c in conditions if c.field in _INDEXED_FIELDS), None)
    if indexed:
        found = find_by_identifier(ctx.account, indexed)
        rows = sort_rows((profile for profile in found if _meets_conditions(profile, conditions)), key)
    else:
        rows = ctx.account.views.get(
            ("profiles", sort), ctx.account.version("profiles"), ctx.account.profiles.values, key
        )
        if conditions and sort in _DATE_FIELDS and all(c.field == sort for c in conditions):
            rows = rows_between(rows, [(c.operator, c.value) for c in conditions])
        elif conditions:
            rows = [row for row in rows if _meets_conditions(row[1], conditions)]
    page = ctx.page(rows)
    data = [resources.profile(ctx, profile, plural=True) for profile in page.rows]
    body: dict[str, Any] = {"data": data, "links": ctx.links(page)}
    if ctx.query.include:
        body["included"] = []
    return Reply(200, body)


def _sort_key(sort: str) -> Callable[[Profile], SortKey]:
    if sort in _DATE_FIELDS:
        return lambda profile: (getattr(profile, sort), profile.id)
    if sort == "email":
        return lambda profile: (profile.attributes.get("email") or "", profile.id)
    return lambda profile: (profile.id, profile.id)


def _meets_conditions(profile: Profile, conditions: Iterable[Condition]) -> bool:
    for condition in conditions:
        field = condition.field
        if field in _DATE_FIELDS:
            if not condition.is_met_by(getattr(profile, field)):
                return False
        elif field == "id":
            if not condition.is_met_by(profile.id):
                return False
        elif field in _INDEXED_FIELDS:
            wanted = condition.value if condition.operator == "any" else [condition.value]
            if ascii_lower(profile.attributes.get(field) or "") not in {
                ascii_lower(str(one)) for one in wanted
            }:
                return False
        elif not _has_suppression(profile, condition):
            return False
    return True


def _has_suppression(profile: Profile, condition: Condition) -> bool:
    kind, _, field = condition.field.removeprefix("subscriptions.email.marketing.").partition(".")
    entries = profile.list_suppressions if kind == "list_suppressions" else profile.suppressions
    return any(condition.is_met_by(entry.get(field)) for entry in entries if field != "timestamp")


def _get_profile(ctx: Context) -> Reply:
    profile = requested_profile(ctx, ctx.path_id)
    data = resources.profile(ctx, profile, plural=True)
    return ctx.reply(data, _included(ctx, profile, data) if ctx.query.include else None)


def _included(ctx: Context, profile: Profile, data: dict[str, Any]) -> list[dict[str, Any]]:
    included: list[dict[str, Any]] = []
    if "lists" in ctx.query.include:
        _require_scope(ctx, "lists:read")
        lists = lists_of(ctx.account, profile)
        data["relationships"]["lists"]["data"] = [reference("list", one.id) for one in lists]
        included += [resources.profile_list(ctx, one) for one in lists]
    if "segments" in ctx.query.include:
        _require_scope(ctx, "segments:read")
        segments = segments_of(ctx.account, profile)
        data["relationships"]["segments"]["data"] = [reference("segment", s.id) for s in segments]
        included += [resources.segment(ctx, one) for one in segments]
    return included


def _require_scope(ctx: Context, scope: str) -> None:
    if ctx.scopes is not None and scope not in ctx.scopes:
        raise forbidden()


def lists_of(account: Account, profile: Profile) -> list[ProfileList]:
    """Returns the lists that a profile is on."""
    return [account.lists[ident] for ident in sorted(profile.lists) if ident in account.lists]


def segments_of(account: Account, profile: Profile) -> list[Segment]:
    """Returns the segments that a profile is in."""
    return [one for _, one in sorted(account.segments.items()) if account.in_segment(one, profile)]


def _create_profile(ctx: Context) -> Reply:
    profile = profiles.create_profile(ctx.account, ctx.body["data"]["attributes"], ctx.now)
    return _profile_reply(ctx, profile, ctx.status)


def _update_profile(ctx: Context) -> Reply:
    data = ctx.body_data()
    profile = requested_profile(ctx, ctx.path_id)
    profiles.update_profile(ctx.account, profile, data["attributes"], data.get("meta"), ctx.now)
    return _profile_reply(ctx, profile, ctx.status)


def _create_or_update_profile(ctx: Context) -> Reply:
    data = ctx.body["data"]
    profile, new = profiles.upsert_profile(
        ctx.account, data.get("id"), data["attributes"], data.get("meta"), ctx.now
    )
    return _profile_reply(ctx, profile, 201 if new else 200)


def _profile_reply(ctx: Context, profile: Profile, status: int) -> Reply:
    data = resources.profile(ctx, profile, fresh=True)
    return ctx.reply(data, status=status)


def _merge_profiles(ctx: Context) -> Reply:
    data = ctx.body["data"]
    into = requested_profile(ctx, data["id"])
    for source in data["relationships"]["profiles"]["data"]:
        if source["id"] == into.id:
            raise invalid("A profile cannot be merged into itself.", "/data/relationships/profiles/data/0/id")
        profiles.merge_profiles(ctx.account, into, requested_profile(ctx, source["id"]), ctx.now)
    home = {"self": f"{ctx.base_url}/api/profiles/{into.id}/"}
    merged = {"type": "profile", "id": into.id, "attributes": {}, "links": home}
    return ctx.reply(merged, status=ctx.status)


def _delete_profile(ctx: Context) -> Reply:
    subject = ctx.body["data"]["attributes"]["profile"]["data"]
    attributes = subject.get("attributes") or {}
    given = [value for value in (subject.get("id"), *attributes.values()) if value]
    if len(given) != 1:
        raise invalid("Exactly one of id, email and phone_number must be given.", "/data/attributes/profile")
    owners = ctx.account.profiles_with(attributes)
    profile = ctx.account.profile(subject.get("id") or "") or (owners[0] if owners else None)
    if profile is None:
        raise not_found("profile", str(given[0]))
    ctx.account.remove_profile(profile)
    return Reply(ctx.status)


def _groups_of(kind: str, *, whole: bool) -> Callable[[Context], Reply]:
    def handle(ctx: Context) -> Reply:
        profile = requested_profile(ctx, ctx.path_id)
        data: list[dict[str, Any]]
        if kind == "list":
            lists = lists_of(ctx.account, profile)
            data = [resources.profile_list(ctx, o) if whole else reference(kind, o.id) for o in lists]
        else:
            found = segments_of(ctx.account, profile)
            data = [resources.segment(ctx, o) if whole else reference(kind, o.id) for o in found]
        if not whole and ctx.revision < "2026-01-15":
            return Reply(200, {"data": data})
        return Reply(200, {"data": data, "links": ctx.links()})

    return handle


HANDLERS: dict[str, Callable[[Context], Reply]] = {
    Call.GET_PROFILES: _get_profiles,
    Call.GET_PROFILE: _get_profile,
    Call.CREATE_PROFILE: _create_profile,
    Call.UPDATE_PROFILE: _update_profile,
    Call.CREATE_OR_UPDATE_PROFILE: _create_or_update_profile,
    Call.MERGE_PROFILES: _merge_profiles,
    Call.REQUEST_PROFILE_DELETION: _delete_profile,
    Call.GET_LISTS_FOR_PROFILE: _groups_of("list", whole=True),
    Call.GET_LIST_IDS_FOR_PROFILE: _groups_of("list", whole=False),
    Call.GET_SEGMENTS_FOR_PROFILE: _groups_of("segment", whole=True),
    Call.GET_SEGMENT_IDS_FOR_PROFILE: _groups_of("segment", whole=False),
}
