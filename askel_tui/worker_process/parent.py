"""Work in a process of its own: what it costs there is no longer this one's time."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import sysconfig
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from askel_tui.worker_process.framing import RECEIVE_BYTES, FrameDecoder, Reply, encode_frame
from askel_tui.worker_process.futures import resolve

PROGRAM_ROOT = Path(__file__).parents[2]
"""Where this program is."""

EXIT_TIMEOUT_S = 30.0
"""How long a process may take to end once it is told to, in seconds."""


class WorkerProcess:
    """A process that answers questions in the order in which they are asked, and ends with this one.

    Threads of its own carry the bytes: megabytes at a time would have to wait for many turns of the event loop.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        channel: socket.socket,
        ended: Callable[[], Exception],
        answered: Callable[[], None],
    ) -> None:
        self._process = process
        self._error = ended
        self._channel = channel
        self._answered = answered
        self._outbox: SimpleQueue[bytes | None] = SimpleQueue()
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        self._closing = False
        for work in (self._send, self._receive):
            threading.Thread(target=work, name="askel-apart", daemon=True).start()

    @classmethod
    async def start(
        cls,
        module: str,
        argument: str,
        make_error: Callable[[], Exception],
        *,
        inherited_descriptors: tuple[int, ...] = (),
        on_answered: Callable[[], None] = lambda: None,
    ) -> WorkerProcess:
        """Starts a module, which calls `apart_main.main`, with a word. `keep` are descriptors that it inherits.

        `ended` gives what is raised for that which it has not answered when it ends. `answered` is called on the event
        loop after each frame of answers. Questions may be asked at once, though it is starting still. Raises `OSError`.
        """
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = await asyncio.to_thread(
                    _started, module, argument, theirs.fileno(), inherited_descriptors
                )
        except BaseException:
            ours.close()
            raise
        return cls(process, ours, make_error, on_answered)

    async def ask(self, question: Any) -> Any:
        """The answer. Raises what the other process raised, or that it ended."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self.put(future, question)
        return await future

    def put(self, future: asyncio.Future[Any], question: Any) -> None:
        """Asks; the future gets the answer, in the order of the questions, or what `ask` raises."""
        if self._closing or self._ended.done():
            future.set_exception(self._error())
        else:
            self._outbox.put(encode_frame(question))
            self._waiting.append(future)

    async def close(self) -> None:
        """Has what was asked answered, and the process end. Nothing may be asked any more."""
        self._closing = True
        self._outbox.put(None)
        await asyncio.shield(self._ended)
        await asyncio.to_thread(self._process.wait, EXIT_TIMEOUT_S)

    def _send(self) -> None:
        with suppress(OSError):
            while (frame := self._outbox.get()) is not None:
                self._channel.sendall(frame)
                del frame  # megabytes, maybe, and the next one may be long in coming
            self._channel.shutdown(socket.SHUT_WR)

    def _receive(self) -> None:
        frames = FrameDecoder()
        # The loop is closed where nobody waits any more.
        with suppress(RuntimeError):
            with suppress(ConnectionError):
                while data := self._channel.recv(RECEIVE_BYTES):
                    frames.feed(data)
                    while (frame := frames.next()) is not None:
                        self._loop.call_soon_threadsafe(self._tell, *frame)
            self._loop.call_soon_threadsafe(self._lost)
        self._outbox.put(None)
        self._channel.close()

    def _tell(self, fates: Sequence[Reply]) -> None:
        """Tells whoever waits what became of what was asked."""
        for error, answer in fates:
            resolve(self._waiting.popleft(), error, answer)
        self._answered()

    def _lost(self) -> None:
        """The other process ended: nothing more will be answered."""
        while self._waiting:
            resolve(self._waiting.popleft(), self._error())
        self._ended.set_result(None)


def _started(module: str, word: str, channel: int, keep: tuple[int, ...]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        # -P: a directory that one happens to be in has no say in what is run.
        [sys.executable, "-P", "-m", module, word, str(channel)],
        env=_environment(),
        pass_fds=(channel, *keep),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        # Signals for this process's group are not for it: it ends when the socket does.
        start_new_session=True,
    )


def _environment() -> dict[str, str]:
    """What the other process knows: nothing that is said to this one, a passphrase among it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ASKEL_")}
    if Path(sysconfig.get_path("purelib")) != PROGRAM_ROOT:
        # It runs from where its source is.
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, (kept.get("PYTHONPATH"), str(PROGRAM_ROOT))))
    return kept
