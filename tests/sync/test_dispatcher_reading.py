"""What a dispatcher has in memory: nothing that came while it was reading is missed, whatever the moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from itertools import count
from typing import Any, cast

import pytest

from askel_tui.contract.calls import Call
from askel_tui.core.operations import Identity, Operation
from askel_tui.klaviyo.client import Client
from askel_tui.store.journal.interface import Journal
from askel_tui.store.journal.rows import JoinedLines, OpenRequest, StoredOperation
from askel_tui.sync.connected import Connected
from askel_tui.sync.dispatching.dispatcher import Dispatcher
from tests.support.patience import PATIENCE_S


class SlowJournal:
    """A journal whose reads of waiting operations end when the test says so."""

    def __init__(self) -> None:
        self.reads: asyncio.Queue[tuple[int, asyncio.Future[list[StoredOperation]]]] = asyncio.Queue()
        self.line_listeners: list[Callable[[JoinedLines], None]] = []

    async def requests_in_doubt(self, connections: Collection[str]) -> list[OpenRequest]:
        return []

    async def waiting_operations(
        self, connections: Collection[str], after: int, limit: int
    ) -> list[StoredOperation]:
        answer: asyncio.Future[list[StoredOperation]] = asyncio.get_running_loop().create_future()
        await self.reads.put((after, answer))
        return await answer

    async def recent_writes(self, connections: Collection[str], limit: int) -> list[tuple[int, int]]:
        return []


async def _reading(journal: SlowJournal) -> tuple[int, asyncio.Future[Any]]:
    """The next read: after which operation, and where its answer goes."""
    async with asyncio.timeout(PATIENCE_S):
        return await journal.reads.get()


async def test_a_wake_during_a_read_is_followed_by_another_read() -> None:
    journal = SlowJournal()
    dispatcher = Dispatcher({}, cast(Journal, journal), lambda: 0)
    running = asyncio.create_task(dispatcher.run())
    _, answer = await _reading(journal)
    assert not dispatcher.idle
    dispatcher.wake()
    answer.set_result([])
    _, answer = await _reading(journal)
    assert not dispatcher.idle
    answer.set_result([])
    dispatcher.stop()
    await running
    assert dispatcher.idle


async def test_while_operations_come_back_nothing_is_read_and_then_all_from_the_start() -> None:
    journal = SlowJournal()
    dispatcher = Dispatcher({}, cast(Journal, journal), lambda: 0)
    running = asyncio.create_task(dispatcher.run())
    _, answer = await _reading(journal)
    reordering = asyncio.create_task(_reorder(dispatcher, journal))
    answer.set_result([])
    assert await reordering == 0
    after, answer = await _reading(journal)
    assert after == 0
    answer.set_result([])
    dispatcher.stop()
    await running


async def _reorder(dispatcher: Dispatcher, journal: SlowJournal) -> int:
    async with dispatcher.suspend_loading():
        dispatcher.wake()
        for _ in range(10):
            await asyncio.sleep(0)
        return journal.reads.qsize()


async def test_what_was_planned_before_and_is_offered_late_is_read() -> None:
    journal = SlowJournal()
    to = Connected("maple-ember", "Q7QTZW", "2026-07-15", "fingerprint", cast(Client, Called()))
    dispatcher = Dispatcher({to.name: to}, cast(Journal, journal), lambda: 0)
    running = asyncio.create_task(dispatcher.run())
    for _ in range(2):
        _, answer = await _reading(journal)
        answer.set_result([])
        await asyncio.sleep(0)
        dispatcher.wake()
    _, answer = await _reading(journal)
    answer.set_result([])
    while not dispatcher.idle:
        await asyncio.sleep(0)
    dispatcher.offer([_upsert(2, "b@x.example")], False)
    dispatcher.offer([_upsert(1, "a@x.example")], False)
    after, answer = await _reading(journal)
    assert after == 0
    answer.set_result([])
    dispatcher.stop()
    running.cancel()
    await asyncio.wait({running})


def _upsert(seq: int, email: str, due: int = 0) -> StoredOperation:
    body = {"attributes": {}, "properties": {"LoyaltyTier": "gold"}, "unset": []}
    person = Identity(email)
    operation = Operation(
        f"op{seq}", "tier", "upsert_profile", Call.CREATE_OR_UPDATE_PROFILE, person, body=body
    )
    return StoredOperation(seq, "maple-ember", "w", 1, seq, f"r{seq}", 0, operation, due=due)


class Called:
    """A client that notes that it was called, and never answers."""

    def __init__(self) -> None:
        self.once = asyncio.Event()

    def server_time(self) -> None:
        """The account's clock is not known yet."""

    async def call(self, name: str, **how: Any) -> None:
        self.once.set()
        await asyncio.Event().wait()


@pytest.mark.parametrize("due", range(1, 16))
async def test_what_comes_due_between_two_looks_at_the_clock_is_sent(due: int) -> None:
    """The clock goes on a millisecond with every look at it, so that one of these comes due at each of them."""
    journal, client, clock = SlowJournal(), Called(), count()
    to = Connected("maple-ember", "Q7QTZW", "2026-07-15", "fingerprint", cast(Client, client))
    dispatcher = Dispatcher({to.name: to}, cast(Journal, journal), lambda: next(clock))
    running = asyncio.create_task(dispatcher.run())
    _, answer = await _reading(journal)
    answer.set_result([_upsert(1, "a@x.example", due)])
    _, answer = await _reading(journal)
    answer.set_result([])
    async with asyncio.timeout(PATIENCE_S):
        await client.once.wait()
    dispatcher.stop()
    await running
