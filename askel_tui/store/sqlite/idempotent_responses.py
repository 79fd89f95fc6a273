"""Responses to requests that carried an Idempotency-Key, kept for a day in a file of their own.

They are a courtesy to a client that repeats a request: that nothing is done twice rests on the ids of records. So
they are not synced with each write (a power cut may lose the last ones), and may be deleted while no daemon runs.
"""

from __future__ import annotations

import asyncio
import sqlite3
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from askel_tui.store.paths import idempotent_responses_file
from askel_tui.store.sqlite.connection import connect, explain_error

T = TypeVar("T")

RESPONSE_KEPT_MS = 86_400_000
"""Time that a response is kept, in milliseconds."""

MAX_RESPONSES = 500_000
"""The largest number of responses that are kept at once; the oldest are deleted first."""

_TABLE = """
CREATE TABLE IF NOT EXISTS answers (
  id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, digest BLOB NOT NULL, at INTEGER NOT NULL,
  status INTEGER NOT NULL, body BLOB)
"""


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """The response to a request. `digest` tells the request from another; `body` is None where it was not final."""

    digest: bytes
    status: int
    body: bytes | None


class IdempotentResponses:
    """The kept responses of a home; only the process that owns the home opens them."""

    def __init__(self, home: Path, max_responses: int = MAX_RESPONSES) -> None:
        self._path = idempotent_responses_file(home)
        self._max_responses = max_responses
        self._thread = ThreadPoolExecutor(1, "askel-answers")
        self._connection: sqlite3.Connection | None = None
        self._count = 0

    async def find(self, key: str, now: int) -> StoredResponse | None:
        """Finds the response that this key got within the last day. Raises `JournalError`."""

        def read(connection: sqlite3.Connection) -> StoredResponse | None:
            row = connection.execute(
                "SELECT digest, status, body FROM answers WHERE key = ? AND at > ?",
                (key, now - RESPONSE_KEPT_MS),
            ).fetchone()
            if row is None:
                return None
            return StoredResponse(row[0], row[1], None if row[2] is None else zlib.decompress(row[2]))

        return await self._run(read)

    async def save(self, key: str, response: StoredResponse, now: int) -> None:
        """Keeps a response in place of an earlier one. Raises `JournalError`."""
        packed = None if response.body is None else zlib.compress(response.body, 1)

        def write(connection: sqlite3.Connection) -> None:
            before = connection.execute("DELETE FROM answers WHERE key = ?", (key,))
            connection.execute(
                "INSERT INTO answers (key, digest, at, status, body) VALUES (?, ?, ?, ?, ?)",
                (key, response.digest, now, response.status, packed),
            )
            self._count += 1 - before.rowcount
            # Two responses are deleted for each that is added, so that old ones never pile up.
            until = now if self._count > self._max_responses else now - RESPONSE_KEPT_MS
            gone = connection.execute(
                "DELETE FROM answers WHERE at <= ? AND id IN (SELECT id FROM answers ORDER BY id LIMIT 2)",
                (until,),
            )
            self._count -= gone.rowcount

        await self._run(write)

    async def close(self) -> None:
        """Closes the file."""
        await asyncio.to_thread(self._thread.shutdown)
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run_here, work)

    def _run_here(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._connection is None:
                self._connection = self._open()
            return work(self._connection)
        except sqlite3.Error as error:
            raise explain_error(error, self._path) from error

    def _open(self) -> sqlite3.Connection:
        connection = connect(self._path)
        try:
            connection.execute("PRAGMA cache_size = -2000")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(_TABLE)
            (self._count,) = connection.execute("SELECT count(*) FROM answers").fetchone()
        except BaseException:
            connection.close()
            raise
        return connection
