"""What runs in a process that `WorkerProcess` starts: it takes questions from a socket, and ends when that does."""

from __future__ import annotations

import gc
import pickle
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from askel_tui.worker_process.framing import RECEIVE_BYTES, FrameDecoder, Reply, WorkerError, encode_frame


class WorkerChannel:
    """The socket to the process that asks."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._frames = FrameDecoder()
        self._ended = False

    def next_question(self) -> tuple[Any] | None:
        """The next question, alone in a tuple, once it is there; None at the end."""
        return self._next(0)

    def poll_question(self) -> tuple[Any] | None:
        """The next question where it is there already."""
        return self._next(socket.MSG_DONTWAIT)

    def answer(self, fates: Iterable[Reply]) -> None:
        """Answers the oldest questions that have no answer yet, in their order."""
        # Nobody to tell any more is no reason to leave what was asked undone.
        with suppress(ConnectionError):
            self._socket.sendall(encode_frame([_told(*fate) for fate in fates]))

    def _next(self, flags: int) -> tuple[Any] | None:
        while (question := self._frames.next()) is None:
            if self._ended or not self._receive(flags):
                return None
        return question

    def _receive(self, flags: int) -> bool:
        try:
            data = self._socket.recv(RECEIVE_BYTES, flags)
        except BlockingIOError:
            return False
        except ConnectionError:
            data = b""
        self._ended = not data
        self._frames.feed(data)
        return bool(data)


def _told(error: Exception | None, answer: Any) -> Reply:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever it is that keeps somebody else's error from being copied
        return WorkerError(str(error)), None
    return error, answer


def run_worker(serve: Callable[[WorkerChannel, str], None], expected: type[Exception]) -> None:
    """Runs `serve` with the socket and the word that the process was started with.

    An error of the `expected` type ends the process with its sentence instead of a traceback.
    """
    word, descriptor = sys.argv[1], int(sys.argv[2])
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Whoever ends all processes of a service at once means the one that asks: it has more to ask before it ends.
        signal.signal(ending, signal.SIG_IGN)
    # What is passed through here reference counts free: looking for cycles finds nothing.
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)
    try:
        with socket.socket(fileno=descriptor) as connected:
            serve(WorkerChannel(connected), word)
    except expected as error:
        sys.exit(f"askel: {error}")
