"""Who is let in: keys, scopes, revisions, paths, parameters, bodies, limits; and the bodies of refusals."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from askel_tui.contract.endpoints import published_endpoints
from tests.sandbox.api import Api, api_of, event_body
from tests.support.sandbox import running

if TYPE_CHECKING:
    from tests.sandbox.api import Answered


def _rate_headers(answer: Answered) -> list[str]:
    return [name for name in answer.headers if name.lower().startswith("ratelimit")]


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "not_authenticated"),
        ("Klaviyo-API-Key pk_nobody", "authentication_failed"),
        ("Bearer pk_sandbox_maple_ember_full", "authentication_failed"),
    ],
)
async def test_without_a_good_key_it_is_a_401_without_rate_headers(api: Api, header: str, code: str) -> None:
    answer = await api.raw("GET", "/api/accounts", Authorization=header)
    assert (answer.status, answer.error["code"]) == (401, code)
    assert set(answer.error) == {"id", "status", "code", "title", "detail", "source"}
    assert _rate_headers(answer) == []


async def test_a_missing_scope_is_a_403_that_does_not_name_it(api: Api) -> None:
    api.key = (await api.control("POST", "keys", {"scopes": ["accounts:read", "profiles:read"]}))["key"]
    assert (await api.call("get_accounts")).status == 200
    answer = await api.call("get_lists")
    assert (answer.status, answer.error["code"]) == (403, "permission_denied")
    assert "scope" not in json.dumps(answer.body)
    assert len(_rate_headers(answer)) == 3
    await api.control("POST", "keys/revoke", {"key": api.key})
    assert (await api.call("get_accounts")).status == 401


@pytest.mark.parametrize("path", ["/api/lists", "/api/lists/"])
@pytest.mark.parametrize("revision", ["2024-02-15", "2025-01-15", "2026-07-15"])
async def test_both_forms_of_a_path_are_served(api: Api, path: str, revision: str) -> None:
    assert (await api.raw("GET", path, revision=revision)).status == 200


@pytest.mark.parametrize(
    ("revision", "status"),
    [
        ("", 400),
        ("newest", 400),
        ("2099-01-01", 400),
        ("2026-10-15", 200),
        ("2025-10-15", 200),
        ("2023-02-22", 200),
    ],
)
async def test_revisions_are_resolved(api: Api, revision: str, status: int) -> None:
    assert (await api.raw("GET", "/api/accounts", revision=revision)).status == status


@pytest.mark.parametrize(
    ("today", "named", "served"),
    [
        ("2026-02-14", "2024-02-15", "2024-02-15"),
        ("2026-02-15", "2024-02-15", "2024-05-15"),
        ("2026-12-01", "2024-02-15", "2025-01-15"),
        ("2027-01-16", "2024-02-15", "2025-04-15"),
        ("2027-01-16", "2025-01-15", "2025-04-15"),
        ("2027-01-16", "2026-08-01", "2026-07-15"),
        ("2030-01-01", "2026-10-15", "2026-10-15"),
    ],
)
async def test_what_serves_a_revision_moves_with_the_day(
    api: Api, today: str, named: str, served: str
) -> None:
    await api.control("PATCH", "settings", {"today": today})
    assert (await api.raw("GET", "/api/lists", revision=named)).status == 200
    assert list(api.sandbox.world.log)[-1]["served"] == served
    gone = await api.raw("GET", "/api/lists", revision=named, X_Klaviyo_Revision_Fall_Forward_Opt_Out="1")
    is_retired = date.fromisoformat(named).replace(year=int(named[:4]) + 2).isoformat() <= today
    assert gone.status == (410 if is_retired else 200)


async def test_rules_that_are_not_at_hand_are_those_before_and_after_both(api: Api) -> None:
    """2025-04-15 takes 400 properties by what it changed, but that is not at hand: 2025-01-15's 300 hold."""
    await api.control("PATCH", "settings", {"today": "2027-01-16"})
    for count, time, status in (
        (300, "2026-01-01T00:00:00Z", 202),
        (301, "2026-01-01T00:00:00Z", 400),
        (1, "1995-01-01T00:00:00Z", 400),
    ):
        body = event_body("p@shop.example", "M", f"u{count}{time}", time=time)
        body["data"]["attributes"]["properties"] = {str(number): 1 for number in range(count)}
        sent = json.dumps(body).encode()
        assert (await api.raw("POST", "/api/events", body=sent, revision="2024-02-15")).status == status, (
            count,
            time,
        )
    for name in ("2027-13-01", "tomorrow", "20270116"):
        assert (
            await api.raw("PATCH", "/sandbox/settings", body=json.dumps({"today": name}).encode())
        ).status == 400


async def test_a_retired_revision_falls_forward_is_served_or_gone(api24: Api) -> None:
    target = "/api/lists/MeWelc/flow-triggers"
    assert (await api24.raw("GET", target)).status == 200
    opted_out = await api24.raw("GET", target, X_Klaviyo_Revision_Fall_Forward_Opt_Out="1")
    assert opted_out.status == 410
    await api24.control("PATCH", "settings", {"retired": "gone"})
    assert (await api24.raw("GET", target)).status == 410
    await api24.control("PATCH", "settings", {"retired": "serve"})
    missing = await api24.raw("GET", target)
    assert (missing.status, missing.error["detail"][:29]) == (404, "No valid revisions found for ")
    page = await api24.call("get_profile_ids_for_list", "MeNews", query={"page[size]": "1000"})
    assert page.status == 200


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/api/nothing", 404),
        ("GET", "/elsewhere", 404),
        ("PUT", "/api/lists", 405),
        ("GET", "/api/lists/NOPE01", 404),
        ("GET", "/api/segments/NOPE01", 404),
        ("GET", "/api/profiles/NOPE01", 404),
        ("GET", "/api/flows/NOPE01", 404),
        ("GET", "/api/metrics/NOPE01", 404),
        ("GET", "/api/templates/NOPE01", 404),
        ("GET", "/api/accounts/NOPE01", 404),
        ("GET", "/api/webhooks", 403),
        ("GET", "/api/lists?filter=equals(name)", 400),
        ("GET", "/api/lists?filter=contains(name,%22x%22)", 400),
        ("GET", "/api/lists?filter=equals(colour,%22x%22)", 400),
        ("GET", "/api/lists?filter=equals(name,%22x%22", 400),
        ("GET", "/api/lists?include=profiless", 400),
        ("GET", "/api/lists?sort=colour", 400),
        ("GET", "/api/lists?fields[list]=colour", 400),
        ("GET", "/api/lists?page[cursor]=nonsense", 400),
        ("GET", "/api/lists?colour=red", 400),
        ("GET", "/api/metrics?page[size]=10", 400),
        ("GET", "/api/profiles?additional-fields[profile]=colour", 400),
        ("GET", "/api/profiles?page[size]=0", 400),
    ],
)
async def test_what_does_not_exist_or_is_not_allowed(api: Api, method: str, target: str, status: int) -> None:
    answer = await api.raw(method, target)
    assert answer.status == status
    assert answer.error["status"] == status


async def test_a_filter_operator_is_refused_in_klaviyos_words(api: Api) -> None:
    answer = await api.raw("GET", "/api/flows?filter=any(name,[%22x%22])")
    assert answer.error["source"] == {"parameter": "filter"}
    assert answer.error["detail"].startswith(
        "'any' is not an allowed filter operator for name.  Allowed operators are "
    )


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {}, 400),
        (b"", {}, 400),
        (b"[]", {}, 400),
        (b'{"data": NaN}', {}, 400),
        (b'{"data": {}}', {}, 400),
        (b"[" * 100_000, {}, 400),
        (b'{"data": "\xff"}', {}, 400),
        (b"{}", {"Content_Type": "text/plain"}, 415),
        (b'{"data": "' + b"x" * 5_000_001 + b'"}', {}, 413),
    ],
)
async def test_bad_bodies(api: Api, body: bytes, headers: dict[str, str], status: int) -> None:
    answer = await api.raw("POST", "/api/events", body=body, **headers)
    assert answer.status == status
    assert answer.error["status"] == status


async def test_keys_see_their_own_account_only(api: Api) -> None:
    await api.control("POST", "accounts", {"id": "Other1", "name": "Other"})
    key = (await api.control("POST", "keys", {"account": "Other1"}))["key"]
    async with api_of(api.sandbox) as other:
        other.key = key
        assert (await other.call("get_accounts")).data[0]["id"] == "Other1"
        assert (await other.call("get_lists")).ids == []
        assert (await other.call("get_account", "MpEmbr")).status == 404
    assert (await api.call("get_account", "MpEmbr")).status == 200


async def test_a_full_window_throttles_with_retry_after_only() -> None:
    async with running(limits=True) as sandbox, api_of(sandbox) as api:
        limit = next(
            w.limit for w in published_endpoints(api.revision)["get_accounts"].windows if w.seconds == 60
        )
        answers: list[Answered] = []
        while len(answers) < 200 and sum(one.status == 200 for one in answers) < limit:
            answers.append(await api.call("get_accounts"))
            for count in sandbox.world.rate_limits._counts:
                if count[2] == 1:  # a second passes
                    sandbox.world.rate_limits._counts[count] = (-1, 0)
        assert [one.headers["RateLimit-Limit"] for one in answers[:1]] == ["1, 1;w=1, 15;w=60"]
        throttled = await api.call("get_accounts")
        assert (throttled.status, throttled.error["code"]) == (429, "throttled")
        assert 1 <= int(throttled.headers["Retry-After"]) <= 60
        assert _rate_headers(throttled) == []
        await api.control("POST", "windows/open")
        assert (await api.call("get_accounts")).status == 200


async def test_windows_are_per_account_and_endpoint_and_shown_in_headers() -> None:
    async with running(limits=True) as sandbox, api_of(sandbox) as api:
        await api.control("POST", "accounts", {"id": "Other1"})
        other = (await api.control("POST", "keys", {"account": "Other1"}))["key"]
        first = await api.call("get_lists")
        assert first.headers["RateLimit-Limit"] == "75, 75;w=1, 750;w=60"
        assert (first.headers["RateLimit-Remaining"], first.headers["RateLimit-Reset"]) == ("74", "0")
        assert (await api.call("get_segments")).headers["RateLimit-Remaining"] == "74"
        made = await api.raw("POST", "/api/lists", body=b"{}")
        assert made.headers["RateLimit-Limit"] == "10, 10;w=1, 150;w=60, 150;w=86400"
        api.key = other
        assert (await api.call("get_lists")).headers["RateLimit-Remaining"] == "74"


async def test_an_additional_field_opens_a_second_window() -> None:
    async with running(limits=True) as sandbox, api_of(sandbox) as api:
        query = {"additional-fields[list]": "profile_count"}
        statuses = [(await api.call("get_list", "MeNews", query=query)).status for _ in range(20)]
        assert 429 in statuses
        assert (await api.call("get_list", "MeNews")).status == 200


async def test_the_older_revisions_limits_are_kept(api24: Api) -> None:
    answer = await api24.call("get_profiles")
    assert answer.headers["RateLimit-Limit"] == "75, 75;w=1, 700;w=60"


async def test_nothing_of_a_refused_call_is_written(api: Api) -> None:
    body = event_body("x@shop.example", "A", "u")
    body["data"]["attributes"]["colour"] = "red"
    await api.call("create_event", body=body)
    state: Any = await api.state()
    assert state["events"] == []
    assert "x@shop.example" not in {one.get("email") for one in state["profiles"]}
