"""Records over the HTTP API: durable before the answer, a result for each, and every refusal by name."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from tests.support.http_api import RECORDS, RunningApi
from tests.support.workbench import NAME, points

pytestmark = pytest.mark.clock

NDJSON = {"Content-Type": "application/x-ndjson"}


def lines(*records: Any) -> bytes:
    return b"\n".join(json.dumps(record).encode() for record in records) + b"\n"


async def test_one_record_is_on_the_disk_when_it_is_answered(quiet: RunningApi) -> None:
    answer = await quiet.http.post(RECORDS, json=points(1))
    assert answer.status_code == 202
    assert answer.json() == {
        "accepted": 1,
        "same": 0,
        "refused": 0,
        "records": [{"index": 0, "id": "t-1", "fate": "new"}],
    }
    assert [each.record.as_dict() for each in await quiet.stored()] == [points(1)]


@pytest.mark.parametrize("form", ["list", "lines"])
async def test_good_records_come_through_beside_bad_ones(quiet: RunningApi, form: str) -> None:
    records: list[Any] = [
        points(1),
        {"data": {}},
        points(2),
        5,
        {**points(3), "time": "yesterday"},
        points(1),
    ]
    if form == "list":
        answer = await quiet.http.post(RECORDS, json=records)
    else:
        answer = await quiet.http.post(RECORDS, content=lines(*records), headers=NDJSON)
    assert answer.status_code == 202
    body = answer.json()
    assert (body["accepted"], body["same"], body["refused"]) == (2, 1, 3)
    assert [(row["index"], row["fate"]) for row in body["records"]] == [
        (0, "new"),
        (1, "refused"),
        (2, "new"),
        (3, "refused"),
        (4, "refused"),
        (5, "same"),
    ]
    assert body["records"][1]["reason"] == "no `event`"
    assert "object" in body["records"][3]["reason"]
    assert "RFC 3339" in body["records"][4]["reason"]
    assert [each.record.id for each in await quiet.stored()] == ["t-1", "t-2"]


async def test_the_same_id_again_is_the_same_record(quiet: RunningApi) -> None:
    await quiet.http.post(RECORDS, json=points(1))
    again = (await quiet.http.post(RECORDS, json=points(1))).json()
    other = (await quiet.http.post(RECORDS, json={**points(1), "data": {"points": 7}})).json()
    assert again["records"][0]["fate"] == "same"
    assert other["records"][0]["fate"] == "other_body"
    assert [each.record.as_dict() for each in await quiet.stored()] == [points(1)]


async def test_an_id_without_a_time_is_the_same_record_at_any_moment(quiet: RunningApi) -> None:
    timeless = {"id": "t-1", "event": "happened", "data": {"n": 1}}
    fates = [(await quiet.http.post(RECORDS, json=timeless)).json()["records"][0]["fate"] for _ in range(2)]
    other = (await quiet.http.post(RECORDS, json={**timeless, "data": {"n": 2}})).json()
    assert fates == ["new", "same"]
    assert other["records"][0]["fate"] == "other_body"


async def test_records_without_id_and_time_are_each_one_of_its_own(quiet: RunningApi) -> None:
    click = {"event": "clicked", "data": {"email": "ada@x.example"}}
    body = (await quiet.http.post(RECORDS, json=[click, click])).json()
    assert body["accepted"] == 2
    assert len({row["id"] for row in body["records"]}) == 2


async def test_a_record_without_an_id_is_known_by_its_body_and_time(quiet: RunningApi) -> None:
    timed = {"event": "clicked", "time": "2026-11-23T09:00:00Z", "data": {}}
    fates = [(await quiet.http.post(RECORDS, json=timed)).json()["records"][0]["fate"] for _ in range(2)]
    assert fates == ["new", "same"]


async def test_gzip_is_unpacked_and_a_bomb_is_not(quiet: RunningApi) -> None:
    packed = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    good = await quiet.http.post(
        RECORDS, content=gzip.compress(json.dumps(points(1)).encode()), headers=packed
    )
    bomb = await quiet.http.post(RECORDS, content=gzip.compress(b" " * 200_000_000), headers=packed)
    torn = await quiet.http.post(RECORDS, content=gzip.compress(b"{}" * 500)[:-9], headers=packed)
    wrong = await quiet.http.post(RECORDS, content=b"{}", headers=packed)
    other = await quiet.http.post(RECORDS, content=b"{}", headers={"Content-Encoding": "br"})
    assert [each.status_code for each in (good, bomb, torn, wrong, other)] == [202, 413, 400, 400, 415]
    assert len(await quiet.stored()) == 1


UNREADABLE = [
    (b"{", "application/json", 422, "not JSON"),
    (b"", "application/json", 422, "no record"),
    (b"[]", "application/json", 422, "no record"),
    (b'[{"event": "x"}', "application/json", 400, "not JSON"),
    (b'[{"event": "x"}] 1', "application/json", 400, "Extra data"),
    (b'[{"event": "\xff"}]', "application/json", 400, "UTF-8"),
    (b'{"event": "\xff"}', "application/json", 422, "UTF-8"),
    (b"[" * 100_000, "application/json", 400, "too deep"),
    (b'{"event":"x","data":' + b'{"a":' * 70 + b"1" + b"}" * 71, "application/json", 422, "64 levels"),
    (b'{"event":"x","data":{"n":' + b"9" * 5000 + b"}}", "application/json", 422, "digits"),
    (b'{"event":"x","data":{"n":NaN}}', "application/json", 422, "NaN"),
    (b'{"event": "x"}', "application/x-www-form-urlencoded", 415, "application/json"),
    (b'{"event": "x"}', "text/plain", 415, "application/json"),
    (b'{"event":"x"}\n' * 10_001, "application/x-ndjson", 413, "10,001"),
]


async def test_what_can_not_be_read_is_refused_whole(quiet: RunningApi) -> None:
    for body, media, status, said in UNREADABLE:
        answer = await quiet.http.post(RECORDS, content=body, headers={"Content-Type": media})
        assert answer.status_code == status, said
        error = answer.json()["error"]
        assert said in error["message"]
        assert error["request"] == answer.headers["x-request-id"]
    assert await quiet.stored() == []


async def test_an_unknown_connection_is_named_with_a_suggestion(quiet: RunningApi) -> None:
    answer = await quiet.http.post(RECORDS.replace(NAME, "maple-embr"), json=points(1))
    assert answer.status_code == 404
    assert NAME in answer.json()["error"]["message"]


async def test_nul_and_unknown_fields_are_reported(quiet: RunningApi) -> None:
    body = (await quiet.http.post(RECORDS, json={**points(1), "actor": "a\0b", "file": "/etc/passwd"})).json()
    assert len(body["records"][0]["notes"]) == 2
    assert (await quiet.stored())[0].record.actor == "ab"


async def test_an_answer_carries_the_request_id_that_was_given(quiet: RunningApi) -> None:
    given = await quiet.http.post(RECORDS, json=points(1), headers={"X-Request-Id": "abc-1"})
    hostile = await quiet.http.post(RECORDS, json=points(1), headers={"X-Request-Id": "a b"})
    assert given.headers["x-request-id"] == "abc-1"
    assert hostile.headers["x-request-id"] != "a b"
