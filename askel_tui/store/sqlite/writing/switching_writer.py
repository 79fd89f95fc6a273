"""Writing the embedded journal in this process, and in one of its own while there is a backlog."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from askel_tui.store.sqlite.connection import connect
from askel_tui.store.sqlite.writing.process_writer import ProcessWriter
from askel_tui.store.sqlite.writing.writer import ThreadWriter, Writer, write

T = TypeVar("T")


class SwitchingWriter:
    """A `Writer` that hands over to another one and back; what is written stays in order."""

    def __init__(self, here: Writer, path: Path, committed: Callable[[], None], lock: int) -> None:
        """`here` writes at first; `lock` is the descriptor of the home's lock."""
        self._path = path
        self._committed = committed
        self._lock = lock
        self._writer = here
        self._apart = False
        self._kept: list[tuple[Future[Any], Callable[..., Any], Sequence[Any]]] | None = None
        """What came while one writer ends and the other has not begun."""

    async def enter_bulk_mode(self) -> None:
        """Has a process of its own write from now on. Raises `OSError` where none can be started."""
        if not self._apart:
            writer = await ProcessWriter.start(self._path, self._committed, self._lock)
            await write(writer, _nothing)  # answered when all is loaded
            self._apart = True
            await self._change(writer)

    async def leave_bulk_mode(self) -> None:
        """Has this process write again. Raises `JournalError`."""
        if self._apart:
            connection = await asyncio.to_thread(connect, self._path)
            self._apart = False
            await self._change(ThreadWriter(connection, self._path, self._committed))

    def put(self, future: Future[T], work: Callable[..., T], arguments: Sequence[Any]) -> None:
        """As `Writer` says."""
        if self._kept is None:
            self._writer.put(future, work, arguments)
        else:
            self._kept.append((future, work, arguments))

    async def close(self) -> None:
        """As `Writer` says; no change is under way any more."""
        await self._writer.close()

    async def _change(self, writer: Writer) -> None:
        self._kept = []
        await self._writer.close()
        kept, self._kept, self._writer = self._kept, None, writer
        for each in kept:
            writer.put(*each)


def _nothing(db: object) -> None:
    """Changes nothing."""
