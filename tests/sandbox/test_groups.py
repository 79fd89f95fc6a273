"""Lists, segments, their members, and the flows that they start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.api import members_body

if TYPE_CHECKING:
    from tests.sandbox.api import Api


async def _profiles(api: Api, count: int) -> list[str]:
    rows = [{"email": f"m{number:04d}@shop.example"} for number in range(count)]
    found: list[str] = (await api.control("POST", "profiles", {"profiles": rows}))["profiles"]
    return found


async def _fired(api: Api, flow: str) -> list[str]:
    return [s["email"] for f in (await api.state())["flows"] if f["name"] == flow for s in f["starts"]]


async def test_lists_come_ten_a_page(api: Api, api24: Api) -> None:
    for caller in (api, api24):
        pages = [page.ids async for page in caller.pages("get_lists")]
        assert [len(page) for page in pages] == [10, 4]
        assert len({ident for page in pages for ident in page}) == 14
    assert (await api.call("get_lists", query={"page[size]": "3"})).ids == pages[0][:3]
    assert (await api24.call("get_lists", query={"page[size]": "3"})).status == 400
    assert (await api.call("get_lists", query={"page[size]": "11"})).status == 400
    named = await api.call(
        "get_lists", query={"filter": 'equals(name,"Welcome Flow")', "include": "flow-triggers"}
    )
    assert named.ids == ["MeWelc"]
    assert [one["attributes"]["name"] for one in named.body["included"]] == ["Welcome Series"]


async def test_a_list_is_made_renamed_deleted_and_restored(api: Api) -> None:
    body: dict[str, Any] = {"data": {"type": "list", "attributes": {"name": "Kiln Club"}}}
    made = await api.call("create_list", body=body)
    assert made.status == 201
    ident = made.data["id"]
    members = await _profiles(api, 3)
    assert (await api.call("add_profiles_to_list", ident, body=members_body(*members))).status == 204
    body = {"data": {"type": "list", "id": ident, "attributes": {"name": "Kiln Circle"}}}
    assert (await api.call("update_list", ident, body=body)).data["attributes"]["name"] == "Kiln Circle"
    assert (await api.call("delete_list", ident)).status == 204
    gone = await api.call("get_list", ident)
    assert (gone.status, gone.error["detail"]) == (404, f"A list with id `{ident}` does not exist.")
    assert (await api.call("add_profiles_to_list", ident, body=members_body(*members))).status == 404
    await api.control("POST", f"lists/{ident}/restore")
    assert (await api.call("get_profile_ids_for_list", ident)).ids == members
    counted = await api.call("get_list", ident, query={"additional-fields[list]": "profile_count"})
    assert counted.data["attributes"]["profile_count"] == 3


async def test_members_are_added_once_and_removed(api: Api) -> None:
    members = await _profiles(api, 3)
    for _ in range(2):
        assert (await api.call("add_profiles_to_list", "MeWelc", body=members_body(*members))).status == 204
    assert await _fired(api, "Welcome Series") == [f"m{number:04d}@shop.example" for number in range(3)]
    whole = await api.call(
        "get_profiles_for_list", "MeWelc", query={"filter": 'equals(email,"m0001@shop.example")'}
    )
    assert whole.ids == [members[1]]
    assert whole.data[0]["attributes"]["joined_group_at"]
    assert (
        await api.call("remove_profiles_from_list", "MeWelc", body=members_body(members[0]))
    ).status == 204
    assert (await api.call("get_profile_ids_for_list", "MeWelc")).ids == members[1:]


async def test_an_unknown_member_refuses_the_call_or_is_skipped(api: Api) -> None:
    [known] = await _profiles(api, 1)
    both = members_body("01NOSUCHPROFILE00000000000", known)
    refused = await api.call("add_profiles_to_list", "MeKiln", body=both)
    assert refused.status == 404
    assert (await api.call("get_profile_ids_for_list", "MeKiln")).ids == []
    await api.control("PATCH", "settings", {"unknown_member": "skip"})
    assert (await api.call("add_profiles_to_list", "MeKiln", body=both)).status == 204
    assert (await api.call("get_profile_ids_for_list", "MeKiln")).ids == [known]


async def test_a_thousand_members_a_call_and_a_hundred_a_page(api: Api) -> None:
    members = await _profiles(api, 1001)
    assert (await api.call("add_profiles_to_list", "MeKiln", body=members_body(*members))).status == 400
    assert (
        await api.call("add_profiles_to_list", "MeKiln", body=members_body(*members[:1000]))
    ).status == 204
    query = {"page[size]": "100"}
    pages = [page.ids async for page in api.pages("get_profile_ids_for_list", "MeKiln", query=query)]
    assert [len(page) for page in pages] == [100] * 10
    assert {ident for page in pages for ident in page} == set(members[:1000])
    over = await api.call("get_profile_ids_for_list", "MeKiln", query={"page[size]": "101"})
    assert over.status == 400


async def test_a_segment_follows_its_definition_or_its_explicit_members(api: Api) -> None:
    vip = 'any(email,["vip@example.com","wren@mapleandember.example"])'
    found = await api.call("get_profiles_for_segment", "MeVip1", query={"filter": vip})
    assert [one["attributes"]["email"] for one in found.data] == ["vip@example.com"]
    await api.upsert("wren@mapleandember.example", properties={"VipSince": "2026-11-01"})
    assert len((await api.call("get_profiles_for_segment", "MeVip1", query={"filter": vip})).data) == 2
    await api.control("PUT", "segments/VIP/members", {"profiles": ["sol@mapleandember.example"]})
    ids = (await api.call("get_profile_ids_for_segment", "MeVip1")).ids
    by_id = await api.call(
        "get_profile_ids_for_segment", "MeVip1", query={"filter": f'any(profile_id,["{ids[0]}"])'}
    )
    assert by_id.ids == ids
    assert len(ids) == 1
    await api.control("PUT", "segments/VIP/members", {"profiles": None})
    assert len((await api.call("get_profile_ids_for_segment", "MeVip1")).ids) == 2


async def test_a_segment_filter_by_id_needs_a_newer_revision(api24: Api) -> None:
    query = {"filter": 'equals(profile_id,"01X")'}
    answer = await api24.call("get_profiles_for_segment", "MeVip1", query=query)
    assert (answer.status, answer.error["source"]) == (400, {"parameter": "filter"})


@pytest.mark.parametrize(
    ("test", "wanted"),
    [
        ({"type": "string", "operator": "not-equals", "value": "Gold"}, 9),
        ({"type": "string", "operator": "contains", "value": "ol"}, 3),
        ({"type": "existence", "operator": "is-not-set"}, 3),
        ({"type": "numeric", "operator": "greater-than", "value": 3}, 0),
    ],
)
async def test_segment_conditions(api: Api, test: dict[str, Any], wanted: int) -> None:
    condition = {"type": "profile-property", "property": "properties['LoyaltyTier']", "filter": test}
    definition = {"condition_groups": [{"conditions": [condition]}]}
    await api.control("PATCH", "segments/VIP", {"definition": definition})
    assert len((await api.call("get_profile_ids_for_segment", "MeVip1")).ids) == wanted


async def test_segments_change_as_people_change_them(api: Api) -> None:
    body = {"data": {"type": "segment", "id": "MeVip1", "attributes": {"name": "Very Important"}}}
    assert (await api.call("update_segment", "MeVip1", body=body)).data["attributes"][
        "name"
    ] == "Very Important"
    await api.control("DELETE", "segments/MeVip1")
    assert (await api.call("get_segment", "MeVip1")).status == 404
    await api.control("POST", "segments/MeVip1/restore")
    counted = await api.call("get_segment", "MeVip1", query={"additional-fields[segment]": "profile_count"})
    assert counted.data["attributes"]["profile_count"] == 1


async def test_flows_are_found_by_what_triggers_them(api: Api, api24: Api) -> None:
    assert (await api.call("get_ids_for_flows_triggered_by_list", "MeWelc")).ids == ["MeFWel"]
    assert (await api.call("get_flows_triggered_by_metric", "MeMFst")).ids == ["MeFPts"]
    assert (await api.call("get_flows_triggered_by_segment", "MeVip1")).ids == ["MeFVip"]
    defined = await api.call("get_flow", "MeFPts", query={"additional-fields[flow]": "definition"})
    assert defined.data["attributes"]["definition"]["triggers"][0]["id"] == "MeMFst"
    live = await api.call("get_flows", query={"filter": 'equals(status,"live"),equals(archived,false)'})
    assert live.ids == ["MeFPts", "MeFWel"]
    by_type = await api24.call("get_flows", query={"filter": 'equals(trigger_type,"Metric")'})
    assert by_type.ids == ["MeFPts"]


async def test_only_a_live_flow_starts(api: Api) -> None:
    members = await _profiles(api, 3)
    body = {"data": {"type": "flow", "id": "MeFWel", "attributes": {"status": "draft"}}}
    assert (await api.call("update_flow", "MeFWel", body=body)).data["attributes"]["status"] == "draft"
    await api.call("add_profiles_to_list", "MeWelc", body=members_body(members[0]))
    await api.control("PATCH", "flows/Welcome Series", {"status": "live", "archived": True})
    await api.call("add_profiles_to_list", "MeWelc", body=members_body(members[1]))
    assert await _fired(api, "Welcome Series") == []
    await api.control("PATCH", "flows/Welcome Series", {"archived": False})
    await api.call("add_profiles_to_list", "MeWelc", body=members_body(members[2]))
    assert await _fired(api, "Welcome Series") == ["m0002@shop.example"]


async def test_entering_a_segment_starts_its_flow(api: Api) -> None:
    await api.control("PATCH", "flows/VIP Gift", {"status": "live"})
    for _ in range(2):
        await api.upsert("wren@mapleandember.example", properties={"VipSince": "2026-11-01"})
    assert await _fired(api, "VIP Gift") == ["wren@mapleandember.example"]


async def test_properties_are_renamed_and_removed(api: Api) -> None:
    assert (await api.control("POST", "properties/LoyaltyTier/rename", {"to": "Tier"}))["profiles"] == 9
    properties = [one["properties"] for one in (await api.state())["profiles"]]
    assert sum("Tier" in each for each in properties) == 9
    assert not any("LoyaltyTier" in each for each in properties)
    assert (await api.control("DELETE", "properties/Tier"))["profiles"] == 9


async def test_segments_show_a_write_after_a_while(api: Api) -> None:
    await api.control("PATCH", "settings", {"segment_time": 3600.0})

    async def members() -> int:
        return len((await api.call("get_profile_ids_for_segment", "MeEmbr")).ids)

    before = await members()
    await api.upsert("noor@mapleandember.example", properties={"LoyaltyTier": "Ember"})
    await api.upsert("new@mapleandember.example", properties={"LoyaltyTier": "Ember"})
    await api.upsert("wren@mapleandember.example", properties={"LoyaltyTier": "Gold"})
    assert await members() == before
    await api.control("POST", "settle")
    assert await members() == before + 1


async def test_a_trigger_without_an_id_names_no_list(api: Api) -> None:
    """A flow that a date fires, or one whose trigger names nothing, keeps lists from being read no more."""
    for trigger in ({"type": "date"}, {"type": "list"}, {}):
        await api.control("POST", "flows", {"name": "Birthday", "status": "live", "trigger": trigger})
    answer = await api.call("get_lists", query={"include": "flow-triggers"})
    assert answer.status == 200
    await api.call("get_segments", query={"include": "flow-triggers"})
    assert (await api.upsert("new@shop.example")).status == 201
