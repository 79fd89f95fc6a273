"""Events, metrics, repeats, and the flows that events start."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.api import bulk_events_body, event_body

if TYPE_CHECKING:
    from tests.sandbox.api import Api

pytestmark = pytest.mark.clock

_WHO = "ev@shop.example"
_METRIC = "First Points Earned"


async def _events(api: Api) -> list[Any]:
    found: list[Any] = (await api.state())["events"]
    return found


async def _fired(api: Api) -> int:
    flows = (await api.state())["flows"]
    return next(int(one["fired"]) for one in flows if one["name"] == "First Points Thanks")


async def test_an_event_makes_profile_and_metric(api: Api) -> None:
    person = {"first_name": "Eve", "properties": {"tier": "gold"}}
    body = event_body(
        _WHO, "Kiln Opened", "u-1", profile=person, properties={"A": 1}, value=2.5, value_currency="GBP"
    )
    body["data"]["attributes"]["profile"]["data"]["meta"] = {"patch_properties": {"append": {"t": 1}}}
    answer = await api.call("create_event", body=body)
    assert (answer.status, answer.body) == (202, None)
    state = await api.state()
    profile = next(one for one in state["profiles"] if one.get("email") == _WHO)
    assert profile["first_name"] == "Eve"
    assert profile["properties"] == {"tier": "gold", "t": [1]}
    [metric] = (await api.call("get_metrics", query={"filter": 'equals(integration.name,"API")'})).data[-1:]
    metrics = {one["attributes"]["name"] for one in (await api.call("get_metrics")).data}
    assert "Kiln Opened" in metrics
    assert metric["attributes"]["integration"]["key"] == "api"
    [event] = (await api.call("get_events", query={"include": "metric,profile"})).data
    assert event["attributes"]["event_properties"] == {
        "A": 1,
        "$value": 2.5,
        "$value_currency": "GBP",
        "$event_id": "u-1",
    }


@pytest.mark.parametrize("revision", ["2025-01-15", "2026-07-15", "2026-10-15"])
async def test_the_meta_of_an_events_profile_is_where_its_revision_has_it(api: Api, revision: str) -> None:
    await api.control("PATCH", "settings", {"today": "2026-12-01"})
    await api.upsert(_WHO, properties={"old": 1, "kept": 2})
    meta = {"patch_properties": {"unset": ["old"]}}
    inside = event_body(_WHO, _METRIC, "u-in", profile={"meta": meta})
    outside = event_body(_WHO, _METRIC, "u-by")
    outside["data"]["attributes"]["profile"]["data"]["meta"] = meta
    right, wrong = (outside, inside) if revision == "2026-10-15" else (inside, outside)
    assert (await api.call("create_event", body=wrong, revision=revision)).status == 400
    assert (await api.call("create_event", body=right, revision=revision)).status == 202
    profile = next(each for each in (await api.state())["profiles"] if each.get("email") == _WHO)
    assert profile["properties"] == {"kept": 2}


async def test_a_unique_id_counts_once_per_profile_and_metric(api: Api) -> None:
    for email, metric in ((_WHO, "A"), (_WHO, "A"), (_WHO, "B"), ("other@shop.example", "A")):
        await api.call("create_event", body=event_body(email, metric, "same"))
    assert len(await _events(api)) == 3


async def test_without_unique_id_a_second_counts_once(api: Api) -> None:
    times = ("2026-11-01T10:00:00Z", "2026-11-01T10:00:00.9Z", "2026-11-01T10:00:01Z")
    for time in times:
        await api.call("create_event", body=event_body(_WHO, "A", time=time))
    assert [event["time"] % 60 for event in await _events(api)] == [0, 1]


async def test_repeats_and_backfill_start_no_flow(api: Api) -> None:
    await api.call("create_event", body=event_body(_WHO, _METRIC, "1"))
    await api.call("create_event", body=event_body(_WHO, _METRIC, "1"))
    await api.call("create_event", body=event_body(_WHO, _METRIC, "2", backfill=True))
    assert len(await _events(api)) == 2
    assert await _fired(api) == 1


async def test_a_trigger_filter_keeps_events_out(api: Api) -> None:
    test = {"type": "numeric", "operator": "greater-than", "value": 10}
    condition = {"type": "metric-property", "field": "Points", "filter": test}
    trigger = {
        "type": "metric",
        "id": "MeMFst",
        "trigger_filter": {"condition_groups": [{"conditions": [condition]}]},
    }
    await api.control("PATCH", "flows/First Points Thanks", {"trigger": trigger})
    for points in (5, 50):
        await api.call(
            "create_event", body=event_body(_WHO, _METRIC, str(points), properties={"Points": points})
        )
    assert await _fired(api) == 1


async def test_bulk_events_arrive(api: Api) -> None:
    mine: list[dict[str, Any]] = [
        {"metric": _METRIC, "unique_id": f"{number}", "properties": {"n": number}} for number in range(600)
    ]
    theirs: list[dict[str, Any]] = [{"metric": "B", "unique_id": "0", "backfill": True}, {"metric": "B"}]
    answer = await api.call(
        "bulk_create_events", body=bulk_events_body((_WHO, mine), ("b@shop.example", theirs))
    )
    assert (answer.status, answer.body) == (202, None)
    assert len(await _events(api)) == 602
    assert await _fired(api) == 600


async def test_a_bulk_call_with_a_repeat_is_refused_whole_or_loses_the_repeat(api: Api) -> None:
    twice = bulk_events_body(
        (_WHO, [{"metric": "A", "unique_id": "x"}]), (_WHO, [{"metric": "A", "unique_id": "x"}])
    )
    refused = await api.call("bulk_create_events", body=twice)
    assert refused.status == 400
    assert refused.pointers == [
        "/data/attributes/events-bulk-create/data/1/attributes/events/data/0/attributes/unique_id"
    ]
    assert await _events(api) == []
    await api.control("PATCH", "settings", {"bulk_repeat": "discard"})
    assert (await api.call("bulk_create_events", body=twice)).status == 202
    assert len(await _events(api)) == 1


@pytest.mark.parametrize(("scope", "status"), [("call", 202), ("stored", 400)])
async def test_a_stored_event_counts_as_a_repeat_by_switch(api: Api, scope: str, status: int) -> None:
    await api.control("PATCH", "settings", {"bulk_repeat_scope": scope})
    await api.call("create_event", body=event_body(_WHO, "A", "x"))
    body = bulk_events_body((_WHO, [{"metric": "A", "unique_id": "x"}, {"metric": "A", "unique_id": "y"}]))
    assert (await api.call("bulk_create_events", body=body)).status == status
    assert len(await _events(api)) == (2 if status == 202 else 1)


async def test_bulk_events_are_newer_than_2024(api24: Api) -> None:
    raw = json.dumps(bulk_events_body((_WHO, [{"metric": "A"}]))).encode()
    assert (await api24.raw("POST", "/api/event-bulk-create-jobs/", body=raw)).status == 202
    await api24.control("PATCH", "settings", {"retired": "serve"})
    answer = await api24.raw("POST", "/api/event-bulk-create-jobs/", body=raw)
    assert answer.status == 404
    assert answer.error["detail"].startswith("No valid revisions found for method")


async def test_events_are_paged_filtered_and_sorted(api: Api) -> None:
    start = datetime(2026, 11, 1, tzinfo=UTC)
    rows = [
        {
            "metric": "A" if n % 2 else "B",
            "unique_id": str(n),
            "time": (start + timedelta(minutes=n)).isoformat(),
        }
        for n in range(450)
    ]
    await api.call("bulk_create_events", body=bulk_events_body((_WHO, rows)))
    pages = [page async for page in api.pages("get_events")]
    assert [len(page.data) for page in pages] == [200, 200, 50]
    times = [one["attributes"]["timestamp"] for page in pages for one in page.data]
    assert times == sorted(times, reverse=True)
    assert len((await api.call("get_events", query={"page[size]": "1000", "sort": "datetime"})).data) == 450
    metric = next(one["id"] for one in (await api.state())["metrics"] if one["name"] == "A")
    text = f'equals(metric_id,"{metric}"),greater-or-equal(datetime,2026-11-01T07:20:00Z)'
    found = await api.call("get_events", query={"filter": text, "sort": "datetime"})
    assert [one["attributes"]["event_properties"]["$event_id"] for one in found.data] == [
        "441",
        "443",
        "445",
        "447",
        "449",
    ]


async def test_one_event_and_what_it_belongs_to(api: Api) -> None:
    await api.call("create_event", body=event_body(_WHO, _METRIC, "u", properties={"Points": 3}, value=3))
    [event] = await _events(api)
    assert (await api.call("get_event", event["id"])).data["id"] == event["id"]
    assert (await api.call("get_metric_for_event", event["id"])).data["id"] == "MeMFst"
    assert (await api.call("get_metric_id_for_event", event["id"])).data == {"type": "metric", "id": "MeMFst"}
    assert (await api.call("get_profile_for_event", event["id"])).data["attributes"]["email"] == _WHO
    assert (await api.call("get_profile_id_for_event", event["id"])).data["id"] == event["profile"]
    malformed = await api.call("get_event", "NOPE01")
    assert (malformed.status, malformed.error["detail"]) == (400, "Invalid Event ID: 'NOPE01'")
    assert (await api.call("get_event", "4xMpleEvent")).status == 404
    names = {
        one["attributes"]["property"] for one in (await api.call("get_properties_for_metric", "MeMFst")).data
    }
    assert names == {"Points", "Tier", "$value"}
    ids = (await api.call("get_property_ids_for_metric", "MeMFst")).ids
    assert (await api.call("get_metric_property", ids[0])).data["id"] == ids[0]


async def test_test_addresses_are_dropped_by_switch(api: Api) -> None:
    await api.control("PATCH", "settings", {"drop_example_domains": True})
    assert (await api.call("create_event", body=event_body("someone@example.com", "A", "1"))).status == 202
    assert await _events(api) == []


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"x": value}
    return value


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"unique_id": ""}, "unique_id"),
        ({"unique_id": "u" * 256}, "unique_id"),
        ({"time": "1989-01-01T00:00:00Z"}, "time"),
        ({"time": "2036-01-01T00:00:00Z"}, "time"),
        ({"time": "yesterday"}, "time"),
        ({"value": "5"}, "value"),
        ({"properties": {str(n): n for n in range(401)}}, "properties"),
        ({"properties": {"deep": _deep(10)}}, "properties/deep"),
        ({"properties": {"many": list(range(4001))}}, "properties/many"),
        ({"properties": {"long": "x" * 100_001}}, "properties/long"),
        (
            {"metric": {"data": {"type": "metric", "attributes": {"name": "m" * 128}}}},
            "metric/data/attributes/name",
        ),
        ({"metric": {"data": {"type": "list", "attributes": {"name": "m"}}}}, "metric/data/type"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_bad_events_are_refused(api: Api, change: dict[str, Any], pointer: str) -> None:
    body = event_body(_WHO, "A", "u")
    body["data"]["attributes"] |= change
    answer = await api.call("create_event", body=body)
    assert answer.status == 400
    assert answer.pointers == [f"/data/attributes/{pointer}"]
    assert await _events(api) == []


async def test_the_largest_event_is_accepted(api: Api) -> None:
    properties: dict[str, Any] = {str(n): n for n in range(397)}
    properties |= {"deep": _deep(9), "many": list(range(4000)), "long": "x" * 100_000}
    body = event_body(_WHO, "m" * 127, "u" * 255, properties=properties)
    assert (await api.call("create_event", body=body)).status == 202


async def test_older_revisions_have_smaller_caps(api24: Api) -> None:
    for change in (
        {"properties": {str(n): n for n in range(301)}},
        {"time": "1995-01-01T00:00:00Z"},
        {"backfill": True},
    ):
        assert (await api24.call("create_event", body=event_body(_WHO, "A", "u", **change))).status == 400
