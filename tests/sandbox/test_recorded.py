"""Answers have the shape of those that the real API gave: the same keys, the same kinds of links."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from askel_tui.contract.endpoints import NEWEST, published_endpoints
from askel_tui.sandbox.jsonapi import ids_and_times
from askel_tui.sandbox.state import model
from tests.sandbox.api import api_of, bulk_events_body, consent_body, consents, event_body, import_body
from tests.support.files import RECORDED
from tests.support.sandbox import running

if TYPE_CHECKING:
    from askel_tui.sandbox.state.account import Account

pytestmark = pytest.mark.clock

_PROFILES = ("01M1PAAR5HBCRHA3NN9NG5WRTA", "01M1PA9DFJNNYT82A7K2AEG8QT")
_EMAILS = ("sdk-smoke+09047c86-a@example.com", "sdk-smoke+0904b052-s1@example.com")
_FREE = ("properties", "event_properties", "definition", "predictive_analytics", "integration", "filter")
"""Keys whose content is the customer's, or not the sandbox's to make up."""
_NOT_SERVED = ("query_metric_aggregates", "create_segment")
"""A report, and a 429 that `get_accounts` has too."""
_OTHER_RESOURCES = ("flow-action", "tag")
"""Included resources that the sandbox has none of."""
_FILES = sorted(RECORDED.glob("*.json"))


def _recorded(path: Any) -> Any:
    return json.loads(path.read_text())


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
async def test_the_shape_is_that_of_the_recording(path: Any) -> None:
    recorded = _recorded(path)
    name, wanted = recorded["operation"], recorded["response"]
    if name in _NOT_SERVED:
        return
    limits = wanted["status"] == 429
    async with running(limits=limits, job_time=3600.0 if name.startswith("bulk") else 0.0) as sandbox:
        account = sandbox.account
        ident = (
            recorded["request"]["path"].split("/")[3] if recorded["request"]["path"].count("/") > 2 else ""
        )
        _furnish(account, ident)
        async with api_of(sandbox) as api:
            if wanted["status"] == 401:
                api.key = "pk_nobody"
            answer = await api.raw(
                recorded["request"]["method"],
                recorded["request"]["path"] + _query(recorded["request"]["query"]),
                body=_profile_body(
                    {"email": _EMAILS[0] if wanted["status"] in (200, 409) else "fresh@shop.example"}
                )
                if name in ("create_profile", "create_or_update_profile")
                else _body(name, ident),
            )
            while limits and answer.status != 429:
                answer = await api.call(name)
    assert answer.status == wanted["status"], answer.body
    headers = {key.lower() for key in answer.headers} & {"ratelimit-limit", "ratelimit-reset", "retry-after"}
    assert headers == set(wanted["headers"]) - {"content-type", "ratelimit-remaining"}
    assert answer.headers.get("RateLimit-Limit") == wanted["headers"].get("ratelimit-limit")
    _same(answer.body, wanted["body"], "")
    if (
        wanted["body"]
        and "links" in wanted["body"]
        and "cursor" not in recorded["request"]["query"].get("page", {})
    ):
        message = answer.body["links"]["self"].removeprefix(api.sandbox.url)
        assert message == wanted["body"]["links"]["self"].removeprefix("https://a.klaviyo.com")


def test_every_recorded_endpoint_is_looked_at() -> None:
    names = {_recorded(path)["operation"] for path in _FILES}
    assert len(_FILES) > 60
    assert names <= published_endpoints(NEWEST).keys()


def _same(mine: Any, theirs: Any, at: str) -> None:
    """Compares keys all the way down; lists by their first items; an empty list may stand for an empty object."""
    if theirs in ([], {}) or mine in ([], {}, None) or theirs is None:
        assert type(mine) is type(theirs) or mine in ([], {}, None) or theirs in ([], {}, None), at
        return
    if isinstance(theirs, dict):
        assert isinstance(mine, dict), at
        assert set(mine) == set(theirs), f"{at}: mine {sorted(mine)}, recorded {sorted(theirs)}"
        for key, value in theirs.items():
            if key not in _FREE:
                _same(mine[key], value, f"{at}/{key}")
    elif isinstance(theirs, list):
        assert isinstance(mine, list), at
        if at == "/included":
            _same_included(mine, theirs)
        else:
            _same(mine[0], theirs[0], f"{at}/0")
    else:
        assert type(mine) is type(theirs) or {type(mine), type(theirs)} == {int, float}, (
            f"{at}: {mine!r} {theirs!r}"
        )


def _same_included(mine: list[Any], theirs: list[Any]) -> None:
    kinds = {one["type"]: one for one in theirs if one["type"] not in _OTHER_RESOURCES}
    for one in mine:
        if one["type"] in kinds:
            _same(one, kinds[one["type"]], f"/included/{one['type']}")


def _query(given: dict[str, Any]) -> str:
    flat: dict[str, str] = {}
    for key, value in given.items():
        if isinstance(value, dict):
            flat |= {f"{key}[{inner}]": str(text) for inner, text in value.items()}
        else:
            flat[key] = str(value)
    if "cursor" in given.get("page", {}):
        del flat["page[cursor]"]  # another server's
    return f"?{urlencode(flat)}" if flat else ""


def _furnish(account: Account, ident: str) -> None:
    """Has everything in the account that the recordings ask for by id."""
    now = 1_788_529_000.0
    for number, profile_id in enumerate(_PROFILES):
        profile = model.Profile(profile_id, now, now)
        account.profiles[profile_id] = profile
        account.set_identifier(profile, "email", _EMAILS[number])
        profile.properties["sdk_smoke_run"] = "x"
        profile.suppressions = [
            {"reason": "USER_SUPPRESSED", "timestamp": ids_and_times.format_microseconds(now)}
        ]
    for list_id in ("YafG4m", "TjmPN9", "UXmGFD"):
        account.lists[list_id] = model.ProfileList(list_id, f"list {list_id}", now, now)
        for profile_id in _PROFILES:
            account.lists[list_id].members[profile_id] = now
            account.profiles[profile_id].lists[list_id] = now
    members = dict.fromkeys(_PROFILES, now)
    definition = {"condition_groups": [{"conditions": [{"type": "none"}]}]}
    for segment_id in ("RvKscW", "SAx2Kq"):
        name = "sdk-smoke-0904b052-segment" + ("2" if segment_id == "SAx2Kq" else "")
        account.segments[segment_id] = model.Segment(segment_id, name, now, now, definition, members=members)
    metric = account.add_metric(model.Metric("SkDfHe", "SDK Smoke", now, now, dict(account.integration)))
    metric.properties = {"$value": "numeric"}
    properties = {"sku": "D4"}
    event = model.Event("7qWkC6JPz7g", 1, "SkDfHe", _PROFILES[0], int(now), properties, "u", 3.0, "EUR")
    account.add_event(event)
    later = model.Event("7qWkC6JPz7h", 2, "SkDfHe", _PROFILES[0], int(now) + 1, properties, "v", 3.0, "EUR")
    account.add_event(later)
    account.add_event(model.Event("7qWkC6JPz7i", 3, "SkDfHe", _PROFILES[0], int(now), {}, "w", 3.0, "EUR"))
    account.flows["T6EyQF"] = model.Flow("T6EyQF", "sdk-smoke-09049919-flow", now, now)
    for template_id in ("Vm6eis", "SpfvU7"):
        name = "sdk-smoke-0904a5e6-tpl-code"
        account.templates[template_id] = model.Template(template_id, name, now, now)
    if len(ident) > 26:
        job = model.Job(ident, "import", now, 3, status="complete", lists=["YafG4m"])
        job.profiles = [*_PROFILES, "01M1PA9DFJNNYT82A7K2AEG8QV"]
        account.jobs[ident] = job
    elif len(ident) == 26 and ident not in account.profiles:
        account.jobs[ident] = model.Job(ident, "suppress", now, 1, status="complete")
    done = model.Job("done", "import", now, 3, status="complete", lists=["YafG4m"])
    account.jobs["done"] = done
    if ident in ("WBhXHN",):
        account.id = ident


def _body(name: str, ident: str) -> bytes | None:
    """A body for the writes; recordings have none."""
    new: dict[str, Any] = {"email": "fresh@shop.example"}
    known: dict[str, Any] = {"email": _EMAILS[0], "properties": {"company_id": "x"}, "first_name": "S"}
    reference = {"type": "profile", "id": _PROFILES[0]}
    source = {"type": "profile", "id": _PROFILES[1]}
    webhook = {"type": "webhook", "attributes": {}}
    bodies: dict[str, Any] = {
        "add_profiles_to_list": {"data": [reference]},
        "remove_profiles_from_list": {"data": [reference]},
        "create_event": event_body("fresh@shop.example", "SDK Smoke", "u2"),
        "bulk_create_events": bulk_events_body(("fresh@shop.example", [{"metric": "SDK Smoke"}])),
        "bulk_import_profiles": import_body(new, new, known, lists=("YafG4m",)),
        "bulk_subscribe_profiles": consent_body(
            "create", {**new, "subscriptions": consents("SUBSCRIBED", "email")}
        ),
        "bulk_unsubscribe_profiles": consent_body(
            "delete", {**new, "subscriptions": consents("UNSUBSCRIBED", "email")}
        ),
        "bulk_suppress_profiles": {
            "data": {
                "type": "profile-suppression-bulk-create-job",
                "attributes": {
                    "profiles": {"data": [{"type": "profile", "attributes": {"email": _EMAILS[0]}}]}
                },
            }
        },
        "create_list": {"data": {"type": "list", "attributes": {"name": "l"}}},
        "update_list": {"data": {"type": "list", "id": ident, "attributes": {"name": "l"}}},
        "update_profile": {"data": {"type": "profile", "id": ident, "attributes": known}},
        "merge_profiles": {
            "data": {
                "type": "profile-merge",
                "id": _PROFILES[0],
                "relationships": {"profiles": {"data": [source]}},
            }
        },
        "request_profile_deletion": {
            "data": {"type": "data-privacy-deletion-job", "attributes": {"profile": {"data": source}}}
        },
        "create_webhook": {"data": webhook},
    }
    return json.dumps(bodies[name]).encode() if name in bodies else None


def _profile_body(attributes: dict[str, Any]) -> bytes:
    return json.dumps({"data": {"type": "profile", "attributes": attributes}}).encode()
