"""The child's side: a worker takes questions from its connection, answers them in order, and ends with its parent."""

from __future__ import annotations

import pickle
import signal
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from askel_tui.worker_process.errors import WorkerError
from askel_tui.worker_process.tuning import tune_for_backlogs

Reply = tuple[Exception | None, Any]
"""The outcome of a question: its error or None, and its result."""


class WorkerChannel:
    """The connection to the parent."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._ended = False

    def next_question(self) -> tuple[Any] | None:
        """Waits for the next question and returns it, alone in a tuple; None once there are no more."""
        if not self._ended:
            # An empty message ends the questions; so does a parent that has ended.
            with suppress(EOFError, OSError):
                if message := self._connection.recv_bytes():
                    return (pickle.loads(message),)
            self._ended = True
        return None

    def poll_question(self) -> tuple[Any] | None:
        """Returns the next question where it has arrived already, else None."""
        return self.next_question() if not self._ended and self._connection.poll() else None

    def answer(self, replies: Iterable[Reply]) -> None:
        """Answers the oldest questions that have no reply yet, in their order."""
        message = pickle.dumps([_picklable(*reply) for reply in replies], pickle.HIGHEST_PROTOCOL)
        # A parent that is gone is no reason to leave the remaining questions undone.
        with suppress(OSError):
            self._connection.send_bytes(message)


def _picklable(error: Exception | None, result: Any) -> Reply:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # an error class of any library may fail to be copied, in any way
        return WorkerError(str(error)), None
    return error, result


def run_worker(serve: Callable[[WorkerChannel, str], None], expected: type[Exception]) -> None:
    """Runs `serve` with the channel and the argument that the process was started with.

    An error of the `expected` type ends the process with its sentence instead of a traceback.
    """
    argument, descriptor = sys.argv[1], int(sys.argv[2])
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A signal to all processes of a service is meant for the parent: it has more to ask before it ends.
        signal.signal(ending, signal.SIG_IGN)
    tune_for_backlogs()
    try:
        with Connection(descriptor) as connection:
            serve(WorkerChannel(connection), argument)
    except expected as error:
        sys.exit(f"askel: {error}")
