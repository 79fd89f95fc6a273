"""One writer thread per process with group commit: many writes, one transaction, one fsync."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from askel_tui.store.journal_errors import JournalError
from askel_tui.store.sqlite_connection import begin, explained

T = TypeVar("T")

GROUP_S = 0.05
"""How long a transaction may gather writes, in seconds."""


@dataclass(slots=True)
class _Job:
    work: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None


class Writer:
    """Runs functions inside write transactions. A function that fails is rolled back alone."""

    def __init__(self, connection: sqlite3.Connection, path: Path, committed: Callable[[], None]) -> None:
        """`committed` is called on the event loop after each commit."""
        self._connection = connection
        self._path = path
        self._committed = committed
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="askel-journal", daemon=True)
        self._thread.start()

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` gives, once it is durable. Raises `JournalError`, or what `work` raises."""
        if self._closing:
            raise JournalError(f"The journal {self._path} is closed; open it again.")
        job = _Job(work, self._loop.create_future())
        self._jobs.put(job)
        result: T = await job.future
        return result

    async def close(self) -> None:
        """Writes what was handed in before, then ends the thread and closes the connection."""
        if not self._closing:
            self._closing = True
            self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        end = False
        while not end:
            job = self._jobs.get()
            if job is None:
                break
            end = self._transaction(job)
        with suppress(sqlite3.Error):
            self._connection.close()

    def _transaction(self, job: _Job) -> bool:
        """Commits this job and those that wait behind it; True when the queue said that it is the end."""
        group: list[_Job] = [job]
        end = False
        try:
            begin(self._connection)
            end = self._gather(group)
            if group[-1].error is not None:
                # Savepoints cost a third of the speed, so they are taken only where one is needed.
                self._again(group)
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._fail(group, explained(error, self._path))
        self._answer(group)
        return end

    def _gather(self, group: list[_Job]) -> bool:
        """Runs the first job and those behind it until one fails, none waits or it is time to commit."""
        until = time.monotonic() + GROUP_S
        while True:
            self._attempt(group[-1])
            if group[-1].error is not None or time.monotonic() > until:
                return False
            try:
                job = self._jobs.get_nowait()
            except Empty:
                return False
            if job is None:
                return True
            group.append(job)

    def _again(self, group: Sequence[_Job]) -> None:
        """Runs a group whose last job failed once more, so that a failing job is rolled back alone."""
        connection = self._connection
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        begin(connection)
        for job in group:
            connection.execute("SAVEPOINT job")
            self._attempt(job)
            if not connection.in_transaction:
                # A full or failing disk makes SQLite end the whole transaction: nothing of it is kept.
                self._fail(group, job.error or JournalError(f"The journal {self._path} ended a transaction."))
                return
            if job.error is not None:
                connection.execute("ROLLBACK TO job")
            connection.execute("RELEASE job")

    def _attempt(self, job: _Job) -> None:
        job.result = job.error = None
        try:
            job.result = job.work(self._connection)
        except Exception as error:
            job.error = explained(error, self._path)

    def _fail(self, group: Sequence[_Job], error: Exception) -> None:
        for job in group:
            job.error = job.error or error
        if self._connection.in_transaction:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    def _answer(self, group: Sequence[_Job]) -> None:
        # The loop is closed where nobody waits any more.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._resolve, group)

    def _resolve(self, group: Sequence[_Job]) -> None:
        for job in group:
            if job.future.done():
                continue
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.result)
        self._committed()
