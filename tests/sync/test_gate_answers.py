"""The entry of a gate holds its answer, when that was read, and how old it was when it counted."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from askel_tui.klaviyo.reads.profiles import members_of_segment
from tests.support.bad_days import WELCOME, brisk
from tests.support.workbench import Workbench, points

__all__ = ["brisk"]

pytestmark = pytest.mark.usefixtures("brisk")

GATED = WELCOME.replace(
    "  - id: points", "  - id: vip\n    require_segment: {segment: VIP, member: false}\n  - id: points"
)
VIP = {
    "id": "v-1",
    "event": "first_points_earned",
    "data": {"points": 1, "shopper": {"email": "vip@example.com"}},
}


@pytest.mark.parametrize("many", [1, 120])
async def test_a_gate_that_passes_and_one_that_does_not(bench: Workbench, many: int) -> None:
    """One by one, and in bulk."""
    await bench.apply(GATED)
    await bench.take([VIP, *(points(number) for number in range(many))])
    await bench.drain()
    entries = {each.record: each for each in await bench.audit(step="vip")}
    assert len(entries) == many + 1
    for record, entry in entries.items():
        member = record == "v-1"
        assert entry.status == ("skipped" if member else "passed")
        gate = (entry.response or {})["gate"]
        assert gate["member"] is member
        read = datetime.fromisoformat(gate["read"]).timestamp() * 1000
        assert 0 <= gate["age_ms"] == entry.at - round(read)
    assert (await bench.instance.journal.verify_audit())[1] is None


async def test_an_answer_that_took_its_time_is_as_old_as_its_reading(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = [0]
    clock = bench.instance.clock
    bench.set_clock(lambda: clock() + late[0])

    async def slow(*given: Any, **more: Any) -> Any:
        found = await members_of_segment(*given, **more)
        late[0] = 3_000
        return found

    monkeypatch.setattr("askel_tui.sync.sending.preparation.members_of_segment", slow)
    await bench.apply(GATED)
    await bench.take([points(1)])
    await bench.drain()
    [entry] = await bench.audit(step="vip")
    assert 3_000 <= (entry.response or {})["gate"]["age_ms"] < 60_000
