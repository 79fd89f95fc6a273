"""Gates that wait for a segment to be computed: what waits with them, and what goes on."""

from __future__ import annotations

from typing import Any

import pytest

from askel_tui.core.planning.disposition import next_ask
from askel_tui.sync.timing import Timing
from tests.support.bad_days import brisk, engine, until
from tests.support.workbench import NAME, Workbench

__all__ = ["brisk"]

pytestmark = pytest.mark.usefixtures("brisk")

WORKFLOW = """\
workflow: waits
connection: maple-ember
trigger: reached
profile: {email: data.email}
steps:
  - id: tier
    upsert_profile: {properties: {LoyaltyTier: data.tier}}
  - id: gold
    require_segment: {segment: Gold Tier, member: true, within: 1h}
  - id: club
    add_to_list: Kiln Club
"""
OTHER = """\
workflow: other
connection: maple-ember
trigger: other
profile: {email: data.email}
steps:
  - id: seen
    track_event: {metric: Seen}
"""
EMAIL = "ada@mapleandember.example"


def _record(number: int, event: str = "reached", **data: Any) -> dict[str, Any]:
    return {"id": f"{event}-{number}", "event": event, "data": {"email": EMAIL, "tier": "Gold", **data}}


async def _ends(bench: Workbench) -> dict[tuple[str | None, str | None], str]:
    return {(each.record, each.step): each.status for each in await bench.audit() if each.record}


async def test_only_the_record_and_those_at_the_same_gate_wait_until_the_segment_is_computed(
    bench: Workbench,
) -> None:
    bench.sandbox.world.change_settings({"segment_time": 3600.0})
    bench.set_timing(gate_asks_s=(0.05, 0.1, 0.15, *(each / 5 for each in range(1, 1000))))
    await bench.apply(WORKFLOW)
    await bench.apply(OTHER)
    async with engine(bench):
        await bench.take([_record(1), _record(2), _record(1, "other")])

        async def others_went_on() -> bool:
            ends = await _ends(bench)
            return ends.keys() >= {("reached-2", "tier"), ("other-1", "seen")}

        await until(bench, others_went_on)
        asked = len(bench.requests("get_profiles_for_segment"))

        async def asked_again() -> bool:
            return len(bench.requests("get_profiles_for_segment")) > asked

        await until(bench, asked_again)
        ends = await _ends(bench)
        assert not {step for _, step in ends} & {"gold", "club"}
        assert bench.on_list("Kiln Club") == []
        bench.sandbox.account.shown_segments.clear()

        async def passed() -> bool:
            found = await _ends(bench)
            return {found.get((f"reached-{each}", "club")) for each in (1, 2)} == {"written"}

        await until(bench, passed)
    order = [each.record for each in await bench.audit(step="gold") if each.status == "passed"]
    assert order == ["reached-1", "reached-2"]
    assert bench.on_list("Kiln Club") == [EMAIL]


async def test_what_later_records_wrote_meanwhile_is_not_written_over(bench: Workbench) -> None:
    bench.sandbox.world.change_settings({"segment_time": 3600.0})
    bench.set_timing(gate_asks_s=tuple(each / 10 for each in range(1, 1000)))
    late = "  - id: late\n    upsert_profile: {first_name: data.name, properties: {Mug: data.name}}\n"
    await bench.apply(WORKFLOW + late)
    await bench.apply(OTHER.replace("track_event: {metric: Seen}", "upsert_profile: {first_name: data.name}"))
    async with engine(bench):
        await bench.take([_record(1, name="Old"), _record(1, "other", name="New")])

        async def newer_is_written() -> bool:
            return ("other-1", "seen") in await _ends(bench)

        await until(bench, newer_is_written)
        bench.sandbox.account.shown_segments.clear()

        async def older_is_written() -> bool:
            return ("reached-1", "late") in await _ends(bench)

        await until(bench, older_is_written)
    profile = bench.profile(EMAIL)
    assert (profile["first_name"], profile["properties"]["Mug"]) == ("New", "Old")


async def test_a_gate_waits_through_a_restart_and_skips_when_its_time_is_over(bench: Workbench) -> None:
    bench.set_timing(gate_asks_s=())
    await bench.apply(WORKFLOW.replace("within: 1h", "within: 1s"))
    await bench.take([_record(1, tier="Silver")])
    async with engine(bench):

        async def waits() -> bool:
            [*left] = await bench.instance.journal.waiting_operations([NAME], 0, 10)
            return bool(left) and left[0].due > 0

        await until(bench, waits)
    began = bench.instance.clock()
    await bench.drain()
    assert bench.instance.clock() <= began + 120_000
    ends = await _ends(bench)
    assert (ends["reached-1", "gold"], ends["reached-1", "club"]) == ("skipped", "skipped")


def test_a_gate_is_asked_at_growing_distances_and_at_its_end() -> None:
    asks, began, now, found = Timing().gate_asks_s, 1_000, 1_000, []
    while now < began + 300_000:
        now = next_ask(began, now, 300, asks)
        found.append((now - began) // 1000)
    assert found == [15, 45, 105, 225, 300]
    assert next_ask(began, began, 10, asks) == began + 10_000
