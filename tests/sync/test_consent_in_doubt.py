"""Consent on bad days: what may have been written is read back, and never sent twice by itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support.bad_days import assert_in_order, brisk, change, engine, held, order, settled, until
from tests.support.workbench import Workbench

__all__ = ["brisk"]

pytestmark = pytest.mark.usefixtures("brisk")

SUBSCRIBE, UNSUBSCRIBE = "bulk_subscribe_profiles", "bulk_unsubscribe_profiles"
EMAIL = "new@mapleandember.example"
OPT_IN = """\
workflow: opt-in
connection: maple-ember
trigger: opted_in
profile: {email: data.email}
steps:
  - id: subscribe
    subscribe: {channels: [email], list: Newsletter}
"""
OPT_OUT = """\
workflow: opt-out
connection: maple-ember
trigger: opted_out
profile: {email: data.email}
steps:
  - id: leave
    unsubscribe: {channels: [email], list: Newsletter}
"""


def _happened(event: str, number: int = 1, email: str = EMAIL) -> dict[str, Any]:
    return {"id": f"{event}-{number}", "event": event, "data": {"email": email}}


def _sent(bench: Workbench) -> int:
    """How often consent was sent, the probe of the scope aside."""
    return len(bench.requests(SUBSCRIBE, after=bench.requests_since))


def _consent(bench: Workbench, email: str = EMAIL) -> str | None:
    for profile in bench.state()["profiles"]:
        if profile.get("email") == email:
            found: str | None = profile["consent"].get("email.marketing")
            return found
    return None


async def test_a_reply_lost_after_the_write_is_read_back(either: Workbench) -> None:
    await either.apply(OPT_IN)
    await either.take([_happened("opted_in")])
    either.fault(SUBSCRIBE, lost=True)
    await either.drain()
    assert await settled(either) == {"subscribe written": 1}
    assert _sent(either) == 1
    [entry] = await either.audit(step="subscribe")
    assert entry.response
    assert "read back" in entry.response["detail"]
    assert await held(either) == {}
    await assert_in_order(either)


@pytest.mark.parametrize(
    "fault",
    [
        {"reset": True},
        {"status": 503},
        {"status": 202, "body": "malformed"},
    ],
    ids=lambda fault: ",".join(map(str, fault.values())),
)
async def test_what_did_not_arrive_for_certain_is_held_until_a_person_decides(
    either: Workbench, fault: dict[str, Any]
) -> None:
    await either.apply(OPT_IN)
    await either.take([_happened("opted_in")])
    either.fault(SUBSCRIBE, **fault, times=1)
    await either.drain()
    await either.drain()
    assert await held(either) == {("opt-in", "subscribe"): ("in_doubt", 1)}
    assert _sent(either) == 1
    assert _consent(either) is None
    await order(either, "release", workflow="opt-in", step="subscribe")
    await either.drain()
    assert _sent(either) == 2
    assert _consent(either) == "SUBSCRIBED"
    assert await settled(either) == {"subscribe unconfirmed": 1}
    await assert_in_order(either)


@pytest.mark.slow
async def test_what_shows_late_is_settled_by_itself_and_the_rest_goes_on(either: Workbench) -> None:
    """Nobody has to decide about consent that the account shows in the end, however late."""
    either.set_timing(first_read_back_ms=20, confirmation_interval_ms=10)
    either.sandbox.world.change_settings({"consent_time": 3_600.0})
    await either.apply(OPT_IN)
    await either.take([_happened("opted_in")])
    either.fault(SUBSCRIBE, lost=True, times=1)
    async with engine(either):
        await until(either, _held_in_doubt(either, 1))
        await either.take([_happened("opted_in", 2, "second@mapleandember.example")])
        await until(either, _held_in_doubt(either, 2))
        reads = len(either.requests("get_profiles"))

        async def asked_again() -> bool:
            return len(either.requests("get_profiles")) > reads + 2

        await until(either, asked_again)
        assert (await held(either))["opt-in", "subscribe"] == ("in_doubt", 2)
        either.sandbox.world.change_settings({"consent_time": 0.0})
        change(either, "POST", "settle")

        async def done() -> bool:
            return not await held(either) and _sent(either) == 2

        await until(either, done)
    await either.drain()
    assert _consent(either) == _consent(either, "second@mapleandember.example") == "SUBSCRIBED"
    first, *_ = await either.audit(record="opted_in-1")
    assert (first.status, "read back after doubt" in str(first.response)) == ("written", True)
    released = await either.audit(kind="release")
    assert [entry.actor for entry in released] == ["askel"]
    kinds = [notice.kind for notice in await either.instance.journal.notices()]
    assert kinds == ["hold", "recovery"]
    await assert_in_order(either)


def _held_in_doubt(bench: Workbench, waiting: int) -> Callable[[], Awaitable[bool]]:
    async def so() -> bool:
        return (await held(bench)).get(("opt-in", "subscribe")) == ("in_doubt", waiting)

    return so


@pytest.mark.parametrize("fault", [{"status": 429, "retry_after": 1}, {"status": 403, "body": "html"}])
async def test_what_certainly_did_nothing_is_repeated(bench: Workbench, fault: dict[str, Any]) -> None:
    await bench.apply(OPT_IN)
    await bench.take([_happened("opted_in")])
    bench.fault(SUBSCRIBE, **fault, times=1)
    await bench.drain()
    assert await settled(bench) == {"subscribe unconfirmed": 1}
    assert _sent(bench) == 2


async def test_who_is_not_on_the_list_is_not_unsubscribed_from_everything(either: Workbench) -> None:
    await either.apply(OPT_IN)
    await either.apply(OPT_OUT)
    stranger = "stranger@mapleandember.example"
    await either.take([_happened("opted_in"), _happened("opted_out", 2, stranger)])
    await either.drain()
    assert not either.requests(UNSUBSCRIBE, after=either.requests_since)
    assert (await settled(either))["leave skipped"] == 1
    [entry] = await either.audit(step="leave")
    assert entry.response
    assert "everywhere" in entry.response["detail"]
