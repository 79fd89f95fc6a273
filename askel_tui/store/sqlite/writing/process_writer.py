"""A writer in a process of its own, so that storing and hashing take none of this process's time."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from askel_tui.store.journal.errors import JournalError
from askel_tui.worker_process.parent import WorkerProcess

T = TypeVar("T")

WORKER_MODULE = "askel_tui.store.sqlite.writing.process_writer_main"


class ProcessWriter:
    """A `Writer` in another process, which ends with this one. Start one with `start`."""

    def __init__(self, worker: WorkerProcess) -> None:
        self._worker = worker

    @classmethod
    async def start(cls, path: Path, on_commit: Callable[[], None], lock: int) -> ProcessWriter:
        """Starts the process; it holds the home's lock (a descriptor) until it has ended.

        `on_commit` is called on the event loop after each commit. Raises `OSError`.
        """
        worker = await WorkerProcess.start(
            WORKER_MODULE,
            str(path),
            partial(_ended, path),
            inherited_descriptors=(lock,),
            on_answered=on_commit,
        )
        return cls(worker)

    def put(self, future: Future[T], work: Callable[..., T], arguments: Sequence[Any]) -> None:
        """Hands in a function; see `Writer`.

        The function belongs to a module, and its arguments and result can be pickled.
        """
        self._worker.put(future, (work, arguments))

    async def close(self) -> None:
        """Waits for all writes and closes; see `Writer`."""
        await self._worker.close()


def _ended(path: Path) -> JournalError:
    return JournalError(
        f"The journal {path} can't be written any more: the process that writes it ended. "
        "What was acknowledged is kept; start again."
    )
