"""The request body that each endpoint takes, per revision (docs/klaviyo.md 2, 3)."""

from __future__ import annotations

from functools import cache, partial
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
    any_object,
    array,
    boolean,
    closed_object,
    creation,
    document,
    email,
    holder,
    json_bytes,
    one_of,
    phone_number,
    reference,
    resource_object,
    string,
    update,
)
from askel_tui.sandbox.validation.consent_checks import subscribe_body, unsubscribe_body
from askel_tui.sandbox.validation.event_checks import bulk_events_body, event_body
from askel_tui.sandbox.validation.profile_checks import (
    meta_patches,
    profile_attributes,
    require_identifier,
    require_identity,
)

if TYPE_CHECKING:
    from collections.abc import Callable


@cache
def body_check(name: str, revision: str) -> Check | None:
    """Returns the check of an endpoint's body; None where the endpoint takes no body."""
    make = _BODY_CHECKS.get(name)
    return make(revision) if make else None


def _create_profile(revision: str) -> Check:
    attributes = profile_attributes(revision, Call.CREATE_PROFILE)
    return document(resource_object("profile", {"attributes": all_of(attributes, require_identifier)}))


def _update_profile(revision: str) -> Check:
    attributes = profile_attributes(revision, Call.UPDATE_PROFILE)
    required = {"id": string(null=False), "attributes": attributes}
    return document(resource_object("profile", required, {"meta": meta_patches(revision)}))


def _upsert_row(revision: str, call: Call) -> Check:
    attributes = profile_attributes(revision, call)
    optional = {"id": string(), "meta": meta_patches(revision)}
    return all_of(resource_object("profile", {"attributes": attributes}, optional), require_identity)


def _bulk_import(revision: str) -> Check:
    rules = published_endpoints(revision)[Call.BULK_IMPORT_PROFILES]

    def check_size(value: Any, at: str, errors: Errors) -> None:
        if rules.max_item_bytes and json_bytes(value) > rules.max_item_bytes:
            errors.append(error_object("The profile's payload is larger than 100KB.", at))

    kind = "profile-bulk-import-job"
    row = all_of(_upsert_row(revision, Call.BULK_IMPORT_PROFILES), check_size)
    profiles = holder("profiles", array(row, most=rules.max_items))
    relations = closed_object(kind, {}, {"lists": holder("lists", array(reference("list")))})
    return creation(kind, {"profiles": profiles}, other_fields={"relationships": relations})


def _merge(revision: str) -> Check:
    most = published_endpoints(revision)[Call.MERGE_PROFILES].max_items
    sources = holder("profiles", array(reference("profile"), least=1, most=most))
    relations = closed_object("profile-merge", {"profiles": sources})
    return document(resource_object("profile-merge", {"id": string(null=False), "relationships": relations}))


def _members(revision: str, call: Call) -> Check:
    return document(array(reference("profile"), most=published_endpoints(revision)[call].max_items))


def _opt_in(revision: str) -> dict[str, Check]:
    process = one_of("single_opt_in", "double_opt_in", null=True)
    return {"opt_in_process": process} if can(revision, Ability.LIST_OPT_IN) else {}


def _create_list(revision: str) -> Check:
    return creation("list", {"name": string(null=False, least=1)}, _opt_in(revision))


def _update_list(revision: str) -> Check:
    opt_in = _opt_in(revision)
    if opt_in:
        return update("list", {}, {"name": string(), **opt_in})
    return update("list", {"name": string(null=False, least=1)})


def _condition_group(value: Any, at: str, errors: Errors) -> None:
    closed_object("condition_group", {"conditions": array(any_object, least=1)})(value, at, errors)


_DEFINITION = closed_object("segment", {"condition_groups": array(_condition_group, least=1)})


def _segment_flags(revision: str) -> dict[str, Check]:
    flags: dict[str, Check] = {"is_starred": boolean}
    return {**flags, "is_active": boolean} if revision >= "2026-01-15" else flags


def _create_segment(revision: str) -> Check:
    required = {"name": string(null=False, least=1), "definition": _DEFINITION}
    return creation("segment", required, _segment_flags(revision))


def _update_segment(revision: str) -> Check:
    definition = {"definition": _DEFINITION} if can(revision, Ability.SEGMENT_DEFINITIONS) else {}
    return update("segment", {}, {"name": string(), **_segment_flags(revision), **definition})


def _suppress(revision: str, call: Call) -> Check:
    verb = "create" if call == Call.BULK_SUPPRESS_PROFILES else "delete"
    kind = f"profile-suppression-bulk-{verb}-job"
    row = closed_object("profile", {"email": email(caps(revision).email, null=False)})
    rows = array(
        resource_object("profile", {"attributes": row}), most=published_endpoints(revision)[call].max_items
    )
    attributes = closed_object(kind, {}, {"profiles": holder("profiles", rows)})
    relations = closed_object(
        kind, {}, {group: holder(group, reference(group)) for group in ("list", "segment")}
    )
    return document(resource_object(kind, {}, {"attributes": attributes, "relationships": relations}))


def _template_texts(revision: str) -> dict[str, Check]:
    names = ("html", "text", "amp") if revision >= "2025-01-15" else ("html", "text")
    return {name: string() for name in names}


def _create_template(revision: str) -> Check:
    required = {"name": string(null=False, least=1), "editor_type": one_of("CODE", "USER_DRAGGABLE")}
    return creation("template", required, _template_texts(revision))


def _update_template(revision: str) -> Check:
    return update("template", {}, {"name": string(), **_template_texts(revision)})


def _update_flow(revision: str) -> Check:
    return update("flow", {"status": one_of("draft", "manual", "live")})


def _delete_profile(revision: str) -> Check:
    attributes = closed_object(
        "profile", {}, {"email": email(caps(revision).email), "phone_number": phone_number}
    )
    profile = resource_object("profile", {}, {"id": string(), "attributes": attributes})
    return creation("data-privacy-deletion-job", {"profile": holder("profile", profile)})


_BODY_CHECKS: dict[str, Callable[[str], Check]] = {
    Call.CREATE_PROFILE: _create_profile,
    Call.UPDATE_PROFILE: _update_profile,
    Call.CREATE_OR_UPDATE_PROFILE: lambda revision: document(
        _upsert_row(revision, Call.CREATE_OR_UPDATE_PROFILE)
    ),
    Call.BULK_IMPORT_PROFILES: _bulk_import,
    Call.MERGE_PROFILES: _merge,
    Call.ADD_PROFILES_TO_LIST: partial(_members, call=Call.ADD_PROFILES_TO_LIST),
    Call.REMOVE_PROFILES_FROM_LIST: partial(_members, call=Call.REMOVE_PROFILES_FROM_LIST),
    Call.CREATE_LIST: _create_list,
    Call.UPDATE_LIST: _update_list,
    Call.CREATE_SEGMENT: _create_segment,
    Call.UPDATE_SEGMENT: _update_segment,
    Call.BULK_SUBSCRIBE_PROFILES: subscribe_body,
    Call.BULK_UNSUBSCRIBE_PROFILES: unsubscribe_body,
    Call.BULK_SUPPRESS_PROFILES: partial(_suppress, call=Call.BULK_SUPPRESS_PROFILES),
    Call.BULK_UNSUPPRESS_PROFILES: partial(_suppress, call=Call.BULK_UNSUPPRESS_PROFILES),
    Call.CREATE_EVENT: event_body,
    Call.BULK_CREATE_EVENTS: bulk_events_body,
    Call.CREATE_TEMPLATE: _create_template,
    Call.UPDATE_TEMPLATE: _update_template,
    Call.UPDATE_FLOW: _update_flow,
    Call.REQUEST_PROFILE_DELETION: _delete_profile,
}
