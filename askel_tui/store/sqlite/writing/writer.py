"""The writer of the embedded journal: one per process, commits in groups; this one is a thread."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from asyncio import Future
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

from askel_tui.store.journal.errors import JournalError
from askel_tui.store.sqlite.connection import JournalConnection
from askel_tui.store.sqlite.writing.group_commit import GroupCommitter, WriteJob, call_with_connection
from askel_tui.worker_process.futures import resolve

T = TypeVar("T")


class Writer(Protocol):
    """Runs functions inside write transactions, in order. A function that fails is rolled back alone."""

    def put(self, future: Future[T], work: Callable[..., T], arguments: Sequence[Any]) -> None:
        """Hands in a function, which is called with a connection and the arguments.

        The future gets its result once that is durable, in the order in which functions were handed in; or
        `JournalError`, or the error that the function raised.
        """
        ...

    async def close(self) -> None:
        """Waits until everything that was handed in is written, and closes the file."""
        ...


class _Job(WriteJob):
    __slots__ = ("future",)

    def __init__(self, work: Callable[[sqlite3.Connection], Any], future: Future[Any]) -> None:
        super().__init__(work)
        self.future = future


class ThreadWriter:
    """A `Writer` in a thread of this process."""

    def __init__(self, connection: JournalConnection, path: Path, on_commit: Callable[[], None]) -> None:
        """Starts the thread. `on_commit` is called on the event loop after each commit."""
        self._path = path
        self._on_commit = on_commit
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        """The jobs in order; None is the end."""
        self._committer = GroupCommitter(connection, path, self._poll_job)
        self._closing = False
        self._ended = False
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="askel-journal", daemon=True)
        self._thread.start()

    def put(self, future: Future[T], work: Callable[..., T], arguments: Sequence[Any]) -> None:
        """Hands in a function; see `Writer`."""
        if self._closing:
            future.set_exception(JournalError(f"The journal {self._path} is closed; open it again."))
        else:
            self._jobs.put(_Job(partial(call_with_connection, work, arguments), future))

    async def close(self) -> None:
        """Waits for all writes and closes; see `Writer`."""
        if not self._closing:
            self._closing = True
            self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while not self._ended and (job := self._jobs.get()) is not None:
            self._answer(self._committer.commit(job))
        self._committer.close()

    def _poll_job(self) -> _Job | None:
        try:
            job = self._jobs.get_nowait()
        except Empty:
            return None
        self._ended = job is None
        return job

    def _answer(self, group: Sequence[_Job]) -> None:
        # The loop is closed where nobody waits any more.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._resolve, group)

    def _resolve(self, group: Sequence[_Job]) -> None:
        for job in group:
            resolve(job.future, job.error, job.result)
        self._on_commit()


def write(writer: Writer, work: Callable[..., T], *arguments: Any) -> Awaitable[T]:
    """Writes with a function of a connection and the arguments, and returns its result once that is durable; see
    `Writer.put`."""
    # No coroutine: that would keep the arguments, megabytes maybe, until the answer is there.
    future: Future[T] = asyncio.get_running_loop().create_future()
    writer.put(future, work, arguments)
    return future
