"""Consent and suppression: the effects of the subscribe, unsubscribe and suppress jobs (docs/klaviyo.md 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from askel_tui.contract.revisions import Ability, can
from askel_tui.sandbox.jsonapi.ids_and_times import format_microseconds, format_seconds, parse_time
from askel_tui.sandbox.state import membership
from askel_tui.sandbox.state.profiles import resolve_profile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from askel_tui.sandbox.state.account import Account
    from askel_tui.sandbox.state.model import Profile

_LIFTED_REASONS: Final = ("UNSUBSCRIBE", "SPAM_COMPLAINT", "USER_SUPPRESSED")


def requested_channels(attributes: Mapping[str, Any]) -> dict[str, str | None]:
    """Reads the channels of one row, as "email.marketing", with the time of consent where it is given.

    Without `subscriptions` (2024-02-15) they follow from the identifiers.
    """
    given = attributes.get("subscriptions")
    if given is None:
        kinds = {"email": "email", "sms": "phone_number"}
        return {f"{name}.marketing": None for name, key in kinds.items() if attributes.get(key)}
    return {
        f"{channel}.{kind}": value.get("consented_at")
        for channel, kinds in given.items()
        for kind, value in (kinds or {}).items()
        if isinstance(value, dict) and "consent" in value
    }


def run_consent_job(
    account: Account,
    now: float,
    action: str,
    rows: list[dict[str, Any]],
    group: str | None,
    source: str | None,
    historical: bool,
) -> None:
    """Subscribes or unsubscribes the profiles of a job's rows."""
    for row in rows:
        if action == "subscribe":
            _subscribe_row(account, row, group, source, historical, now)
        else:
            _unsubscribe_row(account, row, group, now)


def _subscribe_row(
    account: Account, row: dict[str, Any], group: str | None, source: str | None, historical: bool, now: float
) -> None:
    attributes = row["attributes"]
    known = account.profiles_with(attributes) or account.profile(row.get("id") or "", follow=True)
    if not known and group is None and not historical:
        return  # as seen live: a new address without a list never becomes a profile
    profile = resolve_profile(account, row.get("id"), attributes, now)
    profile.updated = now
    wanted = requested_channels(attributes)
    listed = account.lists.get(group) if group else None
    if listed and listed.opt_in_process == "double_opt_in" and not historical:
        waiting = {"profile": profile.id, "channels": list(wanted), "list": listed.id, "source": source}
        account.confirmations.append(waiting)
        return
    _subscribe(account, profile, wanted, group, source, now, double=False, fires=not historical)


def put_consent(account: Account, profile: Profile, given: Mapping[str, Any]) -> dict[str, Any]:
    """Puts what a profile shows of consent, by channel, and its suppressions; others stay."""
    kinds = dict(given)
    profile.suppressions = list(kinds.pop("suppressions", profile.suppressions))
    profile.list_suppressions = list(kinds.pop("list_suppressions", profile.list_suppressions))
    profile.consent.update({kind: dict(record) for kind, record in kinds.items()})
    account.mark_changed("profiles")
    return {"consent": profile.consent, "suppressions": profile.suppressions}


def confirm_opt_ins(account: Account, profile: str, now: float) -> int:
    """Confirms the pending double opt-ins of a profile. Returns their number."""
    mine = [one for one in account.confirmations if one["profile"] == profile]
    account.confirmations = [one for one in account.confirmations if one["profile"] != profile]
    for one in mine:
        known = account.profile(profile, follow=True)
        if known:
            wanted = dict.fromkeys(one["channels"])
            _subscribe(account, known, wanted, one["list"], one["source"], now, double=True, fires=True)
    return len(mine)


def _subscribe(
    account: Account,
    profile: Profile,
    wanted: Mapping[str, str | None],
    group: str | None,
    source: str | None,
    now: float,
    *,
    double: bool,
    fires: bool,
) -> None:
    for kind, consented in wanted.items():
        at = parse_time(consented) if consented else None
        profile.consent[kind] = {
            "consent": "SUBSCRIBED",
            "consent_timestamp": format_seconds(now if at is None else at),
            "last_updated": format_microseconds(now),
            "method": "API",
            "method_detail": "",
            "custom_method_detail": source,
            "double_optin": double,
        }
        if kind == "email.marketing":
            profile.suppressions = [s for s in profile.suppressions if s["reason"] not in _LIFTED_REASONS]
            profile.list_suppressions = [s for s in profile.list_suppressions if s["list_id"] != group]
    if group and group in account.lists:
        membership.add_member(account, account.lists[group], profile, now, fires=fires)
    account.mark_changed("profiles")


def _unsubscribe_row(account: Account, row: dict[str, Any], group: str | None, now: float) -> None:
    attributes = row["attributes"]
    owners = account.profiles_with({k: attributes.get(k) for k in ("email", "phone_number")})
    if not owners:
        return
    profile = owners[0]
    listed = account.lists.get(group) if group else None
    account.mark_changed("profiles")
    if listed and profile.id in listed.members:
        membership.remove_member(account, listed, profile, now)
        if "email.marketing" in requested_channels(attributes):
            entry = {"list_id": listed.id, "reason": "UNSUBSCRIBE", "timestamp": format_microseconds(now)}
            profile.list_suppressions.append(entry)
        return
    for kind in requested_channels(attributes):  # no list, or not on it: unsubscribed globally
        before = profile.consent.get(kind, {})
        profile.consent[kind] = {
            **before,
            "consent": "UNSUBSCRIBED",
            "last_updated": format_microseconds(now),
        }
        if kind == "email.marketing":
            suppress(profile, "UNSUBSCRIBE", now)


def suppress(profile: Profile, reason: str, now: float) -> bool:
    """Suppresses a profile's e-mail marketing. Returns False where it was suppressed for that reason before."""
    if any(entry["reason"] == reason for entry in profile.suppressions):
        return False
    profile.suppressions.append({"reason": reason, "timestamp": format_microseconds(now)})
    return True


def change_suppressions(
    account: Account, profiles: Iterable[Profile], now: float, *, lift: bool
) -> tuple[int, int]:
    """Suppresses profiles for `USER_SUPPRESSED`, or lifts that. Returns the counts of changed and unchanged ones."""
    changed = same = 0
    for profile in profiles:
        if lift:
            kept = [entry for entry in profile.suppressions if entry["reason"] != "USER_SUPPRESSED"]
            did, profile.suppressions = len(kept) != len(profile.suppressions), kept
        else:
            did = suppress(profile, "USER_SUPPRESSED", now)
        changed, same = changed + did, same + (not did)
    account.mark_changed("profiles")
    return changed, same


def subscriptions(profile: Profile, revision: str) -> dict[str, Any]:
    """Returns the `subscriptions` attribute as the revision shows it (docs/klaviyo.md 2.13)."""
    email = _channel_consent(profile, "email.marketing", "can_receive_email_marketing")
    refused = email["consent"] == "UNSUBSCRIBED" or bool(profile.suppressions)
    email["can_receive_email_marketing"] = bool(profile.attributes.get("email")) and not refused
    email["custom_method_detail"] = profile.consent.get("email.marketing", {}).get("custom_method_detail")
    email["double_optin"] = profile.consent.get("email.marketing", {}).get("double_optin")
    email["suppression"] = list(profile.suppressions)
    email["list_suppressions"] = list(profile.list_suppressions)
    if profile.suppressions and email["last_updated"] is None:
        email["last_updated"] = profile.suppressions[-1]["timestamp"]
    sms = {"marketing": _channel_consent(profile, "sms.marketing", "can_receive_sms_marketing")}
    if revision < "2024-10-15":
        texts = sms["marketing"] if "sms.marketing" in profile.consent else None
        return {"email": {"marketing": email}, "sms": {"marketing": texts}}
    sms["transactional"] = _channel_consent(profile, "sms.transactional", "can_receive_sms_transactional")
    shown = _channel_consent(profile, "push.marketing", "can_receive_push_marketing")
    push = {name: shown[name] for name in ("can_receive_push_marketing", "consent", "consent_timestamp")}
    answer: dict[str, Any] = {"email": {"marketing": email}, "sms": sms, "mobile_push": {"marketing": push}}
    if can(revision, Ability.WHATSAPP_CONSENT):
        answer["whatsapp"] = _whatsapp_consent(profile)
    if revision >= "2026-04-15":
        for kind in ("open_tracking", "click_tracking"):
            answer["email"][kind] = _tracking_consent(profile, kind)
    return answer


def _channel_consent(profile: Profile, kind: str, can: str) -> dict[str, Any]:
    held = profile.consent.get(kind, {})
    consent = held.get("consent", "NEVER_SUBSCRIBED")
    return {
        can: consent == "SUBSCRIBED",
        "consent": consent,
        "consent_timestamp": held.get("consent_timestamp"),
        "last_updated": held.get("last_updated"),
        "method": held.get("method"),
        "method_detail": held.get("method_detail"),
    }


def _tracking_consent(profile: Profile, kind: str) -> dict[str, Any]:
    held = profile.consent.get(f"email.{kind}", {})
    consent = held.get("consent", "NEVER_SUBSCRIBED")
    return {
        "consent": consent,
        "consent_timestamp": held.get("consent_timestamp"),
        "last_updated": held.get("last_updated"),
        "created_timestamp": held.get("consent_timestamp"),
        "metadata": None,
        "can_receive": consent == "SUBSCRIBED",
        "valid_until": None,
    }


def _whatsapp_consent(profile: Profile) -> dict[str, Any] | None:
    kinds = [kind for kind in ("marketing", "transactional") if f"whatsapp.{kind}" in profile.consent]
    if not kinds:
        return None
    return {kind: _channel_consent(profile, f"whatsapp.{kind}", "can_receive") for kind in kinds}
