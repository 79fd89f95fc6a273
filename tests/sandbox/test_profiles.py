"""Profiles: creating, upserting, patching, conflicts, merging, listing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.api import event_body, members_body
from tests.support.files import RECORDED

if TYPE_CHECKING:
    from tests.sandbox.api import Api

pytestmark = pytest.mark.clock


def _patch(ident: str, attributes: dict[str, Any], **patches: Any) -> dict[str, Any]:
    data = {"type": "profile", "id": ident, "attributes": attributes}
    return {"data": {**data, **({"meta": {"patch_properties": patches}} if patches else {})}}


async def test_an_upsert_creates_then_updates(api: Api) -> None:
    first = await api.upsert("New@Shop.example", first_name="Ada", properties={"a": 1, "b": {"x": 1}})
    second = await api.upsert(
        "new@shop.example", phone_number="+442079460018", first_name=None, properties={"b": {"y": 2}}
    )
    assert (first.status, second.status) == (201, 200)
    assert second.data["id"] == first.data["id"]
    attributes = second.data["attributes"]
    assert attributes["first_name"] is None
    assert attributes["phone_number"] == "+442079460018"
    assert attributes["properties"] == {"a": 1, "b": {"y": 2}}
    by_phone = await api.call(
        "create_or_update_profile", body=_import(phone_number="+442079460018", title="Dr")
    )
    assert by_phone.data["id"] == first.data["id"]


def _import(ident: str | None = None, meta: Any = None, **attributes: Any) -> dict[str, Any]:
    data: dict[str, Any] = {"type": "profile", "attributes": attributes}
    if ident:
        data["id"] = ident
    if meta:
        data["meta"] = {"patch_properties": meta}
    return {"data": data}


async def test_patches_append_take_away_and_unset(api: Api) -> None:
    start = {"tags": ["a", "b"], "one": "x", "gone": 1, "also": 2}
    ident = (await api.upsert("p@shop.example", properties=start)).data["id"]
    meta = {"append": {"tags": "c", "one": ["y", "z"], "fresh": "n"}, "unset": ["gone", "also"]}
    body = _import(email="p@shop.example", meta=meta)
    after = await api.call("create_or_update_profile", body=body)
    assert after.data["attributes"]["properties"] == {
        "tags": ["a", "b", "c"],
        "one": ["x", "y", "z"],
        "fresh": ["n"],
    }
    patched = await api.call(
        "update_profile", ident, body=_patch(ident, {}, unappend={"tags": ["a", "b"]}, unset="one")
    )
    assert patched.data["attributes"]["properties"] == {"tags": ["c"], "fresh": ["n"]}


async def test_identifiers_of_two_profiles_conflict(api: Api) -> None:
    mine = (await api.upsert("one@shop.example")).data["id"]
    other = (await api.upsert("two@shop.example", external_id="E-2")).data["id"]
    for answer in (
        await api.upsert("one@shop.example", external_id="E-2", first_name="No"),
        await api.call("update_profile", mine, body=_patch(mine, {"external_id": "E-2"})),
        await api.call("create_or_update_profile", body=_import(mine, email="two@shop.example")),
        await api.call("create_profile", body=_import(external_id="E-2")),
    ):
        assert answer.status == 409
        assert answer.error["code"] == "duplicate_profile"
        assert answer.error["meta"] == {"duplicate_profile_id": other}
    assert (await api.call("get_profile", mine)).data["attributes"]["first_name"] is None


async def test_a_merge_keeps_the_destination_and_what_only_the_source_had(api: Api) -> None:
    into = (await api.upsert("in@shop.example", properties={"tier": "gold"})).data["id"]
    source = (await api.upsert("src@shop.example", external_id="S", properties={"tier": "x", "n": 1})).data[
        "id"
    ]
    await api.call("add_profiles_to_list", "MeKiln", body=members_body(source))
    await api.call("create_event", body=event_body("src@shop.example", "Seen", "u"))
    data: dict[str, Any] = {"type": "profile-merge", "id": into}
    data["relationships"] = {"profiles": {"data": [{"type": "profile", "id": source}]}}
    assert (await api.call("merge_profiles", body={"data": data})).status == 202
    profile = (await api.call("get_profile", into)).data["attributes"]
    assert profile["properties"] == {"tier": "gold", "n": 1}
    assert profile["external_id"] == "S"
    assert profile["email"] == "in@shop.example"
    state = await api.state()
    assert next(one for one in state["lists"] if one["id"] == "MeKiln")["members"] == [into]
    assert [event["profile"] for event in state["events"]] == [into]
    assert (await api.call("get_profile", source)).status == 404
    await api.control("PATCH", "settings", {"merged_profile": "survivor"})
    assert (await api.call("get_profile", source)).data["id"] == into


async def test_profiles_are_listed_in_pages_in_both_directions(api: Api) -> None:
    for number in range(7):
        await api.upsert(f"page{number}@shop.example")
    query = {"page[size]": "4", "sort": "-email", "fields[profile]": "email"}
    seen = [page async for page in api.pages("get_profiles", query=query)]
    emails = [one["attributes"]["email"] for page in seen for one in page.data]
    assert emails == sorted((one["email"] for one in (await api.state())["profiles"]), reverse=True)
    assert len(seen[0].data) == 4
    assert seen[0].body["links"]["next"].startswith("https://127.0.0.1:")
    back = await api.raw("GET", seen[1].body["links"]["prev"])
    assert back.data == seen[0].data
    assert all(set(one["attributes"]) == {"email"} for page in seen for one in page.data)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('any(email,["wren@mapleandember.example","SOL@mapleandember.example","no@x.example"])', 2),
        ('equals(external_id,"ME-0004")', 1),
        ('equals(email,"wren@mapleandember.example"),equals(external_id,"ME-0004")', 0),
        ("greater-than(created,2020-01-01T00:00:00Z)", 12),
        ("and(less-than(created,2020-01-01T00:00:00Z),greater-than(updated,2020-01-01T00:00:00Z))", 0),
        ("equals(email,'o\\'neil@x.example')", 0),
    ],
)
async def test_profiles_are_found_by_filters(api: Api, text: str, wanted: int) -> None:
    answer = await api.call("get_profiles", query={"filter": text})
    assert answer.status == 200
    assert len(answer.data) == wanted


async def test_groups_of_a_profile(api: Api) -> None:
    vip = (await api.call("get_profiles", query={"filter": 'equals(email,"vip@example.com")'})).data[0]["id"]
    assert (await api.call("get_list_ids_for_profile", vip)).ids == ["MeNews", "MePrmo"]
    assert (await api.call("get_lists_for_profile", vip)).ids == ["MeNews", "MePrmo"]
    assert (await api.call("get_segment_ids_for_profile", vip)).ids == ["MeGold", "MeTier", "MeVip1"]
    assert (await api.call("get_segments_for_profile", vip)).ids == ["MeGold", "MeTier", "MeVip1"]
    one = await api.call("get_profile", vip, query={"include": "lists,segments"})
    assert {each["id"] for each in one.body["included"]} == {"MeGold", "MeNews", "MePrmo", "MeTier", "MeVip1"}


async def test_a_profile_can_be_deleted_for_privacy(api: Api) -> None:
    subject = {"type": "profile", "attributes": {"email": "vip@example.com"}}
    attributes = {"profile": {"data": subject}}
    body = {"data": {"type": "data-privacy-deletion-job", "attributes": attributes}}
    assert (await api.call("request_profile_deletion", body=body)).status == 202
    assert "vip@example.com" not in {one.get("email") for one in (await api.state())["profiles"]}
    again = await api.call("request_profile_deletion", body=body)
    assert (again.status, again.error["code"]) == (404, "not_found")


async def test_the_predictions_of_a_profile_have_the_names_that_were_recorded(api: Api) -> None:
    recorded = json.loads((RECORDED / "get_profile.200.json").read_text())["response"]["body"]["data"]
    vip = (await api.call("get_profiles", query={"filter": 'equals(email,"vip@example.com")'})).data[0]["id"]
    asked = {"additional-fields[profile]": "predictive_analytics"}
    shown = (await api.call("get_profile", vip, query=asked)).data["attributes"]["predictive_analytics"]
    assert shown.keys() == recorded["attributes"]["predictive_analytics"].keys()


@pytest.mark.parametrize(
    ("attributes", "pointer", "detail"),
    [
        ({"email": "no"}, "/data/attributes/email", "Invalid email address"),
        ({"phone_number": "020"}, "/data/attributes/phone_number", "Invalid phone number format"),
        (
            {"email": "a@b.example", "subscriptions": {}},
            "/data/attributes/subscriptions",
            "'subscriptions' is not",
        ),
        ({"email": "a@b.example", "properties": [1]}, "/data/attributes/properties", "Not a valid object"),
        (
            {"email": "a@b.example", "location": {"moon": 1}},
            "/data/attributes/location/moon",
            "'moon' is not",
        ),
        ({"first_name": "Nobody"}, "/data/attributes", "identifiers must be provided"),
        ({"email": "a@b.example", "title": 5}, "/data/attributes/title", "Not a valid string"),
        (
            {"email": "a@b.example", "anonymous_id": "x"},
            "/data/attributes/anonymous_id",
            "'anonymous_id' is not",
        ),
    ],
)
async def test_bad_profiles_are_refused(api: Api, attributes: Any, pointer: str, detail: str) -> None:
    answer = await api.call("create_or_update_profile", body=_import(**attributes))
    assert answer.status == 400
    assert answer.error["source"] == {"pointer": pointer}
    assert detail in answer.error["detail"]


async def test_older_revisions_take_what_newer_do_not(api24: Api) -> None:
    body = _import(email="old@shop.example", anonymous_id="anon")
    assert (await api24.call("create_or_update_profile", body=body)).status == 201
    await api24.control("PATCH", "settings", {"retired": "serve"})
    answer = await api24.call(
        "create_or_update_profile", body=_import(email="o@shop.example", locale="en-GB")
    )
    assert answer.pointers == ["/data/attributes/locale"]
