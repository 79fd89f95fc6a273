"""List membership, segment entries, and the flows that they start (docs/klaviyo.md 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from askel_tui.sandbox.state.definitions import profile_matches

if TYPE_CHECKING:
    from collections.abc import Mapping

    from askel_tui.sandbox.state.account import Account
    from askel_tui.sandbox.state.model import Flow, Profile, ProfileList


def add_member(
    account: Account, group: ProfileList, profile: Profile, now: float, *, fires: bool = True
) -> bool:
    """Puts a profile on a list; a member stays as it is. `fires`: starts the list's live flows.

    Returns True if the member is new.
    """
    if profile.id in group.members:
        return False
    account.delay_segments(profile, now)
    group.members[profile.id] = now
    profile.lists[group.id] = now
    account.mark_changed(f"list:{group.id}")
    if fires:
        for flow in account.flows_triggered_by("list", group.id):
            start_flow(account, flow, profile, now, {"list": group.id})
    return True


def remove_member(account: Account, group: ProfileList, profile: Profile, now: float | None = None) -> bool:
    """Takes a profile off a list. Returns True if it was on the list."""
    if now is not None:
        account.delay_segments(profile, now)
    if group.members.pop(profile.id, None) is None:
        return False
    profile.lists.pop(group.id, None)
    account.mark_changed(f"list:{group.id}")
    return True


def start_flow(account: Account, flow: Flow, profile: Profile, now: float, cause: Mapping[str, Any]) -> bool:
    """Counts a flow's start if the flow is live and its profile filter lets the profile in. Returns True if so."""
    if flow.status != "live" or flow.archived:
        return False
    if flow.profile_filter and not profile_matches(flow.profile_filter, profile, account.lists):
        return False
    flow.starts.append({"profile": profile.id, "at": now, **cause})
    return True


def segments_with_live_flow(account: Account, profile: Profile) -> set[str]:
    """Finds the segments that trigger a live flow and hold the profile now, by id."""
    found: set[str] = set()
    for flow in account.flows.values():
        trigger = flow.trigger
        if trigger is None or trigger.get("type") != "segment" or flow.status != "live" or flow.archived:
            continue
        segment = account.segments.get(trigger.get("id") or "")
        if segment is not None and segment.id not in found and account.in_segment(segment, profile):
            found.add(segment.id)
    return found


def start_flows_of_entered_segments(account: Account, profile: Profile, before: set[str], now: float) -> None:
    """Starts the flows of segments that the profile has entered since `before`."""
    for ident in segments_with_live_flow(account, profile) - before:
        for flow in account.flows_triggered_by("segment", ident):
            start_flow(account, flow, profile, now, {"segment": ident})
