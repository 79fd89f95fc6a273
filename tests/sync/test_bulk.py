"""A long backlog goes in bulk: what every row comes to, and what happens to rows that bulk can't carry."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from askel_tui.sandbox.handlers import resources
from askel_tui.sandbox.state import import_jobs
from askel_tui.services.status import read_status
from askel_tui.sync.timing import Limits
from tests.support.http_api import RECORDS, running_api
from tests.support.http_api import WORKFLOW as EVENT_ONLY
from tests.support.workbench import NAME, Workbench, bench_of, points

WORKFLOW = f"""
workflow: many
connection: {NAME}
trigger: first_points_earned
profile: {{email: data.shopper.email, external_id: data.shopper.id}}
steps:
  - id: tier
    upsert_profile:
      first_name: data.shopper.first_name
      properties: {{LoyaltyTier: title(data.shopper.tier), LoyaltyPoints: data.points}}
  - id: welcome
    add_to_list: Welcome Flow
  - id: points
    track_event: {{metric: First Points Earned, value: data.points, properties: {{Points: data.points}}}}
"""
GATED = WORKFLOW.replace("workflow: many", "workflow: gated").replace(
    "  - id: welcome", "  - id: gate\n    require_segment: {segment: VIP, member: false}\n  - id: welcome"
)
MANY_RECORDS = 300


@pytest.fixture(autouse=True)
def _low_threshold(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would take longer than a second in single calls goes in bulk, so that tests stay small."""
    monkeypatch.setenv("ASKEL_BUDGETS", "off")
    if (bench := bench_of(request)) is not None:
        bench.set_limits(max_single_backlog_s=1)


def _records(count: int = MANY_RECORDS, first: int = 0) -> list[dict[str, Any]]:
    return [points(number) for number in range(first, first + count)]


def _count(bench: Workbench, endpoint: str, status: int | None = None) -> int:
    return sum(1 for each in bench.requests(endpoint) if status is None or each["status"] == status)


def _assert_all_written(bench: Workbench, count: int = MANY_RECORDS) -> None:
    emails = sorted(f"t{number}@mapleandember.example" for number in range(count))
    assert bench.on_list("Welcome Flow") == emails
    events = bench.events("First Points Earned")
    assert sorted(event["email"] for event in events) == emails
    assert len({event["unique_id"] for event in events}) == count
    for number in (0, count // 2, count - 1):
        profile = bench.profile(f"t{number}@mapleandember.example")
        assert profile["properties"] == {"LoyaltyTier": "Gold", "LoyaltyPoints": 5 + number}


async def test_a_backlog_travels_in_jobs_that_carry_the_list(either: Workbench) -> None:
    await either.apply(WORKFLOW)
    await either.take(_records())
    await either.drain()
    _assert_all_written(either)
    assert _count(either, "bulk_import_profiles") >= 1
    assert _count(either, "add_profiles_to_list") <= 2
    assert _count(either, "create_or_update_profile") < MANY_RECORDS
    entries = await either.audit(workflow="many")
    statuses = {entry.kind: entry.status for entry in entries if entry.operation and entry.step != "points"}
    assert statuses == {"upsert_profile": "written", "add_to_list": "written"}


async def test_records_that_come_faster_than_single_calls_leave_go_in_bulk(bench: Workbench) -> None:
    """Few at once, so that each counts as live: what they leave waiting is a backlog all the same."""
    await bench.apply(EVENT_ONLY)
    bench.fault("create_event", delay=0.5)
    async with running_api(bench) as api:
        few = range(0, MANY_RECORDS, Limits().max_live_operations)
        for start in few:
            answer = await api.http.post(RECORDS, json=_records(Limits().max_live_operations, start))
            assert answer.json()["accepted"] == Limits().max_live_operations
        while len(bench.events("First Points Earned")) < MANY_RECORDS:
            await asyncio.sleep(0.01)
    assert len(bench.events("First Points Earned")) == MANY_RECORDS
    assert _count(bench, "bulk_create_events", 202) >= 1


async def test_bulk_events_stay_unconfirmed_and_are_never_repeated(bench: Workbench) -> None:
    await bench.apply(WORKFLOW)
    await bench.take(_records())
    await bench.drain()
    _assert_all_written(bench)
    calls = [each for each in bench.requests("bulk_create_events") if each["status"] == 202]
    assert calls
    unconfirmed = await bench.audit(workflow="many", step="points", status="unconfirmed")
    single = _count(bench, "create_event", 202)
    assert len(unconfirmed) + single == MANY_RECORDS


async def test_gates_go_in_bulk_too(bench: Workbench) -> None:
    await bench.apply(GATED)
    await bench.take(_records())
    await bench.drain()
    _assert_all_written(bench)
    assert _count(bench, "get_profiles_for_segment") <= 30


async def test_a_row_that_fails_in_the_job_takes_its_own_record_only(bench: Workbench) -> None:
    refused = {f"t{number}@mapleandember.example": "Invalid phone number" for number in range(0, 250, 2)}
    bench.sandbox.world.change_settings({"import_fail": refused})
    await bench.apply(WORKFLOW)
    await bench.take(_records())
    await bench.drain()
    failures = await bench.instance.journal.failures()
    failed = {failure.record for failure in failures}
    assert failed <= {f"t-{number}" for number in range(0, 250, 2)}
    assert len(failed) > 100  # more than one page of errors
    assert all("Invalid phone number" in failure.reason for failure in failures)
    assert {failure.step for failure in failures} == {"tier"}
    on_list = set(bench.on_list("Welcome Flow"))
    events = {event["email"] for event in bench.events("First Points Earned")}
    expected = {
        f"t{number}@mapleandember.example" for number in range(MANY_RECORDS) if f"t-{number}" not in failed
    }
    assert on_list == events == expected


async def test_one_bad_row_of_a_whole_call_is_cut_out_and_the_rest_sent(bench: Workbench) -> None:
    records = _records()
    records[7]["data"]["shopper"]["phone"] = "+1234567"  # long enough for us, too short for Klaviyo
    phone = WORKFLOW.replace("external_id: data.shopper.id", "phone_number: data.shopper.phone")
    await bench.apply(phone)
    await bench.take(records)
    await bench.drain()
    failed = await bench.instance.journal.failures()
    assert [(failure.record, failure.step) for failure in failed] == [("t-7", "tier")]
    emails = {f"t{number}@mapleandember.example" for number in range(MANY_RECORDS) if number != 7}
    assert set(bench.on_list("Welcome Flow")) == emails
    assert _count(bench, "bulk_import_profiles", 400) >= 1


@pytest.mark.parametrize("repeat", ["refuse", "discard"])
@pytest.mark.parametrize("scope", ["call", "stored"])
async def test_both_readings_of_a_repeated_event_end_right(bench: Workbench, repeat: str, scope: str) -> None:
    """An answer lost after the write: the batch in doubt is sent again, and every event is stored once."""
    bench.sandbox.world.change_settings({"bulk_repeat": repeat, "bulk_repeat_scope": scope})
    bench.fault("bulk_create_events", lost=True, times=1)
    await bench.apply(WORKFLOW)
    await bench.take(_records())
    await bench.drain()
    _assert_all_written(bench)
    if (repeat, scope) == ("refuse", "stored"):
        assert _count(bench, "create_event", 202) >= 50


async def test_a_job_whose_list_is_gone_still_writes_the_profiles(bench: Workbench) -> None:
    await bench.apply(WORKFLOW)
    bench.delete_list("Welcome Flow")
    await bench.take(_records())
    await bench.drain()
    assert [hold.step for hold in await bench.instance.journal.holds()] == ["welcome"]
    assert len(bench.events("First Points Earned")) == MANY_RECORDS
    assert bench.profile("t0@mapleandember.example")["properties"]["LoyaltyTier"] == "Gold"


async def test_what_bulk_cannot_say_goes_by_itself(bench: Workbench) -> None:
    clearing = WORKFLOW.replace(
        "properties: {LoyaltyTier",
        "properties: {OpenGift: {value: data.shopper.gift, clear: true}, LoyaltyTier",
    )
    await bench.apply(clearing)
    await bench.take(_records(100))
    await bench.drain()
    _assert_all_written(bench, 100)
    assert _count(bench, "create_or_update_profile") == 100


@pytest.mark.slow
async def test_a_job_that_cannot_be_read_for_a_while_is_waited_for(bench: Workbench) -> None:
    bench.fault("get_bulk_import_profiles_jobs", status=500, times=3)
    await bench.apply(WORKFLOW)
    await bench.take(_records())
    await bench.drain()
    _assert_all_written(bench)


async def test_a_cancelled_job_is_sent_again(bench: Workbench) -> None:
    bench.sandbox.world.change_settings({"job_time": 30.0})
    await bench.apply(WORKFLOW)
    await bench.take(_records())

    async def cancel() -> None:
        while not (
            running := [job for job in bench.sandbox.account.jobs.values() if job.status != "complete"]
        ):
            await asyncio.sleep(0.01)
        bench.sandbox.world.change_settings({"job_time": 0.0})
        for job in running:
            import_jobs.cancel_import(bench.sandbox.account, job, time.time())

    cancelling = asyncio.create_task(cancel())
    await bench.drain()
    await cancelling
    _assert_all_written(bench)
    assert any(job.status == "cancelled" for job in bench.sandbox.account.jobs.values())


async def test_the_newest_of_several_updates_of_a_profile_stays(bench: Workbench) -> None:
    await bench.apply(WORKFLOW)
    updates = []
    for number in range(MANY_RECORDS):
        record = points(number % 100)
        updates.append({**record, "id": f"u-{number}", "data": {**record["data"], "points": number}})
    await bench.take(updates)
    await bench.drain()
    for number in range(100):
        profile = bench.profile(f"t{number}@mapleandember.example")
        assert profile["properties"]["LoyaltyPoints"] == 200 + number
    assert len(bench.events("First Points Earned")) == MANY_RECORDS


async def test_a_job_whose_figures_do_not_add_up_leaves_its_rows_unconfirmed(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = resources.import_job

    def short(*given: Any, **more: Any) -> dict[str, Any]:
        job = honest(*given, **more)
        job["attributes"]["completed_count"] = max(0, (job["attributes"]["completed_count"] or 0) - 2)
        return job

    monkeypatch.setattr(resources, "import_job", short)
    await bench.apply(WORKFLOW)
    await bench.take(_records())
    await bench.drain()
    entries = await bench.audit(step="tier")
    assert {
        entry.status for entry in entries if entry.request and "bulk-import" in entry.request["path"]
    } == {"unconfirmed"}
    found = await bench.audit(kind="imbalance")
    assert found
    detail: Any = (found[0].response or {})["detail"]
    assert detail["accepted"] == detail["failed"] + detail["unconfirmed"]
    assert "are complete" in detail["detail"]
    rows = (entries[0].response or {})["differences"]
    assert (rows[0]["field"], rows[0]["answered"]) == ("rows", detail["counted"])
    [workflow] = (await read_status(bench.instance)).workflows
    assert workflow.differing == len(await bench.audit(differing=True)) > 0


# aiohttp warns of bodies that take long to write; this one is meant to.
@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_a_row_that_is_too_large_for_a_bulk_call_goes_by_itself_and_fails_alone(
    bench: Workbench,
) -> None:
    """Its properties are within what an event may hold, but not with all that a call puts around them."""
    names = ", ".join(f"P{number}: data.note" for number in range(50))
    await bench.apply(WORKFLOW.replace("{Points: data.points}", f"{{{names}}}"))
    records = _records()
    records[7]["data"]["note"] = "x" * 99_990
    await bench.take(records)
    await bench.drain()
    [failure] = await bench.instance.journal.failures()
    assert (failure.record, failure.step) == ("t-7", "points")
    emails = {event["email"] for event in bench.events("First Points Earned")}
    assert emails == {f"t{number}@mapleandember.example" for number in range(MANY_RECORDS) if number != 7}
    # The sandbox reads no body over the cap, so there is nothing of that call to look at.
    bench.requests_since = next(each["n"] for each in bench.requests("create_event") if each["status"] == 413)
