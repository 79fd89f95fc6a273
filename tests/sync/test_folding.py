"""Updates of one profile that follow each other travel in one request, and each keeps its own fate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from askel_tui.store.journal.rows import AuditEntry
from tests.support.bad_days import assert_in_order, brisk, order, settled
from tests.support.workbench import Workbench, bench_of

__all__ = ["brisk"]

pytestmark = pytest.mark.usefixtures("brisk")

EMAIL = "ada@mapleandember.example"
UPSERT, IMPORT = "create_or_update_profile", "bulk_import_profiles"
MANY_RECORDS = 30
SYNC = """\
workflow: profile-sync
connection: maple-ember
trigger: changed
profile: {email: data.email}
steps:
  - id: profile
    upsert_profile: {properties: {Tier: data.tier, Points: data.points}}
"""
CITY = """\
workflow: city-sync
connection: maple-ember
trigger: changed
profile: {email: data.email}
steps:
  - id: home
    upsert_profile: {location: {city: data.city}}
"""
EXPECTED_TEXT = """\
workflow: told
connection: maple-ember
trigger: changed
profile: {email: data.email}
steps:
  - id: profile
    upsert_profile: {properties: {Tier: data.tier, Points: data.points}}
  - id: told
    track_event: {metric: Profile Changed, properties: {Points: data.points}}
"""
JOINED = EXPECTED_TEXT.replace(
    "track_event: {metric: Profile Changed, properties: {Points: data.points}}", "add_to_list: VIPs"
)


def _changed(number: int, email: str = EMAIL, **data: Any) -> dict[str, Any]:
    given = {"email": email, "tier": "gold", "points": number, **data}
    return {"id": f"r-{email}-{number}", "event": "changed", "data": given}


def _requests_of(entries: Iterable[AuditEntry]) -> set[int]:
    return {entry.request["id"] for entry in entries if entry.request}


async def test_a_backlog_of_one_profile_is_one_call_and_an_entry_for_each(either: Workbench) -> None:
    await either.apply(SYNC)
    await either.take([_changed(number) for number in range(MANY_RECORDS)])
    await either.drain()
    assert either.profile(EMAIL)["properties"] == {"Tier": "gold", "Points": MANY_RECORDS - 1}
    assert len(either.requests(UPSERT, after=either.requests_since)) == 1
    entries = await either.audit(step="profile", status="written")
    assert [entry.record for entry in entries] == [f"r-{EMAIL}-{number}" for number in range(MANY_RECORDS)]
    assert len(_requests_of(entries)) == 1
    await assert_in_order(either)


async def test_updates_of_two_workflows_become_one(bench: Workbench) -> None:
    await bench.apply(SYNC)
    await bench.apply(CITY)
    bench.fault(UPSERT, delay=0.3, times=1)  # meanwhile the others come in behind it
    await bench.take([_changed(number, city="Leeds") for number in range(4)])
    await bench.drain()
    profile = bench.profile(EMAIL)
    assert (profile["properties"]["Points"], profile["location"]) == (3, {"city": "Leeds"})
    assert await settled(bench) == {"profile written": 4, "home written": 4}
    assert len(bench.requests(UPSERT, after=bench.requests_since)) < 8


async def test_an_event_or_an_addition_between_keeps_them_apart(bench: Workbench) -> None:
    await bench.apply(EXPECTED_TEXT)
    await bench.take([_changed(number) for number in range(5)])
    await bench.drain()
    sent = [
        (each["body"]["data"]["attributes"].get("properties") or {}).get("Points")
        for each in bench.requests(after=bench.requests_since)
        if each["endpoint"] in (UPSERT, "create_event")
    ]
    assert sent == [points for number in range(5) for points in (number, number)]


async def test_a_record_that_names_less_is_not_folded(bench: Workbench) -> None:
    await bench.apply(SYNC)
    await bench.take([_changed(1), _changed(2, tier=None), _changed(3)])
    await bench.drain()
    assert bench.profile(EMAIL)["properties"] == {"Tier": "gold", "Points": 3}
    assert len(bench.requests(UPSERT, after=bench.requests_since)) == 2


async def test_a_refused_call_is_cut_apart_and_only_the_bad_one_fails(either: Workbench) -> None:
    await either.apply(SYNC)
    either.fault(UPSERT, status=400, times=1)  # the folded call
    either.fault(UPSERT, status=400, times=1)  # the first one by itself
    await either.take([_changed(number) for number in range(4)])
    await either.drain()
    assert either.profile(EMAIL)["properties"]["Points"] == 3
    [failure] = await either.instance.journal.failures()
    assert failure.record == f"r-{EMAIL}-0"
    assert await settled(either) == {"profile written": 3}
    assert len(_requests_of(await either.audit(step="profile", status="written"))) == 3
    await order(either, "retry", ids=[failure.id])
    await either.drain()
    # What the others have written since is newer.
    assert either.profile(EMAIL)["properties"]["Points"] == 3
    assert await settled(either) == {"profile written": 3, "profile skipped": 1}
    await assert_in_order(either)


async def test_a_lost_reply_of_a_folded_call_writes_it_again_whole(bench: Workbench) -> None:
    bench.fault(UPSERT, lost=True, times=6)
    await bench.apply(SYNC)
    await bench.take([_changed(number) for number in range(MANY_RECORDS)])
    await bench.drain()
    assert bench.profile(EMAIL)["properties"]["Points"] == MANY_RECORDS - 1
    assert await settled(bench) == {"profile written": MANY_RECORDS}


PEOPLE, EACH = 120, 3


@pytest.fixture
def low_threshold(request: pytest.FixtureRequest) -> None:
    """What would take longer than a second in single calls goes in bulk."""
    if (bench := bench_of(request)) is not None:
        bench.set_limits(max_single_backlog_s=1)


def _backlog() -> list[dict[str, Any]]:
    return [
        _changed(number, f"p{person}@mapleandember.example")
        for number in range(EACH)
        for person in range(PEOPLE)
    ]


@pytest.mark.usefixtures("low_threshold")
async def test_in_bulk_a_profile_has_one_row_with_all_of_its_updates(either: Workbench) -> None:
    await either.apply(SYNC)
    await either.take(_backlog())
    await either.drain()
    for person in range(PEOPLE):
        assert either.profile(f"p{person}@mapleandember.example")["properties"]["Points"] == EACH - 1
    jobs = either.requests(IMPORT, after=either.requests_since)
    rows = sum(len(job["body"]["data"]["attributes"]["profiles"]["data"]) for job in jobs)
    single = len(either.requests(UPSERT, after=either.requests_since))
    assert jobs
    assert rows + single < PEOPLE * EACH
    assert await settled(either) == {"profile written": PEOPLE * EACH}


@pytest.mark.usefixtures("low_threshold")
async def test_a_row_that_fails_in_a_job_is_judged_update_by_update(bench: Workbench) -> None:
    """The job refuses rows of folded updates; sent by themselves, they are found to be good."""
    refused = {f"p{person}@mapleandember.example": "Invalid input" for person in range(PEOPLE)}
    bench.sandbox.world.change_settings({"import_fail": refused})
    await bench.apply(SYNC)
    await bench.take(_backlog())
    await bench.drain()
    for person in range(PEOPLE):
        assert bench.profile(f"p{person}@mapleandember.example")["properties"]["Points"] == EACH - 1
    failed = await bench.instance.journal.failures()
    jobs = bench.requests(IMPORT, after=bench.requests_since)
    assert jobs
    assert not [each for each in failed if "Invalid input" not in each.reason]
    ends = await settled(bench)
    assert ends["profile written"] + len(failed) == PEOPLE * EACH


@pytest.mark.usefixtures("low_threshold")
async def test_the_list_of_the_last_update_travels_with_the_folded_row(bench: Workbench) -> None:
    await bench.apply(SYNC)
    await bench.apply(JOINED.replace("VIPs", "Welcome Flow"))
    await bench.take([_changed(1, f"p{person}@mapleandember.example") for person in range(PEOPLE)])
    await bench.drain()
    assert len(bench.on_list("Welcome Flow")) == PEOPLE
    assert await settled(bench) == {"profile written": 2 * PEOPLE, "told written": PEOPLE}
