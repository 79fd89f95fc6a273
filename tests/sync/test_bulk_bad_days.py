"""Bad days in bulk: whatever a bulk call or a look at its job meets, each operation is written once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from askel_tui.klaviyo.http_limits import HttpLimits
from askel_tui.sandbox.handlers.context import Context, Reply
from askel_tui.sandbox.http import exchange
from tests.support.bad_days import WELCOME, assert_in_order, brisk, held, settled
from tests.support.thinning import grid
from tests.support.workbench import Workbench, points

__all__ = ["brisk"]

pytestmark = pytest.mark.usefixtures("brisk")

MANY_RECORDS = 120
REFUSED = "t7@mapleandember.example"
IMPORT, EVENTS = "bulk_import_profiles", "bulk_create_events"
JOB_LIST_CALL, ERRORS = "get_bulk_import_profiles_jobs", "get_errors_for_bulk_import_profiles_job"
FAULTS: Mapping[str, Mapping[str, Any]] = {
    "503 for longer than a call is tried": {"status": 503, "times": 9},
    "HTML 403": {"status": 403, "body": "html", "times": 2},
    "429 without Retry-After": {"status": 429, "body": "empty", "times": 1},
    "reset": {"reset": True, "times": 2},
    "reply lost after the write": {"lost": True, "times": 2},
    "reply broken off within": {"cut": 0.5, "times": 2},
    "malformed JSON after the write": {"after": True, "body": "malformed", "times": 2},
    "503 after the write": {"after": True, "status": 503, "times": 2},
    "no answer": {"delay": 1.0, "times": 1},
}
NEVER_ARRIVED = ("503 for longer than a call is tried", "HTML 403", "429 without Retry-After", "reset")


@pytest.fixture(autouse=True)
def _in_bulk(bench: Workbench) -> None:
    bench.set_timing(first_poll_s=0.02, max_poll_interval_s=0.05, job_visible_after_s=0.1)
    bench.set_limits(max_single_backlog_s=0.5)
    bench.instance.http_limits = HttpLimits(read_timeout_s=0.5)


@pytest.mark.parametrize(("fault", "call"), grid(FAULTS, [IMPORT, EVENTS, JOB_LIST_CALL, ERRORS]))
@pytest.mark.slow
async def test_each_row_is_written_once(bench: Workbench, fault: str, call: str) -> None:
    bench.sandbox.world.change_settings({"import_fail": {REFUSED: "Invalid phone number"}})
    bench.fault(call, **FAULTS[fault])
    await bench.apply(WELCOME)
    await bench.take(points(number) for number in range(MANY_RECORDS))
    await bench.drain()
    assert all(one.struck for one in bench.sandbox.world.faults.all)
    assert [failure.record for failure in await bench.instance.journal.failures()] == ["t-7"]
    assert await held(bench) == {}
    ended = await settled(bench)
    assert ended["points written"] + ended["points unconfirmed"] == MANY_RECORDS - 1
    assert (ended["tier written"], ended["welcome written"]) == (MANY_RECORDS - 1, MANY_RECORDS - 1)
    assert len(bench.on_list("Welcome Flow")) == MANY_RECORDS - 1
    events = bench.events("First Points Earned")
    assert len(events) == len({event["email"] for event in events}) == MANY_RECORDS - 1
    if call != IMPORT or fault in NEVER_ARRIVED:
        taken = [entry for entry in bench.requests(IMPORT) if entry["status"] == 202]
        rows = [row for entry in taken for row in entry["body"]["data"]["attributes"]["profiles"]["data"]]
        assert max(Counter(row["attributes"]["email"] for row in rows).values()) == 1
    await assert_in_order(bench)


ODD: Mapping[str, Any] = {
    "no object": [1],
    "no resource": {"data": [{"id": 1, "attributes": [2]}, {"id": None, "attributes": "x"}]},
    "no figures": {"data": {"id": "J", "attributes": {"status": ["complete"], "total_count": "many"}}},
}
UPSERT, ALONE = "create_or_update_profile", "get_bulk_import_profiles_job"


@pytest.mark.parametrize(("odd", "call"), grid(ODD, [IMPORT, JOB_LIST_CALL, ALONE, ERRORS, UPSERT]))
async def test_an_answer_of_another_shape_ends_nothing(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, odd: str, call: str
) -> None:
    honest, struck = exchange.HANDLERS[call], 0

    def oddly(context: Context) -> Reply:
        nonlocal struck
        reply = honest(context)
        struck += 1
        return Reply(reply.status, ODD[odd]) if struck <= 2 else reply

    monkeypatch.setitem(exchange.HANDLERS, call, oddly)
    if call == ALONE:
        monkeypatch.setitem(exchange.HANDLERS, JOB_LIST_CALL, lambda context: Reply(200, {"data": []}))
    bench.sandbox.world.change_settings({"import_fail": {REFUSED: "Invalid phone number"}})
    await bench.apply(WELCOME)
    # Few enough go in single calls.
    records = 5 if call == UPSERT else MANY_RECORDS
    await bench.take(points(number) for number in range(records))
    await bench.drain()
    assert struck
    events = bench.events("First Points Earned")
    assert len(events) == len({event["email"] for event in events}) >= records - 1
    assert {failure.record for failure in await bench.instance.journal.failures()} <= {"t-7"}
    assert await held(bench) == {}
    await assert_in_order(bench)
