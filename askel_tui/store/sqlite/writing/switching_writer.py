"""A writer that switches between this process and, while there is a backlog, one of its own."""

from __future__ import annotations

import asyncio
import os
from asyncio import Future
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from askel_tui.store.sqlite.connection import RandomSource, connect
from askel_tui.store.sqlite.writing.process_writer import ProcessWriter
from askel_tui.store.sqlite.writing.writer import ThreadWriter, Writer, write

T = TypeVar("T")


class SwitchingWriter:
    """A `Writer` that hands over to another one and back; writes stay in order."""

    def __init__(
        self,
        writer: Writer,
        path: Path,
        on_commit: Callable[[], None],
        lock: int,
        random_bytes: RandomSource = os.urandom,
    ) -> None:
        """Makes a writer that begins with `writer`; `lock` is the descriptor of the home's lock.

        A process of its own takes its random bytes from the system, this one from `random_bytes`.
        """
        self._path = path
        self._on_commit = on_commit
        self._lock = lock
        self._random_bytes = random_bytes
        self._writer = writer
        self._bulk = False
        self._postponed: list[tuple[Future[Any], Callable[..., Any], Sequence[Any]]] | None = None
        """The writes that were handed in while one writer ends and the other has not begun; None at other times."""

    async def enter_bulk_mode(self) -> None:
        """Lets a process of its own write from now on. Raises `OSError` where none can be started."""
        if not self._bulk:
            writer = await ProcessWriter.start(self._path, self._on_commit, self._lock)
            await write(writer, _nothing)  # answered once its modules are loaded
            self._bulk = True
            await self._switch(writer)

    async def leave_bulk_mode(self) -> None:
        """Lets this process write again. Raises `JournalError`."""
        if self._bulk:
            connection = await asyncio.to_thread(connect, self._path, random_bytes=self._random_bytes)
            self._bulk = False
            await self._switch(ThreadWriter(connection, self._path, self._on_commit))

    def put(self, future: Future[T], work: Callable[..., T], arguments: Sequence[Any]) -> None:
        """Hands in a function; see `Writer`."""
        if self._postponed is None:
            self._writer.put(future, work, arguments)
        else:
            self._postponed.append((future, work, arguments))

    async def close(self) -> None:
        """Waits for all writes and closes; see `Writer`. No switch is under way any more."""
        await self._writer.close()

    async def _switch(self, writer: Writer) -> None:
        self._postponed = []
        await self._writer.close()
        postponed, self._postponed, self._writer = self._postponed, None, writer
        for each in postponed:
            writer.put(*each)


def _nothing(db: object) -> None:
    """Changes nothing."""
