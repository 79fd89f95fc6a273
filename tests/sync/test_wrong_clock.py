"""A machine whose clock is wrong: times are judged by Klaviyo's clock, live and in the dry run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.contract.calls import Call
from askel_tui.contract.caps import Caps
from askel_tui.core.operations import Identity, Operation
from askel_tui.core.planning.disposition import refused_time
from askel_tui.services.dry_run import dry_run
from askel_tui.sync.instance import now_ms
from tests.support.bad_days import brisk
from tests.support.workbench import Workbench

__all__ = ["brisk"]

TWO_YEARS_MS = 730 * 86_400_000 + 3_600_000
WORKFLOW = """\
workflow: used
connection: maple-ember
trigger: used
profile: {email: data.email}
steps:
  - id: used
    track_event: {metric: Gift Used}
"""


def used(ident: str, days: int) -> dict[str, Any]:
    when = (datetime.now(UTC) + timedelta(days=days)).isoformat()
    return {"id": ident, "event": "used", "time": when, "data": {"email": f"{ident}@mapleandember.example"}}


@pytest.mark.usefixtures("brisk")
@pytest.mark.parametrize(("offset", "said"), [(-TWO_YEARS_MS, "behind"), (TWO_YEARS_MS, "ahead of")])
async def test_events_are_sent_and_refused_as_klaviyo_would(bench: Workbench, offset: int, said: str) -> None:
    bench.set_clock(lambda: now_ms() + offset)
    await bench.apply(WORKFLOW)
    await bench.take([used("today", 0), used("far", 400)])
    shown = await dry_run(bench.instance, "used", last=5)
    problems = {each.record: [str(problem) for problem in each.problems] for each in shown.records}
    assert problems["today"] == []
    [refusal] = problems["far"]
    assert "365 days ahead" in refusal
    assert f"this machine's clock is 730 d {said} Klaviyo's" in refusal
    await bench.drain()
    assert [each["email"] for each in bench.events("Gift Used")] == ["today@mapleandember.example"]
    [failure] = await bench.instance.journal.failures()
    assert failure.record == "far"


NOW = 1_795_000_000_000


@given(
    when=st.integers(-800, 800), machine=st.integers(-(10**12), 10**12), server=st.integers(-(10**9), 10**9)
)
def test_klaviyos_clock_alone_decides(when: int, machine: int, server: int) -> None:
    time = datetime.fromtimestamp(NOW / 1000, UTC) + timedelta(days=when)
    body = {"metric": "M", "properties": {}, "unique_id": "u", "time": time.isoformat()}
    event = Operation("1", "s", "track_event", Call.CREATE_EVENT, Identity(email="a@x.example"), body=body)
    found = refused_time(event, NOW + machine, Caps(), NOW + server)
    assert (found is None) == (refused_time(event, NOW + server, Caps()) is None)
