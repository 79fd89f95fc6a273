"""Consent on bad days: what may have been written is read back, and never sent twice by itself."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.bad_days import assert_in_order, brisk, held, order, settled
from tests.support.shared import needs_shared
from tests.support.workbench import Workbench

__all__ = ["brisk"]

pytestmark = [needs_shared, pytest.mark.usefixtures("brisk")]

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
