"""An account's state as JSON for the control surface: resources, memberships, flow starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from askel_tui.sandbox.state.account import Account
    from askel_tui.sandbox.state.model import Profile


def account_state(account: Account) -> dict[str, Any]:
    """Collects everything that the account holds."""
    emails = {ident: _display_name(profile) for ident, profile in account.profiles.items()}
    return {
        "account": {"id": account.id, "name": account.name},
        "profiles": [_profile_state(account, profile) for profile in account.profiles.values()],
        "lists": [
            {
                **_fields(one, "id", "name", "opt_in_process"),
                "members": list(one.members),
                "emails": sorted(emails[ident] for ident in one.members),
            }
            for one in account.lists.values()
        ],
        "segments": [
            {
                **_fields(one, "id", "name", "is_active", "definition"),
                "explicit": one.members is not None,
                "emails": sorted(emails[profile.id] for profile, _ in account.segment_members(one)),
            }
            for one in account.segments.values()
        ],
        "metrics": [
            {
                **_fields(one, "id", "name"),
                "integration": one.integration["key"],
                "events": len(account.events_of_metric.get(one.id, ())),
            }
            for one in account.metrics.values()
        ],
        "events": [
            {
                "id": one.id,
                "metric": account.metrics[one.metric].name if one.metric in account.metrics else one.metric,
                "profile": one.profile,
                "email": emails.get(one.profile),
                **_fields(one, "time", "unique_id", "properties", "value", "value_currency", "backfill"),
            }
            for one in account.events.values()
        ],
        "flows": [
            {
                **_fields(one, "id", "name", "status", "archived", "trigger_type", "trigger"),
                "fired": len(one.starts),
                "starts": [{**start, "email": emails.get(start["profile"])} for start in one.starts],
            }
            for one in account.flows.values()
        ],
        "templates": [_fields(one, "id", "name") for one in account.templates.values()],
        "jobs": [
            _fields(one, "id", "kind", "status", "total", "completed", "failed", "errors")
            for one in account.jobs.values()
        ],
        **_fields(account, "confirmations", "merged", "requests"),
    }


def _fields(one: object, *names: str) -> dict[str, Any]:
    return {name: getattr(one, name) for name in names}


def _profile_state(account: Account, profile: Profile) -> dict[str, Any]:
    return {
        "id": profile.id,
        **{name: value for name, value in profile.attributes.items() if value is not None},
        "location": {name: value for name, value in profile.location.items() if value is not None},
        "properties": profile.properties,
        "lists": sorted(account.lists[ident].name for ident in profile.lists if ident in account.lists),
        "consent": {kind: record["consent"] for kind, record in profile.consent.items()},
        "consent_records": profile.consent,
        "suppressions": [entry["reason"] for entry in profile.suppressions],
        "list_suppressions": profile.list_suppressions,
        "created": profile.created,
        "updated": profile.updated,
    }


def _display_name(profile: Profile) -> str:
    names = (profile.attributes.get(kind) for kind in ("email", "phone_number", "external_id"))
    return next(filter(None, names), profile.id)
