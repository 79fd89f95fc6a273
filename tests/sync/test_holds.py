"""Holds: a step that may not send waits alone, in order, and goes on where it stopped."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from askel_tui.services.connections import KeyUnsuited
from askel_tui.store.journal.rows import Decision, Hold, StoredOperation
from askel_tui.sync.account_checks.checker import AccountChecker
from askel_tui.sync.engine.commands import CommandRefused
from tests.support.bad_days import (
    WELCOME,
    assert_in_order,
    brisk,
    change,
    engine,
    held,
    order,
    rotate,
    settled,
    until,
)
from tests.support.workbench import NAME, Workbench, points

__all__ = ["brisk"]

pytestmark = [pytest.mark.clock, pytest.mark.usefixtures("brisk")]

GONE = "target_gone"
LEAVERS = """\
workflow: comeback
connection: maple-ember
trigger: came_back
profile: {email: data.shopper.email}
steps:
  - id: again
    add_to_list: Welcome Flow
"""
GATED = WELCOME.replace(
    "  - id: welcome", "  - id: vip\n    require_segment: {segment: VIP, member: false}\n  - id: welcome"
)


def _email(number: int) -> str:
    return f"t{number}@mapleandember.example"


async def test_a_deleted_list_holds_only_its_step_and_release_sends_in_order(either: Workbench) -> None:
    await either.apply(WELCOME)
    await either.take(points(number) for number in range(3))
    change(either, "DELETE", "lists/Welcome Flow")
    await either.drain()
    assert await held(either) == {("welcome", "welcome"): (GONE, 3)}
    assert len(either.events("First Points Earned")) == 3

    taken = await either.take(points(number) for number in range(3, 6))
    assert taken.accepted == 3
    before = either.sandbox.world.logged_count
    await either.drain()
    assert await held(either) == {("welcome", "welcome"): (GONE, 6)}
    assert len(either.events("First Points Earned")) == 6
    assert not either.requests("add_profiles_to_list", after=before)
    notices = await either.instance.journal.notices()
    assert [notice.step for notice in notices] == ["welcome"]

    change(either, "POST", "lists/Welcome Flow/restore")
    assert await order(either, "release", workflow="welcome") == {
        "holds": [{"workflow": "welcome", "version": 1, "step": "welcome", "operations": 6, "stays": []}]
    }
    await either.drain()
    [added] = either.requests("add_profiles_to_list", after=before)
    in_order = [either.profile(_email(number))["id"] for number in range(6)]
    assert [row["id"] for row in added["body"]["data"]] == in_order
    assert await settled(either) == {"tier written": 6, "welcome written": 6, "points written": 6}
    decisions = [entry.kind for entry in await either.audit() if entry.kind in ("hold", "release")]
    assert decisions == ["hold", "release"]
    await assert_in_order(either)


async def test_a_gate_whose_segment_is_gone_holds_everything_below_it(bench: Workbench) -> None:
    await bench.apply(GATED)
    change(bench, "DELETE", "segments/VIP")
    await bench.take(points(number) for number in range(150))
    await bench.drain()
    # The gate, the list and the event of each record; what comes before the gate was sent.
    assert await held(bench) == {("welcome", "vip"): (GONE, 450)}
    assert (await settled(bench))["tier written"] == 150
    assert not bench.requests("add_profiles_to_list")
    assert not bench.requests("create_event", after=bench.requests_since)

    change(bench, "POST", "segments/VIP/restore")
    await order(bench, "release")
    await bench.drain()
    assert len(bench.events("First Points Earned")) == 150
    assert await held(bench) == {}
    assert sum((await settled(bench)).values()) == 600
    await assert_in_order(bench)


async def test_a_gate_that_cannot_be_read_is_held_not_answered(bench: Workbench) -> None:
    await bench.apply(GATED)
    bench.fault("get_profiles_for_segment", status=404)
    await bench.take([points(1)])
    await bench.drain()
    assert await held(bench) == {("welcome", "vip"): ("gate_unreadable", 3)}


async def test_a_key_revoked_in_mid_flight_holds_and_a_new_one_drains_by_itself(bench: Workbench) -> None:
    await bench.apply(WELCOME)
    await bench.take(points(number) for number in range(120))
    new = change(bench, "POST", "keys", key="pk_sandbox_maple_ember_second")["key"]
    bench.fault("create_or_update_profile", delay=0.02)
    async with engine(bench):

        async def some_written() -> bool:
            return len(bench.requests("create_or_update_profile")) > 20

        async def refused() -> bool:
            return any(cause == "key_refused" for cause, _ in (await held(bench)).values())

        async def done() -> bool:
            return len(bench.events("First Points Earned")) == 120 and not await held(bench)

        await until(bench, some_written)
        change(bench, "POST", "keys/revoke", key=bench.sandbox.key)
        await until(bench, refused)
        await rotate(bench, new)
        await until(bench, done)
    await bench.drain()
    assert await settled(bench) == {"tier written": 120, "welcome written": 120, "points written": 120}
    assert await bench.instance.journal.failures() == []
    await assert_in_order(bench)


async def test_a_key_of_another_account_is_refused_and_nothing_changes(bench: Workbench) -> None:
    await bench.apply(WELCOME)
    change(bench, "POST", "accounts", id="OthrAc", seed="maple-ember")
    foreign = "pk_sandbox_other_account_key"
    bench.sandbox.world.add_key(foreign, "OthrAc", None)
    before = bench.instance.state.connection(NAME)
    with pytest.raises(KeyUnsuited, match="OthrAc"):
        await rotate(bench, foreign)
    bench.requests_since = bench.sandbox.world.logged_count
    assert bench.instance.state.connection(NAME) == before
    await bench.take([points(1)])
    await bench.drain()
    assert len(bench.events("First Points Earned")) == 1
    assert not bench.sandbox.world.accounts["OthrAc"].events


async def test_a_missing_scope_holds_the_step_and_is_named(bench: Workbench) -> None:
    await bench.apply(WELCOME)
    key = next(key for key in bench.sandbox.world.keys.values() if not key.revoked)
    everything = key.scopes
    reads = ["accounts", "profiles", "lists", "segments", "flows", "metrics", "events", "templates"]
    key.scopes = frozenset({*(f"{word}:read" for word in reads), "profiles:write", "lists:write"})
    await bench.take(points(number) for number in range(100))
    await bench.drain()
    assert await held(bench) == {("welcome", "points"): ("scope_missing", 100)}
    [hold] = await bench.instance.journal.holds()
    assert "events:write" in hold.detail
    assert len(bench.on_list("Welcome Flow")) == 100

    new = change(bench, "POST", "keys", key="pk_sandbox_maple_ember_second")["key"]
    assert everything is None or "events:write" in everything
    await rotate(bench, new)
    assert await held(bench) == {}
    await bench.drain()
    assert len(bench.events("First Points Earned")) == 100
    await assert_in_order(bench)


async def test_a_hold_on_what_is_in_flight_stops_the_rest_of_the_step(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the budget kept, requests of the step wait for their place while the first one is refused."""
    monkeypatch.delenv("ASKEL_BUDGETS")
    await bench.apply(WELCOME.replace("  - id: welcome\n    add_to_list: Welcome Flow\n", ""))
    key = next(key for key in bench.sandbox.world.keys.values() if not key.revoked)
    key.scopes = frozenset({"profiles:read", "events:write"})
    await bench.take(points(number) for number in range(300))
    before = bench.sandbox.world.logged_count
    await bench.drain()
    assert await held(bench) == {("welcome", "tier"): ("scope_missing", 300)}
    assert len(bench.requests("create_or_update_profile", after=before)) < 300
    assert len(bench.events("First Points Earned")) == 300
    await assert_in_order(bench)


async def test_a_hold_is_logged_once_for_all_that_was_under_way(
    bench: Workbench, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.apply(WELCOME)
    bench.fault("create_event", status=401, delay=0.3)
    await bench.take(points(number) for number in range(60))
    await bench.drain()
    assert len(bench.requests("create_event", after=bench.requests_since)) > 5
    assert len([each for each in caplog.messages if "step points is held" in each]) == 1


async def test_discarded_operations_are_never_sent(bench: Workbench) -> None:
    await bench.apply(WELCOME)
    change(bench, "DELETE", "lists/Welcome Flow")
    await bench.take(points(number) for number in range(3))
    await bench.drain()
    await order(bench, "discard", workflow="welcome", step="welcome")
    assert await held(bench) == {("welcome", "welcome"): (GONE, 0)}
    await bench.take([points(3)])
    await bench.drain()
    assert await held(bench) == {("welcome", "welcome"): (GONE, 1)}
    change(bench, "POST", "lists/Welcome Flow/restore")
    await order(bench, "release")
    await bench.drain()
    assert [each for each in bench.on_list("Welcome Flow") if each.startswith("t")] == [_email(3)]
    found = await settled(bench)
    assert (found["welcome discarded"], found["welcome written"]) == (3, 1)
    with pytest.raises(CommandRefused, match="nothing is held"):
        await order(bench, "release")


async def test_a_list_of_two_workflows_holds_both_and_each_is_released_alone(bench: Workbench) -> None:
    await bench.apply(WELCOME)
    await bench.apply(LEAVERS)
    change(bench, "DELETE", "lists/Welcome Flow")
    back = {**points(50), "id": "back-1", "event": "came_back"}
    await bench.take([points(1), back])
    await bench.drain()
    causes = {step: cause for step, (cause, _) in (await held(bench)).items()}
    assert causes == {("welcome", "welcome"): GONE, ("comeback", "again"): GONE}
    change(bench, "POST", "lists/Welcome Flow/restore")
    await order(bench, "release", workflow="comeback")
    await bench.drain()
    assert _email(50) in bench.on_list("Welcome Flow")
    assert _email(1) not in bench.on_list("Welcome Flow")
    assert await held(bench) == {("welcome", "welcome"): (GONE, 1)}


async def test_the_same_list_back_ends_the_hold_by_itself(bench: Workbench) -> None:
    bench.set_timing(hold_check_interval_ms=0)
    await bench.apply(WELCOME)
    change(bench, "DELETE", "lists/Welcome Flow")
    await bench.take([points(1)])
    async with engine(bench):

        async def is_held() -> bool:
            return bool(await held(bench))

        async def added() -> bool:
            return _email(1) in bench.on_list("Welcome Flow") and not await is_held()

        await until(bench, is_held)
        change(bench, "POST", "lists/Welcome Flow/restore")
        await until(bench, added)
    released = [entry for entry in await bench.audit() if entry.kind == "release"]
    assert [entry.actor for entry in released] == ["askel"]


async def test_a_list_made_anew_under_the_same_name_ends_no_hold(bench: Workbench) -> None:
    bench.set_timing(hold_check_interval_ms=0)
    await bench.apply(WELCOME)
    change(bench, "DELETE", "lists/Welcome Flow")
    await bench.take([points(1)])
    await bench.drain()
    change(bench, "POST", "lists", name="Welcome Flow")
    seen = bench.sandbox.world.logged_count
    async with engine(bench):

        async def looked_twice() -> bool:
            snapshots = [
                each for each in bench.requests(after=seen) if (each["endpoint"] or "").startswith("get_list")
            ]
            return len(snapshots) >= 2

        await until(bench, looked_twice)
    assert list(await held(bench)) == [("welcome", "welcome")]
    assert bench.on_list("Welcome Flow") == []


async def test_a_paused_workflow_ends_what_is_under_way_and_waits_with_the_rest(bench: Workbench) -> None:
    await bench.apply(WELCOME)
    bench.fault("create_event", status=503)
    await bench.take(points(number) for number in range(30))
    async with engine(bench):

        async def events_tried() -> bool:
            return len(bench.requests("create_event")) > 3

        await until(bench, events_tried)
        await order(bench, "pause", workflow="welcome")
        await bench.take(points(number) for number in range(30, 35))
    bench.sandbox.world.faults.all.clear()
    await bench.drain()
    assert bench.events("First Points Earned") == []
    await order(bench, "resume", workflow="welcome")
    await bench.drain()
    assert len(bench.events("First Points Earned")) == 35
    assert sum((await settled(bench)).values()) == 105


async def test_what_is_below_a_gate_does_not_pass_it_while_holds_come_and_go(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check before sending holds the gate that was about to be asked, and the hold ends during the next check."""
    journal, holds = bench.instance.journal, [GONE]

    async def check(checker: AccountChecker, connection: str, operations: Sequence[StoredOperation]) -> bool:
        first = operations[0]
        if first.operation.is_gate and holds:
            gate = (first.workflow, first.version, first.operation.step)
            await journal.add_hold(Hold(connection, *gate, holds.pop(), "gone", 1), 1)
            return False
        if first.operation.kind == "track_event" and await journal.holds():
            await journal.release_hold(first.workflow, "vip", Decision("release", "test"), 1)
        return True

    monkeypatch.setattr(AccountChecker, "ensure_fresh", check)
    await bench.apply(GATED.replace("member: false", "member: true"))
    await bench.take([points(1)])
    await bench.drain()
    for hold in await journal.holds():
        await order(bench, "release", workflow=hold.workflow, step=hold.step)
        await bench.drain()
    done = await settled(bench)
    assert done["vip skipped"] == 1
    assert not bench.events("First Points Earned")
