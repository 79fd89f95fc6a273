"""The age of the oldest record that waits: in the status, in the metrics, and in a notice where nothing is held."""

from __future__ import annotations

import pytest

from askel_tui.services.status import read_status
from askel_tui.store.journal.rows import Hold
from askel_tui.sync.backlogs import Backlog, read_backlogs
from askel_tui.sync.upkeep.waiting_alerts import WaitingAlerts
from askel_tui.tui.backend import queries
from tests.support.bad_days import WELCOME, brisk, order
from tests.support.workbench import NAME, Workbench, points

__all__ = ["brisk"]

pytestmark = pytest.mark.usefixtures("brisk")

MINUTE_MS = 60_000


class _Clock:
    """A clock that a test moves."""

    def __init__(self, now: int) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


async def _bench_with_clock(bench: Workbench) -> _Clock:
    clock = _Clock(bench.instance.clock())
    bench.set_clock(clock)
    await bench.apply(WELCOME)
    return clock


async def _oldest(bench: Workbench) -> int | None:
    [workflow] = (await read_status(bench.instance)).workflows
    return workflow.oldest_waiting


async def test_what_is_not_planned_yet_waits_and_what_was_sent_does_not(bench: Workbench) -> None:
    clock = await _bench_with_clock(bench)
    assert await _oldest(bench) is None
    first = clock.now
    await bench.take([points(1)])
    clock.now += 5 * MINUTE_MS
    await bench.take([points(2)])
    assert await _oldest(bench) == first
    assert (await read_backlogs(bench.instance, with_age=False))["welcome"] == Backlog(2)
    assert await queries.oldest_waiting_age(bench.instance) == "5 min"
    await bench.drain()
    assert await _oldest(bench) is None
    assert await queries.oldest_waiting_age(bench.instance) is None


async def test_what_a_hold_keeps_waits_and_what_failed_does_not(bench: Workbench) -> None:
    clock = await _bench_with_clock(bench)
    hold = Hold(NAME, "welcome", 1, "points", "manual", "a look", clock.now)
    await bench.instance.journal.add_hold(hold, clock.now)
    await bench.take([{**points(1), "data": {"shopper": {"email": "nobody"}}}])
    clock.now += MINUTE_MS
    await bench.take([points(2)])
    second = clock.now
    await bench.drain()
    assert await _oldest(bench) == second


async def _notices(bench: Workbench) -> list[str]:
    found = [each for each in await bench.instance.journal.notices() if each.cause == "waiting_long"]
    return [each.kind for each in found]


async def test_a_notice_when_it_is_too_long_and_one_when_it_is_over(bench: Workbench) -> None:
    clock = await _bench_with_clock(bench)
    bench.instance.state.save_setting("waiting_alert", 600)
    alerts = WaitingAlerts(bench.instance)
    await bench.take([points(1), points(2)])
    for minutes, kinds in ((0, []), (9, []), (2, ["warning"]), (60, ["warning"])):
        clock.now += minutes * MINUTE_MS
        await alerts.run_round()
        assert await _notices(bench) == kinds
    # After a restart nobody is told again.
    alerts = WaitingAlerts(bench.instance)
    await alerts.run_round()
    assert await _notices(bench) == ["warning"]
    [notice] = [each for each in await bench.instance.journal.notices() if each.cause == "waiting_long"]
    assert "the oldest record that waits came 11 min ago" in notice.text
    assert "2 records more to be planned" in notice.text
    await bench.drain()
    clock.now += 2 * MINUTE_MS
    await alerts.run_round()
    assert await _notices(bench) == ["warning", "over"]


async def test_records_of_the_past_and_paused_ones_alarm_nobody(bench: Workbench) -> None:
    clock = await _bench_with_clock(bench)
    alerts = WaitingAlerts(bench.instance)
    await bench.take([points(1)])
    clock.now += 3 * 24 * 60 * MINUTE_MS
    await alerts.run_round()
    assert await _notices(bench) == []
    await order(bench, "pause", workflow="welcome")
    clock.now += 120 * MINUTE_MS
    await alerts.run_round()
    assert await _notices(bench) == []
