"""Bad days, one at a time: whatever a call meets, each operation is written once and its neighbours are unharmed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from askel_tui.contract.calls import Call
from askel_tui.contract.dialects import dialect
from askel_tui.klaviyo.http_limits import HttpLimits
from askel_tui.store.journal.errors import JournalError
from askel_tui.store.sqlite.journal import SqliteJournal
from tests.support.bad_days import WELCOME, assert_in_order, brisk, change, held, order, settled
from tests.support.thinning import grid
from tests.support.workbench import NAME, Workbench, points

__all__ = ["brisk"]

pytestmark = pytest.mark.usefixtures("brisk")

FAULTS: Mapping[str, Mapping[str, Any]] = {
    "500": {"status": 500, "times": 2},
    "502": {"status": 502, "times": 2},
    "503 for longer than a call is tried": {"status": 503, "times": 9},
    "504": {"status": 504, "times": 2},
    "HTML 403": {"status": 403, "body": "html", "times": 2},
    "429": {"status": 429, "retry_after": 1, "times": 1},
    "429 without Retry-After": {"status": 429, "body": "empty", "times": 1},
    "reset": {"reset": True, "times": 2},
    "reply lost after the write": {"lost": True, "times": 2},
    "reply broken off within": {"cut": 0.5, "times": 2},
    "malformed JSON after the write": {"after": True, "body": "malformed", "times": 2},
    "503 after the write": {"after": True, "status": 503, "times": 6},
}
CALLS = ("create_or_update_profile", "add_profiles_to_list", "create_event", "get_profiles_for_segment")
GATE = "  - id: vip\n    require_segment: {segment: VIP, member: false}\n"
GATED = WELCOME.replace("  - id: welcome", f"{GATE}  - id: welcome")
GATE_FIRST = WELCOME.replace("steps:\n", f"steps:\n{GATE}")
BACK = """\
workflow: comeback
connection: maple-ember
trigger: came_back
profile: {email: data.shopper.email, external_id: data.shopper.id}
steps:
  - id: again
    add_to_list: Promotions
"""


def _email(number: int) -> str:
    return f"t{number}@mapleandember.example"


def _back(number: int) -> dict[str, Any]:
    return {**points(number), "id": f"back-{number}", "event": "came_back"}


def _ends(records: int) -> dict[str, int]:
    """How the operations of so many records of the gated workflow end."""
    return {"vip passed": records} | {f"{step} written": records for step in ("tier", "welcome", "points")}


async def _assert_all_written(bench: Workbench, records: int) -> None:
    assert await settled(bench) == _ends(records)
    assert await bench.instance.journal.failures() == []
    assert await held(bench) == {}
    assert len(bench.events("First Points Earned")) == records
    assert {_email(number) for number in range(records)} <= set(bench.on_list("Welcome Flow"))
    await assert_in_order(bench)


@pytest.mark.parametrize(("fault", "call"), grid(FAULTS, CALLS))
async def test_a_fault_that_passes_delays_and_nothing_else(bench: Workbench, fault: str, call: str) -> None:
    await bench.apply(GATED)
    await bench.take(points(number) for number in range(4))
    bench.fault(call, **FAULTS[fault])
    await bench.drain()
    assert all(one.struck for one in bench.sandbox.world.faults.all)
    await _assert_all_written(bench, 4)


@pytest.mark.parametrize("call", CALLS)
async def test_an_answer_that_takes_too_long_is_asked_for_again(bench: Workbench, call: str) -> None:
    bench.instance.http_limits = HttpLimits(read_timeout_s=0.5)
    await bench.apply(GATED)
    await bench.take(points(number) for number in range(4))
    bench.fault(call, delay=1.5, times=1)
    await bench.drain()
    await _assert_all_written(bench, 4)


async def test_a_profile_that_is_gone_is_identified_anew_and_the_others_are_unharmed(
    either: Workbench,
) -> None:
    await either.apply(GATED)
    await either.apply(BACK)
    await either.take(points(number) for number in range(6))
    await either.drain()
    change(either, "DELETE", f"profiles/{_email(2)}")
    client = await either.instance.client(NAME)
    assert client is not None
    revision = either.instance.state.connection(NAME).revision
    kept, merged = either.profile(_email(0))["id"], either.profile(_email(4))["id"]
    if revision != "2024-02-15":
        await client.call(Call.MERGE_PROFILES, body=dialect(revision).merge(kept, merged))
    await either.take(_back(number) for number in range(6))
    await either.drain()
    assert await either.instance.journal.failures() == []
    assert await held(either) == {}
    there = {_email(number) for number in range(6)}
    assert there <= set(either.on_list("Promotions"))
    assert (await settled(either))["again written"] == 6
    await assert_in_order(either)


async def test_one_refused_record_fails_alone_and_is_retried_in_order(either: Workbench) -> None:
    await either.apply(GATED)
    await either.take(points(number) for number in range(5))
    either.fault("create_or_update_profile", status=400, times=1)
    await either.drain()
    [failure] = await either.instance.journal.failures()
    assert failure.step == "tier"
    email = str(failure.operation and failure.operation.operation.profile.email)
    assert await settled(either) == _ends(4)
    assert email not in either.on_list("Welcome Flow")
    assert email not in {event["email"] for event in either.events("First Points Earned")}

    before = either.sandbox.world.logged_count
    assert await order(either, "retry", ids=[failure.id]) == {"retried": 1, "replanned": {}}
    await either.drain()
    writes = [entry["endpoint"] for entry in either.requests(after=before) if entry["method"] == "POST"]
    assert writes == ["create_or_update_profile", "add_profiles_to_list", "create_event"]
    await _assert_all_written(either, 5)


async def test_a_conflict_fails_the_record_and_names_both_profiles(bench: Workbench) -> None:
    await bench.apply(GATED)
    await bench.take([points(1), points(2)])
    await bench.drain()
    mixed = points(3, email=_email(1), id="T-2")
    await bench.take([mixed])
    await bench.drain()
    [failure] = await bench.instance.journal.failures()
    assert (failure.record, failure.step) == ("t-3", "tier")
    assert bench.profile(_email(2))["id"] in failure.reason
    assert _email(1) in failure.reason
    assert len(bench.events("First Points Earned")) == 2
    await bench.take([points(4)])
    await bench.drain()
    assert len(bench.events("First Points Earned")) == 3


@pytest.mark.parametrize("call", ["create_or_update_profile", "create_event"])
async def test_a_request_that_is_too_large_fails_its_record_only(bench: Workbench, call: str) -> None:
    await bench.apply(GATED)
    await bench.take(points(number) for number in range(3))
    bench.fault(call, status=413, times=1)
    await bench.drain()
    assert len(await bench.instance.journal.failures()) == 1
    assert len(bench.events("First Points Earned")) == 2


async def test_a_list_call_that_is_too_large_is_cut(bench: Workbench) -> None:
    await bench.apply(GATED)
    change(bench, "DELETE", "lists/Welcome Flow")
    await bench.take(points(number) for number in range(4))
    await bench.drain()
    change(bench, "POST", "lists/Welcome Flow/restore")
    await order(bench, "release")
    bench.fault("add_profiles_to_list", status=413, times=2)
    before = bench.sandbox.world.logged_count
    await bench.drain()
    sizes = [len(entry["body"]["data"]) for entry in bench.requests("add_profiles_to_list", after=before)]
    assert sizes == [4, 2, 1, 1, 2]
    await _assert_all_written(bench, 4)


async def test_one_bad_identifier_keeps_no_other_gate_from_being_read(bench: Workbench) -> None:
    await bench.apply(GATE_FIRST)
    await bench.take(points(number) for number in range(8))
    # As often as halving eight down to one asks for the same profile.
    bench.fault("get_profiles_for_segment", status=400, times=4)
    await bench.drain()
    [failure] = await bench.instance.journal.failures()
    assert failure.step == "vip"
    assert len(bench.events("First Points Earned")) == 7


async def test_a_journal_that_cannot_write_stops_with_one_sentence_and_loses_nothing(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.apply(GATED)
    await bench.take(points(number) for number in range(6))
    full = "The journal could not grow because the disk is full: make room, then start again."
    answer, calls = SqliteJournal.answer_request, 0

    async def full_disk(self: SqliteJournal, request: int | None, **message: Any) -> None:
        nonlocal calls
        calls += 1
        if calls > 3:
            raise JournalError(full)
        await answer(self, request, **message)

    with monkeypatch.context() as patched:
        patched.setattr(SqliteJournal, "answer_request", full_disk)
        with pytest.raises(JournalError, match="disk is full"):
            await bench.drain()
    assert await bench.instance.journal.requests_in_doubt([NAME])
    await bench.drain()
    await _assert_all_written(bench, 6)
