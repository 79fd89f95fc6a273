"""Which requests start, and when: what is ready never waits for something that does not come."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from askel_tui.contract.calls import Call
from askel_tui.core.operations import Identity, Operation, Target
from askel_tui.store.journal.rows import StoredOperation
from askel_tui.sync.dispatching.in_flight import InFlight
from askel_tui.sync.dispatching.profile_queue import ProfileQueue
from askel_tui.sync.dispatching.request_scheduler import (
    GATHERING_WAIT_MS,
    MAX_GATHERING_REQUESTS,
    MAX_PARTLY_FULL_REQUESTS,
    MIN_FOR_ANOTHER_REQUEST,
    RequestScheduler,
)
from askel_tui.sync.sending.sender import Sender
from askel_tui.sync.settlement.values import QueueUpdate
from askel_tui.sync.timing import Limits, Timing

NAME = "maple-ember"


class EndlessSender:
    """A sender whose requests are in flight for ever."""

    revision = "2026-07-15"

    def __init__(self) -> None:
        self.sent: list[int] = []

    async def send(self, operations: Sequence[StoredOperation], priority: str) -> QueueUpdate:
        self.sent.append(len(operations))
        return await asyncio.Event().wait() and QueueUpdate()

    async def import_profiles(self, profiles: Sequence[Any], list_id: str | None) -> QueueUpdate:
        return await self.send([upserts[0] for upserts, _ in profiles], "bulk")


class Bench:
    """A queue, what is in flight, and when the scheduler is to be called again."""

    def __init__(self) -> None:
        self.queue = ProfileQueue()
        self.in_flight = InFlight(lambda update: None, Timing().job_drain_s)
        self.scheduler = RequestScheduler(self.queue, self.in_flight, Limits().max_single_backlog_s)
        self.sender = EndlessSender()
        self._seq = 0

    def add(self, count: int, call: Call) -> None:
        for _ in range(count):
            self._seq += 1
            target = Target("list", "L1", "VIP") if call == Call.ADD_PROFILES_TO_LIST else None
            person = Identity(f"p{self._seq}@shop.example")
            body = {} if target else {"attributes": {}, "properties": {"a": self._seq}, "unset": []}
            operation = Operation(f"o{self._seq}", "step", "upsert_profile", call, person, target, body=body)
            self.queue.add(StoredOperation(self._seq, NAME, "w", 1, self._seq, "r", 0, operation))

    async def schedule(self, now: int) -> tuple[int | None, list[int]]:
        again = self.scheduler.schedule({NAME: cast(Sender, self.sender)}, now)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return again, self.sender.sent

    async def end(self) -> None:
        await self.in_flight.drain()


async def test_another_gathering_request_starts_when_much_waits_or_it_has_waited() -> None:
    bench, call = Bench(), Call.ADD_PROFILES_TO_LIST
    bench.add(3, call)
    assert await bench.schedule(0) == (None, [3])
    bench.add(2, call)
    assert await bench.schedule(100) == (GATHERING_WAIT_MS, [3])
    assert await bench.schedule(GATHERING_WAIT_MS - 1) == (GATHERING_WAIT_MS, [3])
    assert await bench.schedule(GATHERING_WAIT_MS) == (None, [3, 2])
    bench.add(MIN_FOR_ANOTHER_REQUEST, call)
    assert await bench.schedule(GATHERING_WAIT_MS + 1) == (None, [3, 2, MIN_FOR_ANOTHER_REQUEST])
    for number in range(MAX_GATHERING_REQUESTS):
        bench.add(1, call)
        await bench.schedule((number + 3) * GATHERING_WAIT_MS)
    assert len(bench.sender.sent) == MAX_GATHERING_REQUESTS
    await bench.end()


async def test_the_rest_of_a_backlog_goes_in_bulk_when_nothing_more_comes() -> None:
    bench, call = Bench(), Call.CREATE_OR_UPDATE_PROFILE
    bench.add(10_000 * MAX_PARTLY_FULL_REQUESTS + 4_000, call)
    assert await bench.schedule(0) == (GATHERING_WAIT_MS, [10_000] * MAX_PARTLY_FULL_REQUESTS)
    assert await bench.schedule(GATHERING_WAIT_MS) == (None, [*[10_000] * MAX_PARTLY_FULL_REQUESTS, 4_000])
    await bench.end()


async def test_no_more_rows_are_in_flight_than_memory_should_hold() -> None:
    bench = Bench()
    bench.add(60_000, Call.CREATE_OR_UPDATE_PROFILE)
    for now in range(10):
        await bench.schedule(now * GATHERING_WAIT_MS)
    assert bench.sender.sent == [10_000] * 3
    await bench.end()
