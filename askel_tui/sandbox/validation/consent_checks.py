"""The bodies of subscribe and unsubscribe jobs (docs/klaviyo.md 2.8, 2.9, 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from askel_tui.contract.calls import Call
from askel_tui.contract.caps import caps
from askel_tui.contract.endpoints import published_endpoints
from askel_tui.contract.revisions import Ability, can
from askel_tui.sandbox.jsonapi.errors import error_object
from askel_tui.sandbox.validation.checks import (
    Check,
    Errors,
    all_of,
    anything,
    array,
    boolean,
    closed_object,
    creation,
    date_time,
    email,
    holder,
    one_of,
    phone_number,
    reference,
    resource_object,
    string,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_IDENTIFIER_BY_CHANNEL = {"email": "email", "sms": "phone_number", "whatsapp": "phone_number"}


def subscribe_body(revision: str) -> Check:
    """Returns the check for the body of a subscribe job."""
    birth_date = {"age_gated_date_of_birth": string()} if revision >= "2024-05-15" else {}
    historical = {"historical_import": boolean} if can(revision, Ability.HISTORICAL_CONSENT) else {}
    row = resource_object("profile", {"attributes": _row(revision, True, birth_date)}, {"id": string()})
    return _job(Call.BULK_SUBSCRIBE_PROFILES, revision, row, {"custom_source": string(), **historical})


def unsubscribe_body(revision: str) -> Check:
    """Returns the check for the body of an unsubscribe job."""
    row = resource_object("profile", {"attributes": _row(revision, False, {})})
    return _job(Call.BULK_UNSUBSCRIBE_PROFILES, revision, row, {})


def _job(call: Call, revision: str, row: Check, more: Mapping[str, Check]) -> Check:
    verb = "create" if call == Call.BULK_SUBSCRIBE_PROFILES else "delete"
    kind = f"profile-subscription-bulk-{verb}-job"
    rows = array(row, most=published_endpoints(revision)[call].max_items, least=1)
    relations = closed_object(kind, {}, {"list": holder("list", reference("list"))})
    return creation(
        kind, {"profiles": holder("profiles", rows)}, more, other_fields={"relationships": relations}
    )


def _row(revision: str, subscribes: bool, more: Mapping[str, Check]) -> Check:
    optional: dict[str, Check] = {"email": email(caps(revision).email), "phone_number": phone_number, **more}
    consents = {"subscriptions": _subscriptions(revision, subscribes)}
    if revision >= "2025-01-15":
        attributes = closed_object("profile", consents, optional)
    else:
        # Before, an unsubscribe job had no `subscriptions`.
        attributes = closed_object("profile", {}, {**optional, **(consents if subscribes else {})})
    return all_of(attributes, _require_identifiers(revision))


def _subscriptions(revision: str, subscribes: bool) -> Check:
    consent = {"consent": one_of("SUBSCRIBED" if subscribes else "UNSUBSCRIBED")}
    dated = closed_object("subscription", consent, {"consented_at": date_time} if subscribes else {})
    marketing, texts = {"marketing": dated}, {"marketing": dated, "transactional": dated}
    if revision >= "2026-04-15":
        tracking = closed_object("subscription", consent)
        kinds = (
            ("open_tracking", "click_tracking")
            if can(revision, Ability.CLICK_TRACKING)
            else ("open_tracking",)
        )
        channels = {"email": closed_object("email", {}, {**marketing, **dict.fromkeys(kinds, tracking)})}
    else:
        channels = {"email": closed_object("email", marketing)}
    if revision >= "2024-10-15":
        channels["sms"] = closed_object("sms", {}, texts)
    else:
        channels["sms"] = closed_object("sms", marketing)
    if can(revision, Ability.WHATSAPP_CONSENT):
        conversational = {} if subscribes else {"conversational": closed_object("subscription", consent)}
        channels["whatsapp"] = closed_object("whatsapp", {}, {**texts, **conversational})
    if can(revision, Ability.PUSH_CONSENT):
        channels["push"] = closed_object("push", marketing, {"tokens": anything, "anonymous_id": string()})
    return closed_object("subscriptions", {}, channels)


def _require_identifiers(revision: str) -> Check:
    def check(value: Any, at: str, errors: Errors) -> None:
        if not value.get("email") and not value.get("phone_number"):
            errors.append(error_object("One of 'email' or 'phone_number' is required.", at))
            return
        lacking = _missing_identifier(value)
        if lacking and (revision >= "2026-04-15" or lacking[0] == "sms"):
            channel, name = lacking
            detail = f"'{name}' must not be empty when the {channel} channel is included in 'subscriptions'."
            errors.append(error_object(detail, f"{at}/{name}"))

    return check


def _missing_identifier(attributes: Mapping[str, Any]) -> tuple[str, str] | None:
    """Finds the first channel whose identifier the row lacks, and that identifier; None where all are there."""
    for channel in attributes.get("subscriptions") or {}:
        identifier = _IDENTIFIER_BY_CHANNEL.get(channel)
        if identifier and not attributes.get(identifier):
            return channel, identifier
    return None
