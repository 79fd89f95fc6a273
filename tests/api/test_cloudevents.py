"""CloudEvents 1.0, made by the SDK: structured, batched and binary."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

from tests.support.http_api import RunningApi
from tests.support.workbench import NAME

pytestmark = pytest.mark.clock

PATH = f"/v1/connections/{NAME}/cloudevents"
EVENT = {
    "specversion": "1.0",
    "id": "A-1",
    "source": "/rewards",
    "type": "first_points_earned",
    "time": "2026-11-23T09:14:05Z",
    "data": {"points": 120},
}


def event(**attributes: Any) -> CloudEvent:
    time = datetime(2026, 11, 23, 9, 14, 5, tzinfo=UTC)
    known = {"id": "A-1", "source": "/rewards", "type": "first_points_earned", "time": time, "subject": "Añ"}
    return CloudEvent({**known, **attributes}, {"points": 120})


@pytest.mark.parametrize("make", [to_structured_event, to_binary_event])
async def test_what_the_sdk_makes_becomes_a_record(quiet: RunningApi, make: Any) -> None:
    message = make(event())
    answer = await quiet.http.post(PATH, content=message.body, headers=message.headers)
    assert answer.status_code == 202
    (record,) = (each.record for each in await quiet.stored())
    assert (record.id, record.event) == ("/rewards#A-1", "first_points_earned")
    assert datetime.fromisoformat(record.time) == datetime(2026, 11, 23, 9, 14, 5, tzinfo=UTC)
    assert record.data["points"] == 120
    assert record.data["cloudevent"]["source"] == "/rewards"
    assert record.data["cloudevent"]["subject"] == "Añ"
    again = await quiet.http.post(PATH, content=message.body, headers=message.headers)
    assert again.json()["records"][0]["fate"] == "same"


async def test_a_batch_names_what_it_refuses(quiet: RunningApi) -> None:
    batch = [EVENT, {**EVENT, "id": ""}, {**EVENT, "specversion": "0.3"}, 5, {**EVENT, "source": "/other"}]
    answer = await quiet.http.post(
        PATH, content=json.dumps(batch), headers={"Content-Type": "application/cloudevents-batch+json"}
    )
    assert [row["fate"] for row in answer.json()["records"]] == [
        "new",
        "refused",
        "refused",
        "refused",
        "new",
    ]
    assert [each.record.id for each in await quiet.stored()] == ["/rewards#A-1", "/other#A-1"]


async def test_data_that_is_no_object_is_kept(quiet: RunningApi) -> None:
    structured = {"Content-Type": "application/cloudevents+json"}
    binary = {f"ce-{name}": str(EVENT[name]) for name in ("specversion", "source", "type")}
    await quiet.http.post(PATH, json={**EVENT, "id": "1", "data": [1, 2]}, headers=structured)
    await quiet.http.post(PATH, json={**EVENT, "id": "2", "data_base64": "AAE="}, headers=structured)
    for number, (media, body) in enumerate(((b"text/plain", b"hello"), (b"image/png", b"\0\1")), 3):
        headers = {**binary, "ce-id": str(number), "Content-Type": media.decode()}
        await quiet.http.post(PATH, content=body, headers=headers)
    found = [
        {k: v for k, v in each.record.data.items() if k != "cloudevent"} for each in await quiet.stored()
    ]
    assert found == [{"value": [1, 2]}, {"data_base64": "AAE="}, {"value": "hello"}, {"data_base64": "AAE="}]


async def test_an_id_too_long_for_a_record_is_its_digest(quiet: RunningApi) -> None:
    body = {**EVENT, "source": "/" + "s" * 300}
    headers = {"Content-Type": "application/cloudevents+json"}
    assert (await quiet.http.post(PATH, json=body, headers=headers)).status_code == 202
    assert len((await quiet.stored())[0].record.id) == 64


NO_CLOUDEVENTS = [
    ("application/json", EVENT, 415),
    ("application/cloudevents+json", [EVENT], 422),
    ("application/cloudevents-batch+json", EVENT, 422),
    ("application/cloudevents-batch+json", [], 422),
]


async def test_what_is_no_cloudevent_is_refused(quiet: RunningApi) -> None:
    for media, body, status in NO_CLOUDEVENTS:
        answer = await quiet.http.post(PATH, content=json.dumps(body), headers={"Content-Type": media})
        assert answer.status_code == status, (media, body)
