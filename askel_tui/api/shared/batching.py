"""Records that come at once go to the journal at once: one call, one transaction and one sync for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from askel_tui.core.records.record import Record
from askel_tui.store.journal.interface import Clock, Journal
from askel_tui.store.journal.rows import AcceptResult

MAX_BATCHED_RECORDS = 16
"""More records than this in one request are a call of their own."""

PendingCalls = list[tuple[Sequence[Record], asyncio.Future[list[AcceptResult]]]]


class RecordBatcher:
    """Gathers what comes within one turn of the event loop, by connection."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._pending: dict[str, PendingCalls] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def accept(self, connection: str, records: Sequence[Record]) -> list[AcceptResult]:
        """Stores records, as `Journal.accept` does. Raises `JournalError`."""
        if len(records) > MAX_BATCHED_RECORDS:
            return await self._journal.accept_records(connection, records, self._clock())
        loop = asyncio.get_running_loop()
        if connection not in self._pending:
            self._pending[connection] = []
            loop.call_soon(self._start, connection)
        fates: asyncio.Future[list[AcceptResult]] = loop.create_future()
        self._pending[connection].append((records, fates))
        return await fates

    def _start(self, connection: str) -> None:
        task = asyncio.create_task(self._store(connection, self._pending.pop(connection)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _store(self, connection: str, waiting: PendingCalls) -> None:
        gathered = [record for records, _ in waiting for record in records]
        try:
            fates = iter(await self._journal.accept_records(connection, gathered, self._clock()))
        except Exception as error:
            for _, future in waiting:
                if not future.done():
                    future.set_exception(error)
            return
        for records, future in waiting:
            of_request = [next(fates) for _ in records]
            if not future.done():
                future.set_result(of_request)
