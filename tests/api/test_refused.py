"""What is refused over the HTTP API is kept under `refused/`, counted in the status and the metrics, and logged."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from askel_tui.services import refusals
from askel_tui.services.status import read_status
from tests.support.case_runner import CASES
from tests.support.http_api import RECORDS, RunningApi
from tests.support.workbench import NAME

pytestmark = pytest.mark.clock

Send = Callable[[RunningApi], Any]
HOOK = {
    "scheme": "hex",
    "header": "X-Sig",
    "prefix": "",
    "secret": "a-long-random-text",
    "event": "paid",
    "id_from": "data.id",
}


def _kept(api: RunningApi) -> list[list[str]]:
    """The lines of all files under `refused/`: label, reason, text."""
    files = sorted((api.bench.instance.home / "refused").glob("*"))
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in files)
    return [line.split("\t") for file in files for line in file.read_text().splitlines()]


async def _count(api: RunningApi) -> int:
    [connection] = (await read_status(api.bench.instance)).connections
    page = (await api.http.get("/metrics")).text
    assert f'askel_records_refused{{connection="{NAME}"}} {connection.refused}' in page
    return connection.refused


async def _segment(api: RunningApi) -> Any:
    body = json.loads((CASES / "segment-batch-refused-silently" / "batch.json").read_text())
    for message in body["batch"]:
        message["writeKey"] = "secret"
    return await api.http.post("/v1/batch", json=body, headers=api.token("one", "send"))


async def _track(api: RunningApi) -> Any:
    message = {"event": "ss", "messageId": "zz1", "timestamp": "yesterday"}
    return await api.http.post("/v1/track", json=message, headers=api.token("one", "send"))


async def _records(api: RunningApi) -> Any:
    return await api.http.post(RECORDS, json=[{"id": "zz1"}, {"event": "ss"}])


async def _events(api: RunningApi) -> Any:
    headers = {"Content-Type": "application/cloudevents+json"}
    return await api.http.post(
        f"/v1/connections/{NAME}/cloudevents", content=json.dumps({"id": "zz1"}), headers=headers
    )


async def _webhook(api: RunningApi) -> Any:
    await api.http.put(f"/v1/connections/{NAME}/webhooks/shop", json=HOOK)
    body = b'{"zz1": 1}'
    signature = hmac.new(b"a-long-random-text", body, hashlib.sha256).hexdigest()
    return await api.http.post(
        f"/v1/connections/{NAME}/webhooks/shop", content=body, headers={"X-Sig": signature}
    )


async def _no_json(api: RunningApi) -> Any:
    return await api.http.post(RECORDS, content=b'[{"zz1": ', headers={"Content-Type": "application/json"})


async def _no_batch(api: RunningApi) -> Any:
    return await api.http.post("/v1/batch", json={"zz1": []}, headers=api.token("one", "send"))


@pytest.mark.parametrize(
    ("send", "status", "label", "reason"),
    [
        (_segment, 400, "segment 0", "`time`"),
        (_track, 422, "segment 0", "`time`"),
        (_records, 202, "records 0", "`event`"),
        (_events, 422, "cloudevents 0", "`specversion`"),
        (_webhook, 422, "webhook:shop 0", "finds nothing"),
        (_no_json, 400, "records 0", "not JSON"),
        (_no_batch, 422, "segment 0", "no list of messages"),
    ],
)
async def test_it_is_kept_counted_and_logged(
    quiet: RunningApi, caplog: pytest.LogCaptureFixture, send: Send, status: int, label: str, reason: str
) -> None:
    assert (await send(quiet)).status_code == status
    [(where, why, text)] = _kept(quiet)
    assert where.endswith(label)
    assert reason in why
    assert "zz1" in text
    assert "secret" not in text
    assert await _count(quiet) == 1
    [logged] = [each.getMessage() for each in caplog.records if "refused (" in each.getMessage()]
    assert "kept in" in logged
    assert reason in logged


async def test_what_is_good_leaves_nothing_behind(quiet: RunningApi) -> None:
    assert (await quiet.http.post(RECORDS, json={"event": "ss"})).status_code == 202
    assert _kept(quiet) == []
    assert await _count(quiet) == 0


async def test_what_nobody_may_send_is_not_kept(quiet: RunningApi) -> None:
    quiet.http.headers.pop("authorization")
    assert (await quiet.http.post(RECORDS, json={"id": "x"})).status_code == 401
    assert (await quiet.http.post("/v1/batch", json={"batch": [7], "writeKey": "wrong"})).status_code == 401
    assert _kept(quiet) == []


async def test_a_flood_is_counted_and_its_file_stays_small(
    quiet: RunningApi, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(refusals, "MAX_FILE_BYTES", 100)
    for _ in range(5):
        await quiet.http.post(RECORDS, json=[{"id": "x" * 200}])
    assert len(_kept(quiet)) == 1
    assert await _count(quiet) == 5
    assert "not kept" in caplog.text


async def test_a_hostile_reason_or_text_stays_on_its_line(quiet: RunningApi, tmp_path: Path) -> None:
    await quiet.http.post(
        RECORDS,
        content=b'{"id": 1}\n{"time":\t"\x1b[2J"}\r',
        headers={"Content-Type": "application/x-ndjson"},
    )
    assert [len(each) for each in _kept(quiet)] == [3, 3]


async def test_the_index_is_that_of_the_message_in_the_request(quiet: RunningApi) -> None:
    batch = [{"type": "group"}, {"type": "track", "event": "ss"}, {"type": "dance"}]
    await quiet.http.post("/v1/batch", json={"batch": batch}, headers=quiet.token("one", "send"))
    [(where, _, text)] = _kept(quiet)
    assert where.endswith("segment 2")
    assert json.loads(text) == {"type": "dance"}
