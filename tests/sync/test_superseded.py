"""What comes back after younger records were written leaves out what these have written since."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.bad_days import assert_in_order, brisk, engine, held, order, settled, until
from tests.support.workbench import Workbench

__all__ = ["brisk"]

pytestmark = pytest.mark.usefixtures("brisk")

EMAIL = "ada@mapleandember.example"
UPSERT = "create_or_update_profile"
CHANGED = """\
workflow: changed
connection: maple-ember
trigger: changed
profile: {email: data.email}
steps:
  - id: profile
    upsert_profile:
      first_name: data.name
      location: {city: data.city}
      properties: {Tier: data.tier, Points: {value: data.points, clear: true}}
  - id: told
    track_event: {metric: Profile Changed, properties: {Tier: data.tier}}
"""
JOINED = """\
workflow: joined
connection: maple-ember
trigger: joined
profile: {email: data.email}
steps:
  - id: join
    add_to_list: Promotions
"""
LEFT = JOINED.replace("joined", "left").replace("join", "leave").replace("add_to_list", "remove_from_list")
OPT_IN = JOINED.replace("add_to_list: Promotions", "subscribe: {channels: [email], list: Newsletter}")
OPT_OUT = LEFT.replace("remove_from_list: Promotions", "unsubscribe: {channels: [email], list: Newsletter}")


def _happened(number: int, event: str = "changed", **data: Any) -> dict[str, Any]:
    return {"id": f"r-{number}", "event": event, "data": {"email": EMAIL, **data}}


async def _fail_first(bench: Workbench, call: str, record: dict[str, Any]) -> int:
    """Has a record fail at a call; gives the failure's id."""
    bench.fault(call, status=400, times=1)
    await bench.take([record])
    await bench.drain()
    [failure] = await bench.instance.journal.failures()
    return failure.id


async def test_a_retried_upsert_writes_only_what_nobody_wrote_since(either: Workbench) -> None:
    await either.apply(CHANGED)
    old = _happened(1, name="Ada", city="Leeds", tier="silver", points=1)
    failed = await _fail_first(either, UPSERT, old)
    await either.take([_happened(2, city="York", tier="gold")])
    await either.drain()
    await order(either, "retry", ids=[failed])
    await either.drain()
    profile = either.profile(EMAIL)
    assert profile["properties"] == {"Tier": "gold"}
    assert (profile["first_name"], profile["location"]) == ("Ada", {"city": "York"})
    assert [event["properties"]["Tier"] for event in either.events("Profile Changed")] == ["gold", "silver"]
    assert await settled(either) == {"profile written": 2, "told written": 2}
    await assert_in_order(either)


async def test_a_retried_upsert_with_nothing_left_is_skipped_and_the_rest_goes_on(bench: Workbench) -> None:
    await bench.apply(CHANGED)
    failed = await _fail_first(bench, UPSERT, _happened(1, tier="silver", points=1))
    await bench.take([_happened(2, tier="gold", points=2)])
    await bench.drain()
    before = bench.sandbox.world.logged_count
    await order(bench, "retry", ids=[failed])
    await bench.drain()
    assert not bench.requests(UPSERT, after=before)
    assert bench.profile(EMAIL)["properties"] == {"Tier": "gold", "Points": 2}
    assert await settled(bench) == {"profile written": 1, "profile skipped": 1, "told written": 2}
    assert (await bench.instance.journal.counts())["changed"].waiting == 0


async def test_what_other_profiles_and_older_records_wrote_overtakes_nothing(bench: Workbench) -> None:
    await bench.apply(CHANGED)
    bench.fault(UPSERT, status=400, times=2)
    await bench.take([_happened(1, tier="bronze")])
    await bench.drain()
    await bench.take([_happened(2, tier="silver")])
    await bench.drain()
    first, second = [failure.id for failure in await bench.instance.journal.failures()]
    await bench.take(
        [{**_happened(3, tier="gold"), "data": {"email": "bob@mapleandember.example", "tier": "gold"}}]
    )
    await bench.drain()
    await order(bench, "retry", ids=[first])
    await bench.drain()
    assert bench.profile(EMAIL)["properties"] == {"Tier": "bronze"}
    await order(bench, "retry", ids=[second])
    await bench.drain()
    assert bench.profile(EMAIL)["properties"] == {"Tier": "silver"}
    assert await settled(bench) == {"profile written": 3, "told written": 3}


async def test_an_addition_is_not_made_after_a_later_removal(either: Workbench) -> None:
    await either.apply(JOINED)
    await either.apply(LEFT)
    await either.take([_happened(1, "joined")])
    await either.drain()
    failed = await _fail_first(either, "add_profiles_to_list", _happened(2, "joined"))
    await either.take([_happened(3, "left")])
    await either.drain()
    await order(either, "retry", ids=[failed])
    await either.drain()
    assert EMAIL not in either.on_list("Promotions")
    found = await settled(either)
    # Each record names its profile first, which is known by the second one.
    assert (found["join written"], found["join skipped"], found["leave written"]) == (2, 2, 1)


async def test_consent_that_was_withdrawn_since_is_not_given_again(either: Workbench) -> None:
    await either.apply(OPT_IN)
    await either.apply(OPT_OUT)
    await either.take([_happened(1, "joined")])
    await either.drain()
    failed = await _fail_first(either, "bulk_subscribe_profiles", _happened(2, "joined"))
    await either.take([_happened(3, "left")])
    await either.drain()
    assert EMAIL not in either.on_list("Newsletter")
    await order(either, "retry", ids=[failed])
    await either.drain()
    assert EMAIL not in either.on_list("Newsletter")
    assert (await settled(either))["join skipped"] == 1


async def test_released_operations_leave_out_what_was_written_while_they_were_held(bench: Workbench) -> None:
    other = CHANGED.replace("changed", "moved").replace("profile\n", "home\n").replace("told", "heard")
    await bench.apply(CHANGED)
    await bench.apply(other)
    await bench.take([_happened(1, city="Leeds", tier="silver")])
    await bench.drain()
    bench.fault(UPSERT, status=403, times=1)
    await bench.take([_happened(2, city="Bath", tier="bronze", points=9)])
    await bench.drain()
    assert await held(bench) == {("changed", "profile"): ("scope_missing", 1)}
    await bench.take([_happened(3, "moved", city="York")])
    await bench.drain()
    await order(bench, "release", workflow="changed")
    await bench.drain()
    profile = bench.profile(EMAIL)
    assert profile["location"] == {"city": "York"}
    # The later record had no points, which clears them.
    assert profile["properties"] == {"Tier": "bronze"}
    await assert_in_order(bench)


async def test_what_was_written_by_phone_is_not_written_over_by_email(bench: Workbench) -> None:
    """Klaviyo's answers showed both identifiers on one profile."""
    by_phone = CHANGED.replace("changed", "phoned").replace("email: data.email", "phone_number: data.phone")
    both = CHANGED.replace("changed", "linked").replace(
        "data.email}", "data.email, phone_number: data.phone}"
    )
    for source in (CHANGED, by_phone, both):
        await bench.apply(source)
    phone = "+442079460123"
    await bench.take([_happened(0, "linked", phone=phone, tier="bronze")])
    await bench.drain()
    failed = await _fail_first(bench, UPSERT, _happened(1, name="Ada", tier="silver"))
    await bench.take([_happened(2, "phoned", phone=phone, tier="gold")])
    await bench.drain()
    await order(bench, "retry", ids=[failed])
    await bench.drain()
    profile = bench.profile(EMAIL)
    assert (profile["first_name"], profile["properties"]["Tier"]) == ("Ada", "gold")


async def test_what_another_person_with_the_same_phone_wrote_supersedes_nothing(bench: Workbench) -> None:
    await bench.apply(CHANGED.replace("data.email}", "data.email, phone_number: data.phone}"))
    phone = {"phone": "+442079460123"}
    failed = await _fail_first(bench, UPSERT, _happened(1, name="Ada", tier="silver", **phone))
    await bench.take(
        [{**_happened(2), "data": {"email": "bob@mapleandember.example", "tier": "gold", **phone}}]
    )
    await bench.drain()
    before = bench.sandbox.world.logged_count
    await order(bench, "retry", ids=[failed])
    await bench.drain()
    [upsert] = bench.requests(UPSERT, after=before)
    assert upsert["body"]["data"]["attributes"]["properties"] == {"Tier": "silver"}


@pytest.mark.parametrize(
    ("joins", "leaves", "name"),
    [(JOINED, LEFT, "Promotions"), (OPT_IN, OPT_OUT, "Newsletter")],
    ids=["list", "consent"],
)
async def test_who_has_left_meanwhile_does_not_join_by_what_was_held(
    either: Workbench, joins: str, leaves: str, name: str
) -> None:
    """The later record found nothing to remove, but it said that the person wants to leave."""
    for source in (joins, leaves):
        await either.apply(source)
    await order(either, "hold", workflow="joined", step="join")
    await either.take([_happened(1, "joined"), _happened(2, "left")])
    await either.drain()
    await order(either, "release", workflow="joined", step="join")
    await either.drain()
    done = await settled(either)
    assert done["leave skipped"] == 1
    assert EMAIL not in either.on_list(name)
    assert done["join skipped"] >= 1


async def test_what_was_paused_does_not_write_over_what_later_records_wrote(either: Workbench) -> None:
    for source in (CHANGED, CHANGED.replace("changed", "other")):
        await either.apply(source)
    async with engine(either):
        await order(either, "pause", workflow="changed")
        await either.take([_happened(1, name="Ada", tier="silver"), _happened(2, "other", tier="gold")])
        await until(either, lambda: _ended(either, 2))
        await order(either, "resume", workflow="changed")
        await until(either, lambda: _ended(either, 4))
    profile = either.profile(EMAIL)
    assert (profile["first_name"], profile["properties"]["Tier"]) == ("Ada", "gold")


async def _ended(bench: Workbench, count: int) -> bool:
    return sum((await settled(bench)).values()) >= count
