"""A small pool of reading threads, each with its own connection: reads never wait for the writer."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from askel_tui.store.journal.errors import JournalError
from askel_tui.store.sqlite.connection import connect, explain_error

T = TypeVar("T")

READER_THREADS = 3
"""The number of reads that run at once."""


class ReaderPool:
    """Runs functions inside read transactions: each sees one state of the journal."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._threads = ThreadPoolExecutor(READER_THREADS, "askel-journal-read")
        self._closed = False

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Returns the result of `work`. Raises `JournalError`, or what `work` raises."""
        if self._closed:
            raise JournalError(f"The journal {self._path} is closed; open it again.")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, work)

    async def close(self) -> None:
        """Waits for the reads under way, then ends the threads and closes their connections."""
        self._closed = True
        await asyncio.to_thread(self._threads.shutdown)
        for connection in self._connections:
            connection.close()
        self._connections.clear()

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = getattr(self._local, "connection", None)
        try:
            if connection is None:
                connection = connect(self._path, read_only=True)
                self._local.connection = connection
                self._connections.append(connection)
            connection.execute("BEGIN")
            try:
                return work(connection)
            finally:
                connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise explain_error(error, self._path) from error
