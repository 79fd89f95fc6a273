"""Consent travels together, bad rows alone, and nothing whose fate is unknown is sent twice."""

from __future__ import annotations

from typing import Any

import pytest

from askel_tui.contract.calls import Call
from askel_tui.core.requests.packing import batch_capacity
from tests.support.bad_days import assert_in_order, brisk, held, order, settled
from tests.support.workbench import Workbench

__all__ = ["brisk"]

pytestmark = pytest.mark.usefixtures("brisk")

JOIN = """\
workflow: join
connection: maple-ember
trigger: joined
profile: {email: data.email, phone_number: data.phone}
steps:
  - id: in
    subscribe: {channels: [email], list: Newsletter, custom_source: Till}
"""
TEXTS = JOIN.replace("channels: [email]", "channels: [email, sms]")
LEAVE = """\
workflow: leave
connection: maple-ember
trigger: left
profile: {email: data.email}
steps:
  - id: out
    unsubscribe: {channels: [email], list: Newsletter}
"""
SUBSCRIBE, UNSUBSCRIBE = Call.BULK_SUBSCRIBE_PROFILES, Call.BULK_UNSUBSCRIBE_PROFILES


def _email(number: int) -> str:
    return f"j{number}@mapleandember.example"


def _joined(number: int, event: str = "joined", **data: Any) -> dict[str, Any]:
    return {"id": f"{event}-{number}", "event": event, "data": {"email": _email(number), **data}}


def _consent(bench: Workbench, number: int) -> str:
    return str(bench.profile(_email(number))["consent"].get("email.marketing"))


def _sizes(bench: Workbench, call: str) -> list[int]:
    sent = bench.requests(call, after=bench.requests_since)
    return [len(one["body"]["data"]["attributes"]["profiles"]["data"]) for one in sent]


async def test_a_backlog_travels_in_as_few_jobs_as_the_revision_allows(either: Workbench) -> None:
    await either.apply(JOIN)
    await either.apply(LEAVE)
    revision = either.instance.state.connection("maple-ember").revision
    most = batch_capacity(SUBSCRIBE, revision)
    count = most + 20
    await either.take(_joined(number) for number in range(count))
    await either.drain()
    sizes = _sizes(either, SUBSCRIBE)
    assert (sum(sizes), max(sizes) <= most, len(sizes) <= 3) == (count, True, True)
    assert {_consent(either, number) for number in (0, most - 1, count - 1)} == {"SUBSCRIBED"}
    assert len([each for each in either.on_list("Newsletter") if each.startswith("j")]) == count
    assert await settled(either) == {"in unconfirmed": count}

    await either.take(_joined(number, "left") for number in range(120))
    await either.drain()
    assert _sizes(either, UNSUBSCRIBE) == [100, 20]
    assert len([each for each in either.on_list("Newsletter") if each.startswith("j")]) == count - 120
    await assert_in_order(either)


async def test_one_that_waits_alone_goes_at_once(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the budget kept: a job of one is not held back to gather others."""
    monkeypatch.delenv("ASKEL_BUDGETS")
    await bench.apply(JOIN)
    for number in range(3):
        await bench.take([_joined(number)])
        await bench.drain()
    assert _sizes(bench, SUBSCRIBE) == [1, 1, 1]


async def test_a_bad_row_is_cut_out_and_the_others_arrive(bench: Workbench) -> None:
    bench.sandbox.world.change_settings({"sms_regions": ["+44"]})
    await bench.apply(TEXTS)
    await bench.take(
        _joined(number, phone=f"+1503555{1000 + number}" if number in (3, 7) else f"+44207946{1000 + number}")
        for number in range(12)
    )
    await bench.drain()
    assert _sizes(bench, SUBSCRIBE) == [12, 1, 1, 10]
    assert await settled(bench) == {"in unconfirmed": 10}
    failures = await bench.instance.journal.failures()
    assert {failure.record for failure in failures} == {"joined-3", "joined-7"}
    assert all("supported region" in failure.reason for failure in failures)
    assert _consent(bench, 4) == "SUBSCRIBED"
    await assert_in_order(bench)


async def test_a_refusal_that_names_no_row_is_halved_until_it_is_found(bench: Workbench) -> None:
    await bench.apply(JOIN)
    bench.fault(SUBSCRIBE, status=400, times=2)
    await bench.take(_joined(number) for number in range(8))
    await bench.drain()
    assert _sizes(bench, SUBSCRIBE) == [8, 4, 2, 2, 4]
    assert await settled(bench) == {"in unconfirmed": 8}


async def test_a_lost_answer_is_read_back_and_never_sent_twice(bench: Workbench) -> None:
    await bench.apply(JOIN)
    bench.fault(SUBSCRIBE, lost=True, times=1)
    await bench.take(_joined(number) for number in range(5))
    await bench.drain()
    assert _sizes(bench, SUBSCRIBE) == [5]
    assert await settled(bench) == {"in written": 5}
    assert await held(bench) == {}


async def test_what_does_not_read_back_waits_for_a_person_and_the_rest_goes_on(bench: Workbench) -> None:
    """A reset: Klaviyo never saw it, but nobody knows. One profile has the consent from before."""
    await bench.apply(JOIN)
    await bench.take([_joined(0)])
    await bench.drain()
    bench.fault(SUBSCRIBE, reset=True, times=1)
    again = {**_joined(0), "id": "again"}
    await bench.take([again, *(_joined(number) for number in range(1, 4))])
    await bench.drain()
    assert await settled(bench) == {"in unconfirmed": 1, "in written": 1}
    assert await held(bench) == {("join", "in"): ("in_doubt", 3)}
    await order(bench, "release", workflow="join")
    await bench.drain()
    assert await held(bench) == {}
    assert {_consent(bench, number) for number in range(4)} == {"SUBSCRIBED"}


async def test_consent_without_the_list_is_no_proof_of_having_joined_it(bench: Workbench) -> None:
    await bench.apply(JOIN)
    await bench.take([_joined(0)])
    await bench.drain()
    bench.put_on_list("Newsletter")
    assert _consent(bench, 0) == "SUBSCRIBED"
    bench.fault(SUBSCRIBE, reset=True, times=1)
    await bench.take([{**_joined(0), "id": "again"}])
    await bench.drain()
    assert await held(bench) == {("join", "in"): ("in_doubt", 1)}


async def test_a_read_that_fails_before_a_withdrawal_leaves_nothing_open(bench: Workbench) -> None:
    await bench.apply(JOIN)
    await bench.apply(LEAVE)
    await bench.take([_joined(0)])
    await bench.drain()
    bench.fault(Call.GET_PROFILES_FOR_LIST, status=503, times=12)
    await bench.take([_joined(0, "left"), _joined(1, "left")])
    await bench.drain()
    assert await held(bench) == {}
    assert await settled(bench) == {"in unconfirmed": 1, "out unconfirmed": 1, "out skipped": 1}
    assert _sizes(bench, UNSUBSCRIBE) == [1]
