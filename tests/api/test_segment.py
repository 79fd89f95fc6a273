"""Segment's tracking API: its own clients point their host here and work unchanged."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from segment.analytics.client import Client

from tests.support.http_api import RunningApi
from tests.support.workbench import NAME

pytestmark = pytest.mark.clock

WHEN = datetime(2026, 11, 23, 9, 14, 5, tzinfo=UTC)


def write_key(api: RunningApi) -> str:
    return api.token("segment", "send")["Authorization"].removeprefix("Bearer ")


@pytest.mark.parametrize("packed", [False, True])
async def test_the_python_client_delivers(quiet: RunningApi, packed: bool) -> None:
    errors: list[Any] = []

    def send() -> None:
        client = Client(
            write_key(quiet),
            host=quiet.server.url,
            gzip=packed,
            max_retries=0,
            on_error=lambda error, batch: errors.append(error),
        )
        client.track("S-1", "first_points_earned", {"points": 120}, timestamp=WHEN, message_id="m-1")
        client.identify("S-1", {"email": "ada@mapleandember.example"})
        client.group("S-1", "G-1", {"name": "Loyal"})
        client.page("S-1", "Home")
        client.shutdown()

    await asyncio.to_thread(send)
    assert errors == []
    track, identify = (each.record for each in await quiet.stored())
    assert (track.id, track.event, track.actor) == ("m-1", "first_points_earned", "token:segment")
    assert datetime.fromisoformat(track.time) == WHEN
    assert track.data["userId"] == "S-1"
    assert track.data["properties"] == {"points": 120}
    assert "writeKey" not in json.dumps(dict(track.data))
    assert identify.event == "identify"
    assert identify.data["traits"] == {"email": "ada@mapleandember.example"}


async def test_the_python_client_sees_that_a_key_is_revoked(quiet: RunningApi) -> None:
    key = write_key(quiet)
    quiet.tokens.revoke("segment")
    errors: list[Any] = []

    def send() -> None:
        client = Client(
            key, host=quiet.server.url, max_retries=0, on_error=lambda error, batch: errors.append(error)
        )
        client.track("S-1", "x")
        client.shutdown()

    await asyncio.to_thread(send)
    assert "401" in str(errors[0])
    assert await quiet.stored() == []


async def test_the_python_client_learns_at_once_of_a_message_that_was_refused(quiet: RunningApi) -> None:
    """Once, since it sends a 400 not again; the other message is on the disk."""
    errors: list[Any] = []

    def send() -> None:
        client = Client(
            write_key(quiet),
            host=quiet.server.url,
            on_error=lambda error, batch: errors.append((error, batch)),
        )
        client.track("S-1", "", message_id="m-1")
        client.track("S-1", "first_points_earned", message_id="m-2")
        client.shutdown()

    await asyncio.to_thread(send)
    [(error, batch)] = errors
    assert "1 of 2 messages can't be taken (1 were); the first: " in str(error)
    assert [each["messageId"] for each in batch] == ["m-1", "m-2"]
    assert [each.record.id for each in await quiet.stored()] == ["m-2"]


NODE = """
import { Analytics } from '@segment/analytics-node'
const [host, writeKey] = process.argv.slice(2)
const analytics = new Analytics({ host, writeKey, maxRetries: 0 })
analytics.on('error', error => { console.error(error); process.exit(1) })
analytics.track({ userId: 'S-1', event: 'first_points_earned', properties: { points: 120 },
                  timestamp: new Date('2026-11-23T09:14:05Z') })
analytics.identify({ userId: 'S-1', traits: { email: 'ada@mapleandember.example' } })
analytics.group({ userId: 'S-1', groupId: 'G-1' })
await analytics.closeAndFlush()
"""


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.skipif(not (shutil.which("node") and shutil.which("npm")), reason="node and npm are not here")
async def test_the_node_client_delivers(quiet: RunningApi, tmp_path: Path) -> None:
    script = tmp_path / "node" / "send.mjs"
    script.parent.mkdir()
    script.write_text(NODE)
    for command in (
        ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "@segment/analytics-node@^2"],
        ["node", script.name, quiet.server.url, write_key(quiet)],
    ):
        done = await asyncio.to_thread(
            subprocess.run,
            command,
            cwd=script.parent,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    track, identify = (each.record for each in await quiet.stored())
    assert (track.event, track.time) == ("first_points_earned", "2026-11-23T09:14:05.000Z")
    assert track.data["properties"] == {"points": 120}
    assert identify.data["traits"] == {"email": "ada@mapleandember.example"}


async def test_the_key_may_come_in_the_body(quiet: RunningApi) -> None:
    quiet.http.headers.pop("authorization")
    message = {"event": "x", "userId": "S-1", "messageId": "m-1"}
    good = await quiet.http.post("/v1/track", json={**message, "writeKey": write_key(quiet)})
    assert good.json() == {"success": True, "accepted": 1, "same": 0, "refused": [], "ignored": 0}
    for key in ({}, {"writeKey": "wrong"}, {"writeKey": 5}):
        assert (await quiet.http.post("/v1/track", json={**message, **key})).status_code == 401


async def test_a_key_in_the_body_is_held_to_its_rate(quiet: RunningApi) -> None:
    quiet.http.headers.pop("authorization")
    key = quiet.token("slow", rate=2)["Authorization"].removeprefix("Bearer ")
    messages = [{"event": "x", "messageId": f"m-{n}", "writeKey": key} for n in range(8)]
    answers = [await quiet.http.post("/v1/track", json=each) for each in messages]
    assert {each.status_code for each in answers} == {200, 429}
    assert all(int(each.headers["retry-after"]) >= 1 for each in answers if each.status_code == 429)


async def test_each_endpoint_of_one_message(quiet: RunningApi) -> None:
    key = {"Authorization": f"Bearer {write_key(quiet)}"}
    for kind in ("group", "page", "screen", "alias"):
        answer = (await quiet.http.post(f"/v1/{kind}", json={"userId": "S-1"}, headers=key)).json()
        assert answer["success"]
        assert kind in answer["why"]
    await quiet.http.post("/v1/identify", json={"userId": "S-1", "traits": {}}, headers=key)
    assert [each.record.event for each in await quiet.stored()] == ["identify"]


async def test_a_bad_message_harms_no_other(quiet: RunningApi) -> None:
    key = {"Authorization": f"Bearer {write_key(quiet)}"}
    batch = [
        {"type": "track", "event": "x", "messageId": "m-1"},
        {"type": "track", "messageId": "m-2"},
        {"type": "group"},
        {"type": "dance"},
        7,
        {"type": "track", "event": "x", "messageId": "m-3"},
    ]
    response = await quiet.http.post("/v1/batch", json={"batch": batch}, headers=key)
    answer = response.json()
    assert (response.status_code, answer["success"]) == (400, False)
    assert (answer["accepted"], answer["ignored"]) == (2, 1)
    assert [row["index"] for row in answer["refused"]] == [1, 3, 4]
    assert [row["fate"] for row in answer["messages"]] == [
        "new", "refused", "ignored", "refused", "refused", "new",
    ]  # fmt: skip
    again = (await quiet.http.post("/v1/batch", json={"batch": batch}, headers=key)).json()
    assert (again["accepted"], again["same"]) == (0, 2)
    assert (await quiet.http.post("/v1/batch", json={"batch": [7]}, headers=key)).status_code == 400
    wrong: list[Any] = [{}, {"batch": []}, {"batch": 5}, []]
    for body in wrong:
        assert (await quiet.http.post("/v1/batch", json=body, headers=key)).status_code == 422


async def test_a_key_of_several_connections_is_refused_with_a_word(quiet: RunningApi) -> None:
    key = quiet.token("wide", "send", connections=[NAME, "other"])
    answer = await quiet.http.post("/v1/track", json={"event": "x"}, headers=key)
    assert answer.status_code == 403
    assert "one connection" in answer.json()["error"]["message"]
