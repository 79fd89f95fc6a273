"""Every row counts: none is reported as written that was not, none is lost where others were throttled or refused."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.support.bad_days import WELCOME, assert_in_order, brisk, change, held, settled
from tests.support.workbench import Workbench, bench_of, points

__all__ = ["brisk"]

pytestmark = pytest.mark.usefixtures("brisk")

LEAVE = """\
workflow: leave
connection: maple-ember
trigger: left
profile: {email: data.email}
steps:
  - id: out
    remove_from_list: Promotions
"""
NAMES = """\
workflow: names
connection: maple-ember
trigger: first_points_earned
profile: {email: data.shopper.email, external_id: data.shopper.id}
steps:
  - id: names
    upsert_profile:
      first_name: data.shopper.first_name
      last_name: data.shopper.last_name
      organization: data.shopper.works_at
      location: {city: data.store}
      properties: {Tier: data.shopper.tier}
"""
METRIC = "First Points Earned"


def _email(number: int) -> str:
    return f"t{number}@mapleandember.example"


@pytest.fixture
def bulk(request: pytest.FixtureRequest) -> None:
    """Small backlogs go in bulk."""
    if (bench := bench_of(request)) is not None:
        bench.set_limits(max_single_backlog_s=1)


async def test_every_removal_of_many_is_made(either: Workbench) -> None:
    """Profiles that were never seen before are looked up, page by page, before they are taken off the list."""
    emails = [_email(number) for number in range(230)]
    change(either, "POST", "profiles", profiles=[{"email": email} for email in emails])
    either.put_on_list("Promotions", *emails, "sol@mapleandember.example")
    await either.apply(LEAVE)
    await either.take(
        {"id": f"left-{number}", "event": "left", "data": {"email": email}}
        for number, email in enumerate(emails)
    )
    await either.drain()
    assert either.on_list("Promotions") == ["sol@mapleandember.example"]
    assert await settled(either) == {"out written": 230}


async def test_a_throttled_upsert_never_makes_its_list_addition_fail(either: Workbench) -> None:
    await either.apply(WELCOME)
    await either.take(points(number) for number in range(12))
    either.fault("create_or_update_profile", status=429, retry_after=0, times=30)
    either.fault("add_profiles_to_list", status=429, retry_after=0, times=1)
    await either.drain()
    assert await either.instance.journal.failures() == []
    assert await settled(either) == {"tier written": 12, "welcome written": 12, "points written": 12}
    assert {_email(number) for number in range(12)} <= set(either.on_list("Welcome Flow"))


@pytest.mark.usefixtures("bulk")
async def test_all_pages_of_an_import_jobs_errors_are_read(bench: Workbench) -> None:
    refused = {_email(number): "Invalid phone number" for number in range(280)}
    bench.sandbox.world.change_settings({"import_fail": refused})
    await bench.apply(WELCOME)
    await bench.take(points(number) for number in range(300))
    await bench.drain()
    pages = Counter(each["path"] for each in bench.requests("get_errors_for_bulk_import_profiles_job"))
    assert max(pages.values()) >= 3
    failed = {failure.record for failure in await bench.instance.journal.failures()}
    expected = {f"t-{number}" for number in range(280)}
    assert failed <= expected
    assert len(failed) > 200
    written = {entry.record for entry in await bench.audit(step="tier", status="written")}
    assert written == {f"t-{number}" for number in range(300)} - failed
    assert {event["email"] for event in bench.events(METRIC)} == {
        _email(number) for number in range(300) if f"t-{number}" not in failed
    }


@pytest.mark.usefixtures("bulk")
async def test_two_refused_rows_of_one_person_fail_each_by_itself(bench: Workbench) -> None:
    """What became of a row is told by its place in the job, never by whom it is about."""
    bench.sandbox.world.change_settings({"import_fail": {_email(7): "Invalid phone number"}})
    await bench.apply(WELCOME)
    others = [points(number) for number in range(100, 400)]
    twice = [{**points(7), "id": f"again-{n}"} for n in range(2)]
    await bench.take([*others[:150], twice[0], *others[150:], twice[1]])
    await bench.drain()
    fates = Counter(
        entry.status for entry in await bench.audit(step="tier") if (entry.record or "").startswith("again")
    )
    # The second may go by itself, where the account takes it.
    assert sum(fates.values()) == 2
    assert fates["failed"] >= 1
    assert (await settled(bench))["tier written"] == 300 + fates["written"]
    assert len(bench.events(METRIC)) == 300 + fates["written"]


async def test_two_events_within_one_second_are_two(either: Workbench) -> None:
    await either.apply(WELCOME)
    same: list[dict[str, Any]] = [{**points(1), "id": f"same-{n}"} for n in range(5)]
    await either.take(same)
    either.fault("create_event", lost=True, times=2)
    await either.drain()
    events = either.events(METRIC)
    assert len(events) == len({event["unique_id"] for event in events}) == 5
    assert len({int(event["time"]) for event in events}) == 1


@pytest.mark.parametrize("many", [1, 250])
@pytest.mark.usefixtures("bulk")
async def test_names_arrive_as_attributes_and_whole(either: Workbench, many: int) -> None:
    """A name is a standard attribute, not a custom property, and a word, not its letters."""
    await either.apply(NAMES)
    person = {"first_name": "Ada", "last_name": "O'Neil-Smith", "works_at": "Kiln & Co"}
    await either.take(points(number, **person) for number in range(many))
    await either.drain()
    for number in {0, many // 2, many - 1}:
        profile = either.profile(_email(number))
        shown = {name: profile.get(name) for name in ("first_name", "last_name", "organization")}
        assert shown == {"first_name": "Ada", "last_name": "O'Neil-Smith", "organization": "Kiln & Co"}
        assert profile["location"]["city"] == "Leeds"
        assert profile["properties"] == {"Tier": "gold"}


async def test_who_is_in_the_account_already_is_updated(either: Workbench) -> None:
    before = either.profile("sol@mapleandember.example")
    lists = len(either.state()["lists"])
    await either.apply(WELCOME)
    await either.take([points(1, email="sol@mapleandember.example", id="ME-0003", tier="ember")])
    await either.drain()
    after = either.profile("sol@mapleandember.example")
    assert (after["id"], after["properties"]["LoyaltyTier"]) == (before["id"], "ember")
    assert len(either.state()["lists"]) == lists
    assert await held(either) == {}
    await assert_in_order(either)
