"""The parent's side: starts a worker process and asks it questions.

`concurrent.futures` and `multiprocessing.Process` don't fit: their workers inherit no descriptor of the parent's
choice, answer one question at a time, and bring a second process that tracks resources. Their connection is used.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import socket
import subprocess
import sys
import sysconfig
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from askel_tui.worker_process.child import Reply
from askel_tui.worker_process.errors import WorkerEnded
from askel_tui.worker_process.futures import resolve

PROGRAM_ROOT = Path(__file__).parents[2]
"""The directory that holds this package."""

EXIT_TIMEOUT_S = 30.0
"""Time that a process may take to end once it is told to, in seconds."""


class WorkerProcess:
    """A process that answers questions in the order in which they are asked, and ends with this one.

    Threads carry the messages: megabytes at a time would otherwise have to wait for many turns of the event loop.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        connection: Connection,
        make_error: Callable[[], Exception],
        on_answered: Callable[[], None],
    ) -> None:
        self._process = process
        self._connection = connection
        self._make_error = make_error
        self._on_answered = on_answered
        self._outbox: SimpleQueue[bytes] = SimpleQueue()
        """The pickled questions on their way out; an empty one is the last."""
        self._unanswered: deque[asyncio.Future[Any]] = deque()
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        self._closing = False
        self._sender = threading.Thread(target=self._send, name="askel-worker-send", daemon=True)
        self._sender.start()
        threading.Thread(target=self._receive, name="askel-worker-receive", daemon=True).start()

    @classmethod
    async def start(
        cls,
        module: str,
        argument: str,
        make_error: Callable[[], Exception] = WorkerEnded,
        *,
        inherited_descriptors: tuple[int, ...] = (),
        on_answered: Callable[[], None] = lambda: None,
    ) -> WorkerProcess:
        """Starts a module, which calls `child.run_worker`, with an argument.

        `make_error` makes the error of each question that has no answer when the process ends. `on_answered` is
        called on the event loop after each message of replies. Questions may be asked while the process is still
        starting. Raises `OSError`.
        """
        ours, theirs = socket.socketpair()
        with theirs, ours:
            process = await asyncio.to_thread(
                _popen, module, argument, theirs.fileno(), inherited_descriptors
            )
            connection = Connection(ours.detach())
        return cls(process, connection, make_error, on_answered)

    async def ask(self, question: Any) -> Any:
        """Asks a question and returns the answer. Raises the error that the process raised, or the one for its end."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self.put(future, question)
        return await future

    def put(self, future: asyncio.Future[Any], question: Any) -> None:
        """Asks a question; the future gets the answer, in the order of the questions, or what `ask` raises."""
        if self._closing or self._ended.done():
            future.set_exception(self._make_error())
        else:
            self._outbox.put(pickle.dumps(question, pickle.HIGHEST_PROTOCOL))
            self._unanswered.append(future)

    async def close(self) -> None:
        """Waits for all answers and for the end of the process. Nothing may be asked any more."""
        self._closing = True
        self._outbox.put(b"")
        await asyncio.shield(self._ended)
        await asyncio.to_thread(self._process.wait, EXIT_TIMEOUT_S)

    def _send(self) -> None:
        with suppress(OSError):
            while message := self._outbox.get():
                self._connection.send_bytes(message)
                del message  # megabytes, maybe, and the next one may be long in coming
            self._connection.send_bytes(b"")

    def _receive(self) -> None:
        # The loop is closed where nobody waits any more.
        with suppress(RuntimeError):
            with suppress(EOFError, OSError):
                while True:
                    replies = pickle.loads(self._connection.recv_bytes())
                    self._loop.call_soon_threadsafe(self._resolve, replies)
                    del replies
            self._loop.call_soon_threadsafe(self._end)
        # The sender's writes fail now that the other end is closed; its descriptor must not be closed under it.
        self._outbox.put(b"")
        self._sender.join()
        self._connection.close()

    def _resolve(self, replies: Sequence[Reply]) -> None:
        """Resolves the oldest unanswered questions with `replies`."""
        for error, result in replies:
            resolve(self._unanswered.popleft(), error, result)
        self._on_answered()

    def _end(self) -> None:
        """Fails the questions that nobody will answer: the process has ended."""
        while self._unanswered:
            resolve(self._unanswered.popleft(), self._make_error())
        self._ended.set_result(None)


def _popen(module: str, argument: str, channel: int, inherited: tuple[int, ...]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        # -P: the current directory has no say in what is imported.
        [sys.executable, "-P", "-m", module, argument, str(channel)],
        env=_environment(),
        pass_fds=(channel, *inherited),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        # Signals to this process's group are not for the worker: it ends when the connection does.
        start_new_session=True,
    )


def _environment() -> dict[str, str]:
    """Returns the worker's environment: without this program's variables, of which one is a passphrase."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ASKEL_")}
    if Path(sysconfig.get_path("purelib")) != PROGRAM_ROOT:
        # The program runs from its source directory.
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, (kept.get("PYTHONPATH"), str(PROGRAM_ROOT))))
    return kept
