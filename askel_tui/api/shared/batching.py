"""Records that come at once go to the journal at once: one call, one transaction and one sync for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from askel_tui.core.records.record import Record
from askel_tui.store.journal.interface import Clock, Journal
from askel_tui.store.journal.rows import Fate

FEW = 16
"""More records than this in one request are a call of their own."""

Waiting = list[tuple[Sequence[Record], asyncio.Future[list[Fate]]]]


class Gatherer:
    """Gathers what comes within one turn of the event loop, by connection."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._waiting: dict[str, Waiting] = {}
        self._storing: set[asyncio.Task[None]] = set()

    async def accept(self, connection: str, records: Sequence[Record]) -> list[Fate]:
        """Stores records, as `Journal.accept` does. Raises `JournalError`."""
        if len(records) > FEW:
            return await self._journal.accept(connection, records, self._clock())
        loop = asyncio.get_running_loop()
        if connection not in self._waiting:
            self._waiting[connection] = []
            loop.call_soon(self._begin, connection)
        fates: asyncio.Future[list[Fate]] = loop.create_future()
        self._waiting[connection].append((records, fates))
        return await fates

    def _begin(self, connection: str) -> None:
        task = asyncio.create_task(self._store(connection, self._waiting.pop(connection)))
        self._storing.add(task)
        task.add_done_callback(self._storing.discard)

    async def _store(self, connection: str, waiting: Waiting) -> None:
        gathered = [record for records, _ in waiting for record in records]
        try:
            fates = iter(await self._journal.accept(connection, gathered, self._clock()))
        except Exception as error:
            for _, future in waiting:
                if not future.done():
                    future.set_exception(error)
            return
        for records, future in waiting:
            of_request = [next(fates) for _ in records]
            if not future.done():
                future.set_result(of_request)
