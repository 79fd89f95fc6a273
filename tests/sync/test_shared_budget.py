"""Another integration uses the account's budget: it is noticed, shown, and yielded to or not."""

from __future__ import annotations

import pytest

from askel_tui.klaviyo.rate_limits.limiter import RateLimiter
from askel_tui.services import settings
from askel_tui.services.status import read_status
from tests.support.bad_days import WELCOME, engine, until
from tests.support.workbench import ACTOR, Workbench, points


async def test_it_is_noticed_and_status_says_so(bench: Workbench) -> None:
    await bench.apply(WELCOME)
    bench.fault("create_event", status=429, retry_after=1, times=1)
    await bench.take([points(1)])
    await bench.drain()
    assert len(bench.events("First Points Earned")) == 1
    budgets = {row.call: row.foreign for row in (await read_status(bench.instance)).budgets}
    assert budgets["create_event"] is True
    assert budgets["create_or_update_profile"] is False
    [noted] = await bench.audit(kind="foreign_use")
    assert noted.response is not None
    assert noted.response["detail"]["call"] == "create_event"


async def test_a_running_engine_competes_once_a_setting_says_so(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    message: list[bool] = []
    monkeypatch.setattr(RateLimiter, "ignore_other_clients", lambda self, on: message.append(on))
    async with engine(bench):

        async def heard(last: bool) -> bool:
            return message[-1:] == [last]

        await until(bench, lambda: heard(False))
        await settings.change(bench.instance, "compete", ["on"], ACTOR)
        await until(bench, lambda: heard(True))


async def test_the_calls_of_connecting_count_for_the_account(bench: Workbench) -> None:
    document = bench.instance.state.connection("maple-ember")
    slots = await bench.instance.journal.taken_slots(document.account or "", 0)
    assert any(call.startswith("get_accounts") for call, _, _ in slots)
    assert not await bench.instance.journal.taken_slots(f"key:{document.key}", 0)
