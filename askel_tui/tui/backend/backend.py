"""The backend: one home, opened in a thread of its own, and the one way in which screens meet it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar
from urllib.parse import urlsplit

from askel_tui.services.actors import local_actor
from askel_tui.tui.backend import services
from askel_tui.tui.backend.access import LazyFunction, is_write, name_of
from askel_tui.tui.backend.loop_thread import BackendClosed, LoopThread
from askel_tui.tui.backend.read_only import ReadOnly

if TYPE_CHECKING:
    from askel_tui.sync.instance import Instance

P = ParamSpec("P")
T = TypeVar("T")

Environment = Literal["sandbox", "klaviyo"]

POLL_INTERVAL_S = 0.5
"""Interval at which the journal is checked for commits, in seconds."""

IDLE_AFTER_S, IDLE_POLL_INTERVAL_S = 2.0, 1.0
"""The time without a change after which the journal is checked less often, and the interval then, in seconds."""

CLOSE_TIMEOUT_S = 10.0
"""Time that running calls may take when the console ends, in seconds."""


class Backend:
    """One home, opened in the background. Calls wait until it is open, and run in the backend's thread."""

    def __init__(self, home: Path | None = None, *, read_only: bool = False) -> None:
        self.read_only = read_only
        self.actor = local_actor("console")
        """The actor of the audit entries that the console makes."""
        self._home = home
        self._loop = LoopThread("askel-backend")
        self._on_change: Callable[[], None] = _ignore_change
        self._instance: Instance | None = None
        self._open_error: BaseException | None = None
        self._holder: asyncio.Task[None] | None = None
        self._opened: asyncio.Event | None = None
        self._close: asyncio.Event | None = None
        self._daemon: asyncio.subprocess.Process | None = None

    @property
    def address(self) -> str:
        """The base address of Klaviyo's API as this process calls it."""
        return os.environ.get("ASKEL_KLAVIYO_URL") or "https://a.klaviyo.com"

    @property
    def environment(self) -> Environment:
        """`sandbox` if writes reach this machine, else `klaviyo`."""
        host = urlsplit(self.address).hostname or ""
        return "sandbox" if host in ("localhost", "::1") or host.startswith("127.") else "klaviyo"

    # Calls.

    async def call(
        self,
        function: Callable[Concatenate[Instance, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Calls a function of `queries` or `services` with the open instance. Cancelling this cancels the function.

        Raises what the function raises, what `open` raises, and `ReadOnly` for one that writes in a read-only console.
        """
        if is_write(function):
            self._refuse_if_read_only(name_of(function))
        result: T = await self._loop.call(self._call(function, args, kwargs))
        return result

    async def _call(self, function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        instance = await self._opened_instance()
        if isinstance(function, LazyFunction):
            function = function.load()
        return await function(instance, *args, **kwargs)

    async def submit(self, command: str, **arguments: Any) -> Mapping[str, Any]:
        """Submits a command: a daemon carries it out if one runs, else this process.

        Raises `CommandRefused`, `CommandUnanswered`.
        """
        return await self.call(services.submit, command, arguments, self.actor)

    def _refuse_if_read_only(self, what: str) -> None:
        if self.read_only:
            raise ReadOnly(what.replace("_", " "))

    # Opening and closing.

    async def open(self, on_change: Callable[[], None]) -> None:
        """Opens the home; `on_change` is called from another thread after commits, at most every `POLL_INTERVAL_S`.

        Raises `HomeUnusable` and `JournalError`, as every later call then does.
        """
        self._on_change = on_change
        await self._loop.call(self._opened_instance())

    async def _opened_instance(self) -> Instance:
        if self._holder is None or self._opened is None:
            self._opened, self._close = asyncio.Event(), asyncio.Event()
            self._holder = asyncio.create_task(self._hold_open(self._opened, self._close))
        await self._opened.wait()
        if self._instance is None:
            raise self._open_error or BackendClosed("The console is being closed.")
        return self._instance

    async def _hold_open(self, opened: asyncio.Event, close: asyncio.Event) -> None:
        try:
            from askel_tui.sync.instance import open_instance

            async with open_instance(self._home) as instance:
                if self.read_only:
                    from askel_tui.tui.backend.read_only import make_read_only

                    make_read_only(instance)
                self._instance = instance
                opened.set()
                await self._watch(instance, close)
        except Exception as error:
            self._open_error = error
        finally:
            self._instance = None
            opened.set()

    async def _watch(self, instance: Instance, close: asyncio.Event) -> None:
        """Reports commits, changed connections and another owner of the home until `close` is set."""
        from askel_tui.store.locks import owner_pid

        before: object = None
        last = time.monotonic()
        # One task for the whole time: a timeout around each wait would take more than the check itself.
        closed = asyncio.create_task(close.wait())
        try:
            while not close.is_set():
                changed = await instance.journal.wait_for_change(0)
                now = (instance.connections_stamp(), owner_pid(instance.home))
                if changed or now != before:
                    last = time.monotonic()
                    self._on_change()
                before = now
                idle = time.monotonic() - last > IDLE_AFTER_S
                await asyncio.wait({closed}, timeout=IDLE_POLL_INTERVAL_S if idle else POLL_INTERVAL_S)
        finally:
            closed.cancel()

    async def close(self) -> None:
        """Closes the home, and ends a daemon that was started from here and not left running."""
        self._on_change = _ignore_change
        if self._holder is not None:
            await self._loop.call(self._end())
        self._loop.stop()

    async def _end(self) -> None:
        assert self._close is not None
        assert self._holder is not None
        await self._end_daemon()
        self._close.set()
        await asyncio.wait({self._holder}, timeout=CLOSE_TIMEOUT_S)

    # The daemon.

    @property
    def started_daemon(self) -> bool:
        """True if a daemon runs that was started from here."""
        return self._daemon is not None and self._daemon.returncode is None

    async def start_daemon(self) -> None:
        """Starts a daemon as a process of its own; it ends with the console unless `leave_daemon_running` is called.

        Raises `DaemonFailed`, `ReadOnly`.
        """
        self._refuse_if_read_only("start daemon")
        await self._loop.call(self._start_daemon())

    async def _start_daemon(self) -> None:
        from askel_tui.tui.backend.daemon_process import start_daemon

        self._daemon = await start_daemon((await self._opened_instance()).home)

    async def stop_daemon(self) -> None:
        """Ends the daemon that was started from here, and waits for it."""
        await self._loop.call(self._end_daemon())

    async def _end_daemon(self) -> None:
        process, self._daemon = self._daemon, None
        if process is not None:
            from askel_tui.tui.backend.daemon_process import stop_daemon

            await stop_daemon(process)

    def leave_daemon_running(self) -> None:
        """Lets the daemon that was started from here go on when the console ends."""
        self._daemon = None


def _ignore_change() -> None:
    """Stands for a listener where there is none."""
