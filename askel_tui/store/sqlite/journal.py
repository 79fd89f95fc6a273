"""The embedded journal: one SQLite file that several processes use at once.

Writes go through one thread per process, which commits many of them together; reads have threads of their own.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from askel_tui.store.journal.interface import Journal
from askel_tui.store.journal.rows import AuditEntry, AuditFilter
from askel_tui.store.journal.tables.audit.queries import read_entries
from askel_tui.store.paths import journal_file
from askel_tui.store.sqlite.commit_watch import CommitWatch
from askel_tui.store.sqlite.connection import RandomSource, connect, used_bytes
from askel_tui.store.sqlite.reader_pool import ReaderPool
from askel_tui.store.sqlite.schema import prepare_schema
from askel_tui.store.sqlite.writing.switching_writer import SwitchingWriter
from askel_tui.store.sqlite.writing.writer import ThreadWriter, Writer, write

T = TypeVar("T")

FOLLOW_PAGE_ROWS = 1_000
"""The number of entries that `follow_audit` reads at once."""

FOLLOW_POLL_S = 60.0
"""Time that `follow_audit` waits for a commit before it waits again, in seconds."""


async def open_journal(
    home_or_path: Path, *, lock: int | None = None, random_bytes: RandomSource = os.urandom
) -> Journal:
    """Opens the journal of a home, or the one in a file. Raises `JournalError`.

    The salts of the audit are made with `random_bytes`.

    With the descriptor of the home's lock a process of its own may write it in bulk mode; that process keeps the lock
    until it has ended.
    """
    path = await asyncio.to_thread(_journal_path, home_or_path)
    connection = await asyncio.to_thread(connect, path, random_bytes=random_bytes)
    try:
        await asyncio.to_thread(prepare_schema, connection, path)
        watch = CommitWatch(path)
    except BaseException:
        connection.close()
        raise
    writer: Writer = ThreadWriter(connection, path, watch.notify)
    if lock is not None:
        writer = SwitchingWriter(writer, path, watch.notify, lock, random_bytes)
    return SqliteJournal(writer, ReaderPool(path), watch)


def _journal_path(home_or_path: Path) -> Path:
    return journal_file(home_or_path) if home_or_path.is_dir() else home_or_path


class SqliteJournal(Journal):
    """The implementation of `Journal` on SQLite. Open one with `open_journal`."""

    def __init__(self, writer: Writer, readers: ReaderPool, watch: CommitWatch) -> None:
        super().__init__()
        self._writer = writer
        self._readers = readers
        self._watch = watch
        self._seen: WeakKeyDictionary[asyncio.Task[Any], int] = WeakKeyDictionary()
        """The number of changes that `wait_for_change` has reported to each task."""
        self._reported = watch.changes

    def _read(self, work: Callable[..., T], /, *arguments: Any) -> Awaitable[T]:
        return self._readers.read(lambda db: work(db, *arguments))

    def _write(self, work: Callable[..., T], /, *arguments: Any) -> Awaitable[T]:
        return write(self._writer, work, *arguments)

    async def close(self) -> None:
        """Closes the journal; see `Journal`."""
        await self._writer.close()
        await self._readers.close()
        self._watch.close()

    async def enter_bulk_mode(self) -> None:
        """Prepares for a backlog; see `Journal`. Raises `OSError` where no process can be started."""
        if isinstance(self._writer, SwitchingWriter):
            await self._writer.enter_bulk_mode()

    async def leave_bulk_mode(self) -> None:
        """Ends the bulk mode; see `Journal`."""
        if isinstance(self._writer, SwitchingWriter):
            await self._writer.leave_bulk_mode()

    async def follow_audit(self, wanted: AuditFilter, after: int) -> AsyncIterator[AuditEntry]:
        """Yields audit entries as they come; see `Journal`."""
        while not self._watch.closed:
            seen = self._watch.changes
            entries, head = await self._read(read_entries, wanted, after, FOLLOW_PAGE_ROWS, False)
            for entry in entries:
                after = entry.position
                yield entry
            if len(entries) < FOLLOW_PAGE_ROWS:
                # All entries up to the chain's end were searched, matching or not.
                after = max(after, head)
                while not self._watch.closed and not await self._watch.wait(seen, FOLLOW_POLL_S):
                    pass

    async def wait_for_change(self, timeout: float) -> bool:
        """Waits for a commit; see `Journal`.

        Commits since the task's last call count, so that none is missed in between.
        """
        task = asyncio.current_task()
        seen = self._reported if task is None else self._seen.get(task, self._reported)
        changed = await self._watch.wait(seen, timeout)
        self._reported = self._watch.changes
        if task is not None:
            self._seen[task] = self._reported
        return changed

    async def used_bytes(self) -> int:
        """Returns how many bytes the journal holds; see `Journal`."""
        return await self._read(used_bytes)
