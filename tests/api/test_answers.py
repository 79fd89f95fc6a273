"""Answers out: what the account says, and writes that go the way of a workflow's."""

from __future__ import annotations

from typing import Any

import pytest

from askel_tui.store.locks import OwnershipLock
from tests.support.bad_days import change
from tests.support.http_api import RunningApi
from tests.support.workbench import NAME

pytestmark = pytest.mark.clock

HERE = f"/v1/connections/{NAME}"
ADA = {"email": "ada@mapleandember.example"}


async def test_membership_is_one_call_and_remembered_with_its_age(api: RunningApi) -> None:
    path = f"{HERE}/segments/VIP/members"
    await api.http.get(path, params={"email": "nobody@x.example"})
    before = api.bench.sandbox.world.logged_count
    first = (await api.http.get(path, params={"email": "vip@example.com"})).json()
    again = (await api.http.get(path, params={"email": "vip@example.com"})).json()
    assert first["member"] is True
    assert first["segment"]["name"] == "VIP"
    assert (first["age_s"], again["member"]) == (0, True)
    assert again["age_s"] > 0
    assert api.bench.sandbox.world.logged_count == before + 1
    fresh = (await api.http.get(path, params={"email": "vip@example.com", "fresh": "true"})).json()
    assert fresh["age_s"] == 0
    assert api.bench.sandbox.world.logged_count == before + 2


async def test_membership_by_each_way_to_name_a_profile(api: RunningApi) -> None:
    profile = api.bench.profile("vip@example.com")
    path = f"{HERE}/segments/{(await _segment(api))['id']}/members"
    ways = {"email": "VIP@example.com", "id": profile["id"]}
    for name in ("phone_number", "external_id"):
        if profile.get(name):
            ways[name.removesuffix("_number")] = profile[name]
    for name, value in ways.items():
        assert (await api.http.get(path, params={name: value})).json()["member"] is True, name
    for name, value in {"email": "no@x.example", "external_id": "nobody", "id": "01HNOBODY"}.items():
        assert (await api.http.get(path, params={name: value})).json()["member"] is False, name


async def _segment(api: RunningApi) -> dict[str, Any]:
    answer = await api.http.get(f"{HERE}/segments/VIP/members", params={"email": "vip@example.com"})
    found: dict[str, Any] = answer.json()["segment"]
    return found


async def test_an_unknown_segment_is_suggested_and_no_profile_is_asked_back(api: RunningApi) -> None:
    unknown = await api.http.get(f"{HERE}/segments/VIPs/members", params={"email": "a@x.example"})
    assert unknown.status_code == 404
    assert "VIP" in unknown.json()["error"]["message"]
    for params in ({}, {"email": "a@x.example", "id": "x"}):
        assert (await api.http.get(f"{HERE}/segments/VIP/members", params=params)).status_code == 400
    assert (
        await api.http.get(f"{HERE}/segments/VIP/members", params={"phone": "020 7946"})
    ).status_code == 422


async def test_a_profile_is_what_the_account_has(api: RunningApi) -> None:
    found = (
        await api.http.get(f"{HERE}/profiles", params={"email": "vip@example.com", "consent": "true"})
    ).json()
    assert found["id"] == api.bench.profile("vip@example.com")["id"]
    assert "email" in found["consent"]
    assert (await api.http.get(f"{HERE}/profiles", params={"id": found["id"]})).json()["id"] == found["id"]
    assert (await api.http.get(f"{HERE}/profiles", params={"email": "no@x.example"})).status_code == 404


async def test_a_profile_is_written_and_audited_under_the_tokens_name(api: RunningApi) -> None:
    body = {
        "profile": {**ADA, "external_id": "S-1"},
        "attributes": {"first_name": "Ada", "location": {"city": "Leeds"}},
        "properties": {"LoyaltyTier": "Gold", 'a "b".c': [1, {"d": None}]},
    }
    answer = await api.http.post(f"{HERE}/profiles", json=body, headers=api.token("backend", "send"))
    assert answer.status_code == 200
    report = answer.json()
    assert report["complete"]
    assert [receipt["status"] for receipt in report["receipts"]] == ["written"]
    profile = api.bench.profile(ADA["email"])
    assert profile["first_name"] == "Ada"
    assert profile["location"]["city"] == "Leeds"
    assert profile["properties"]['a "b".c'] == [1, {"d": None}]
    entries = await api.audited(record=report["record"])
    assert {entry.actor for entry in entries} == {"token:backend"}

    cleared = {"profile": ADA, "attributes": {"first_name": None}, "properties": {"LoyaltyTier": None}}
    assert (await api.http.post(f"{HERE}/profiles", json=cleared)).status_code == 200
    profile = api.bench.profile(ADA["email"])
    assert not profile.get("first_name")
    assert "LoyaltyTier" not in profile["properties"]


async def test_lists_take_and_give_back_members(api: RunningApi) -> None:
    path = f"{HERE}/lists/Newsletter/members"
    added = await api.http.post(path, json={"profile": ADA})
    assert added.json()["complete"]
    assert ADA["email"] in api.bench.on_list("Newsletter")
    removed = await api.http.request("DELETE", path, json={"profile": ADA})
    assert removed.json()["complete"]
    assert ADA["email"] not in api.bench.on_list("Newsletter")
    unknown = await api.http.post(f"{HERE}/lists/Newsleter/members", json={"profile": ADA})
    assert unknown.status_code == 404
    assert "Newsletter" in unknown.text


async def test_a_write_does_not_wait_for_the_lock_that_its_own_daemon_holds(
    api: RunningApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(_: OwnershipLock) -> None:
        raise AssertionError("the whole server would stand still meanwhile")

    monkeypatch.setattr(OwnershipLock, "acquire", never)
    answer = await api.http.post(f"{HERE}/profiles", json={"profile": ADA})
    assert answer.json()["complete"]


async def test_an_event_that_is_sent_again_is_one_event(api: RunningApi) -> None:
    body = {
        "profile": ADA,
        "metric": "Gift Used",
        "properties": {"Gift": "Ember mug"},
        "value": 12.5,
        "value_currency": "GBP",
    }
    key = {"Idempotency-Key": "gift-1"}
    first = await api.http.post(f"{HERE}/events", json=body, headers=key)
    again = await api.http.post(f"{HERE}/events", json=body, headers=key)
    assert first.json()["complete"]
    assert again.json()["complete"]
    assert first.json()["record"] == again.json()["record"]
    events = api.bench.events("Gift Used")
    assert len(events) == 1
    assert events[0]["value"] == 12.5
    other = await api.http.post(f"{HERE}/events", json={**body, "value": 1}, headers=key)
    assert other.status_code == 422


async def test_a_flow_is_fired_through_its_trigger(api: RunningApi) -> None:
    path = f"{HERE}/flows/Welcome Series/fire"
    fired = await api.http.post(path, json={"profile": ADA})
    assert fired.json()["complete"]
    assert ADA["email"] in api.bench.on_list("Welcome Flow")
    again = await api.http.post(path, json={"profile": ADA})
    assert "already" in " ".join(again.json()["warnings"])
    assert (await api.http.post(f"{HERE}/flows/Nothing/fire", json={"profile": ADA})).status_code == 404


async def test_a_queued_write_is_kept_and_done(api: RunningApi) -> None:
    answer = await api.http.post(f"{HERE}/profiles", params={"wait": "false"}, json={"profile": ADA})
    assert answer.status_code == 202
    report = answer.json()
    assert not report["complete"]
    async for entry in api.bench.instance.journal.follow_audit(_of(report["record"]), 0):
        assert entry.status == "written"
        break
    assert api.bench.profile(ADA["email"])


def _of(record: str) -> Any:
    from askel_tui.store.journal.rows import AuditFilter

    return AuditFilter(record=record)


UNWRITABLE: list[tuple[str, dict[str, Any], str]] = [
    ("events", {"profile": {}, "metric": "x"}, "email"),
    ("events", {"profile": ADA}, "metric"),
    ("events", {"profile": ADA, "metric": "x", "time": "yesterday"}, "time"),
    ("events", {"profile": {**ADA, "phone_number": None}, "metric": "x"}, "profile"),
    ("events", {"profile": {"email": "no address"}, "metric": "x"}, "email"),
    ("profiles", {"profile": ADA, "attributes": {"nickname": "A"}}, "nickname"),
    ("profiles", {"profile": ADA, "surprise": 1}, "surprise"),
    ("profiles", {"profile": {"phone_number": "0207"}}, "phone_number"),
]


async def test_what_can_not_be_written_is_said_before_anything_is_sent(api: RunningApi) -> None:
    before = api.bench.sandbox.world.logged_count
    for path, body, said in UNWRITABLE:
        answer = await api.http.post(f"{HERE}/{path}", json=body)
        assert answer.status_code == 422, body
        assert said in answer.text
    reads = [entry for entry in api.bench.requests(after=before) if entry["method"] != "GET"]
    assert reads == []


async def test_a_write_of_which_klaviyo_left_something_out_says_so(api: RunningApi) -> None:
    change(api.bench, "PATCH", "settings", dropped_phones=["+1555"])
    body = {"profile": {**ADA, "phone_number": "+15555550100"}, "attributes": {"first_name": "Ada"}}
    report = (await api.http.post(f"{HERE}/profiles", json=body)).json()
    assert [receipt["differences"] for receipt in report["receipts"]] == [
        [{"field": "phone_number", "sent": "+15555550100", "answered": None}]
    ]
    event = {"profile": {"email": "qa@test.com"}, "metric": "Gift Used"}
    [receipt] = (await api.http.post(f"{HERE}/events", json=event)).json()["receipts"]
    assert (receipt["status"], receipt["differences"]) == ("unconfirmed", [])
    assert receipt["detail"] == "Klaviyo keeps no events of test.com"
