"""Connections to the journal's file, and SQLite's errors in sentences for people."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from askel_tui.store.errors import StoreError
from askel_tui.store.journal.errors import JournalError

T = TypeVar("T")

LOCK_TIMEOUT_S = 10.0
"""Time to wait for another process that is writing, in seconds."""

_RETRY_S = 0.001

_opening = threading.Lock()
"""A lock that is held while a file is made, so that no connection of this process has the file open meanwhile."""

_MEANINGS: tuple[tuple[tuple[int, ...], str], ...] = (
    (
        (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED),
        "was locked by another process for {timeout:g} s: end the `askel` process that hangs, then try again",
    ),
    ((sqlite3.SQLITE_FULL,), "could not grow because the disk is full: make room, then start again"),
    (
        (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB),
        "is damaged ({error}): it was left as it is; restore it from a backup or move it away",
    ),
    (
        (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_AUTH),
        "can't be opened for writing ({error}): check its owner, its mode and its directory",
    ),
    (
        (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PROTOCOL),
        "can't be read or written ({error}): check the disk; it must be a local one",
    ),
)


RANDOM_BLOCK_BYTES = 4_096
"""The number of random bytes that are taken at once."""

RandomSource = Callable[[int], bytes]
"""A function that gives a number of bytes that nobody can guess."""


class JournalConnection(sqlite3.Connection):
    """A connection to the journal; see `Transaction`."""

    accepted: dict[int, tuple[str, bytes]]
    ends: Any
    random_bytes: RandomSource
    steady_ms: Callable[[], int]


class RandomPool:
    """A source of random bytes that takes them in blocks from another one.

    Asking the system releases the interpreter's lock: beside a busy event loop, taking that back costs far more.
    """

    def __init__(self, source: RandomSource) -> None:
        self._source = source
        self._block = b""
        self._used = 0

    def __call__(self, count: int) -> bytes:
        """Returns bytes that were given to nobody before."""
        if count > RANDOM_BLOCK_BYTES:
            return self._source(count)
        if self._used + count > len(self._block):
            self._block, self._used = self._source(RANDOM_BLOCK_BYTES), 0
        self._used += count
        return self._block[self._used - count : self._used]


def connect(
    path: Path, *, read_only: bool = False, random_bytes: RandomSource = os.urandom
) -> JournalConnection:
    """Opens a connection in manual transaction mode. Raises `JournalError`."""
    try:
        with _opening:
            _create(path)
            connection = sqlite3.connect(
                path,
                timeout=LOCK_TIMEOUT_S if read_only else 0,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=512,
                factory=JournalConnection,
            )
        connection.accepted, connection.ends, connection.random_bytes = {}, None, RandomPool(random_bytes)
        connection.steady_ms = _read_steady_ms
    except OSError as error:
        raise JournalError(f"The journal {path} can't be opened: {error.strerror}.") from None
    except sqlite3.Error as error:
        raise explain_error(error, path) from error
    try:
        # Even these may have to wait while another process sets the file up or recovers it.
        retry_while_locked(lambda: _set_up(connection, read_only))
    except sqlite3.Error as error:
        connection.close()
        raise explain_error(error, path) from error
    return connection


def _read_steady_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def connect_tail(path: Path) -> JournalConnection:
    """Opens a reading connection for the live tail, to be used by one thread at a time. Raises `JournalError`."""
    connection = connect(path, read_only=True)
    # Several are open at once, and the system caches the file already.
    connection.execute("PRAGMA cache_size = -2000")
    return connection


def data_version(connection: sqlite3.Connection) -> int:
    """Returns a number that changes when another connection has committed."""
    (version,) = connection.execute("PRAGMA data_version").fetchone()
    return int(version)


def used_bytes(connection: sqlite3.Connection) -> int:
    """Returns the number of bytes of the file that are in use."""
    (pages,), (free,), (size,) = (
        connection.execute(f"PRAGMA {name}").fetchone()
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _create(path: Path) -> None:
    """Creates the file (0600) if it is missing; SQLite gives its -wal and -shm files the same mode."""
    # Never opens a file that exists: closing it would drop all locks that this process has on it (POSIX). Another
    # process would take itself for the last one, and remove the write-ahead log with acknowledged writes in it.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _set_up(connection: sqlite3.Connection, read_only: bool) -> None:
    connection.execute("PRAGMA cache_size = -8000")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 4000")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    connection.execute("PRAGMA temp_store = MEMORY")
    if read_only:
        connection.execute("PRAGMA query_only = ON")


def begin_write(connection: sqlite3.Connection) -> None:
    """Takes the write lock; waits up to `LOCK_TIMEOUT_S` for another process. Raises `sqlite3.OperationalError`."""
    # SQLite's own waiting sleeps up to 0.1 s a time and so loses every race against a busy writer.
    retry_while_locked(lambda: connection.execute("BEGIN IMMEDIATE"))


def retry_while_locked(attempt: Callable[[], T]) -> T:
    """Runs `attempt` again while the file is locked, and gives its result. Raises `sqlite3.Error` in the end."""
    end = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            return attempt()
        except sqlite3.OperationalError as error:
            if not is_lock_error(error) or time.monotonic() > end:
                raise
            time.sleep(_RETRY_S)


def is_lock_error(error: sqlite3.Error) -> bool:
    """Checks whether an error says that another connection holds a lock."""
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def explain_error(error: Exception, path: Path) -> Exception:
    """Turns an error into `JournalError` where it is about the disk, the file or another process; else returns it
    unchanged."""
    if isinstance(error, sqlite3.Error) and not isinstance(error, StoreError):
        for codes, meaning in _MEANINGS:
            if _code(error) in codes:
                said = meaning.format(error=error, timeout=LOCK_TIMEOUT_S)
                return JournalError(f"The journal {path} {said}. What was acknowledged is kept.")
        if str(error).startswith("Could not decode to UTF-8"):
            return JournalError(f"The journal {path} was changed by hand: a text in it is no UTF-8.")
    return error


def _code(error: sqlite3.Error) -> int:
    # The low byte is the kind; the rest says more about it.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
