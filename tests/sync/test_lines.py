"""Order follows the person: what one person's records do by e-mail and by phone is done in the order of the records."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import pytest

from tests.support.bad_days import assert_in_order, brisk, change, engine, order, until
from tests.support.workbench import Workbench

__all__ = ["brisk"]

pytestmark = pytest.mark.usefixtures("brisk")

PEOPLE = range(40)


def workflow(name: str, who: str, *steps: str) -> str:
    """A workflow whose records name their people as the YAML in `who` says."""
    lines = "".join(f"\n  - id: s{number}\n    {step}" for number, step in enumerate(steps))
    return f"workflow: {name}\nconnection: maple-ember\ntrigger: {name}\nprofile: {{{who}}}\nsteps:{lines}\n"


LINK = workflow(
    "link", "email: data.email, phone_number: data.phone", "upsert_profile: {properties: {Seen: data.n}}"
)
JOIN = workflow("join", "email: data.email", "add_to_list: Promotions")
LEAVE = workflow("leave", "phone_number: data.phone", "remove_from_list: Promotions")
TIER_BY_MAIL = workflow("mail", "email: data.email", "upsert_profile: {properties: {Tier: data.tier}}")
TIER_BY_PHONE = workflow(
    "phone", "phone_number: data.phone", "upsert_profile: {properties: {Tier: data.tier}}"
)


def email(number: int) -> str:
    return f"p{number}@mapleandember.example"


def happened(event: str, number: int, **data: Any) -> dict[str, Any]:
    """A record about a person, under every identifier: the workflow takes those it wants."""
    person = {"email": email(number), "phone": f"+4420794601{number:02d}", "n": number}
    return {"id": f"{event}-{number}", "event": event, "data": {**person, **data}}


async def apply(bench: Workbench, *sources: str) -> None:
    for source in sources:
        await bench.apply(source)


async def assert_all_left(bench: Workbench) -> None:
    assert not {email(number) for number in PEOPLE} & {*bench.on_list("Promotions")}
    await assert_in_order(bench)


async def test_who_joins_by_email_and_leaves_by_phone_has_left(either: Workbench) -> None:
    await apply(either, LINK, JOIN, LEAVE)
    await either.take([happened("link", number) for number in PEOPLE])
    await either.drain()
    records = [happened(event, number) for number in PEOPLE for event in ("join", "leave")]
    await either.take(records)
    await either.drain()
    await assert_all_left(either)


async def test_the_record_that_links_may_wait_together_with_the_others(either: Workbench) -> None:
    await apply(either, LINK, JOIN, LEAVE)
    events = ("link", "join", "leave")
    await either.take([happened(event, number) for number in PEOPLE for event in events])
    await either.drain()
    await assert_all_left(either)


async def test_one_workflow_may_name_a_person_in_several_ways(bench: Workbench) -> None:
    await bench.apply(
        workflow(
            "all",
            "email: data.email, phone_number: data.phone",
            "upsert_profile: {properties: {Tier: data.tier}}",
            "track_event: {metric: Tier Changed, properties: {Tier: data.tier}}",
        )
    )
    records = []
    for number in PEOPLE:
        one = happened("all", number)
        for at, gone in enumerate((None, "phone", "email", "phone", "email")):
            data = {key: value for key, value in one["data"].items() if key != gone}
            records.append({**one, "id": f"{number}-{at}", "data": {**data, "tier": at}})
    await bench.take(records)
    await bench.drain()
    assert {bench.profile(email(number))["properties"]["Tier"] for number in PEOPLE} == {4}
    by_person: dict[str, list[int]] = {}
    for each in bench.requests("create_event", after=bench.requests_since):
        attributes = each["body"]["data"]["attributes"]
        who = next(iter(attributes["profile"]["data"]["attributes"].values()))
        by_person.setdefault(who, []).append(attributes["properties"]["Tier"])
    assert all(tiers == sorted(tiers) for tiers in by_person.values())
    await assert_in_order(bench)


async def test_links_outlive_a_restart_and_what_was_sent(bench: Workbench) -> None:
    await apply(bench, LINK, JOIN, LEAVE)
    await bench.take([happened("link", number) for number in PEOPLE])
    await bench.drain()
    for name in ("join", "leave"):
        await order(bench, "pause", workflow=name)
    await bench.take([happened(event, number) for number in PEOPLE for event in ("join", "leave")])
    await bench.drain()
    for name in ("leave", "join"):
        await order(bench, "resume", workflow=name)
    await bench.drain()
    await assert_all_left(bench)


async def test_what_waits_is_read_again_in_the_order_of_its_lines(bench: Workbench) -> None:
    """The first engine stops with everything planned and nothing sent; the second one knows the journal only."""
    await apply(bench, LINK, JOIN, LEAVE)
    await bench.take([happened("link", number) for number in PEOPLE])
    await bench.drain()
    bench.fault("add_profiles_to_list", status=503, times=1_000_000)
    bench.fault("remove_profiles_from_list", status=503, times=1_000_000)
    await bench.take([happened(event, number) for number in PEOPLE for event in ("join", "leave")])
    async with engine(bench):
        await until(bench, partial(_waiting, bench, 2 * len(PEOPLE)))
    bench.sandbox.world.faults.all.clear()
    await bench.drain()
    await assert_all_left(bench)


async def _waiting(bench: Workbench, count: int) -> bool:
    found = await bench.instance.journal.waiting_operations(["maple-ember"], 0, 10_000)
    return len(found) >= count


@pytest.mark.parametrize("linked", ["before", "with"])
async def test_the_newer_value_wins_though_the_older_one_was_refused_at_first(
    bench: Workbench, linked: str
) -> None:
    await apply(bench, LINK, TIER_BY_MAIL, TIER_BY_PHONE)
    links = [happened("link", number) for number in PEOPLE]
    if linked == "before":
        await bench.take(links)
        await bench.drain()
        links = []
    bench.fault("create_or_update_profile", status=503, times=len(links) + 20)
    tiers = [happened("mail", number, tier="old") for number in PEOPLE]
    tiers += [happened("phone", number, tier="new") for number in PEOPLE]
    await bench.take([*links, *tiers])
    await bench.drain()
    assert {bench.profile(email(number))["properties"]["Tier"] for number in PEOPLE} == {"new"}
    await assert_in_order(bench)


ONE_STEP = "upsert_profile: {properties: {Tier: data.tier, Points: data.points}, first_name: data.name}"
MAIL = workflow("mail", "email: data.email", ONE_STEP)
PHONE = workflow("phone", "phone_number: data.phone", ONE_STEP)


OLDER = happened("mail", 0, tier="old", points=1)
NEWER = happened("phone", 0, tier="new", name="Ada")


async def known_to_klaviyo_only(bench: Workbench) -> None:
    """A profile that has both identifiers, which no record and no answer has named together yet."""
    person = {"email": email(0), "phone_number": "+442079460100"}
    change(bench, "POST", "profiles", profiles=[person])


async def test_what_an_older_record_wrote_late_is_written_again_from_the_newer(bench: Workbench) -> None:
    """The older one is on the wire for long, and the newer one's answer links them meanwhile."""
    await known_to_klaviyo_only(bench)
    await apply(bench, MAIL, PHONE)
    await write_late(bench, OLDER, NEWER)
    await bench.drain()
    profile = bench.profile(email(0))
    assert (profile["properties"], profile["first_name"]) == ({"Tier": "new", "Points": 1}, "Ada")
    [again] = [entry for entry in await bench.audit() if entry.kind == "written_again"]
    assert again.response
    assert again.response["detail"]["fields"] == ["property Tier"]
    await assert_in_order(bench)


async def test_what_waits_to_be_tried_again_leaves_out_what_the_newer_wrote(bench: Workbench) -> None:
    await known_to_klaviyo_only(bench)
    await apply(bench, MAIL, PHONE)
    bench.set_timing(first_retry_wait_ms=800, max_retry_wait_ms=800)
    bench.fault("create_or_update_profile", status=503)

    async def refused() -> bool:
        waiting = await bench.instance.journal.waiting_operations(["maple-ember"], 0, 10)
        return any(each.attempts for each in waiting)

    async with engine(bench):
        await bench.take([OLDER])
        await until(bench, refused)
        bench.sandbox.world.faults.all.clear()
        before = bench.sandbox.world.logged_count
        await bench.take([NEWER])
        await until(bench, partial(_sent, bench, 2))
    profile = bench.profile(email(0))
    assert (profile["properties"], profile["first_name"]) == ({"Tier": "new", "Points": 1}, "Ada")
    assert len(bench.requests("create_or_update_profile", after=before)) == 2
    await assert_in_order(bench)


async def write_late(bench: Workbench, older: dict[str, Any], newer: dict[str, Any]) -> None:
    """Has Klaviyo work on the older record's upsert for so long that the newer one's is written before."""
    bench.fault("create_or_update_profile", times=1, delay=1.5)
    [fault] = bench.sandbox.world.faults.all

    async def struck() -> bool:
        return fault.struck == 1

    async with engine(bench):
        await bench.take([older])
        await until(bench, struck)
        await bench.take([newer])
        await until(bench, partial(_sent, bench, 2))


async def _sent(bench: Workbench, count: int) -> bool:
    entries = await bench.audit()
    return sum(entry.status == "written" and entry.kind == "upsert_profile" for entry in entries) >= count


async def test_a_list_that_an_older_record_left_late_is_joined_again(bench: Workbench) -> None:
    await known_to_klaviyo_only(bench)
    await apply(
        bench,
        workflow("mail", "email: data.email", ONE_STEP, "remove_from_list: Promotions"),
        workflow("phone", "phone_number: data.phone", ONE_STEP, "add_to_list: Promotions"),
    )
    await write_late(bench, OLDER, NEWER)
    await bench.drain()
    assert email(0) in bench.on_list("Promotions")
    assert bench.profile(email(0))["properties"]["Tier"] == "new"
    await assert_in_order(bench)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
async def test_in_the_end_each_person_is_as_the_newest_records_say(bench: Workbench, seed: int) -> None:
    """Nothing links the identifiers but Klaviyo's answers, of which some are late and some refuse."""
    chance, people = random.Random(seed), range(20)
    everybody = [
        {"email": email(number), "phone_number": f"+4420794601{number:02d}", "external_id": f"Q-{number}"}
        for number in people
    ]
    change(bench, "POST", "profiles", profiles=everybody)
    await apply(bench, MAIL, PHONE, workflow("cid", "external_id: data.cid", ONE_STEP))
    await apply(bench, JOIN, LEAVE)
    for fault in ({"delay": 0.4}, {"status": 503}):
        bench.fault("create_or_update_profile", probability=0.15, seed=seed, **fault)
    events = ["mail", "phone", "cid", "join", "leave"] * len(people)
    records = [
        happened(event, at // 5, cid=f"Q-{at // 5}", tier=f"{event} {at // 5}")
        for at, event in enumerate(events)
    ]
    chance.shuffle(records)
    await bench.take(records)
    await bench.drain()
    newest = {(one["data"]["n"], one["event"] in ("join", "leave")): one for one in records}
    tiers = {number: bench.profile(email(number))["properties"]["Tier"] for number in people}
    assert tiers == {number: newest[number, False]["data"]["tier"] for number in people}
    joined = {email(number) for number in people if newest[number, True]["event"] == "join"}
    assert joined == {*bench.on_list("Promotions")} & {email(number) for number in people}
    await assert_in_order(bench)
