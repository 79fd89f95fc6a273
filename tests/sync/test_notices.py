"""Notices: one per cause, told where the team listens, until they are taken; and the hold's end."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from types import ModuleType
from typing import Any

import pytest
import pytest_asyncio

from askel_tui.services import connections
from askel_tui.services.notices import try_addresses
from askel_tui.services.status import read_status
from askel_tui.store.journal.rows import Decision, Hold
from askel_tui.sync.instance import open_instance
from askel_tui.sync.notifications import channels
from askel_tui.sync.notifications.channels import DeliveryFailed, Message
from askel_tui.sync.notifications.notifier import Notifier
from tests.support.bad_days import WELCOME, brisk, change, engine, held, order, rotate, until
from tests.support.receiver import Receiver, receiver
from tests.support.workbench import ACTOR, NAME, Workbench, points

__all__ = ["brisk"]

pytestmark = [pytest.mark.clock, pytest.mark.usefixtures("brisk")]

HOUR = 3_600_000
SECRET = "s3cret"


@pytest.fixture(autouse=True)
def at_once(bench: Workbench) -> None:
    bench.set_timing(gather_delay_ms=0, first_retry_delay_ms=20, property_confirm_delay_s=0.0)


@pytest_asyncio.fixture
async def hook() -> AsyncIterator[Receiver]:
    async with receiver() as one:
        yield one


def _notify(bench: Workbench, *urls: str) -> None:
    bench.instance.state.change_connection(NAME, notify=urls)


async def _hold(bench: Workbench, step: str = "welcome", *, workflow: str = "welcome", now: int = 0) -> None:
    at = now or bench.instance.clock()
    detail = "the list Welcome Flow (MeWelc) is gone from the account"
    await bench.instance.journal.add_hold(Hold(NAME, workflow, 1, step, "target_gone", detail, at), at)


async def _release(bench: Workbench, step: str = "welcome", *, workflow: str = "welcome") -> None:
    decision = Decision("release", "ada", NAME, workflow, step)
    await bench.instance.journal.release_hold(workflow, step, decision, bench.instance.clock())


async def _round(bench: Workbench, **kwargs: Any) -> None:
    """A round of a notifier that knows nothing but what is stored."""
    await Notifier(bench.instance, **kwargs).run_round()


async def test_a_deleted_list_is_reported_and_so_is_its_return(bench: Workbench, hook: Receiver) -> None:
    _notify(bench, hook.url(SECRET))
    await bench.apply(WELCOME)
    change(bench, "DELETE", "lists/Welcome Flow")
    await bench.take(points(number) for number in range(3))
    await bench.drain()
    [report] = hook.taken
    assert (report["kind"], report["connection"], report["cause"]) == ("hold", NAME, "target_gone")
    assert report["steps"] == [{"workflow": "welcome", "step": "welcome", "waiting": 3, "connection": NAME}]
    for word in (
        "Welcome Flow",
        "MeWelc",
        "since",
        "3 operations wait",
        "askel hold release welcome welcome",
    ):
        assert word in report["text"]
    assert hook.signed_with(SECRET)
    assert hook.headers[0]["askel-notice"] == str(report["id"])

    change(bench, "POST", "lists/Welcome Flow/restore")
    await order(bench, "release")
    await bench.drain()
    recovered = hook.taken[1]
    assert (recovered["kind"], len(hook.taken)) == ("recovery", 2)
    for word in ("goes on", "released by test", "3 operations"):
        assert word in recovered["text"]
    await bench.drain()
    assert len(hook.taken) == 2


async def test_no_key_and_no_payload_is_reported(bench: Workbench, hook: Receiver) -> None:
    _notify(bench, hook.url())
    await bench.apply(WELCOME)
    await bench.take(points(number, tier="platinum-secret") for number in range(6))
    await bench.drain()
    change(bench, "POST", "properties/LoyaltyTier/rename", to="Level")
    await bench.take([points(9, tier="platinum-secret")])
    await bench.drain()
    key = bench.sandbox.key
    change(bench, "POST", "keys/revoke", key=key)
    await bench.take([points(10)])
    await bench.drain()
    assert {each["cause"] for each in hook.taken} == {"property_renamed", "key_refused"}
    everything = b"".join(hook.bodies)
    for word in (key, "platinum-secret", "t9@", "T-9"):
        assert word.encode() not in everything
    assert "askel-signature" not in hook.headers[0]


async def test_one_cause_is_reported_once_with_all_its_steps(bench: Workbench, hook: Receiver) -> None:
    _notify(bench, hook.url())
    for step in ("welcome", "again", "third"):
        await _hold(bench, step)
    await _round(bench)
    [report] = hook.taken
    assert [each["step"] for each in report["steps"]] == ["welcome", "again", "third"]
    for step in ("welcome", "again"):
        await _release(bench, step)
    await _round(bench)
    assert len(hook.taken) == 1
    await _release(bench, "third")
    await _round(bench)
    assert [each["kind"] for each in hook.taken] == ["hold", "recovery"]
    await _hold(bench)
    await _round(bench)
    assert [each["kind"] for each in hook.taken] == ["hold", "recovery", "hold"]


async def test_a_notice_gathers_a_moment_for_its_other_steps(bench: Workbench, hook: Receiver) -> None:
    bench.set_timing(gather_delay_ms=1_000)
    _notify(bench, hook.url())
    now = bench.instance.clock()
    bench.instance.clock = lambda: now
    await _hold(bench)
    await _round(bench)
    assert hook.taken == []
    assert await Notifier(bench.instance).has_pending()
    await _hold(bench, "again")
    bench.instance.clock = lambda: now + 1_000
    await _round(bench)
    assert [len(each["steps"]) for each in hook.taken] == [2]
    assert not await Notifier(bench.instance).has_pending()


async def test_a_standing_hold_is_reminded_of_after_1_6_and_24_hours_and_daily(
    bench: Workbench, hook: Receiver
) -> None:
    _notify(bench, hook.url())
    start = bench.instance.clock()
    await _hold(bench, now=start)
    reminded = []
    for hours in range(60):
        bench.instance.clock = lambda hours=hours: start + hours * HOUR  # type: ignore[misc]
        before = len(hook.taken)
        await _round(bench)
        if hook.taken[before:]:
            reminded.append(hours)
    assert reminded == [0, 1, 6, 24, 48]
    assert [each["kind"] for each in hook.taken] == ["hold"] + ["reminder"] * 4
    assert "Still so" in hook.taken[1]["text"]
    bench.instance.state.save_setting("remind_hours", 12)
    bench.instance.clock = lambda: start + 61 * HOUR
    await _round(bench)
    assert len(hook.taken) == 6
    await _release(bench)
    bench.instance.clock = lambda: start + 100 * HOUR
    await _round(bench)
    assert [each["kind"] for each in hook.taken[6:]] == ["recovery"]


async def test_a_notice_is_tried_again_across_restarts_until_it_is_taken(
    bench: Workbench, hook: Receiver
) -> None:
    _notify(bench, hook.url(SECRET))
    bench.instance.state.save_setting("remind_hours", 24)
    start = bench.instance.clock()
    await _hold(bench, now=start)
    await _hold(bench, "again", workflow="other", now=start)
    hook.statuses = [500, 302, 429]
    for attempt in range(1, 4):
        bench.instance.clock = lambda attempt=attempt: start + attempt * HOUR  # type: ignore[misc]
        await _round(bench)
        assert (hook.refused, hook.taken) == (attempt, [])
        # Not before its time.
        await _round(bench)
        assert hook.refused == attempt
    assert not await Notifier(bench.instance).has_pending()
    bench.instance.clock = lambda: start + 4 * HOUR
    await _round(bench)
    assert len(hook.taken) == 1


async def test_a_crash_after_the_delivery_delivers_again_with_the_same_id(bench: Workbench) -> None:
    class CrashError(Exception):
        pass

    seen: list[Message] = []

    async def crash(address: str, message: Message, now_s: int) -> None:
        seen.append(message)
        raise CrashError

    _notify(bench, "http://127.0.0.1:1/never")
    await _hold(bench)
    with pytest.raises(CrashError):
        await _round(bench, send=crash)

    async def take(address: str, message: Message, now_s: int) -> None:
        seen.append(message)

    async with open_instance(bench.instance.home) as again:
        bench.hand_on(again)
        await Notifier(again, send=take).run_round()
        await Notifier(again, send=take).run_round()
    assert [each.id for each in seen] == [seen[0].id] * 2


async def test_what_cannot_be_delivered_shows_in_the_status_and_is_gone_once_it_arrives(
    bench: Workbench, hook: Receiver
) -> None:
    async def refuse(address: str, message: Message, now_s: int) -> None:
        raise DeliveryFailed("the webhook answered 500")

    _notify(bench, hook.url(SECRET))
    await _hold(bench)
    await _round(bench, send=refuse)
    [shown] = (await read_status(bench.instance)).notices
    assert (shown.connection, shown.waiting, shown.attempts) == (NAME, 1, 1)
    assert shown.error == "the webhook answered 500"
    assert "s3cret" not in shown.address
    bench.set_timing(gather_delay_ms=0, first_retry_delay_ms=0)
    later = bench.instance.clock() + 60_000
    bench.set_clock(lambda: later)
    await _round(bench)
    [shown] = (await read_status(bench.instance)).notices
    assert (shown.waiting, shown.attempts, shown.error) == (0, 0, None)
    assert len(hook.taken) == 1
    assert [(each.error, each.connection) for each in await try_addresses(bench.instance, "ada")] == [
        (None, NAME)
    ]
    assert hook.taken[-1]["test"] is True


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("https://hooks.example/x", None),
        ("https+hmac://secret@hooks.example/x", None),
        ("http://127.0.0.1:8080/x", None),
        ("https+hmac://hooks.example/x", "no secret"),
        ("http://hooks.example/x", "use https://"),
        ("https:///x", "no host"),
        ("https://[x", "no URL"),
        ("slack://a", "needs apprise"),
    ],
)
def test_an_address_is_checked_without_sending(
    address: str, problem: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    found = channels.find_address_problem(address)
    assert (found is None) == (problem is None)
    assert problem is None or problem in (found or "")


async def test_everybody_gets_all_notices_and_a_connection_its_own(bench: Workbench, hook: Receiver) -> None:
    async with receiver() as everywhere:
        own = bench.instance.state.connection(NAME)
        bench.instance.state.save_connection(own.model_copy(update={"name": "second", "notify": ()}))
        _notify(bench, hook.url(), everywhere.url())
        bench.instance.state.save_setting("notify", [everywhere.url()])
        await _hold(bench)
        at = bench.instance.clock()
        other = Hold("second", "elsewhere", 1, "tier", "key_refused", "Klaviyo refuses the key", at)
        await bench.instance.journal.add_hold(other, at)
        await _round(bench)
        assert [each["connection"] for each in hook.taken] == [NAME]
        assert sorted(each["connection"] for each in everywhere.taken) == [NAME, "second"]


async def test_a_new_address_hears_of_what_stands_and_not_of_old_stories(
    bench: Workbench, hook: Receiver
) -> None:
    await _hold(bench, "old")
    await _release(bench, "old")
    await _hold(bench, "stands")
    _notify(bench, hook.url())
    await _round(bench)
    assert [(each["kind"], each["steps"][0]["step"]) for each in hook.taken] == [("hold", "stands")]


async def test_an_address_that_comes_back_hears_of_what_stands_then(bench: Workbench, hook: Receiver) -> None:
    one = Notifier(bench.instance)
    _notify(bench, hook.url())
    await one.run_round()
    _notify(bench)
    await one.has_pending()
    await _hold(bench, "old")
    await _release(bench, "old")
    await _hold(bench, "stands")
    _notify(bench, hook.url())
    await _round(bench)
    assert [(each["kind"], each["steps"][0]["step"]) for each in hook.taken] == [("hold", "stands")]


async def test_one_address_that_is_dead_keeps_no_other_waiting(bench: Workbench, hook: Receiver) -> None:
    _notify(bench, "http+hmac://x@127.0.0.1:1/dead", hook.url())
    await _hold(bench)
    await _round(bench)
    assert len(hook.taken) == 1


async def test_a_running_engine_tells_by_itself(bench: Workbench, hook: Receiver) -> None:
    _notify(bench, hook.url(SECRET))
    await bench.apply(WELCOME)
    hook.statuses = [503]
    async with engine(bench):
        change(bench, "DELETE", "lists/Welcome Flow")
        await bench.take([points(1)])

        async def report() -> bool:
            return bool(hook.taken) and bool(await held(bench))

        await until(bench, report)
    assert hook.refused == 1
    assert hook.signed_with(SECRET)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("http://hooks.example/x", "use https"),
        ("http+hmac://s@hooks.example/x", "use https"),
        ("https+hmac://hooks.example/x", "no secret"),
        ("http://127.0.0.1:1/s3cret", "can't be reached"),
        ("slack://a/b/s3cret", "install askel-tui"),
    ],
)
async def test_what_cannot_be_delivered_says_why_and_never_the_address(
    address: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(DeliveryFailed, match=why) as caught:
        await channels.send(address, Message("1", "title", "text", {}), 1)
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in channels.redacted_address(address)


async def test_other_services_are_apprises(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, str, str]] = []

    class Box:
        """As much of apprise as is used."""

        def __init__(self) -> None:
            self.url = ""

        def add(self, url: str) -> bool:
            self.url = url
            return url.startswith(("slack://", "https://hooks.slack.example/"))

        def notify(self, *, title: str, body: str) -> bool:
            sent.append((self.url, title, body))
            return "full" not in self.url

    module = ModuleType("apprise")
    monkeypatch.setattr(module, "Apprise", Box, raising=False)
    monkeypatch.setitem(sys.modules, "apprise", module)
    message = Message("1", "title", "text", {})
    for address in ("slack://a/b", "https://hooks.slack.example/x"):
        await channels.send(address, message, 1)
    assert sent == [("slack://a/b", "title", "text"), ("https://hooks.slack.example/x", "title", "text")]
    with pytest.raises(DeliveryFailed, match="did not take"):
        await channels.send("slack://full", message, 1)
    with pytest.raises(DeliveryFailed, match="does not know"):
        await channels.send("nonsense://x", replace(message, id="2"), 1)


async def test_a_revoked_key_of_two_connections_is_one_notice_with_the_steps_in_which_nothing_waits(
    bench: Workbench, hook: Receiver
) -> None:
    await connections.connect(bench.instance, "second", bench.sandbox.key, ACTOR)
    bench.requests_since = bench.sandbox.world.logged_count
    await bench.apply(WELCOME)
    await bench.apply(WELCOME.replace("workflow: welcome", "workflow: other").replace(NAME, "second"))
    bench.instance.state.save_setting("notify", [hook.url()])
    new = change(bench, "POST", "keys", key="pk_sandbox_maple_ember_second")["key"]
    change(bench, "POST", "keys/revoke", key=bench.sandbox.key)
    bench.set_timing(hold_check_interval_ms=0)
    async with receiver() as own:
        bench.instance.state.change_connection("second", notify=[own.url()])
        await bench.take([points(1)])
        async with engine(bench):
            await until(bench, partial(_took, own, 1))
            await until(bench, partial(_took, hook, 1))

            async def all_wait() -> bool:
                holds = await bench.instance.journal.holds()
                return {
                    each.step: each.waiting for each in holds if each.connection == NAME
                } == dict.fromkeys(("tier", "welcome", "points"), 1)

            await until(bench, all_wait)
        [report], [theirs] = hook.taken, own.taken
        steps = {(each["connection"], each["step"]): each["waiting"] for each in report["steps"]}
        names = ("tier", "welcome", "points")
        assert steps.keys() == {(name, each) for name in (NAME, "second") for each in names}
        # The step that was refused waits; whether the others were planned by then is a matter of moments.
        assert {each for (name, _), each in steps.items() if name == NAME} in ({1}, {0, 1})
        assert {each for (name, _), each in steps.items() if name == "second"} == {0}
        assert {each["workflow"] for each in theirs["steps"]} == {"other"}
        assert "welcome, step" not in theirs["text"]
        await rotate(bench, new)
        await bench.drain()
        assert len(own.taken) == 1
        await connections.rotate(bench.instance, "second", new, ACTOR)
        bench.requests_since = bench.sandbox.world.logged_count
        await bench.drain()
        assert [each["kind"] for each in hook.taken] == ["hold", "recovery"]
        assert [each["kind"] for each in own.taken] == ["hold", "recovery"]


async def _took(hook: Receiver, count: int) -> bool:
    return len(hook.taken) >= count
