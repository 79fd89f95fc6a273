"""Micro-batching: records of requests that arrive together are one transaction with one sync to disk."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from askel_tui.core.records.record import Record
from askel_tui.store.journal.interface import Clock, Journal
from askel_tui.store.journal.rows import AcceptResult

MAX_BATCHED_RECORDS = 16
"""The largest number of records with which a request shares a transaction; a larger request has its own."""

PendingCalls = list[tuple[Sequence[Record], asyncio.Future[list[AcceptResult]]]]


class RecordBatcher:
    """Batches the records that arrive within one turn of the event loop, by connection."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._pending: dict[str, PendingCalls] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def accept(self, connection: str, records: Sequence[Record]) -> list[AcceptResult]:
        """Stores records, as `Journal.accept_records` does. Raises `JournalError`."""
        if len(records) > MAX_BATCHED_RECORDS:
            return await self._journal.accept_records(connection, records, self._clock())
        loop = asyncio.get_running_loop()
        if connection not in self._pending:
            self._pending[connection] = []
            loop.call_soon(self._start, connection)
        results: asyncio.Future[list[AcceptResult]] = loop.create_future()
        self._pending[connection].append((records, results))
        return await results

    def _start(self, connection: str) -> None:
        task = asyncio.create_task(self._store(connection, self._pending.pop(connection)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _store(self, connection: str, waiting: PendingCalls) -> None:
        batch = [record for records, _ in waiting for record in records]
        try:
            results = iter(await self._journal.accept_records(connection, batch, self._clock()))
        except Exception as error:
            for _, future in waiting:
                if not future.done():
                    future.set_exception(error)
            return
        for records, future in waiting:
            own_results = [next(results) for _ in records]
            if not future.done():
                future.set_result(own_results)
