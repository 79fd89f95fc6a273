"""Group commit: many writes, one transaction, one fsync."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

from askel_tui.store.journal.errors import JournalError
from askel_tui.store.journal.tables.audit.acceptances import seal
from askel_tui.store.journal.tables.audit.chains import ChainEnds
from askel_tui.store.sqlite.connection import JournalConnection, begin_write, explain_error

MAX_GATHER_S = 0.05
"""Time that a transaction may gather jobs, in seconds."""


class WriteJob:
    """A function to be run inside a write transaction, and its result or error."""

    __slots__ = ("error", "result", "work")

    def __init__(self, work: Callable[[sqlite3.Connection], Any]) -> None:
        self.work = work
        self.result: Any = None
        self.error: Exception | None = None


def call_with_connection(work: Callable[..., Any], arguments: Sequence[Any], db: sqlite3.Connection) -> Any:
    """Calls a function with a connection and its other arguments; unlike a closure this can be pickled."""
    return work(db, *arguments)


J = TypeVar("J", bound=WriteJob)


class GroupCommitter(Generic[J]):
    """Runs jobs inside write transactions, many in one. A job that fails is rolled back alone."""

    def __init__(
        self,
        connection: JournalConnection,
        path: Path,
        poll_job: Callable[[], J | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Makes a committer; `poll_job` returns the next job where one waits already, else None."""
        self._connection = connection
        self._path = path
        self._poll_job = poll_job
        self._clock = clock

    def commit(self, job: J) -> Sequence[J]:
        """Commits this job and those that wait behind it; returns them with their results and errors."""
        group = [job]
        try:
            begin_write(self._connection)
            self._connection.accepted.clear()
            self._connection.ends = ChainEnds(self._connection)
            self._gather(group)
            if group[-1].error is not None:
                # Savepoints cost a third of the speed, so they are taken only where one is needed.
                self._run_with_savepoints(group)
            if self._connection.in_transaction:
                seal(self._connection)
                self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._fail(group, explain_error(error, self._path))
        finally:
            self._connection.ends = None
        return group

    def close(self) -> None:
        """Closes the connection."""
        with suppress(sqlite3.Error):
            self._connection.close()

    def _gather(self, group: list[J]) -> None:
        """Runs the first job and those behind it until one fails, none waits or it is time to commit."""
        until = self._clock() + MAX_GATHER_S
        while True:
            self._attempt(group[-1])
            if group[-1].error is not None or self._clock() > until:
                return
            job = self._poll_job()
            if job is None:
                return
            group.append(job)

    def _run_with_savepoints(self, group: Sequence[J]) -> None:
        """Runs a group once more, after its last job failed, so that a failing job is rolled back alone."""
        connection = self._connection
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        begin_write(connection)
        ends = connection.ends = ChainEnds(connection)
        for job in group:
            connection.execute("SAVEPOINT job")
            self._attempt(job)
            if not connection.in_transaction:
                # A full or failing disk makes SQLite end the whole transaction: nothing of it is kept.
                self._fail(group, job.error or JournalError(f"The journal {self._path} ended a transaction."))
                return
            if job.error is not None:
                connection.execute("ROLLBACK TO job")
                ends = connection.ends = ChainEnds(connection)
            ends.save()
            connection.execute("RELEASE job")

    def _attempt(self, job: J) -> None:
        job.result = job.error = None
        try:
            job.result = job.work(self._connection)
        except Exception as error:
            job.error = explain_error(error, self._path)

    def _fail(self, group: Sequence[J], error: Exception) -> None:
        for job in group:
            job.error = job.error or error
        if self._connection.in_transaction:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
