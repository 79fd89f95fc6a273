"""What a dispatcher has in memory: nothing that came while it was reading is missed, whatever the moment."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any, cast

from askel_tui.store.journal import Journal, OpenRequest, StoredOperation
from askel_tui.sync.dispatcher import Dispatcher


class SlowJournal:
    """A journal whose reads of waiting operations end when the test says so."""

    def __init__(self) -> None:
        self.reads: asyncio.Queue[tuple[int, asyncio.Future[list[StoredOperation]]]] = asyncio.Queue()

    async def in_doubt(self, connections: Collection[str]) -> list[OpenRequest]:
        return []

    async def waiting(self, connections: Collection[str], after: int, limit: int) -> list[StoredOperation]:
        answer: asyncio.Future[list[StoredOperation]] = asyncio.get_running_loop().create_future()
        await self.reads.put((after, answer))
        return await answer


async def _reading(journal: SlowJournal) -> tuple[int, asyncio.Future[Any]]:
    """The next read: after which operation, and where its answer goes."""
    async with asyncio.timeout(10):
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
    async with dispatcher.reordered():
        dispatcher.wake()
        for _ in range(10):
            await asyncio.sleep(0)
        return journal.reads.qsize()
