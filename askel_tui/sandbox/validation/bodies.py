"""The request body that each endpoint takes, per revision (contract.md 2, 3)."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from askel_tui.contract.caps import caps
from askel_tui.contract.endpoints import as_written
from askel_tui.sandbox.jsonapi.errors import problem
from askel_tui.sandbox.state import consent
from askel_tui.sandbox.validation.checks import (
    Check,
    Wrong,
    also,
    anything,
    boolean,
    document,
    email,
    free,
    moment,
    phone,
    record,
    reference,
    resource,
    rows,
    text,
    weight,
    word,
)
from askel_tui.sandbox.validation.event_checks import bulk_events, event
from askel_tui.sandbox.validation.profile_checks import identifiers, meta, profile_attributes

if TYPE_CHECKING:
    from collections.abc import Callable


@cache
def shape(name: str, revision: str) -> Check | None:
    """The check of an endpoint's body, None where it takes none."""
    made = _SHAPES.get(name)
    return made(revision) if made else None


def _profile(name: str) -> Callable[[str], Check]:
    def made(revision: str) -> Check:
        attributes = profile_attributes(revision, name)
        if name == "create_profile":
            return document(resource("profile", {"attributes": also(attributes, identifiers)}))
        patches = {"meta": meta(revision)}
        if name == "update_profile":
            return document(resource("profile", {"id": text(null=False), "attributes": attributes}, patches))
        whole = resource("profile", {"attributes": attributes}, {"id": text(), **patches})
        return document(also(whole, _identified))

    return made


def _identified(value: Any, at: str, wrong: Wrong) -> None:
    if not value.get("id"):
        identifiers(value["attributes"], f"{at}/attributes", wrong)


def _bulk_import(revision: str) -> Check:
    rules = as_written(revision)["bulk_import_profiles"]
    one = resource(
        "profile",
        {"attributes": profile_attributes(revision, "bulk_import_profiles")},
        {"id": text(), "meta": meta(revision)},
    )

    def light(value: Any, at: str, wrong: Wrong) -> None:
        if rules.max_item_bytes and weight(value) > rules.max_item_bytes:
            wrong.append(problem("The profile's payload is larger than 100KB.", at))

    profiles = record("profiles", {"data": rows(also(one, _identified, light), most=rules.max_items)})
    lists = record("lists", {"data": rows(reference("list"))})
    return document(
        resource(
            "profile-bulk-import-job",
            {"attributes": record("profile-bulk-import-job", {"profiles": profiles})},
            {"relationships": record("profile-bulk-import-job", {}, {"lists": lists})},
        )
    )


def _merge(revision: str) -> Check:
    most = as_written(revision)["merge_profiles"].max_items
    sources = record("profiles", {"data": rows(reference("profile"), least=1, most=most)})
    relations = record("profile-merge", {"profiles": sources})
    return document(resource("profile-merge", {"id": text(null=False), "relationships": relations}))


def _members(name: str) -> Callable[[str], Check]:
    return lambda revision: document(rows(reference("profile"), most=as_written(revision)[name].max_items))


def _list(needed: bool) -> Callable[[str], Check]:
    def made(revision: str) -> Check:
        opt_in = {"opt_in_process": word("single_opt_in", "double_opt_in", null=True)}
        newer = opt_in if revision >= "2025-10-15" else {}
        name = {"name": text(null=False, least=1)}
        if needed:
            return document(resource("list", {"attributes": record("list", name, newer)}))
        required = {} if newer else name
        optional: dict[str, Check] = {"name": text(), **newer} if newer else {}
        attributes = record("list", required, optional)
        return document(resource("list", {"id": text(null=False), "attributes": attributes}))

    return made


def _segment(needed: bool) -> Callable[[str], Check]:
    def made(revision: str) -> Check:
        optional: dict[str, Check] = {"is_starred": boolean}
        if revision >= "2026-01-15":
            optional["is_active"] = boolean
        definition = record("segment", {"condition_groups": rows(_group, least=1)})
        if needed:
            required = {"name": text(null=False, least=1), "definition": definition}
            return document(resource("segment", {"attributes": record("segment", required, optional)}))
        if revision >= "2024-06-15":
            optional["definition"] = definition
        attributes = record("segment", {}, {"name": text(), **optional})
        return document(resource("segment", {"id": text(null=False), "attributes": attributes}))

    return made


def _group(value: Any, at: str, wrong: Wrong) -> None:
    record("condition_group", {"conditions": rows(free, least=1)})(value, at, wrong)


def _consents(revision: str, consented: str, name: str) -> Check:
    """The `subscriptions` of one row; `consented` is the only word that its channels take."""
    subscribes = name == "bulk_subscribe_profiles"
    given = {"consent": word(consented)}
    dated = record("subscription", given, {"consented_at": moment} if subscribes else {})
    plain = record("subscription", given)
    newer = revision >= "2026-04-15"
    optional = newer or revision >= "2024-10-15"
    email_kinds: dict[str, Check] = {"marketing": dated}
    if newer:
        email_channel = record("email", {}, {**email_kinds, "open_tracking": plain})
    else:
        email_channel = record("email", email_kinds)
    texts: dict[str, Check] = {"marketing": dated, "transactional": dated}
    sms = record("sms", {}, texts) if optional else record("sms", {"marketing": dated})
    known = {"email": email_channel, "sms": sms}
    if revision >= "2025-07-15":
        conversational = {} if subscribes else {"conversational": plain}
        known["whatsapp"] = record("whatsapp", {}, {**texts, **conversational})
    if revision >= "2026-01-15":
        known["push"] = record("push", {"marketing": dated}, {"tokens": anything, "anonymous_id": text()})
    return record("subscriptions", {}, known)


def _subscribe(revision: str) -> Check:
    name = "bulk_subscribe_profiles"
    optional: dict[str, Check] = {"email": email(caps(revision).email), "phone_number": phone}
    consents = {"subscriptions": _consents(revision, "SUBSCRIBED", name)}
    needed = consents if revision >= "2025-01-15" else {}
    if revision >= "2024-05-15":
        optional["age_gated_date_of_birth"] = text()
    row = record("profile", needed, {**optional, **(consents if not needed else {})})
    whole = resource("profile", {"attributes": also(row, _channel(revision))}, {"id": text()})
    attributes: dict[str, Check] = {"custom_source": text()}
    if revision >= "2024-07-15":
        attributes["historical_import"] = boolean
    return _consent_job("profile-subscription-bulk-create-job", whole, name, revision, attributes)


def _unsubscribe(revision: str) -> Check:
    name = "bulk_unsubscribe_profiles"
    optional: dict[str, Check] = {"email": email(caps(revision).email), "phone_number": phone}
    consents = {"subscriptions": _consents(revision, "UNSUBSCRIBED", name)}
    needed = consents if revision >= "2025-01-15" else {}
    row = record("profile", needed, optional)
    whole = resource("profile", {"attributes": also(row, _channel(revision))})
    return _consent_job("profile-subscription-bulk-delete-job", whole, name, revision, {})


def _channel(revision: str) -> Check:
    def check(value: Any, at: str, wrong: Wrong) -> None:
        if not value.get("email") and not value.get("phone_number"):
            wrong.append(problem("One of 'email' or 'phone_number' is required.", at))
            return
        lacking = consent.missing_identifier(value)
        if lacking and (revision >= "2026-04-15" or lacking[0] == "sms"):
            channel, name = lacking
            detail = f"'{name}' must not be empty when the {channel} channel is included in 'subscriptions'."
            wrong.append(problem(detail, f"{at}/{name}"))

    return check


def _consent_job(kind: str, row: Check, name: str, revision: str, more: dict[str, Check]) -> Check:
    data = rows(row, most=as_written(revision)[name].max_items, least=1)
    attributes = record(kind, {"profiles": record("profiles", {"data": data})}, more)
    relations = record(kind, {}, {"list": record("list", {"data": reference("list")})})
    return document(resource(kind, {"attributes": attributes}, {"relationships": relations}))


def _suppress(name: str) -> Callable[[str], Check]:
    def made(revision: str) -> Check:
        verb = "create" if name == "bulk_suppress_profiles" else "delete"
        kind = f"profile-suppression-bulk-{verb}-job"
        one = record("profile", {"email": email(caps(revision).email, null=False)})
        data = rows(resource("profile", {"attributes": one}), most=as_written(revision)[name].max_items)
        attributes = record(kind, {}, {"profiles": record("profiles", {"data": data})})
        groups = {group: record(group, {"data": reference(group)}) for group in ("list", "segment")}
        relations = record(kind, {}, groups)
        return document(resource(kind, {}, {"attributes": attributes, "relationships": relations}))

    return made


def _template(needed: bool) -> Callable[[str], Check]:
    def made(revision: str) -> Check:
        optional: dict[str, Check] = {"html": text(), "text": text()}
        if revision >= "2025-01-15":
            optional["amp"] = text()
        if needed:
            required = {"name": text(null=False, least=1), "editor_type": word("CODE", "USER_DRAGGABLE")}
            return document(resource("template", {"attributes": record("template", required, optional)}))
        attributes = record("template", {}, {"name": text(), **optional})
        return document(resource("template", {"id": text(null=False), "attributes": attributes}))

    return made


def _flow(revision: str) -> Check:
    attributes = record("flow", {"status": word("draft", "manual", "live")})
    return document(resource("flow", {"id": text(null=False), "attributes": attributes}))


def _deletion(revision: str) -> Check:
    one = record("profile", {}, {"email": email(caps(revision).email), "phone_number": phone})
    subject = resource("profile", {}, {"id": text(), "attributes": one})
    attributes = record("data-privacy-deletion-job", {"profile": record("profile", {"data": subject})})
    return document(resource("data-privacy-deletion-job", {"attributes": attributes}))


_SHAPES: dict[str, Callable[[str], Check]] = {
    "create_profile": _profile("create_profile"),
    "update_profile": _profile("update_profile"),
    "create_or_update_profile": _profile("create_or_update_profile"),
    "bulk_import_profiles": _bulk_import,
    "merge_profiles": _merge,
    "add_profiles_to_list": _members("add_profiles_to_list"),
    "remove_profiles_from_list": _members("remove_profiles_from_list"),
    "create_list": _list(True),
    "update_list": _list(False),
    "create_segment": _segment(True),
    "update_segment": _segment(False),
    "bulk_subscribe_profiles": _subscribe,
    "bulk_unsubscribe_profiles": _unsubscribe,
    "bulk_suppress_profiles": _suppress("bulk_suppress_profiles"),
    "bulk_unsuppress_profiles": _suppress("bulk_unsuppress_profiles"),
    "create_event": event,
    "bulk_create_events": bulk_events,
    "create_template": _template(True),
    "update_template": _template(False),
    "update_flow": _flow,
    "request_profile_deletion": _deletion,
}
