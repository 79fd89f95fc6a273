"""Who gets a permit, when, and where it is counted; on a clock that the test moves."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.contract.calls import Call
from askel_tui.contract.endpoints import Window, endpoint
from askel_tui.klaviyo.client import Client
from askel_tui.klaviyo.priority import Priority
from askel_tui.klaviyo.rate_limits.call_queue import RECENT_PARTS_PER_WINDOW, CallQueue
from askel_tui.klaviyo.rate_limits.limiter import (
    BudgetsStayOn,
    Permit,
    RateLimiter,
    budgets_switched_off,
)
from askel_tui.klaviyo.rate_limits.slots import MemorySlots
from askel_tui.klaviyo.rate_limits.windows import WindowCounter
from askel_tui.sandbox.http.server import RunningSandbox
from askel_tui.store.sqlite.journal import open_journal
from tests.support.examples import examples
from tests.support.stub_server import NEWEST, OLD, Sleeps, Stub, answer, client_of, errors, serving

START = 1_764_000_000_000


class Timer:
    """What `call_later` gave."""

    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeClock:
    """Time stands still until it is moved; those who wait are woken on the way."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._timers: list[tuple[float, int, Timer, Callable[[], object]]] = []
        self._order = count()

    def now(self) -> float:
        return self._now

    def wall(self) -> int:
        return START + int((self._now - 1000) * 1000)

    def call_later(self, seconds: float, then: Callable[[], object]) -> Any:
        timer = Timer()
        heapq.heappush(self._timers, (self._now + seconds, next(self._order), timer, then))
        return timer

    async def pass_time(self, seconds: float) -> None:
        until = self._now + seconds
        await settle()
        while self._timers and self._timers[0][0] <= until:
            self._now, _, timer, then = heapq.heappop(self._timers)
            if not timer.cancelled:
                then()
                await settle()
        self._now = until
        await settle()


async def settle() -> None:
    """Lets every task run until it waits."""
    for _ in range(20):
        await asyncio.sleep(0)


class MemoryLedger:
    """A journal's slots, in memory."""

    def __init__(self) -> None:
        self.rows: list[list[Any]] = []
        self.broken = False
        self.realigned: list[int] = []

    async def take_slot(
        self, account: str, call: str, windows: Sequence[tuple[int, int]], now: int
    ) -> tuple[int | None, int]:
        if self.broken:
            raise OSError("the disk is full")
        waits = []
        for limit, length in windows:
            ends = sorted(
                (row[3] if row[3] is not None else row[2] + 60_000) + length
                for row in self.rows
                if row[:2] == [account, call]
            )
            ends = [end for end in ends if end > now]
            if len(ends) >= limit:
                waits.append(ends[len(ends) - limit] - now)
        if waits:
            return None, max(waits)
        self.rows.append([account, call, now, None])
        return len(self.rows) - 1, 0

    async def release_slot(self, slot: int, now: int) -> None:
        self.rows[slot][3] = now

    async def taken_slots(self, account: str, since: int) -> list[tuple[str, int, int | None]]:
        return [(row[1], row[2], row[3]) for row in self.rows if row[0] == account and row[2] >= since]

    async def realign_slots(self, now: int) -> None:
        self.realigned.append(now)

    async def count_occupied_slots(self, account: str, call: str, since: int) -> int:
        ends = [
            row[3] if row[3] is not None else row[2] + 60_000
            for row in self.rows
            if row[:2] == [account, call]
        ]
        return sum(1 for end in ends if end > since)


async def take(limiter: RateLimiter, call: str = Call.CREATE_EVENT, **options: Any) -> Permit:
    """Takes a permit and leaves it open."""
    permit = limiter.permit("A", call, options.pop("revision", NEWEST), **options)
    return await permit.__aenter__()


async def use(limiter: RateLimiter, call: str = Call.CREATE_EVENT, **options: Any) -> None:
    """Takes a permit for a call that takes no time."""
    async with limiter.permit("A", call, options.pop("revision", NEWEST), **options):
        pass


async def take_if_free(
    limiter: RateLimiter, account: str, call: str, *args: Any, **options: Any
) -> Permit | None:
    """A permit that is held already; None where it would have to be waited for."""
    permit = limiter.permit(account, call, *(args or (NEWEST,)), **options)
    taking = asyncio.ensure_future(permit.__aenter__())
    await settle()
    if not taking.done():
        taking.cancel()
        await settle()
    return None if taking.cancelled() else taking.result()


async def at_once(limiter: RateLimiter, call: str) -> int:
    """How many calls may go now."""
    done = 0
    while (permit := await take_if_free(limiter, "A", call)) is not None:
        await permit.__aexit__(None, None, None)
        done += 1
    return done


async def test_the_owner_leaves_a_tenth_and_others_have_it() -> None:
    clock = FakeClock()
    assert await at_once(RateLimiter("owner", clock=clock), Call.CREATE_EVENT) == 315
    assert await at_once(RateLimiter("guest", clock=clock), Call.CREATE_EVENT) == 35
    assert await at_once(RateLimiter("owner", clock=clock), Call.ADD_PROFILES_TO_LIST) == 9
    assert await at_once(RateLimiter("guest", clock=clock), Call.ADD_PROFILES_TO_LIST) == 1


async def test_both_windows_must_have_room() -> None:
    clock = FakeClock()
    limiter = RateLimiter("owner", clock=clock)
    sent = 0
    for _ in range(20):
        sent += await at_once(limiter, Call.ADD_PROFILES_TO_LIST)
        await clock.pass_time(1.01)
    assert sent == 149
    await clock.pass_time(60)
    assert await at_once(limiter, Call.ADD_PROFILES_TO_LIST) == 9


async def test_waiting_calls_are_served_in_order_and_live_before_bulk() -> None:
    clock = FakeClock()
    limiter = RateLimiter("owner", clock=clock, paced=False)
    served: list[str] = []

    async def wait(name: str, priority: Priority) -> None:
        await use(limiter, Call.GET_ACCOUNTS, priority=priority)
        served.append(name)

    names: list[tuple[str, Priority]] = [
        ("first", "live"),
        ("bulk 1", "bulk"),
        ("bulk 2", "bulk"),
        ("live 1", "live"),
        ("live 2", "live"),
    ]
    tasks = [asyncio.create_task(wait(*name)) for name in names]
    await clock.pass_time(0)
    assert served == ["first"]
    await clock.pass_time(10)
    assert served == ["first", "live 1", "live 2", "bulk 1", "bulk 2"]
    await asyncio.gather(*tasks)
    await limiter.aclose()


async def test_a_backlog_that_fills_the_minute_leaves_room_for_the_live_calls_that_come() -> None:
    clock = FakeClock()
    limiter = RateLimiter("owner", clock=clock)
    backlog = [asyncio.create_task(use(limiter, Call.CREATE_EVENT, priority="bulk")) for _ in range(4_000)]
    for _ in range(700):
        # Ten live calls a second; none of them ever waits, also when the first minute is nearly over.
        await clock.pass_time(0.1)
        live = asyncio.create_task(use(limiter, Call.CREATE_EVENT))
        await clock.pass_time(0)
        assert live.done()
    for task in backlog:
        task.cancel()
    await asyncio.gather(*backlog, return_exceptions=True)
    await limiter.aclose()


async def test_a_slot_is_occupied_until_the_answer_and_a_window_later() -> None:
    clock = FakeClock()
    limiter = RateLimiter("owner", clock=clock)
    slow = await take(limiter, Call.GET_ACCOUNTS)
    waiter = asyncio.create_task(use(limiter, Call.GET_ACCOUNTS))
    await clock.pass_time(30)
    assert not waiter.done()
    await slow.__aexit__(None, None, None)
    await clock.pass_time(0.9)
    assert not waiter.done()
    await clock.pass_time(0.2)
    assert waiter.done()


async def test_giving_up_waiting_takes_no_slot() -> None:
    clock = FakeClock()
    limiter = RateLimiter("owner", clock=clock)
    first = await take(limiter, Call.GET_ACCOUNTS)
    waiters = [asyncio.create_task(use(limiter, Call.GET_ACCOUNTS)) for _ in range(3)]
    await clock.pass_time(0)
    waiters[0].cancel()
    await first.__aexit__(None, None, None)
    await clock.pass_time(1.1)
    assert [waiter.done() for waiter in waiters] == [True, True, False]
    waiters[2].cancel()
    await clock.pass_time(5)
    assert await at_once(limiter, Call.GET_ACCOUNTS) == 1


async def test_the_slot_of_a_call_that_was_just_cancelled_goes_to_the_next() -> None:
    clock = FakeClock()
    limiter = RateLimiter("owner", clock=clock)
    first = await take(limiter, Call.GET_ACCOUNTS)
    waiter = asyncio.create_task(use(limiter, Call.GET_ACCOUNTS))
    await clock.pass_time(2)
    await first.__aexit__(None, None, None)
    advance = asyncio.create_task(clock.pass_time(1.1))
    # Given to the waiter, who has not run yet: no event marks that moment.
    while limiter.usage()[1].used < 2:
        await asyncio.sleep(0)
    waiter.cancel()
    await advance
    assert waiter.cancelled()
    await clock.pass_time(1.1)
    assert await take_if_free(limiter, "A", Call.GET_ACCOUNTS, NEWEST)


async def test_bulk_is_spread_over_the_minute_and_live_hardly_waits() -> None:
    clock = FakeClock()
    limiter = RateLimiter("owner", clock=clock)
    bulk = [asyncio.create_task(use(limiter, Call.CREATE_EVENT, priority="bulk")) for _ in range(4000)]
    await clock.pass_time(30)
    done = sum(task.done() for task in bulk)
    assert 1500 < done < 1950, "about half of what a minute holds"
    live = asyncio.create_task(use(limiter, Call.CREATE_EVENT))
    await clock.pass_time(0)
    assert live.done()
    await clock.pass_time(60)
    assert all(task.done() for task in bulk)


async def test_two_revisions_on_one_account_keep_to_the_smaller_limit() -> None:
    clock = FakeClock()
    limiter = RateLimiter("owner", clock=clock)
    await use(limiter, Call.GET_PROFILES, revision=NEWEST)
    await use(limiter, Call.GET_PROFILES, revision=OLD)
    limits = {row.window_s: row.limit for row in limiter.usage()}
    assert limits == {1: 68, 60: 630}
    assert {row.used for row in limiter.usage()} == {2}


async def test_accounts_do_not_share() -> None:
    limiter = RateLimiter("owner", clock=FakeClock())
    assert await take_if_free(limiter, "A", Call.GET_ACCOUNTS, NEWEST)
    assert await take_if_free(limiter, "A", Call.GET_ACCOUNTS, NEWEST) is None
    assert await take_if_free(limiter, "B", Call.GET_ACCOUNTS, NEWEST)


async def test_an_extra_budget_is_charged_too_and_shared_between_endpoints() -> None:
    clock = FakeClock()
    limiter = RateLimiter("owner", clock=clock)
    of_list = endpoint(NEWEST, Call.GET_LIST).extras
    of_segment = endpoint(NEWEST, Call.GET_SEGMENT).extras
    assert await take_if_free(limiter, "A", Call.GET_LIST, NEWEST, of_list)
    assert await take_if_free(limiter, "A", Call.GET_SEGMENT, NEWEST, of_segment) is None
    assert await take_if_free(limiter, "A", Call.GET_SEGMENT, NEWEST)


async def test_small_limits_are_shared_by_all_processes() -> None:
    clock = FakeClock()
    ledger = MemoryLedger()
    daemon, console = RateLimiter("owner", ledger, clock), RateLimiter("guest", ledger, clock)
    assert await take_if_free(daemon, "A", Call.GET_ACCOUNTS, NEWEST)
    assert await take_if_free(console, "A", Call.GET_ACCOUNTS, NEWEST) is None
    waiter = asyncio.create_task(use(console, Call.GET_ACCOUNTS))
    await clock.pass_time(59)
    assert not waiter.done()
    await clock.pass_time(10)
    assert waiter.done(), "a permit that was never answered counts as answered after a minute"


async def test_all_guests_together_have_one_tenth() -> None:
    clock = FakeClock()
    ledger = MemoryLedger()
    guests = [RateLimiter("guest", ledger, clock) for _ in range(3)]
    assert [await at_once(guest, Call.GET_LISTS) for guest in guests] == [7, 0, 0]
    assert await at_once(RateLimiter("owner", ledger, clock), Call.GET_LISTS) == 68


async def test_a_restart_forgets_nothing() -> None:
    clock = FakeClock()
    ledger = MemoryLedger()
    for _ in range(100):  # the journal notes the requests that carry operations
        ledger.rows.append(["A", Call.ADD_PROFILES_TO_LIST, clock.wall() - 30_000, clock.wall() - 29_000])
    ledger.rows.append(["A", Call.ADD_PROFILES_TO_LIST, clock.wall() - 90_000, None])
    ledger.rows.append(["B", Call.ADD_PROFILES_TO_LIST, clock.wall(), clock.wall()])
    before = RateLimiter("owner", ledger, clock)
    assert await at_once(before, Call.GET_PROFILES) == 68
    daemon = RateLimiter("owner", ledger, clock)
    await daemon.restore("A")
    assert await at_once(daemon, Call.GET_PROFILES) == 0
    sent = 0
    for _ in range(10):
        sent += await at_once(daemon, Call.ADD_PROFILES_TO_LIST)
        await clock.pass_time(1.01)
    assert sent == 149 - 101, "no guest is about, so the reserve of the minute is free but for a margin"


async def _in_a_minute(limiter: RateLimiter, clock: FakeClock, call: str) -> int:
    sent = 0
    for _ in range(40):
        sent += await at_once(limiter, call)
        await clock.pass_time(1.01)
    return sent


async def test_the_owner_uses_the_reserve_of_the_minute_while_no_guest_does() -> None:
    clock = FakeClock()
    ledger = MemoryLedger()
    daemon = RateLimiter("owner", ledger, clock)
    assert await _in_a_minute(daemon, clock, Call.ADD_PROFILES_TO_LIST) == 149


async def test_slots_of_the_minute_that_guests_took_stay_theirs() -> None:
    clock = FakeClock()
    ledger = MemoryLedger()
    daemon, guest = RateLimiter("owner", ledger, clock), RateLimiter("guest", ledger, clock)
    for _ in range(15):
        assert await at_once(guest, Call.ADD_PROFILES_TO_LIST) == 1
        await clock.pass_time(1.01)
    sent = 0
    for _ in range(20):
        sent += await at_once(daemon, Call.ADD_PROFILES_TO_LIST)
        await clock.pass_time(1.01)
    assert sent == 135


async def test_a_guest_waits_where_the_owner_has_used_the_minute_up() -> None:
    clock = FakeClock()
    ledger = MemoryLedger()
    for _ in range(149):
        ledger.rows.append(["A", Call.ADD_PROFILES_TO_LIST, clock.wall(), clock.wall()])
    guest = RateLimiter("guest", ledger, clock)
    assert await at_once(guest, Call.ADD_PROFILES_TO_LIST) == 0
    await clock.pass_time(61)
    assert await at_once(guest, Call.ADD_PROFILES_TO_LIST) == 1


async def test_a_failing_ledger_fails_all_who_wait() -> None:
    clock = FakeClock()
    ledger = MemoryLedger()
    limiter = RateLimiter("owner", ledger, clock)
    await use(limiter, Call.GET_ACCOUNTS)
    waiters = [asyncio.create_task(use(limiter, Call.GET_ACCOUNTS)) for _ in range(2)]
    await clock.pass_time(0)
    ledger.broken = True
    await clock.pass_time(5)
    for waiter in waiters:
        with pytest.raises(OSError, match="disk"):
            await waiter


async def test_closing_ends_the_waiting() -> None:
    limiter = RateLimiter("owner", clock=FakeClock())
    await use(limiter, Call.GET_ACCOUNTS)
    waiter = asyncio.create_task(use(limiter, Call.GET_ACCOUNTS))
    await settle()
    await limiter.aclose()
    with pytest.raises(asyncio.CancelledError):
        await waiter


async def test_a_429_closes_the_call_until_it_is_over() -> None:
    clock = FakeClock()
    limiter = RateLimiter("owner", clock=clock)
    async with limiter.permit("A", Call.CREATE_EVENT, NEWEST) as permit:
        permit.note_response(429, None, 20.0)
    assert await take_if_free(limiter, "A", Call.CREATE_EVENT, NEWEST) is None
    assert all(row.foreign for row in limiter.usage())
    waiter = asyncio.create_task(use(limiter, Call.CREATE_EVENT))
    await clock.pass_time(19.9)
    assert not waiter.done()
    await clock.pass_time(0.2)
    assert waiter.done()
    await clock.pass_time(60)
    assert not any(row.foreign for row in limiter.usage())


@examples(100)
@given(
    phase=st.floats(0, 1),
    calls=st.lists(st.tuples(st.floats(0, 0.3), st.floats(0, 3), st.floats(0, 1)), max_size=60),
)
def test_our_own_calls_are_never_taken_for_another_clients(
    phase: float, calls: list[tuple[float, float, float]]
) -> None:
    """Whatever the latencies, RateLimit-Remaining of a server that only we call shows no foreign use."""

    async def run() -> None:
        clock = FakeClock()
        limiter = RateLimiter("owner", clock=clock)
        limit = 10  # of get_metrics, by the second
        counted: dict[int, int] = {}
        events: list[tuple[float, int, str, Any]] = []
        order = count()
        at = clock.now()
        for pause, latency, arrival in calls:
            at += pause
            heapq.heappush(events, (at, next(order), "send", (latency, arrival)))
        while events:
            moment, _, what, data = heapq.heappop(events)
            await clock.pass_time(max(0.0, moment - clock.now()))
            if what == "send":
                permit = await take_if_free(limiter, "A", Call.GET_METRICS, NEWEST)
                if permit is not None:
                    latency, arrival = data
                    arrives = clock.now() + latency * arrival
                    heapq.heappush(events, (arrives, next(order), "count", (permit, clock.now() + latency)))
            elif what == "count":
                permit, answered = data
                number = int(clock.now() + phase)
                counted[number] = counted.get(number, 0) + 1
                remaining = limit - counted[number]
                heapq.heappush(events, (answered, next(order), "answer", (permit, remaining)))
            else:
                permit, remaining = data
                permit.note_response(200, remaining, None)
                await permit.__aexit__(None, None, None)
        assert not any(row.foreign for row in limiter.usage())

    asyncio.run(run())


@pytest.mark.parametrize(("compete", "in_ten_seconds"), [(False, range(25, 40)), (True, range(80, 110))])
async def test_a_backlog_yields_to_others_unless_it_ignores_other_clients(
    compete: bool, in_ten_seconds: range
) -> None:
    clock = FakeClock()
    reported: list[tuple[str, str]] = []
    limiter = RateLimiter(
        "owner", clock=clock, on_other_client=lambda account, call: reported.append((account, call))
    )
    async with limiter.permit("A", Call.BULK_IMPORT_PROFILES, NEWEST) as permit:
        permit.note_response(202, 3, None)
    limiter.ignore_other_clients(compete)
    sent = 0
    for _ in range(100):
        while taken := await take_if_free(limiter, "A", Call.BULK_IMPORT_PROFILES, priority="bulk"):
            await taken.__aexit__(None, None, None)
            sent += 1
        await clock.pass_time(0.1)
    assert sent in in_ten_seconds
    await clock.pass_time(2)
    async with limiter.permit("A", Call.BULK_IMPORT_PROFILES, NEWEST) as permit:
        permit.note_response(202, 0, None)
    # Once for as long as it goes on.
    assert reported == [("A", Call.BULK_IMPORT_PROFILES)]


async def test_use_that_is_not_ours_is_seen() -> None:
    clock = FakeClock()
    limiter = RateLimiter("owner", clock=clock)
    async with limiter.permit("A", Call.CREATE_EVENT, NEWEST) as permit:
        permit.note_response(202, 349, None)
    assert not any(row.foreign for row in limiter.usage())
    async with limiter.permit("A", Call.CREATE_EVENT, NEWEST) as permit:
        permit.note_response(202, 100, None)
    assert all(row.foreign for row in limiter.usage())
    async with limiter.permit("A", Call.CREATE_EVENT, NEWEST) as permit:
        permit.note_response(202, 0, None)
    await clock.pass_time(0.9)
    assert await at_once(limiter, Call.CREATE_EVENT) == 0


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:1", "http://127.9.9.9"]
)
def test_budgets_can_be_off_on_this_machine(address: str) -> None:
    assert budgets_switched_off(address, {"ASKEL_BUDGETS": "off"})
    assert not budgets_switched_off(address, {})
    assert not budgets_switched_off(address, {"ASKEL_BUDGETS": "on"})


@pytest.mark.parametrize(
    "address",
    ["https://a.klaviyo.com", "http://127.0.0.1.evil.example", "http://10.0.0.1", "http://localhost.example"],
)
def test_budgets_cannot_be_off_elsewhere(address: str) -> None:
    with pytest.raises(BudgetsStayOn):
        budgets_switched_off(address, {"ASKEL_BUDGETS": "off"})
    assert not budgets_switched_off(address, {})


# With the client.


@asynccontextmanager
async def paying(stub: Stub, limiter: RateLimiter, **options: Any) -> AsyncIterator[Client]:
    """A client whose calls take permits."""
    async with client_of(stub, limiter=limiter, account="A", **options) as client:
        yield client


async def test_every_attempt_takes_a_permit_of_its_own() -> None:
    clock = FakeClock()
    limiter = RateLimiter("owner", clock=clock)
    script = [lambda: errors(500, "x", "x"), lambda: errors(500, "x", "x"), answer(None, 202)]
    async with serving(Stub(script)) as stub, client_of(stub, limiter=limiter, account="A") as client:
        await client.call(Call.CREATE_EVENT, body={})
    assert {row.used for row in limiter.usage()} == {3}


async def test_a_429_is_not_retried_before_its_time() -> None:
    clock = FakeClock()
    sleeps = Sleeps()
    limiter = RateLimiter("owner", clock=clock)
    script = [errors(429, "throttled", "Slow", Retry_After="5"), answer(None, 202)]
    stub = Stub(script)
    async with serving(stub), paying(stub, limiter, retry_policy=sleeps.policy()) as client:
        call = asyncio.create_task(client.call(Call.CREATE_EVENT, body={}))
        await sleeps.began.wait()
        assert len(stub.asked) == 1
        await clock.pass_time(4.9)
        assert len(stub.asked) == 1
        await clock.pass_time(0.2)
        assert (await call).attempts == 2


async def test_a_query_that_costs_extra_is_charged() -> None:
    limiter = RateLimiter("owner", clock=FakeClock())
    stub = Stub([answer({"data": {}})])
    async with serving(stub), paying(stub, limiter) as client:
        query = {"additional-fields[list]": "profile_count"}
        await client.call(Call.GET_LIST, ids={"id": "L"}, query=query)
    assert {(row.call, row.used) for row in limiter.usage()} == {
        (Call.GET_LIST, 1),
        ("profile_count", 1),
    }


async def test_a_server_with_real_windows_never_has_to_refuse(sandbox: RunningSandbox) -> None:
    sandbox.world.change_settings({"limits": True})
    limiter = RateLimiter("owner")
    async with Client(
        key=sandbox.key, revision=NEWEST, url=sandbox.url, limiter=limiter, account="A"
    ) as client:
        answers = await asyncio.gather(*(client.call(Call.GET_METRICS) for _ in range(25)))
    assert {each.attempts for each in answers} == {1}
    assert not any(row.foreign for row in limiter.usage())


async def test_processes_that_share_a_journal_share_its_slots(
    sandbox: RunningSandbox, tmp_path: Path
) -> None:
    sandbox.world.change_settings({"limits": True})
    async with AsyncExitStack() as stack:
        clients = []
        for role in ("owner", "guest"):
            journal = await open_journal(tmp_path)
            stack.push_async_callback(journal.close)
            limiter = RateLimiter(role, journal)
            client = Client(key=sandbox.key, revision=NEWEST, url=sandbox.url, limiter=limiter, account="A")
            clients.append(await stack.enter_async_context(client))
        answers = await asyncio.gather(
            *(client.call(Call.GET_ACCOUNTS) for client in clients for _ in range(2))
        )
    assert {each.attempts for each in answers} == {1}


def test_a_window_of_one_still_has_a_slot() -> None:
    assert WindowCounter([Window(1, 1)]).take(0)


async def test_live_calls_of_long_ago_are_forgotten_though_no_backlog_comes() -> None:
    clock = FakeClock()
    queue = CallQueue("call", MemorySlots(WindowCounter([Window(100, 60)]), clock), clock, paced=True)
    for _ in range(50):
        await queue.release(await queue.take("live"))
        await clock.pass_time(2)
    assert len(queue._recent_live) <= 60 / RECENT_PARTS_PER_WINDOW / 2


async def test_slots_are_realigned_once_when_the_clock_was_set() -> None:
    clock, ledger = FakeClock(), MemoryLedger()
    limiter = RateLimiter("owner", ledger, clock)
    await take(limiter)
    assert ledger.realigned == []
    true_wall = clock.wall
    clock.wall = lambda: true_wall() + 3_600_000  # type: ignore[method-assign]
    for _ in range(2):
        await take(limiter)
    assert ledger.realigned == [clock.wall()]
    await limiter.aclose()
