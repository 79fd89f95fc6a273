"""Records to writes: what the dry run announces is what the account then holds, at each revision."""

from __future__ import annotations

import json
from typing import Any

import pytest

from askel_tui.core.operations import Operation
from askel_tui.core.planning.plan import plan
from askel_tui.core.requests import packing
from askel_tui.services.dry_run import dry_run
from tests.support.workbench import NAME, Workbench, example, points

pytestmark = pytest.mark.clock

WORKFLOW = "first-points-welcome"


async def _stored_operations(bench: Workbench) -> dict[str, Operation]:
    stored = await bench.instance.journal.waiting_operations([NAME], 0, 10_000)
    return {each.operation.id: each.operation for each in stored}


async def test_the_account_holds_what_the_dry_run_announced(either: Workbench) -> None:
    await either.apply(example(f"{WORKFLOW}.yaml"), activate=False)
    assert (await either.take(example("first-points.jsonl"))).accepted == 40
    announced = await dry_run(either.instance, WORKFLOW, last=40)
    await either.apply(example(f"{WORKFLOW}.yaml"), since="2026-01-01T00:00:00+00:00")
    await either.drain()

    members, events = set(), {}
    for record in announced.records:
        assert not record.problems
        profile = either.profile(record.profile["email"])
        for operation in record.operations:
            for field, change in operation.changes.items():
                kind = field.partition(" ")[0]
                if kind == "list":
                    members.add(profile["email"])
                elif kind == "event":
                    events[profile["email"]] = change["after"]
                elif field.startswith("properties."):
                    assert profile["properties"][field.removeprefix("properties.")] == change["after"]
                elif field != "email":
                    assert profile[field] == change["after"]
    assert set(either.on_list("Welcome Flow")) == members
    found = either.events("First Points Earned")
    assert len(found) == len(events) == announced.totals.events["First Points Earned"]
    for event in found:
        expected = events[event["email"]]
        assert event["properties"] == expected["properties"]
        assert event["value"] == expected["value"]


async def test_running_again_changes_nothing(bench: Workbench) -> None:
    await bench.apply(example(f"{WORKFLOW}.yaml"))
    await bench.take(example("first-points.jsonl"))
    await bench.drain()
    before = bench.sandbox.world.logged_count
    await bench.take(example("first-points.jsonl"))
    await bench.drain()
    assert bench.sandbox.world.logged_count == before


async def test_dry_run_and_live_have_the_same_operations_and_requests(either: Workbench) -> None:
    """Byte for byte; single-call requests after filling in profile ids."""
    await either.apply(example(f"{WORKFLOW}.yaml"), activate=False)
    await either.take(example("first-points.jsonl"))
    applied = await either.instance.applied_version(WORKFLOW)
    assert applied is not None
    records = await either.instance.journal.records_after(NAME, 0, 100)
    plans = [plan(stored.record, applied) for stored in records]
    shown = [operation for each in plans if each for operation in each.operations]
    announced = await dry_run(either.instance, WORKFLOW, last=40)

    await either.apply(example(f"{WORKFLOW}.yaml"), since="2026-01-01T00:00:00+00:00")
    start = either.sandbox.world.logged_count
    await either.drain()

    audited = {entry.operation: entry for entry in await either.audit(workflow=WORKFLOW) if entry.operation}
    assert {operation.id for operation in shown} == set(audited)
    sent = [entry for entry in either.requests(after=start) if entry["method"] != "GET"]
    requests: dict[bytes, int] = {}
    for entry in sent:
        body = json.dumps(entry["body"], sort_keys=True).encode()
        requests[body] = requests.get(body, 0) + 1
    for record in announced.records:
        profile = either.profile(record.profile["email"])
        for operation in record.operations:
            request = operation.request
            if request is None or operation.kind == "add_to_list":
                continue
            assert requests.pop(json.dumps(request.body, sort_keys=True).encode()) == 1
        assert profile is not None
    # What is left are list calls, which hold exactly the operations shown.
    added = [
        row["id"]
        for body, times in requests.items()
        for row in json.loads(body)["data"]
        for _ in range(times)
    ]
    welcome = [operation for operation in shown if operation.kind == "add_to_list"]
    assert sorted(added) == sorted(
        either.profile(operation.profile.email or "")["id"] for operation in welcome
    )


async def test_operations_in_the_journal_are_those_of_the_plan(bench: Workbench) -> None:
    await bench.apply(example(f"{WORKFLOW}.yaml"), activate=False)
    await bench.take([points(number) for number in range(5)])
    applied = await bench.instance.applied_version(WORKFLOW)
    assert applied is not None
    records = await bench.instance.journal.records_after(NAME, 0, 100)
    expected = {
        operation.id: operation.encode()
        for stored in records
        for operation in (plan(stored.record, applied) or _none()).operations
    }
    await bench.apply(example(f"{WORKFLOW}.yaml"), since="2026-01-01T00:00:00+00:00")
    from askel_tui.sync.planning.planner import Planner

    state = await bench.instance.workflow_state(WORKFLOW)
    assert state is not None
    planner = Planner(bench.instance.journal, bench.instance.clock, lambda *_: None)
    await planner.plan_round([(state, applied)])
    stored = await _stored_operations(bench)
    assert {key: operation.encode() for key, operation in stored.items()} == expected
    for operation in stored.values():
        if not operation.is_gate:
            first = packing.build_request([operation], applied.revision, {operation.id: "01X"})
            again = packing.build_request(
                [Operation.decode(operation.encode())], applied.revision, {operation.id: "01X"}
            )
            assert first.body == again.body


def _none() -> Any:
    raise AssertionError("the record does not match the workflow")


@pytest.mark.slow
async def test_the_other_workflows_end_as_their_files_describe(either: Workbench) -> None:
    await either.take(example("first-points.jsonl"))
    await either.apply(example(f"{WORKFLOW}.yaml"), since="2026-01-01T00:00:00+00:00")
    await either.drain()
    leaver = "shopper001@mapleandember.example"
    either.put_on_list("Promotions", leaver)
    assert leaver in either.on_list("Promotions")
    for name in ("checkout-completed", "newsletter-consent", "vip-gift"):
        await either.apply(example(f"{name}.yaml"))
    await either.take(example("other-events.jsonl"))
    await either.drain()

    orders = {event["properties"]["OrderId"]: event for event in either.events("Checkout Completed")}
    assert sorted(orders) == [f"ME-{number}" for number in range(5501, 5513)]
    assert orders["ME-5501"]["value"] == 12.5
    assert orders["ME-5501"]["value_currency"] == "GBP"
    assert orders["ME-5501"]["properties"]["SKUs"] == ["MUG-1", "MUG-2"]
    assert orders["ME-5501"]["properties"]["Items"] == 2
    assert leaver not in either.on_list("Promotions")

    newsletter = set(either.on_list("Newsletter"))
    assert {f"shopper{number:03}@mapleandember.example" for number in range(1, 7)} <= newsletter

    vip = either.profile("vip@example.com")
    assert "OpenGift" not in vip["properties"]
    assert vip["properties"]["LastGift"] == "Ember mug"
    used = either.events("Gift Used")
    assert [event["email"] for event in used] == ["vip@example.com"]
    assert used[0]["properties"] == {"Gift": "Ember mug", "Note": "none"}


async def test_who_shares_a_phone_is_announced_and_ends_as_announced(either: Workbench) -> None:
    """Three shoppers of the file give one phone: consent goes by e-mail, the flow of the second and third fails."""
    await either.apply(example("newsletter-consent.yaml"))
    await either.take(example("other-events.jsonl"))
    before = {name: set(either.on_list(name)) for name in ("Newsletter", "Welcome Flow")}
    announced = await dry_run(either.instance, "newsletter-consent")
    problems = {each.record: [one.step for one in each.problems] for each in announced.records}
    assert {record for record, steps in problems.items() if steps} == {"news-0003", "news-0005"}
    assert problems["news-0003"] == ["kickoff"]
    assert announced.totals.subscribed == 6
    assert announced.totals.added == {"Welcome Flow": 4}
    assert announced.totals.new == 6
    await either.drain()
    everybody = {f"shopper{number:03}@mapleandember.example" for number in range(1, 7)}
    assert set(either.on_list("Newsletter")) - before["Newsletter"] == everybody
    refused = {f"shopper{number:03}@mapleandember.example" for number in (3, 5)}
    assert set(either.on_list("Welcome Flow")) - before["Welcome Flow"] == everybody - refused
    failed = await either.instance.journal.failures()
    assert sorted((failure.record, failure.step) for failure in failed) == [
        ("news-0003", "kickoff"),
        ("news-0005", "kickoff"),
    ]
    assert all("+442079460123" in failure.reason for failure in failed)
    assert either.profile("shopper001@mapleandember.example")["phone_number"] == "+442079460123"


@pytest.mark.slow
async def test_the_nightly_export_runs_through_the_first_workflow(bench: Workbench) -> None:
    await bench.apply(example(f"{WORKFLOW}.yaml"))
    taken = await bench.take(example("nightly.csv"))
    announced = await dry_run(bench.instance, WORKFLOW, last=1000)
    await bench.drain()
    added = [record for record in announced.records if not record.problems and not record.skipped]
    assert len(bench.events("First Points Earned")) == len(added)
    assert len(bench.on_list("Welcome Flow")) == len({record.profile["email"] for record in added})
    assert taken.accepted + taken.refused + taken.duplicates == 200
    failed = await bench.instance.journal.failures()
    assert len(failed) == sum(bool(record.problems) for record in announced.records)


async def test_every_hostile_line_ends_as_it_must(bench: Workbench) -> None:
    await bench.apply(example(f"{WORKFLOW}.yaml"))
    taken = await bench.take(example("hostile.jsonl"))
    assert [refused.line for refused in taken.refusals] == [2, 12, 14, 15, 17, 18]
    await bench.drain()
    failed = {failure.record for failure in await bench.instance.journal.failures()}
    assert failed == {"h-3", "h-5", "h-7", "h-11", "h-13", "h-16"}
    arrived = {event["properties"].get("Points") for event in bench.events("First Points Earned")}
    assert 1e308 in arrived
    good = ["h1", "h6", "h8", "h9", "h10", "h18", "h19", "h20", "h21"]
    emails = {profile.get("email") for profile in bench.state()["profiles"]}
    # H-22 came with the external id of H-1: one profile, with the later address.
    assert {f"{name}@mapleandember.example" for name in good if name != "h1"} <= emails
    assert bench.profile("h8@mapleandember.example")["first_name"].startswith("[bold")
    assert bench.profile("h19@mapleandember.example")["first_name"] == "AB"
    assert len(bench.events("First Points Earned")) == 11
