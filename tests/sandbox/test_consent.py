"""Subscribing, unsubscribing, suppressing: what becomes of consent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.api import consent_body, consents

if TYPE_CHECKING:
    from tests.sandbox.api import Answered, Api

pytestmark = pytest.mark.clock

_WHO = "c@shop.example"


async def _subscribe(api: Api, *rows: dict[str, Any], **more: Any) -> Answered:
    return await api.call("bulk_subscribe_profiles", body=consent_body("create", *rows, **more))


async def _unsubscribe(api: Api, *rows: dict[str, Any], **more: Any) -> Answered:
    return await api.call("bulk_unsubscribe_profiles", body=consent_body("delete", *rows, **more))


def _row(word: str = "SUBSCRIBED", *channels: str, at: str | None = None) -> dict[str, Any]:
    named = channels or ("email",)
    phone = {"phone_number": "+442079460018"} if "sms" in named else {}
    return {"email": _WHO, **phone, "subscriptions": consents(word, *named, at=at)}


async def _marketing(api: Api, email: str = _WHO) -> Any:
    query = {"filter": f'equals(email,"{email}")', "additional-fields[profile]": "subscriptions"}
    [found] = (await api.call("get_profiles", query=query)).data
    return found["attributes"]["subscriptions"]["email"]["marketing"]


async def _member(api: Api, group: str) -> bool:
    lists = (await api.state())["lists"]
    return _WHO in next(one["emails"] for one in lists if one["id"] == group)


async def test_subscribing_with_a_list_shows_and_joins(api: Api) -> None:
    row = _row("SUBSCRIBED", "email", "sms")
    answer = await _subscribe(api, row, group="MeWelc", custom_source="Till")
    assert (answer.status, answer.body) == (202, None)
    marketing = await _marketing(api)
    assert (marketing["consent"], marketing["can_receive_email_marketing"]) == ("SUBSCRIBED", True)
    assert marketing["custom_method_detail"] == "Till"
    state = await api.state()
    profile = next(one for one in state["profiles"] if one.get("email") == _WHO)
    assert profile["consent"] == {"email.marketing": "SUBSCRIBED", "sms.marketing": "SUBSCRIBED"}
    assert await _member(api, "MeWelc")
    assert next(one["fired"] for one in state["flows"] if one["name"] == "Welcome Series") == 1


async def test_a_new_address_without_a_list_never_becomes_a_profile(api: Api) -> None:
    assert (await _subscribe(api, _row())).status == 202
    assert _WHO not in {one.get("email") for one in (await api.state())["profiles"]}
    await api.upsert(_WHO)
    await _subscribe(api, _row())
    assert (await _marketing(api))["consent"] == "SUBSCRIBED"


async def test_a_historical_import_keeps_its_time_and_starts_nothing(api: Api) -> None:
    await _subscribe(api, _row(at="2025-05-02T17:20:00+00:00"), group="MeWelc", historical=True)
    assert (await _marketing(api))["consent_timestamp"] == "2025-05-02T17:20:00+00:00"
    assert [one["fired"] for one in (await api.state())["flows"]] == [0] * 5
    assert await _member(api, "MeWelc")


async def test_double_opt_in_waits_for_the_click(api: Api) -> None:
    await api.control("PATCH", "lists/Newsletter", {"opt_in_process": "double_opt_in"})
    await _subscribe(api, _row(), group="MeNews")
    assert (await _marketing(api))["consent"] == "NEVER_SUBSCRIBED"
    assert not await _member(api, "MeNews")
    assert await api.control("POST", f"profiles/{_WHO}/confirm") == {"confirmed": 1}
    assert (await _marketing(api))["double_optin"] is True
    assert await _member(api, "MeNews")
    historical = {**_row(at="2025-05-02T17:20:00Z"), "email": "h@shop.example"}
    await _subscribe(api, historical, group="MeNews", historical=True)
    assert (await _marketing(api, "h@shop.example"))["consent"] == "SUBSCRIBED"


async def test_consent_takes_its_time(api: Api) -> None:
    await api.upsert(_WHO)
    await api.control("PATCH", "settings", {"consent_time": 3600.0})
    await _subscribe(api, _row(), group="MeNews")
    assert (await _marketing(api))["consent"] == "NEVER_SUBSCRIBED"
    await api.control("POST", "settle")
    assert (await _marketing(api))["consent"] == "SUBSCRIBED"


async def test_unsubscribing_without_a_list_or_outside_it_is_global(api: Api) -> None:
    for group in (None, "MeKiln"):
        await _subscribe(api, _row(), group="MeNews")
        assert (await _unsubscribe(api, _row("UNSUBSCRIBED"), group=group)).status == 202
        marketing = await _marketing(api)
        assert (marketing["consent"], marketing["can_receive_email_marketing"]) == ("UNSUBSCRIBED", False)
        assert await _member(api, "MeNews")


async def test_unsubscribing_from_a_list_that_one_is_on_stays_there(api: Api) -> None:
    await _subscribe(api, _row(), group="MeNews")
    await _unsubscribe(api, _row("UNSUBSCRIBED"), group="MeNews")
    marketing = await _marketing(api)
    assert marketing["consent"] == "SUBSCRIBED"
    assert [one["list_id"] for one in marketing["list_suppressions"]] == ["MeNews"]
    assert not await _member(api, "MeNews")


@pytest.mark.parametrize("by", ["profiles", "list", "segment"])
async def test_suppressing_and_lifting(api: Api, by: str) -> None:
    for verb, name in (("create", "bulk_suppress_profiles"), ("delete", "bulk_unsuppress_profiles")):
        data: dict[str, Any] = {"type": f"profile-suppression-bulk-{verb}-job"}
        if by == "profiles":
            row = {"type": "profile", "attributes": {"email": "vip@example.com"}}
            data["attributes"] = {"profiles": {"data": [row]}}
        else:
            ident = "MeNews" if by == "list" else "MeVip1"
            data["relationships"] = {by: {"data": {"type": by, "id": ident}}}
        answer = await api.call(name, body={"data": data})
        assert answer.status == 202
        read = name.replace("bulk", "get_bulk") + "_job"
        assert (await api.call(read, answer.data["id"])).data["attributes"]["status"] == "complete"
        assert (await api.call(f"{read}s")).ids == [answer.data["id"]]
        reasons = [one["reason"] for one in (await _marketing(api, "vip@example.com"))["suppression"]]
        assert reasons == (["USER_SUPPRESSED"] if verb == "create" else [])


async def test_subscribing_lifts_suppressions_but_not_hard_bounces(api: Api) -> None:
    profile = api.sandbox.account.find_profile("email", "vip@example.com")
    assert profile
    profile.suppressions = [
        {"reason": r, "timestamp": "2026-01-01T00:00:00Z"} for r in ("HARD_BOUNCE", "UNSUBSCRIBE")
    ]
    await _subscribe(api, {**_row(), "email": "vip@example.com"}, group="MeNews")
    marketing = await _marketing(api, "vip@example.com")
    assert [one["reason"] for one in marketing["suppression"]] == ["HARD_BOUNCE"]
    assert marketing["can_receive_email_marketing"] is False


@pytest.mark.parametrize(
    ("row", "more", "pointer"),
    [
        ({"email": _WHO}, {}, "subscriptions"),
        ({"subscriptions": consents("SUBSCRIBED", "email"), "phone_number": "+442079460018"}, {}, "email"),
        ({"email": _WHO, "subscriptions": consents("SUBSCRIBED", "sms")}, {}, "phone_number"),
        ({**_row(), "properties": {}}, {}, "properties"),
        (_row("UNSUBSCRIBED"), {}, "subscriptions/email/marketing/consent"),
        (_row(at="2025-01-01T00:00:00Z"), {}, "subscriptions/email/marketing/consented_at"),
        (_row(), {"historical": True}, "subscriptions/email/marketing/consented_at"),
        (_row(at="2099-01-01T00:00:00Z"), {"historical": True}, "subscriptions/email/marketing/consented_at"),
    ],
)
async def test_bad_rows_are_refused(
    api: Api, row: dict[str, Any], more: dict[str, Any], pointer: str
) -> None:
    answer = await _subscribe(api, row, group="MeNews", **more)
    assert answer.status == 400
    assert answer.pointers == [f"/data/attributes/profiles/data/0/attributes/{pointer}"]


async def test_an_unsupported_region_refuses_the_whole_call(api: Api) -> None:
    await api.control("PATCH", "settings", {"sms_regions": ["+1"]})
    other = {
        "email": "us@shop.example",
        "phone_number": "+15035550142",
        "subscriptions": consents("SUBSCRIBED", "sms"),
    }
    answer = await _subscribe(api, other, _row("SUBSCRIBED", "email", "sms"), group="MeNews")
    assert answer.pointers == ["/data/attributes/profiles/data/1/attributes/phone_number"]
    assert "not in a supported region" in answer.error["detail"]


async def test_how_many_profiles_a_call_takes(api: Api, api24: Api) -> None:
    def rows(count: int, word: str) -> list[dict[str, Any]]:
        return [{**_row(word), "email": f"n{n}@shop.example"} for n in range(count)]

    assert (await _subscribe(api, *rows(1000, "SUBSCRIBED"), group="MeNews")).status == 202
    assert (await _subscribe(api, *rows(1001, "SUBSCRIBED"), group="MeNews")).status == 400
    assert (await _unsubscribe(api, *rows(101, "UNSUBSCRIBED"))).status == 400
    await api.control("PATCH", "settings", {"retired": "serve"})
    assert (await _subscribe(api24, *rows(101, "SUBSCRIBED"), group="MeNews")).status == 400
    plain = {"email": "vip@example.com"}
    assert (await _unsubscribe(api24, plain)).status == 202
    assert (await _marketing(api24, "vip@example.com"))["consent"] == "UNSUBSCRIBED"
