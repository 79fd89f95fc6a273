"""The journal of the simulated program: its writer runs in the loop, and a crash is a copy of the files at a commit."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from askel_tui.store.journal.errors import JournalError
from askel_tui.store.paths import journal_file
from askel_tui.store.sqlite.commit_watch import CommitWatch
from askel_tui.store.sqlite.connection import JournalConnection, connect
from askel_tui.store.sqlite.journal import SqliteJournal
from askel_tui.store.sqlite.reader_pool import ReaderPool
from askel_tui.store.sqlite.schema import prepare_schema
from askel_tui.store.sqlite.writing.group_commit import GroupCommitter, WriteJob, call_with_connection
from askel_tui.worker_process.futures import resolve

T = TypeVar("T")

LastCommit = Literal["missing", "torn", "whole"]
"""What is left of the commit at whose edge the program dies; it was never acknowledged."""


@dataclass(slots=True)
class Crash:
    """A crash to come: at which commit from now on, into which home, and what is left of that commit."""

    commits: int
    home: Path
    last: LastCommit
    torn_at: float


@dataclass(slots=True)
class FullDisk:
    """A disk that will be full: from which commit on, for how many, and how many jobs each of these carries."""

    commits: int
    count: int
    jobs: int


class _Job(WriteJob):
    __slots__ = ("future",)

    def __init__(self, work: Callable[[sqlite3.Connection], Any], future: asyncio.Future[Any]) -> None:
        super().__init__(work)
        self.future = future


class LoopWriter:
    """A `Writer` in the event loop. It dies where it is ending to, and answers nobody from then on."""

    def __init__(self, connection: JournalConnection, home: Path, on_commit: Callable[[], None]) -> None:
        self._home = home
        self._path = journal_file(home)
        self._on_commit = on_commit
        self._loop = asyncio.get_running_loop()
        self._jobs: deque[_Job] = deque()
        self._scheduled = False
        self._committer = GroupCommitter(connection, self._path, self._next_job, self._loop.time)
        self.crash: Crash | None = None
        self.full_disk: FullDisk | None = None
        self.crashed = asyncio.Event()
        self.chance = random.Random(0)

    def put(self, future: asyncio.Future[T], work: Callable[..., T], arguments: Sequence[Any]) -> None:
        """Hands in a function; see `Writer`."""
        if self.crashed.is_set():
            future.cancel()
            return
        self._jobs.append(_Job(partial(call_with_connection, work, arguments), future))
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_later(self.chance.random() * 0.004, self._commit)

    async def close(self) -> None:
        """Writes what was handed in, and closes; see `Writer`."""
        if not self.crashed.is_set():
            self._commit()
        self._committer.close()

    def _next_job(self) -> _Job | None:
        return self._jobs.popleft() if self._jobs else None

    def _commit(self) -> None:
        self._scheduled = False
        while self._jobs and not self.crashed.is_set():
            if self.crash is not None:
                self.crash.commits -= 1
                if self.crash.commits <= 0:
                    self._die(self.crash)
                    return
            if self.full_disk is not None and self._is_refused(self.full_disk):
                continue
            group = self._committer.commit(self._jobs.popleft())
            for job in group:
                resolve(job.future, job.error, job.result)
            self._on_commit()

    def _is_refused(self, disk: FullDisk) -> bool:
        """Refuses a transaction where the disk is full; what comes after it may find room."""
        disk.commits -= 1
        if disk.commits > 0:
            return False
        for _ in range(min(disk.jobs, len(self._jobs))):
            resolve(
                self._jobs.popleft().future, JournalError(f"The journal {self._path} could not grow."), None
            )
        disk.count -= 1
        if disk.count <= 0:
            self.full_disk = None
        return True

    def _die(self, crash: Crash) -> None:
        """Leaves the files as a crash would: without the last commit, with a part of it, or with all of it."""
        log = Path(f"{self._path}-wal")
        before = log.stat().st_size if log.exists() else 0
        if crash.last != "missing":
            self._committer.commit(self._jobs.popleft())
        shutil.copytree(self._home, crash.home, ignore=shutil.ignore_patterns("*-shm", "*.lock"))
        copied = Path(f"{journal_file(crash.home)}-wal")
        if crash.last == "torn" and copied.exists() and copied.stat().st_size > before:
            size = before + int((copied.stat().st_size - before) * crash.torn_at)
            with copied.open("r+b") as file:
                file.truncate(size)
        self.crashed.set()


def open_journal_in_loop(home: Path, chance: random.Random) -> tuple[SqliteJournal, LoopWriter]:
    """Opens the journal of a home; nothing is forced to the disk, for no machine loses its power here."""
    path = journal_file(home)
    connection = connect(path, random_bytes=random.Random(chance.random()).randbytes)
    connection.execute("PRAGMA synchronous = OFF")
    loop = asyncio.get_running_loop()
    connection.steady_ms = lambda: int(loop.time() * 1000)
    prepare_schema(connection, path)
    watch = CommitWatch(path, poll_interval_s=60.0)
    writer = LoopWriter(connection, home, watch.notify)
    writer.chance = chance
    return SqliteJournal(writer, ReaderPool(path), watch), writer
