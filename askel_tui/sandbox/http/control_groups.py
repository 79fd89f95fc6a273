"""The control surface's lists, segments, flows and properties, which drift in a real account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from askel_tui.sandbox.state import membership
from askel_tui.sandbox.state.model import Flow, ProfileList, Segment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from askel_tui.sandbox.state.account import Account
    from askel_tui.sandbox.state.model import Profile

T = TypeVar("T", bound=Any)
_CHANGEABLE_FIELDS = {
    "lists": ("name", "opt_in_process"),
    "segments": ("name", "definition", "is_active", "is_starred", "is_processing"),
    "flows": ("name", "status", "archived", "trigger", "profile_filter"),
}


class ControlError(Exception):
    """A request that the control surface can't carry out; the message says why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def find_by_id_or_name(held: Mapping[str, T], named: str) -> T:
    """Finds the object of an id, or of a name if only one has it. Raises the 404."""
    if named in held:
        return held[named]
    same = [one for one in held.values() if one.name == named]
    if len(same) != 1:
        raise ControlError(404, f"{len(same) or 'Nothing'} found by the id or name {named!r}.")
    return same[0]


def find_profile(account: Account, who: str) -> Profile:
    """Finds the profile with an id, e-mail, phone number or external id. Raises the 404."""
    found = account.profile(who) or next(
        filter(None, (account.find_profile(kind, who) for kind in ("email", "phone_number", "external_id"))),
        None,
    )
    if found is None:
        raise ControlError(404, f"There is no profile {who!r}.")
    return found


def respond(account: Account, method: str, parts: list[str], body: dict[str, Any], now: float) -> Any:
    """Makes, changes, deletes and restores lists, segments and flows, and sets members."""
    kind = parts[0]
    held: dict[str, Any] = getattr(account, kind)
    gone: dict[str, Any] = getattr(account, f"deleted_{kind}", {})
    account.mark_changed("segments")
    match method, parts[1:]:
        case "POST", []:
            made = _create(account, kind, body, now)
            held[made.id] = made
            return {"id": made.id, "name": made.name}
        case "PATCH", [named]:
            return _change(kind, find_by_id_or_name(held, named), body, now)
        case "DELETE", [named]:
            one = find_by_id_or_name(held, named)
            gone[one.id] = held.pop(one.id)
            return {"id": one.id}
        case "POST", [named, "restore"]:
            one = find_by_id_or_name(gone, named)
            held[one.id] = gone.pop(one.id)
            return {"id": one.id, "name": one.name}
        case "PUT", [named, "members"] if kind != "flows":
            return _set_members(account, find_by_id_or_name(held, named), body["profiles"], now)
    raise ControlError(404, f"There is no {method} /sandbox/{'/'.join(parts)}.")


def _create(account: Account, kind: str, body: dict[str, Any], now: float) -> Any:
    name = str(body["name"])
    held = {**getattr(account, kind), **getattr(account, f"deleted_{kind}", {})}
    ident = str(body.get("id") or account.new_id(held))
    if ident in held:
        raise ControlError(409, f"The id {ident!r} is taken.")
    makers: dict[str, Any] = {"lists": ProfileList, "segments": Segment, "flows": Flow}
    made = makers[kind](ident, name, now, now)
    _change(kind, made, {key: value for key, value in body.items() if key != "id"}, now)
    return made


def _change(kind: str, one: Any, body: dict[str, Any], now: float) -> dict[str, Any]:
    for name, value in body.items():
        if name not in _CHANGEABLE_FIELDS[kind]:
            raise ControlError(
                400, f"{name!r} cannot be changed; can be: {', '.join(_CHANGEABLE_FIELDS[kind])}."
            )
        setattr(one, name, value)
    if "definition" in body:
        one.members = None
    one.updated = now
    return {"id": one.id, "name": one.name}


def _set_members(
    account: Account, group: ProfileList | Segment, profile_names: list[str] | None, now: float
) -> dict[str, Any]:
    """Sets members without starting flows of lists; a segment's flows start for new members."""
    profiles = None if profile_names is None else [find_profile(account, who) for who in profile_names]
    if isinstance(group, ProfileList):
        wanted = {profile.id for profile in profiles or []}
        for ident in [member for member in group.members if member not in wanted]:
            membership.remove_member(account, group, account.profiles[ident])
        for profile in profiles or []:
            membership.add_member(account, group, profile, now, fires=False)
        return {"members": len(group.members)}
    before = group.members or {}
    group.members = None if profiles is None else {p.id: before.get(p.id, now) for p in profiles}
    account.mark_changed("segments")
    for profile in profiles or []:
        if profile.id not in before:
            for flow in account.flows_triggered_by("segment", group.id):
                membership.start_flow(account, flow, profile, now, {"segment": group.id})
    return {"members": None if group.members is None else len(group.members)}


def rename_property(account: Account, name: str, to: str | None) -> int:
    """Renames a custom property in all profiles, or removes it; returns the number of profiles that had it."""
    having = [profile for profile in account.profiles.values() if name in profile.properties]
    for profile in having:
        value = profile.properties.pop(name)
        if to is not None:
            profile.properties[to] = value
    account.mark_changed("profiles")
    return len(having)
