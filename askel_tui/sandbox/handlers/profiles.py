"""Answers of /api/profiles, /api/profile-import, /api/profile-merge and data privacy (contract.md 2.2 to 2.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from askel_tui.sandbox.handlers import resources
from askel_tui.sandbox.handlers.context import Context, Reply
from askel_tui.sandbox.jsonapi.errors import forbidden, invalid, not_found
from askel_tui.sandbox.state import profiles
from askel_tui.sandbox.state.sorted_views import between, ordered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from askel_tui.sandbox.state.account import Account
    from askel_tui.sandbox.state.model import Profile, ProfileList, Segment
    from askel_tui.sandbox.state.sorted_views import Key
    from askel_tui.sandbox.validation.filters import Condition

_INDEXED = ("id", "email", "phone_number", "external_id", "_kx")
_DATES = ("created", "updated")


def named(ctx: Context, ident: str) -> Profile:
    """The profile with the id. Raises the 404."""
    follow = ctx.settings.merged_profile == "survivor"
    profile = ctx.account.profile(ident, follow=follow)
    if profile is None:
        raise not_found("profile", ident)
    return profile


def looked_up(account: Account, condition: Condition) -> list[Profile]:
    """The profiles that an `equals` or `any` on an identifier names; an index answers, not a search."""
    values = condition.value if condition.operator == "any" else [condition.value]
    found: dict[str, Profile] = {}
    for value in values:
        if condition.field in ("id", "profile_id"):
            profile = account.profiles.get(str(value))
        elif condition.field == "push_token":
            profile = None
        else:
            profile = account.find(condition.field, str(value))
        if profile is not None:
            found.setdefault(profile.id, profile)
    return list(found.values())


def _get_profiles(ctx: Context) -> Reply:
    sort = ctx.query.sort or "id"
    if sort.startswith("subscriptions"):
        sort = "id"
    key = _key(sort)
    conditions = ctx.query.conditions
    indexed = next((c for c in conditions if c.field in _INDEXED), None)
    if indexed:
        found = looked_up(ctx.account, indexed)
        rows = ordered((profile for profile in found if _passes(profile, conditions)), key)
    else:
        rows = ctx.account.views.get(
            ("profiles", sort), ctx.account.version("profiles"), ctx.account.profiles.values, key
        )
        if conditions and sort in _DATES and all(c.field == sort for c in conditions):
            rows = between(rows, conditions)
        elif conditions:
            rows = [row for row in rows if _passes(row[1], conditions)]
    page = ctx.page(rows)
    data = [resources.profile(ctx, profile, plural=True) for profile in page.rows]
    body: dict[str, Any] = {"data": data, "links": ctx.links(page)}
    if ctx.query.include:
        body["included"] = []
    return Reply(200, body)


def _key(sort: str) -> Callable[[Profile], Key]:
    if sort in _DATES:
        return lambda profile: (getattr(profile, sort), profile.id)
    if sort == "email":
        return lambda profile: (profile.attributes.get("email") or "", profile.id)
    return lambda profile: (profile.id, profile.id)


def _passes(profile: Profile, conditions: Iterable[Condition]) -> bool:
    for condition in conditions:
        field = condition.field
        if field in _DATES:
            if not condition.holds(getattr(profile, field)):
                return False
        elif field == "id":
            if not condition.holds(profile.id):
                return False
        elif field in _INDEXED:
            wanted = condition.value if condition.operator == "any" else [condition.value]
            if (profile.attributes.get(field) or "").lower() not in {str(one).lower() for one in wanted}:
                return False
        elif not _suppressed(profile, condition):
            return False
    return True


def _suppressed(profile: Profile, condition: Condition) -> bool:
    kind, _, field = condition.field.removeprefix("subscriptions.email.marketing.").partition(".")
    entries = profile.list_suppressions if kind == "list_suppressions" else profile.suppressions
    return any(condition.holds(entry.get(field)) for entry in entries if field != "timestamp")


def _get_profile(ctx: Context) -> Reply:
    profile = named(ctx, ctx.ident)
    data = resources.profile(ctx, profile, plural=True)
    body: dict[str, Any] = {"data": data, "links": ctx.links(paged=False)}
    if ctx.query.include:
        body["included"] = _included(ctx, profile, data)
    return Reply(200, body)


def _included(ctx: Context, profile: Profile, data: dict[str, Any]) -> list[dict[str, Any]]:
    included: list[dict[str, Any]] = []
    if "lists" in ctx.query.include:
        _needs(ctx, "lists:read")
        lists = lists_of(ctx.account, profile)
        data["relationships"]["lists"]["data"] = [resources.reference("list", one.id) for one in lists]
        included += [resources.profile_list(ctx, one) for one in lists]
    if "segments" in ctx.query.include:
        _needs(ctx, "segments:read")
        segments = segments_of(ctx.account, profile)
        data["relationships"]["segments"]["data"] = [resources.reference("segment", s.id) for s in segments]
        included += [resources.segment(ctx, one) for one in segments]
    return included


def _needs(ctx: Context, scope: str) -> None:
    if ctx.scopes is not None and scope not in ctx.scopes:
        raise forbidden()


def lists_of(account: Account, profile: Profile) -> list[ProfileList]:
    """The lists that a profile is on."""
    return [account.lists[ident] for ident in sorted(profile.lists) if ident in account.lists]


def segments_of(account: Account, profile: Profile) -> list[Segment]:
    """The segments that a profile is in."""
    return [one for _, one in sorted(account.segments.items()) if account.in_segment(one, profile)]


def _create_profile(ctx: Context) -> Reply:
    profile = profiles.create(ctx.account, ctx.body["data"]["attributes"], ctx.now)
    return _written(ctx, profile, ctx.status)


def _update_profile(ctx: Context) -> Reply:
    data = ctx.body["data"]
    if data["id"] != ctx.ident:
        raise invalid("The id of the body and that of the path must be the same.", "/data/id")
    profile = named(ctx, ctx.ident)
    profiles.update(ctx.account, profile, data["attributes"], data.get("meta"), ctx.now)
    return _written(ctx, profile, ctx.status)


def _import_profile(ctx: Context) -> Reply:
    data = ctx.body["data"]
    profile, new = profiles.upsert(ctx.account, data.get("id"), data["attributes"], data.get("meta"), ctx.now)
    return _written(ctx, profile, 201 if new else 200)


def _written(ctx: Context, profile: Profile, status: int) -> Reply:
    data = resources.profile(ctx, profile, fresh=True)
    return Reply(status, {"data": data, "links": ctx.links(paged=False)})


def _merge_profiles(ctx: Context) -> Reply:
    data = ctx.body["data"]
    into = named(ctx, data["id"])
    for source in data["relationships"]["profiles"]["data"]:
        if source["id"] == into.id:
            raise invalid("A profile cannot be merged into itself.", "/data/relationships/profiles/data/0/id")
        profiles.merge(ctx.account, into, named(ctx, source["id"]), ctx.now)
    home = {"self": f"{ctx.base}/api/profiles/{into.id}/"}
    merged = {"type": "profile", "id": into.id, "attributes": {}, "links": home}
    return Reply(ctx.status, {"data": merged, "links": ctx.links(paged=False)})


def _delete_profile(ctx: Context) -> Reply:
    subject = ctx.body["data"]["attributes"]["profile"]["data"]
    attributes = subject.get("attributes") or {}
    given = [value for value in (subject.get("id"), *attributes.values()) if value]
    if len(given) != 1:
        raise invalid("Exactly one of id, email and phone_number must be given.", "/data/attributes/profile")
    owners = ctx.account.owners(attributes)
    profile = ctx.account.profile(subject.get("id") or "") or (owners[0] if owners else None)
    if profile is not None:
        ctx.account.remove_profile(profile)
    return Reply(ctx.status)


def _groups_of(kind: str, *, whole: bool) -> Callable[[Context], Reply]:
    def answer(ctx: Context) -> Reply:
        profile = named(ctx, ctx.ident)
        data: list[dict[str, Any]]
        if kind == "list":
            lists = lists_of(ctx.account, profile)
            data = [
                resources.profile_list(ctx, o) if whole else resources.reference(kind, o.id) for o in lists
            ]
        else:
            found = segments_of(ctx.account, profile)
            data = [resources.segment(ctx, o) if whole else resources.reference(kind, o.id) for o in found]
        if not whole and ctx.revision < "2026-01-15":
            return Reply(200, {"data": data})
        return Reply(200, {"data": data, "links": ctx.links()})

    return answer


HANDLERS = {
    "get_profiles": _get_profiles,
    "get_profile": _get_profile,
    "create_profile": _create_profile,
    "update_profile": _update_profile,
    "create_or_update_profile": _import_profile,
    "merge_profiles": _merge_profiles,
    "request_profile_deletion": _delete_profile,
    "get_lists_for_profile": _groups_of("list", whole=True),
    "get_list_ids_for_profile": _groups_of("list", whole=False),
    "get_segments_for_profile": _groups_of("segment", whole=True),
    "get_segment_ids_for_profile": _groups_of("segment", whole=False),
}
