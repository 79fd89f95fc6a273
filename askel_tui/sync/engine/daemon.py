"""The daemon: owns a home, runs the engine and, where one is given, a front door; ends cleanly on a signal."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from askel_tui.store.locks import OwnershipLock
from askel_tui.store.paths import home as usable_home
from askel_tui.sync.engine.engine import Engine
from askel_tui.sync.instance import Instance, open_instance

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DaemonResult:
    """How a run of the daemon ended: how many steps are held, and which connections have no key."""

    hold_count: int
    connections_without_key: tuple[str, ...]


def _tune_python() -> None:
    """Fits the interpreter to the engine's work, before it begins."""
    # A backlog is many small objects that reference counts free: looking for cycles finds nothing.
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)
    # The journal's thread gets its turn soon, so that a call does not wait for its commit.
    sys.setswitchinterval(0.0005)


class ApiServer(Protocol):
    """What takes requests in while the engine runs."""

    async def run(self) -> None:
        """Serves until `stop`, and lets what is under way end."""
        ...

    def stop(self) -> None:
        """Takes nothing new."""
        ...

    def reload(self) -> None:
        """Reads settings anew."""
        ...


OpenApiServer = Callable[[Instance], ApiServer]


async def run(
    home: Path | None = None, *, until_idle: bool = False, open_api: OpenApiServer | None = None
) -> DaemonResult:
    """Keeps the home's data moving until a signal, or with `until_idle` until nothing can be sent.

    SIGHUP reads settings anew. Raises `AlreadyOwned` where another daemon works on the home, `HomeUnusable`,
    `JournalError`, `NoSafeKeyring`, and what opening the door raises.
    """
    where = home or usable_home()
    with OwnershipLock(where) as lock:
        async with open_instance(where, owner=True, lock=lock) as instance:
            log.info("works on %s", where)
            engine = Engine(instance)
            _tune_python()
            door = open_api(instance) if open_api is not None else None
            loop = asyncio.get_running_loop()
            for received in (signal.SIGTERM, signal.SIGINT):
                # The door is closed first: the engine may still answer what came through it.
                loop.add_signal_handler(received, engine.stop if door is None else door.stop)
            loop.add_signal_handler(signal.SIGHUP, _reload_settings, door)
            try:
                await _run_engine(engine, door, until_idle)
            finally:
                for received in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                    loop.remove_signal_handler(received)
            connected = {name for names in (await instance.connected()).values() for name in names}
            keyless = tuple(doc.name for doc in instance.state.connections() if doc.name not in connected)
            return DaemonResult(len(await instance.journal.holds()), keyless)


async def _run_engine(engine: Engine, door: ApiServer | None, until_idle: bool) -> None:
    if door is None:
        await engine.run(until_idle=until_idle)
        return
    serving = asyncio.create_task(door.run())
    serving.add_done_callback(lambda _: engine.stop())
    try:
        await engine.run(until_idle=until_idle)
    finally:
        door.stop()
        await serving


def _reload_settings(door: ApiServer | None) -> None:
    log.info("reads settings anew")
    if door is not None:
        door.reload()
