"""The request body that each endpoint takes, per revision (docs/klaviyo.md 2, 3)."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from askel_tui.contract.calls import Call
from askel_tui.contract.caps import caps
from askel_tui.contract.endpoints import published_endpoints
from askel_tui.sandbox.jsonapi.errors import error_object
from askel_tui.sandbox.validation.checks import (
    Check,
    Errors,
    all_of,
    any_object,
    anything,
    array,
    boolean,
    closed_object,
    date_time,
    document,
    email,
    json_bytes,
    one_of,
    phone_number,
    reference,
    resource_object,
    string,
)
from askel_tui.sandbox.validation.event_checks import bulk_events_body, event_body
from askel_tui.sandbox.validation.profile_checks import meta_patches, profile_attributes, require_identifier

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


_IDENTIFIER_BY_CHANNEL = {"email": "email", "sms": "phone_number", "whatsapp": "phone_number"}


@cache
def body_check(name: str, revision: str) -> Check | None:
    """The check of an endpoint's body; None where the endpoint takes no body."""
    made = _BODY_CHECKS.get(name)
    return made(revision) if made else None


def _profile_body(name: str) -> Callable[[str], Check]:
    def made(revision: str) -> Check:
        attributes = profile_attributes(revision, name)
        if name == Call.CREATE_PROFILE:
            return document(
                resource_object("profile", {"attributes": all_of(attributes, require_identifier)})
            )
        patches = {"meta": meta_patches(revision)}
        if name == Call.UPDATE_PROFILE:
            return document(
                resource_object("profile", {"id": string(null=False), "attributes": attributes}, patches)
            )
        whole = resource_object("profile", {"attributes": attributes}, {"id": string(), **patches})
        return document(all_of(whole, _require_identity))

    return made


def _require_identity(value: Any, at: str, errors: Errors) -> None:
    if not value.get("id"):
        require_identifier(value["attributes"], f"{at}/attributes", errors)


def _bulk_import_body(revision: str) -> Check:
    rules = published_endpoints(revision)[Call.BULK_IMPORT_PROFILES]
    one = resource_object(
        "profile",
        {"attributes": profile_attributes(revision, Call.BULK_IMPORT_PROFILES)},
        {"id": string(), "meta": meta_patches(revision)},
    )

    def light(value: Any, at: str, errors: Errors) -> None:
        if rules.max_item_bytes and json_bytes(value) > rules.max_item_bytes:
            errors.append(error_object("The profile's payload is larger than 100KB.", at))

    profiles = closed_object(
        "profiles", {"data": array(all_of(one, _require_identity, light), most=rules.max_items)}
    )
    lists = closed_object("lists", {"data": array(reference("list"))})
    return document(
        resource_object(
            "profile-bulk-import-job",
            {"attributes": closed_object("profile-bulk-import-job", {"profiles": profiles})},
            {"relationships": closed_object("profile-bulk-import-job", {}, {"lists": lists})},
        )
    )


def _merge_body(revision: str) -> Check:
    most = published_endpoints(revision)[Call.MERGE_PROFILES].max_items
    sources = closed_object("profiles", {"data": array(reference("profile"), least=1, most=most)})
    relations = closed_object("profile-merge", {"profiles": sources})
    return document(resource_object("profile-merge", {"id": string(null=False), "relationships": relations}))


def _members_body(name: str) -> Callable[[str], Check]:
    return lambda revision: document(
        array(reference("profile"), most=published_endpoints(revision)[name].max_items)
    )


def _list_body(needed: bool) -> Callable[[str], Check]:
    def made(revision: str) -> Check:
        opt_in = {"opt_in_process": one_of("single_opt_in", "double_opt_in", null=True)}
        newer = opt_in if revision >= "2025-10-15" else {}
        name = {"name": string(null=False, least=1)}
        if needed:
            return document(resource_object("list", {"attributes": closed_object("list", name, newer)}))
        required = {} if newer else name
        optional: dict[str, Check] = {"name": string(), **newer} if newer else {}
        attributes = closed_object("list", required, optional)
        return document(resource_object("list", {"id": string(null=False), "attributes": attributes}))

    return made


def _segment_body(needed: bool) -> Callable[[str], Check]:
    def made(revision: str) -> Check:
        optional: dict[str, Check] = {"is_starred": boolean}
        if revision >= "2026-01-15":
            optional["is_active"] = boolean
        definition = closed_object("segment", {"condition_groups": array(_condition_group, least=1)})
        if needed:
            required = {"name": string(null=False, least=1), "definition": definition}
            return document(
                resource_object("segment", {"attributes": closed_object("segment", required, optional)})
            )
        if revision >= "2024-06-15":
            optional["definition"] = definition
        attributes = closed_object("segment", {}, {"name": string(), **optional})
        return document(resource_object("segment", {"id": string(null=False), "attributes": attributes}))

    return made


def _condition_group(value: Any, at: str, errors: Errors) -> None:
    closed_object("condition_group", {"conditions": array(any_object, least=1)})(value, at, errors)


def _subscriptions(revision: str, consented: str, name: str) -> Check:
    """The `subscriptions` of one row; `consented` is the only value of `consent`."""
    subscribes = name == Call.BULK_SUBSCRIBE_PROFILES
    given = {"consent": one_of(consented)}
    dated = closed_object("subscription", given, {"consented_at": date_time} if subscribes else {})
    plain = closed_object("subscription", given)
    newer = revision >= "2026-04-15"
    optional = newer or revision >= "2024-10-15"
    email_kinds: dict[str, Check] = {"marketing": dated}
    if newer:
        email_channel = closed_object("email", {}, {**email_kinds, "open_tracking": plain})
    else:
        email_channel = closed_object("email", email_kinds)
    texts: dict[str, Check] = {"marketing": dated, "transactional": dated}
    sms = closed_object("sms", {}, texts) if optional else closed_object("sms", {"marketing": dated})
    known = {"email": email_channel, "sms": sms}
    if revision >= "2025-07-15":
        conversational = {} if subscribes else {"conversational": plain}
        known["whatsapp"] = closed_object("whatsapp", {}, {**texts, **conversational})
    if revision >= "2026-01-15":
        known["push"] = closed_object(
            "push", {"marketing": dated}, {"tokens": anything, "anonymous_id": string()}
        )
    return closed_object("subscriptions", {}, known)


def _subscribe_body(revision: str) -> Check:
    name = Call.BULK_SUBSCRIBE_PROFILES
    optional: dict[str, Check] = {"email": email(caps(revision).email), "phone_number": phone_number}
    consents = {"subscriptions": _subscriptions(revision, "SUBSCRIBED", name)}
    needed = consents if revision >= "2025-01-15" else {}
    if revision >= "2024-05-15":
        optional["age_gated_date_of_birth"] = string()
    row = closed_object("profile", needed, {**optional, **(consents if not needed else {})})
    whole = resource_object(
        "profile", {"attributes": all_of(row, _channel_identifiers(revision))}, {"id": string()}
    )
    attributes: dict[str, Check] = {"custom_source": string()}
    if revision >= "2024-07-15":
        attributes["historical_import"] = boolean
    return _consent_job("profile-subscription-bulk-create-job", whole, name, revision, attributes)


def _unsubscribe_body(revision: str) -> Check:
    name = Call.BULK_UNSUBSCRIBE_PROFILES
    optional: dict[str, Check] = {"email": email(caps(revision).email), "phone_number": phone_number}
    consents = {"subscriptions": _subscriptions(revision, "UNSUBSCRIBED", name)}
    needed = consents if revision >= "2025-01-15" else {}
    row = closed_object("profile", needed, optional)
    whole = resource_object("profile", {"attributes": all_of(row, _channel_identifiers(revision))})
    return _consent_job("profile-subscription-bulk-delete-job", whole, name, revision, {})


def _channel_identifiers(revision: str) -> Check:
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
    """(channel, identifier) of a channel whose identifier the row lacks, None when all are there."""
    for channel in attributes.get("subscriptions") or {}:
        identifier = _IDENTIFIER_BY_CHANNEL.get(channel)
        if identifier and not attributes.get(identifier):
            return channel, identifier
    return None


def _consent_job(kind: str, row: Check, name: str, revision: str, more: dict[str, Check]) -> Check:
    data = array(row, most=published_endpoints(revision)[name].max_items, least=1)
    attributes = closed_object(kind, {"profiles": closed_object("profiles", {"data": data})}, more)
    relations = closed_object(kind, {}, {"list": closed_object("list", {"data": reference("list")})})
    return document(resource_object(kind, {"attributes": attributes}, {"relationships": relations}))


def _suppress_body(name: str) -> Callable[[str], Check]:
    def made(revision: str) -> Check:
        verb = "create" if name == Call.BULK_SUPPRESS_PROFILES else "delete"
        kind = f"profile-suppression-bulk-{verb}-job"
        one = closed_object("profile", {"email": email(caps(revision).email, null=False)})
        data = array(
            resource_object("profile", {"attributes": one}),
            most=published_endpoints(revision)[name].max_items,
        )
        attributes = closed_object(kind, {}, {"profiles": closed_object("profiles", {"data": data})})
        groups = {group: closed_object(group, {"data": reference(group)}) for group in ("list", "segment")}
        relations = closed_object(kind, {}, groups)
        return document(resource_object(kind, {}, {"attributes": attributes, "relationships": relations}))

    return made


def _template_body(needed: bool) -> Callable[[str], Check]:
    def made(revision: str) -> Check:
        optional: dict[str, Check] = {"html": string(), "text": string()}
        if revision >= "2025-01-15":
            optional["amp"] = string()
        if needed:
            required = {"name": string(null=False, least=1), "editor_type": one_of("CODE", "USER_DRAGGABLE")}
            return document(
                resource_object("template", {"attributes": closed_object("template", required, optional)})
            )
        attributes = closed_object("template", {}, {"name": string(), **optional})
        return document(resource_object("template", {"id": string(null=False), "attributes": attributes}))

    return made


def _flow_body(revision: str) -> Check:
    attributes = closed_object("flow", {"status": one_of("draft", "manual", "live")})
    return document(resource_object("flow", {"id": string(null=False), "attributes": attributes}))


def _deletion_body(revision: str) -> Check:
    one = closed_object("profile", {}, {"email": email(caps(revision).email), "phone_number": phone_number})
    subject = resource_object("profile", {}, {"id": string(), "attributes": one})
    attributes = closed_object(
        "data-privacy-deletion-job", {"profile": closed_object("profile", {"data": subject})}
    )
    return document(resource_object("data-privacy-deletion-job", {"attributes": attributes}))


_BODY_CHECKS: dict[str, Callable[[str], Check]] = {
    Call.CREATE_PROFILE: _profile_body(Call.CREATE_PROFILE),
    Call.UPDATE_PROFILE: _profile_body(Call.UPDATE_PROFILE),
    Call.CREATE_OR_UPDATE_PROFILE: _profile_body(Call.CREATE_OR_UPDATE_PROFILE),
    Call.BULK_IMPORT_PROFILES: _bulk_import_body,
    Call.MERGE_PROFILES: _merge_body,
    Call.ADD_PROFILES_TO_LIST: _members_body(Call.ADD_PROFILES_TO_LIST),
    Call.REMOVE_PROFILES_FROM_LIST: _members_body(Call.REMOVE_PROFILES_FROM_LIST),
    Call.CREATE_LIST: _list_body(True),
    Call.UPDATE_LIST: _list_body(False),
    Call.CREATE_SEGMENT: _segment_body(True),
    Call.UPDATE_SEGMENT: _segment_body(False),
    Call.BULK_SUBSCRIBE_PROFILES: _subscribe_body,
    Call.BULK_UNSUBSCRIBE_PROFILES: _unsubscribe_body,
    Call.BULK_SUPPRESS_PROFILES: _suppress_body(Call.BULK_SUPPRESS_PROFILES),
    Call.BULK_UNSUPPRESS_PROFILES: _suppress_body(Call.BULK_UNSUPPRESS_PROFILES),
    Call.CREATE_EVENT: event_body,
    Call.BULK_CREATE_EVENTS: bulk_events_body,
    Call.CREATE_TEMPLATE: _template_body(True),
    Call.UPDATE_TEMPLATE: _template_body(False),
    Call.UPDATE_FLOW: _flow_body,
    Call.REQUEST_PROFILE_DELETION: _deletion_body,
}
