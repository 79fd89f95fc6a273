"""Operating: health, numbers, the audit and its tail, orders to workflows, pressure."""

from __future__ import annotations

import asyncio
import json
import logging
from html.parser import HTMLParser
from typing import Any

import pytest

from askel_tui.api.routes.operations import router
from askel_tui.cli.commands.daemon import JsonLines, TextLines
from askel_tui.core.hold_causes import HOLD_CAUSES
from askel_tui.store.journal.rows import Hold
from askel_tui.store.locks import OwnershipLock
from askel_tui.sync.instance import account_key
from tests.support.bad_days import change, order, until
from tests.support.http_api import RECORDS, WORKFLOW, RunningApi
from tests.support.patience import PATIENCE_S
from tests.support.workbench import NAME, points

pytestmark = pytest.mark.clock

HERE = f"/v1/connections/{NAME}"


async def test_health_needs_no_token_and_tells_nothing_else(quiet: RunningApi) -> None:
    quiet.http.headers.pop("authorization")
    assert (await quiet.http.get("/healthz")).json() == {"ok": True, "why": []}
    assert (await quiet.http.get("/readyz")).json() == {"ok": True, "why": []}
    assert (await quiet.http.get("/metrics")).status_code == 401


async def test_near_a_full_disk_records_are_refused_and_what_was_taken_stays(quiet: RunningApi) -> None:
    await quiet.http.post(RECORDS, json=points(1))
    quiet.context.backpressure._measure_free = lambda path: 10_000_000
    await quiet.context.backpressure.check()
    refused = await quiet.http.post(RECORDS, json=points(2))
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    assert "10 MB" in refused.json()["error"]["message"]
    event = await quiet.http.post(f"{HERE}/events", json={"profile": {"email": "a@x.example"}, "metric": "x"})
    assert event.status_code == 429
    ready = await quiet.http.get("/readyz")
    assert (ready.status_code, ready.json()["ok"]) == (503, False)
    assert (await quiet.http.get("/healthz")).status_code == 200
    quiet.context.backpressure._measure_free = lambda path: 10_000_000_000
    await quiet.context.backpressure.check()
    assert (await quiet.http.post(RECORDS, json=points(2))).status_code == 202
    assert [each.record.id for each in await quiet.stored()] == ["t-1", "t-2"]


async def test_a_backlog_at_its_limit_refuses_records(quiet: RunningApi) -> None:
    await quiet.bench.apply(WORKFLOW)
    quiet.bench.instance.state.save_setting("max_backlog", 2)
    quiet.context.refresh()
    await quiet.http.post(RECORDS, json=[points(1), points(2)])
    await quiet.context.backpressure.check()
    assert quiet.context.backpressure.backlog == 2
    await _plan(quiet)
    await quiet.context.backpressure.check()
    refused = await quiet.http.post(RECORDS, json=points(3))
    assert refused.status_code == 429
    assert "2 operations wait" in refused.json()["error"]["message"]


async def _plan(api: RunningApi) -> None:
    from askel_tui.sync.planning.planner import Planner

    instance = api.bench.instance
    state, applied = await instance.workflow_state("tested"), await instance.applied_version("tested")
    assert state is not None
    assert applied is not None
    await Planner(instance.journal, instance.clock, lambda *_: None).plan_round([(state, applied)])


async def test_numbers_count_what_happened(api: RunningApi) -> None:
    await api.bench.apply(WORKFLOW)
    answer = await api.http.post(RECORDS, json=[points(1), points(1), {}])
    assert answer.status_code == 202
    await _written(api, 1)
    text = (await api.http.get("/metrics")).text
    for line in (
        f'askel_records_total{{connection="{NAME}",fate="new"}} 1',
        f'askel_records_total{{connection="{NAME}",fate="same"}} 1',
        f'askel_records_total{{connection="{NAME}",fate="refused"}} 1',
        f'askel_operations_sent{{connection="{NAME}",workflow="tested"}} 1',
        f'askel_operations_waiting{{connection="{NAME}",workflow="tested"}} 0',
        'askel_http_requests_total{method="POST",route="/v1/connections/{name}/records",status="202"} 1',
        f'askel_klaviyo_call_seconds_count{{kind="track_event",connection="{NAME}"}} 1',
        f'askel_record_arrival_seconds_count{{kind="track_event",connection="{NAME}"}} 1',
        "askel_drift 0",
        "askel_refusing 0",
    ):
        assert f"{line}\n" in text, line
    assert "askel_budget_used" in text
    other = await api.http.get("/metrics", headers=api.token("narrow", "operate", connections=["other"]))
    assert NAME not in other.text


async def test_an_outage_of_klaviyo_is_in_the_body_and_in_the_metrics_and_records_are_taken(
    quiet: RunningApi,
) -> None:
    instance = quiet.bench.instance
    account = account_key(instance.state.connection(NAME))
    since = instance.clock() - 40_000
    with OwnershipLock(instance.home):
        await instance.journal.save_unanswered_calls([(account, "create_event", since)])
        ready = await quiet.http.get("/readyz")
        assert (ready.status_code, ready.json()["ok"]) == (200, True)
        assert ready.json()["klaviyo"].startswith("Klaviyo has not answered for 4")
        text = (await quiet.http.get("/metrics")).text
        [line] = [each for each in text.splitlines() if each.startswith("askel_klaviyo_silent_seconds{")]
        assert float(line.split()[-1]) >= 40
        await instance.journal.save_unanswered_calls([])
        assert "klaviyo" not in (await quiet.http.get("/readyz")).json()


async def test_drift_counts_the_steps_that_the_account_made_hold(quiet: RunningApi) -> None:
    journal = quiet.bench.instance.journal
    await quiet.bench.apply(WORKFLOW)
    for cause in HOLD_CAUSES:
        await journal.add_hold(Hold(NAME, "tested", 1, cause, cause, "", 1), 1)
    text = (await quiet.http.get("/metrics")).text
    ours = {"key_refused", "other_account", "scope_missing", "in_doubt", "gate_unreadable", "person"}
    ours |= {"outage", "limit", "revision", "retired", "unmatched", "other_identity", "consent_unreadable"}
    assert f"askel_drift {len(HOLD_CAUSES) - len(ours)}\n" in text
    for cause in HOLD_CAUSES:
        assert f'askel_holds{{workflow="tested",step="{cause}",cause="{cause}"}} 1\n' in text


async def _written(api: RunningApi, count: int) -> None:
    while len(await api.audited(status="written")) + len(await api.audited(status="unconfirmed")) < count:
        await api.bench.instance.journal.wait_for_change(1)


async def test_the_audit_names_the_token_and_what_a_record_claims_beside_it(api: RunningApi) -> None:
    await api.bench.apply(WORKFLOW)
    headers = api.token("shop", "send")
    for record in (points(1), {**points(2), "actor": "token:admin"}):
        assert (await api.http.post(RECORDS, json=record, headers=headers)).status_code == 202
    await _written(api, 2)
    for who in ("token:shop", "shop"):
        found = (await api.http.get(f"{HERE}/audit", params={"actor": who, "kind": "track_event"})).json()[
            "entries"
        ]
        assert {(each["record"], each["actor"], each["claimed"]) for each in found} == {
            ("t-1", "token:shop", None),
            ("t-2", "token:shop", "token:admin"),
        }
    claimed = (await api.http.get(f"{HERE}/audit", params={"actor": "token:admin"})).json()["entries"]
    assert {each["record"] for each in claimed} == {"t-2"}


async def test_the_audit_is_paged_and_filtered(api: RunningApi) -> None:
    await api.bench.apply(WORKFLOW)
    await api.http.post(RECORDS, json=[points(n) for n in range(3)])
    await _written(api, 3)
    first = (await api.http.get(f"{HERE}/audit", params={"kind": "track_event", "limit": 2})).json()
    assert [entry["status"] for entry in first["entries"]] == ["written"] * 2
    params = {"kind": "track_event", "limit": 2, "after": first["next"]}
    rest = (await api.http.get(f"{HERE}/audit", params=params)).json()
    assert len(rest["entries"]) == 1
    assert rest["next"] is None
    one = (await api.http.get(f"{HERE}/audit", params={"record": "t-1"})).json()["entries"]
    assert {entry["record"] for entry in one} == {"t-1"}
    assert (await api.http.get(f"{HERE}/audit", params={"since": "yesterday"})).status_code == 422
    assert (await api.http.get(f"{HERE}/audit", params={"workflo": "x"})).status_code == 422


async def test_a_tail_tells_entries_as_they_are_written_and_goes_on_where_it_stopped(
    api: RunningApi,
) -> None:
    await api.bench.apply(WORKFLOW)
    path = f"{HERE}/audit/stream"
    async with api.http.stream("GET", path, params={"kind": "track_event"}) as tail:
        assert tail.headers["content-type"].startswith("text/event-stream")
        lines = tail.aiter_lines()
        await anext(lines)
        await api.http.post(RECORDS, json=[points(n) for n in range(2)])
        seen = [await _event(lines), await _event(lines)]
    assert {entry["record"] for _, entry in seen} == {"t-0", "t-1"}
    again = {"Last-Event-ID": seen[0][0]}
    async with api.http.stream("GET", path, params={"kind": "track_event"}, headers=again) as tail:
        assert (await _event(tail.aiter_lines()))[1] == seen[1][1]


async def _event(lines: Any) -> tuple[str, dict[str, Any]]:
    number = ""
    async for line in lines:
        if line.startswith("id: "):
            number = line[4:]
        if line.startswith("data: "):
            return number, json.loads(line[6:])
    raise AssertionError("the tail ended")


async def test_a_tail_ends_once_its_token_is_revoked_and_tells_nothing_more(api: RunningApi) -> None:
    await api.bench.apply(WORKFLOW)
    watcher = api.token("watcher", "operate")
    async with api.http.stream("GET", f"{HERE}/audit/stream", headers=watcher) as tail:
        lines = tail.aiter_lines()
        await anext(lines)
        api.tokens.revoke("watcher")
        assert (await api.http.post(RECORDS, json=points(1))).status_code == 202
        async with asyncio.timeout(PATIENCE_S):
            assert [line async for line in lines if line.startswith("data: ")] == []


async def test_a_tail_does_not_keep_the_server_from_stopping(api: RunningApi) -> None:
    async with api.http.stream("GET", f"{HERE}/audit/stream") as tail:
        lines = tail.aiter_lines()
        await anext(lines)
        api.server.stop()
        async with asyncio.timeout(PATIENCE_S):
            async for _ in lines:
                pass


async def test_workflows_are_paused_resumed_and_activated_by_name(api: RunningApi) -> None:
    await api.bench.apply(WORKFLOW, activate=False)
    path = f"{HERE}/workflows/tested"
    assert (await api.http.post(f"{path}/pause")).status_code == 409
    assert (await api.http.post(f"{path}/activate")).json()["state"] == "active"
    header = api.token("operator", "operate")
    assert (await api.http.post(f"{path}/pause", headers=header)).json()["state"] == "paused"
    assert (await api.http.post(f"{path}/resume")).json()["state"] == "active"
    since = {"since": "2026-11-01T00:00:00+01:00"}
    assert (await api.http.post(f"{path}/activate", json=since)).status_code == 200
    assert (await api.http.post(f"{HERE}/workflows/testd/pause")).status_code == 404
    paused = [entry for entry in await api.audited(workflow="tested") if entry.kind == "pause"]
    assert [entry.actor for entry in paused] == ["token:operator"]
    assert (await api.http.post(f"{path}/pause", headers=api.token("s", "send"))).status_code == 403


async def test_activating_asks_what_becomes_of_what_is_unsent(api: RunningApi) -> None:
    await api.bench.apply(WORKFLOW)
    path, bench = f"{HERE}/workflows/tested", api.bench
    await order(bench, "hold", workflow="tested", step="points")
    await api.http.post(RECORDS, json=points(1))
    await until(bench, lambda: _held(api))
    await bench.apply(f"{WORKFLOW}# another version\n", activate=False)

    asked = await api.http.post(f"{path}/activate")
    assert asked.status_code == 409
    error = asked.json()["error"]
    assert (error["code"], error["preview"]["totals"]["replanned"]) == ("unsent", {"points": 1})
    done = await api.http.post(f"{path}/activate", json={"unsent": "replan"})
    assert (done.status_code, done.json()["replanned"]) == (200, {"replanned": 1})
    assert [each.version for each in await bench.instance.journal.holds()] == [2]


async def test_activating_asks_whether_records_of_the_past_start_flows(api: RunningApi) -> None:
    await api.http.post(RECORDS, json={**points(1), "time": "2026-01-02T00:00:00Z"})
    await api.bench.apply(WORKFLOW, activate=False)
    path, since = f"{HERE}/workflows/tested", {"since": "2026-01-01T00:00:00Z"}
    asked = await api.http.post(f"{path}/activate", json=since)
    assert asked.status_code == 409
    error = asked.json()["error"]
    assert error["code"] == "flows"
    assert error["preview"]["flows"] == [{"flow": "First Points Thanks", "people": 1}]
    assert (await api.http.post(f"{path}/activate", json={**since, "flows": "no"})).status_code == 422
    assert (await api.http.post(f"{path}/activate", json={**since, "flows": "history"})).status_code == 200
    await until(api.bench, lambda: _sent(api))
    [event] = api.bench.events("First Points Earned")
    flow = next(each for each in api.bench.state()["flows"] if each["name"] == "First Points Thanks")
    assert (event["backfill"], flow["starts"]) == (True, [])


async def test_activating_asks_for_the_number_of_people_who_opted_out(api: RunningApi) -> None:
    steps = "steps:\n  - id: in\n    subscribe: {channels: [email], list: Newsletter, proof: record}\n"
    text = f"askel: 2\n{WORKFLOW[: WORKFLOW.index('steps:')]}{steps}"
    record = {**points(1), "time": "2026-01-02T00:00:00Z"}
    email = record["data"]["shopper"]["email"]
    change(api.bench, "POST", "profiles", profiles=[{"email": email}])
    left = {"consent": "UNSUBSCRIBED", "last_updated": "2026-01-01T00:00:00Z"}
    change(api.bench, "PUT", f"profiles/{email}/consent", **{"email.marketing": left})
    await api.http.post(RECORDS, json=record)
    await api.bench.apply(text, activate=False)
    path, since = f"{HERE}/workflows/tested", {"since": "2026-01-01T00:00:00Z", "flows": "fire"}
    for given in (since, {**since, "resubscribe": 0}):
        asked = await api.http.post(f"{path}/activate", json=given)
        assert asked.status_code == 409
        error = asked.json()["error"]
        assert (error["code"], error["preview"]["people"]) == ("opt_outs", 1)
    assert (await api.http.post(f"{path}/activate", json={**since, "resubscribe": True})).status_code == 422
    assert (await api.http.post(f"{path}/activate", json={**since, "resubscribe": 1.0})).status_code == 200


async def _sent(api: RunningApi) -> bool:
    return bool(api.bench.events("First Points Earned"))


async def test_planning_anew_later_asks_and_takes_a_step(api: RunningApi) -> None:
    await api.bench.apply(WORKFLOW)
    path, bench = f"{HERE}/workflows/tested", api.bench
    await order(bench, "hold", workflow="tested", step="points")
    await api.http.post(RECORDS, json=points(1))
    await until(bench, lambda: _held(api))
    await bench.apply(f"{WORKFLOW.replace('email: data', 'email: data.new')}# another\n", unsent="keep")

    other = await api.http.post(f"{path}/replan", json={"step": "point"})
    assert (other.status_code, "'points'" in other.json()["error"]["message"]) == (404, True)
    asked = await api.http.post(f"{path}/replan", json={"step": "points"})
    assert asked.status_code == 409
    error = asked.json()["error"]
    assert error["preview"]["totals"]["records"] == 1
    assert "close_unmatched closes" in error["message"]
    done = await api.http.post(f"{path}/replan", json={"unsent": "replan", "close_unmatched": True})
    assert (done.status_code, done.json()["replanned"]) == (200, {"closed": 1})


async def _held(api: RunningApi) -> bool:
    counts = (await api.bench.instance.journal.counts()).get("tested")
    return counts is not None and counts.held == 1


async def test_a_request_is_one_line_of_the_log_with_its_id(
    quiet: RunningApi, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "askel_tui")
    await quiet.http.post(RECORDS, json=points(1), headers={"X-Request-Id": "good-1"})
    await quiet.http.post(RECORDS, json=5, headers={"X-Request-Id": "bad-1"})
    lines = {}
    for record in caplog.records:
        line = json.loads(JsonLines().format(record))
        if "request" in line:
            lines[line["request"]] = line
            assert f"request {line['request']}" in TextLines().format(record)
    assert (lines["good-1"]["level"], lines["bad-1"]["level"]) == ("debug", "info")
    wanted = {"method": "POST", "path": RECORDS, "status": 202, "token": "tester"}
    assert wanted.items() <= lines["good-1"].items()
    secret = quiet.http.headers["authorization"].split("_", 2)[2]
    assert secret not in caplog.text


async def test_the_page_of_the_docs_loads_nothing_from_elsewhere(quiet: RunningApi) -> None:
    page = await quiet.http.get("/docs")
    assert page.headers["content-security-policy"].startswith("default-src 'none'")

    class Links(HTMLParser):
        found: list[str]

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            links.extend(value for name, value in attrs if name in ("src", "href") and value)

    links: list[str] = []
    Links().feed(page.text)
    assert links == ["/openapi.json"]
    assert "http://" not in page.text
    assert "https://" not in page.text


async def test_every_route_has_an_example_or_needs_none(quiet: RunningApi) -> None:
    document = (await quiet.http.get("/openapi.json")).json()
    assert len(document["paths"]) >= 20
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], (path, method)
            for media in operation.get("requestBody", {}).get("content", {}).values():
                schema = media.get("schema", {})
                named = schema.get("$ref") or next(
                    (each.get("$ref") for each in schema.get("anyOf", ()) if "$ref" in each), None
                )
                known = document["components"]["schemas"][named.rsplit("/", 1)[1]] if named else schema
                assert "example" in media or _has_examples(known, document), (path, method)
    assert router.routes


def _has_examples(schema: dict[str, Any], document: dict[str, Any]) -> bool:
    if "examples" in schema:
        return True
    parts = schema.get("properties", {}).values()
    found = [
        document["components"]["schemas"][part["$ref"].rsplit("/", 1)[1]] if "$ref" in part else part
        for part in parts
    ]
    return any("examples" in part for part in found)
