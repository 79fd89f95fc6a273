"""What every part of the backend stands on: a home that is opened in the background, in a loop of its own."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from askel_tui.tui.backend.loop_thread import BackendClosed, LoopThread
from askel_tui.tui.backend.read_only import ReadOnly

if TYPE_CHECKING:
    from askel_tui.sync.instance import Instance

P = ParamSpec("P")
T = TypeVar("T")

POLL_INTERVAL_S = 0.5
"""How often the journal is asked whether anything was committed, in seconds."""

IDLE_AFTER_S, IDLE_POLL_INTERVAL_S = 2.0, 1.0
"""After how long without a change it is asked less often, and how often then, in seconds."""

CLOSE_TIMEOUT_S = 10.0
"""How long what is under way may take when the console ends, in seconds."""

WRITES = "__writes__"
"""Marks methods that change something."""

Method = Callable[P, Coroutine[Any, Any, T]]


def writes(method: Method[P, T]) -> Method[P, T]:
    """Marks a method that changes something: refused at once in a read-only console."""

    @functools.wraps(method)
    async def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        backend = args[0]
        assert isinstance(backend, Base)
        if backend.read_only:
            raise ReadOnly(method.__name__.replace("_", " "))
        return await method(*args, **kwargs)

    setattr(checked, WRITES, True)
    return checked


def in_its_own_thread(kind: type[T]) -> type[T]:
    """Makes every public coroutine of the backend run in the backend's loop, its imports included."""
    for name, method in list(vars(kind).items()):
        if not name.startswith("_") and inspect.iscoroutinefunction(method) and name != "close":
            setattr(kind, name, _moved(method))
    return kind


def _moved(method: Method[P, T]) -> Method[P, T]:
    @functools.wraps(method)
    async def moved(*args: P.args, **kwargs: P.kwargs) -> T:
        backend = args[0]
        assert isinstance(backend, Base)
        return await backend.loop.call(method(*args, **kwargs))

    return moved


@in_its_own_thread
class Base:
    """One home, opened in the background. Methods wait until it is open."""

    def __init__(self, home: Path | None = None, *, read_only: bool = False) -> None:
        self.read_only = read_only
        self._home = home
        self.loop = LoopThread("askel-backend")
        self._on_change: Callable[[], None] = _ignore_change
        self._instance: Instance | None = None
        self._open_error: BaseException | None = None
        self._holder: asyncio.Task[None] | None = None
        self._opened: asyncio.Event | None = None
        self._close: asyncio.Event | None = None
        self._daemon: asyncio.subprocess.Process | None = None
        self.actor = current_actor()

    # Opening and closing.

    async def open(self, on_change: Callable[[], None]) -> None:
        """Opens the home; `on_change` is called from another thread after commits, at most every `LOOK_S`.

        Raises `HomeUnusable` and `JournalError`, as every later call then does.
        """
        self._on_change = on_change
        await self._opened_instance()

    async def _hold_open(self, opened_: asyncio.Event, close: asyncio.Event) -> None:
        try:
            from askel_tui.sync.instance import open_instance

            async with open_instance(self._home) as instance:
                if self.read_only:
                    from askel_tui.tui.backend.read_only import make_read_only

                    make_read_only(instance)
                self._instance = instance
                opened_.set()
                await self._watch(instance, close)
        except Exception as error:
            self._open_error = error
        finally:
            self._instance = None
            opened_.set()

    async def _watch(self, instance: Instance, close: asyncio.Event) -> None:
        from askel_tui.store.locks import owner_pid

        before: object = None
        last = time.monotonic()
        # One task for the whole time: a timeout around each wait would take more than the look itself.
        closed = asyncio.create_task(close.wait())
        try:
            while not close.is_set():
                changed = await instance.journal.wait_for_change(0)
                now = (instance.connections_stamp(), owner_pid(instance.home))
                if changed or now != before:
                    last = time.monotonic()
                    self._on_change()
                before = now
                quiet = time.monotonic() - last > IDLE_AFTER_S
                await asyncio.wait({closed}, timeout=IDLE_POLL_INTERVAL_S if quiet else POLL_INTERVAL_S)
        finally:
            closed.cancel()

    async def close(self) -> None:
        """Lets go of everything, and ends a daemon that was started from here and not let go of."""
        self._on_change = _ignore_change
        if self._holder is not None:
            await self.loop.call(self._end())
        self.loop.stop()

    async def _end(self) -> None:
        assert self._close is not None
        assert self._holder is not None
        await self._stop_daemon()
        self._close.set()
        await asyncio.wait({self._holder}, timeout=CLOSE_TIMEOUT_S)

    async def _opened_instance(self) -> Instance:
        if self._holder is None or self._opened is None:
            self._opened, self._close = asyncio.Event(), asyncio.Event()
            self._holder = asyncio.create_task(self._hold_open(self._opened, self._close))
        await self._opened.wait()
        if self._instance is None:
            raise self._open_error or BackendClosed("The console is being closed.")
        return self._instance

    async def _do(self, work: Callable[[Instance], Awaitable[T]]) -> T:
        """What `work` gives with the open instance."""
        return await work(await self._opened_instance())

    async def _read(self, work: Callable[[Instance], T]) -> T:
        return work(await self._opened_instance())

    async def _stop_daemon(self) -> None:
        process, self._daemon = self._daemon, None
        if process is not None:
            from askel_tui.tui.backend.daemon_process import stop_daemon

            await stop_daemon(process)


def _ignore_change() -> None:
    """Nobody wants to know of changes."""


def current_actor() -> str:
    import getpass

    try:
        return f"console:{getpass.getuser()}"
    except (OSError, KeyError, ImportError):
        return f"console:uid-{os.getuid()}"
