"""Idempotency-Key: the same request gets the same answer, another one is refused, nothing is done twice."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from askel_tui.store.paths import idempotent_responses_file
from askel_tui.store.sqlite.idempotent_responses import RESPONSE_KEPT_MS, IdempotentResponses, StoredResponse
from tests.support.http_api import RECORDS, RunningApi, running_api
from tests.support.sandbox import running
from tests.support.workbench import NAME, points, workbench

pytestmark = pytest.mark.clock

CLICKS: list[dict[str, Any]] = [{"event": "clicked", "data": {"email": "ada@x.example"}}] * 2
ONE = {"Idempotency-Key": "one"}
ADA = {"profile": {"email": "ada@mapleandember.example"}}


def replayed(answer: httpx.Response) -> bool:
    return "idempotent-replayed" in answer.headers


async def test_the_same_request_gets_the_same_answer(quiet: RunningApi) -> None:
    first = await quiet.http.post(RECORDS, json=CLICKS, headers=ONE)
    again = await quiet.http.post(RECORDS, json=CLICKS, headers=ONE)
    packed = gzip.compress(json.dumps(CLICKS, separators=(",", ":")).encode(), mtime=1)
    gzipped = {**ONE, "Content-Encoding": "gzip", "Content-Type": "application/json"}
    assert first.status_code == 202
    assert [row["fate"] for row in first.json()["records"]] == ["new", "new"]
    for answer in (again, await quiet.http.post(RECORDS, content=packed, headers=gzipped)):
        assert (answer.status_code, answer.content) == (202, first.content)
        assert replayed(answer)
        assert answer.headers["x-request-id"] != first.headers["x-request-id"]
    assert not replayed(first)
    assert len(await quiet.stored()) == 2


async def test_another_request_with_the_key_is_refused(quiet: RunningApi) -> None:
    await quiet.http.post(RECORDS, json=points(1), headers=ONE)
    for path, body in (
        (RECORDS, points(2)),
        (f"/v1/connections/{NAME}/events", {**ADA, "metric": "Gift Used"}),
    ):
        refused = await quiet.http.post(path, json=body, headers=ONE)
        assert refused.status_code == 422
        assert refused.json()["error"]["code"] == "idempotency_key"
        assert "another request" in refused.json()["error"]["message"]
    assert [each.record.id for each in await quiet.stored()] == ["t-1"]


async def test_a_key_belongs_to_its_token(quiet: RunningApi) -> None:
    others = {**ONE, **quiet.token("other", "send")}
    first = await quiet.http.post(RECORDS, json=CLICKS, headers=ONE)
    other = await quiet.http.post(RECORDS, json={"event": "else"}, headers=others)
    assert [first.status_code, other.status_code] == [202, 202]
    assert not replayed(other)
    assert len(await quiet.stored()) == 3


async def test_requests_at_the_same_time_are_one(quiet: RunningApi) -> None:
    answers = await asyncio.gather(*(quiet.http.post(RECORDS, json=CLICKS, headers=ONE) for _ in range(6)))
    assert len({answer.content for answer in answers}) == 1
    assert sorted(map(replayed, answers)) == [False] + [True] * 5
    assert len(await quiet.stored()) == 2


async def test_what_was_refused_may_be_mended_under_its_key(quiet: RunningApi) -> None:
    assert (await quiet.http.post(RECORDS, json={"data": {}}, headers=ONE)).status_code == 422
    mended = await quiet.http.post(RECORDS, json={"event": "x", "data": {}}, headers=ONE)
    assert mended.status_code == 202
    for wrong in ("x" * 256, "", "a b"):
        answer = await quiet.http.post(RECORDS, json=points(1), headers={"Idempotency-Key": wrong})
        assert answer.status_code == 400
    assert len(await quiet.stored()) == 1


@pytest.mark.slow
async def test_answers_outlive_the_daemon_and_their_loss_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running() as sandbox, workbench(tmp_path, sandbox, monkeypatch) as bench:
        async with running_api(bench, engine=False) as api:
            token = {"Authorization": api.http.headers["authorization"]}
            first = await api.http.post(RECORDS, json=CLICKS, headers=ONE)
        file = idempotent_responses_file(bench.instance.home)
        assert file.stat().st_mode & 0o777 == 0o600
        async with running_api(bench, engine=False, tokens="next") as api:
            again = await api.http.post(RECORDS, json=CLICKS, headers={**ONE, **token})
            assert (again.content, replayed(again)) == (first.content, True)
        file.write_bytes(b"no database" * 1_000)
        async with running_api(bench, engine=False, tokens="last") as api:
            lost = await api.http.post(RECORDS, json=CLICKS, headers={**ONE, **token})
            assert [row["fate"] for row in lost.json()["records"]] == ["same", "same"]
            assert [row["id"] for row in lost.json()["records"]] == [
                row["id"] for row in first.json()["records"]
            ]
            assert len(await api.stored()) == 2


async def test_a_write_that_had_not_ended_is_answered_as_it_is_now(api: RunningApi) -> None:
    path = f"/v1/connections/{NAME}/lists/Newsletter/members"
    queued = await api.http.post(path, json=ADA, params={"wait": "false"}, headers=ONE)
    assert queued.status_code == 202
    ended = await api.http.post(path, json=ADA, headers=ONE)
    assert (ended.status_code, ended.json()["complete"], replayed(ended)) == (200, True, False)
    assert ended.json()["record"] == queued.json()["record"]
    again = await api.http.post(path, json=ADA, headers=ONE)
    assert (again.content, replayed(again)) == (ended.content, True)
    other = await api.http.request("DELETE", path, json=ADA, headers=ONE)
    assert other.status_code == 422
    adds = [each for each in api.bench.requests() if each["method"] == "POST" and "/lists/" in each["path"]]
    assert len(adds) == 1


async def test_answers_are_kept_for_a_day_and_not_without_end(tmp_path: Path) -> None:
    answers = IdempotentResponses(tmp_path, max_responses=3)
    try:
        for number in range(5):
            await answers.save(f"k-{number}", StoredResponse(b"d", 202, b"x" * number), 1_000 + number)
        found = [await answers.find(f"k-{number}", 2_000) for number in range(5)]
        assert [each.body if each else None for each in found] == [None, None, b"xx", b"xxx", b"xxxx"]
        assert await answers.find("k-4", 1_004 + RESPONSE_KEPT_MS - 1) is not None
        assert await answers.find("k-4", 1_004 + RESPONSE_KEPT_MS) is None
        await answers.save("k-2", StoredResponse(b"e", 200, None), 2_000)
        assert await answers.find("k-2", 2_001) == StoredResponse(b"e", 200, None)
        for number in range(2):
            await answers.save(f"late-{number}", StoredResponse(b"d", 202, b""), 3_000 + RESPONSE_KEPT_MS)
        assert await answers.find("k-2", 2_001) is None
    finally:
        await answers.close()
