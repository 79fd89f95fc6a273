"""The example workflows over their records: each record has the outcome that the rules give it."""

from __future__ import annotations

from collections import Counter

import pytest

from askel_tui.contract.endpoints import SELECTABLE
from askel_tui.core.operations import Identity
from askel_tui.core.planning.plan import plan
from askel_tui.core.records.files import read_csv, read_jsonl
from askel_tui.core.records.record import Record, RefusedLine
from tests.support.files import EXAMPLES
from tests.support.workflows import example, operations, planned, rehearsed

pytestmark = pytest.mark.clock

NOW = "2026-11-23T12:00:00Z"
WELCOME = "first-points-welcome"


def lines(name: str) -> dict[int, Record | RefusedLine]:
    reader = read_csv if name.endswith(".csv") else read_jsonl
    with (EXAMPLES / name).open("rb") as file:
        return dict(reader(file, now=NOW))


def records(name: str) -> list[Record]:
    found = [each for each in lines(name).values() if isinstance(each, Record)]
    assert len(found) == len(lines(name))
    return found


@pytest.mark.parametrize("revision", SELECTABLE)
def test_every_line_of_hostile_input_ends_as_it_must(revision: str) -> None:
    of = example(WELCOME, revision=revision)
    fates: dict[int, object] = {}
    for number, each in lines("hostile.jsonl").items():
        if isinstance(each, RefusedLine):
            fates[number] = "refused"
        else:
            found = planned(each, of)
            stopped = [(problem.step, problem.field) for problem in found.problems]
            fates[number] = stopped or [operation.step for operation in found.operations]
    whole = ["tier", "not-vip", "welcome", "points"]
    assert fates == {
        1: whole,
        2: "refused",
        3: [(None, "profile.email")],
        4: whole,
        5: [(None, "profile")],
        6: whole,
        7: [("tier", "properties.LoyaltyTier")],
        8: whole,
        9: whole,
        10: whole,
        11: [("tier", "properties.LoyaltyTier"), ("points", "properties.Tier")],
        12: "refused",
        13: [(None, "when")],
        14: "refused",
        15: "refused",
        16: [(None, "profile.phone_number")],
        17: "refused",
        18: "refused",
        19: whole,
        20: whole,
        21: whole,
        22: whole,
        24: whole,
        25: whole,
    }


def test_what_the_good_hostile_lines_write_is_what_they_say() -> None:
    found = lines("hostile.jsonl")

    def upsert(number: int) -> tuple[dict[str, str], dict[str, object], dict[str, object]]:
        record = found[number]
        assert isinstance(record, Record)
        first = operations(record, example(WELCOME))[0]
        return first.profile.identifiers(), dict(first.body["attributes"]), dict(first.body["properties"])

    assert upsert(4)[0] == {"external_id": "H-4"}
    assert upsert(6)[2] == {"LoyaltyPoints": 5}
    assert upsert(8)[1] == {"first_name": "[bold red]Rob[/] [@click=app.quit]x[/]"}
    assert upsert(9)[1] == {"first_name": "\x1b[2J\x1b]0;owned\x07 \u202etxet"}
    assert upsert(10)[1] == {"first_name": '=HYPERLINK("http://x")'}
    assert upsert(21)[1] == {"first_name": "AB"}
    assert upsert(22)[2] == {"LoyaltyTier": "Gold", "LoyaltyPoints": 1e308}
    assert upsert(24)[1] == {"first_name": "Zoe\u0308", "last_name": "🔥 Ember"}
    # Another person's address with the first line's external id: they are one profile, so in order.
    assert upsert(25)[0] == {"email": "h22@mapleandember.example", "external_id": "H-1"}
    assert set(Identity(**upsert(25)[0]).keys()) & set(Identity(**upsert(1)[0]).keys())


def test_the_same_id_twice_plans_the_same_bytes() -> None:
    found = lines("hostile.jsonl")
    one, other = found[19], found[20]
    assert isinstance(one, Record)
    assert isinstance(other, Record)
    first = [each.encode() for each in operations(one, example(WELCOME))]
    assert first == [each.encode() for each in operations(other, example(WELCOME))]


@pytest.mark.parametrize("revision", SELECTABLE)
@pytest.mark.parametrize(("file", "count"), [("first-points.jsonl", 40), ("nightly.csv", 200)])
def test_each_shopper_with_points_gets_four_steps(file: str, count: int, revision: str) -> None:
    of = example(WELCOME, revision=revision)
    read = records(file)
    assert len(read) == count
    taken = 0
    for record in read:
        found = plan(record, of)
        points, shopper = record.data["points"], record.data["shopper"]
        assert (found is not None) == (points > 0)
        if found is None:
            continue
        taken += 1
        assert found.problems == ()
        upsert, gate, add, event = found.operations
        assert upsert.profile.email == shopper["email"]
        assert upsert.profile.external_id == shopper["id"]
        assert upsert.body["properties"]["LoyaltyPoints"] == points
        assert upsert.body["properties"]["LoyaltyTier"].casefold() == shopper["tier"].casefold()
        assert upsert.body["attributes"]["first_name"] == shopper["first_name"]
        assert (gate.is_gate, gate.body["member"]) == (True, False)
        assert (add.target and add.target.name, event.body["value"]) == ("Welcome Flow", points)
        assert event.body["properties"]["Points"] == points
        assert event.body["time"] == record.time
    assert taken > count * 0.5


def test_the_other_events_find_the_workflows_that_wait_for_them() -> None:
    names = ("checkout-completed", "newsletter-consent", "vip-gift")
    taken: Counter[str] = Counter()
    for record in records("other-events.jsonl"):
        plans = {name: found for name in names if (found := plan(record, example(name))) is not None}
        assert len(plans) <= 1
        for name, found in plans.items():
            assert not found.problems
            taken[name] += 1
            steps = list(dict.fromkeys(each.step for each in found.operations))
            assert steps == [step.id for step in example(name).workflow.steps]
        taken["nobody"] += not plans
    assert all(taken[name] for name in (*names, "nobody"))
    assert taken.total() == len(records("other-events.jsonl"))


def test_an_order_is_one_event_and_leaves_the_list_without_making_a_profile() -> None:
    record = next(each for each in records("other-events.jsonl") if each.id == "order-0002")
    event, leave = operations(record, example("checkout-completed"))
    assert (event.body["value"], event.body["value_currency"]) == (25.0, "GBP")
    assert event.body["properties"] == {"OrderId": "ME-5502", "SKUs": ["MUG-1", "MUG-2", "MUG-3"], "Items": 3}
    assert leave.call == "remove_profiles_from_list"


def test_a_used_gift_is_cleared_for_members_only() -> None:
    of = example("vip-gift")
    gifts = {each.id: each for each in records("other-events.jsonl") if plan(each, of) is not None}
    assert gifts.keys() == {"gift-1", "gift-2"}
    members = {("SegVip", Identity("vip@example.com")): True}
    gate, cleared, used = (each.operation for each in rehearsed(gifts["gift-1"], of, members).operations)
    assert gate.is_gate
    assert cleared.body == {"attributes": {}, "properties": {"LastGift": "Ember mug"}, "unset": ["OpenGift"]}
    assert used.body["properties"] == {"Gift": "Ember mug", "Note": "none"}
    members[("SegVip", Identity("shopper001@mapleandember.example"))] = False
    other = rehearsed(gifts["gift-2"], of, members)
    assert [each.operation.step for each in other.operations] == ["vip-only"]
    assert [each.step for each in other.skipped] == ["cleared", "used"]


def test_consent_is_asked_for_its_channel_and_the_flow_is_fired_by_its_list() -> None:
    record = next(each for each in records("other-events.jsonl") if each.id == "news-0001")
    subscribe, identify, kickoff = operations(record, example("newsletter-consent"))
    assert subscribe.body == {"channels": ["email"], "custom_source": "Rewards sign-up page"}
    assert identify.call == "create_or_update_profile"
    assert kickoff.target
    assert kickoff.through
    assert (kickoff.target.name, kickoff.through.name) == ("Welcome Series", "Welcome Flow")
