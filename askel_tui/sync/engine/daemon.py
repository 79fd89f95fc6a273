"""The daemon: owns a home, runs the engine and, with an address, the HTTP API; ends cleanly on a signal."""

from __future__ import annotations

import asyncio
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
from askel_tui.worker_process.tuning import tune_for_backlogs

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DaemonResult:
    """The result of a run of the daemon: how many steps are held, and which connections have no key."""

    hold_count: int
    connections_without_key: tuple[str, ...]


def _tune_python() -> None:
    """Tunes the process for the engine, before it starts."""
    tune_for_backlogs()
    # The journal's thread gets its turn soon, so that a call does not wait for its commit.
    sys.setswitchinterval(0.0005)


class ApiServer(Protocol):
    """The HTTP API that the daemon runs beside the engine."""

    async def run(self) -> None:
        """Serves until `stop`, and lets requests in flight end."""
        ...

    def stop(self) -> None:
        """Stops taking requests."""
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
    `JournalError`, `NoSafeKeyring`, and what opening the HTTP API raises.
    """
    where = home or usable_home()
    with OwnershipLock(where) as lock:
        async with open_instance(where, owner=True, lock=lock) as instance:
            log.info("works on %s", where)
            engine = Engine(instance)
            _tune_python()
            api = open_api(instance) if open_api is not None else None
            loop = asyncio.get_running_loop()
            for received in (signal.SIGTERM, signal.SIGINT):
                # The HTTP API stops first: the engine may still answer its requests.
                loop.add_signal_handler(received, engine.stop if api is None else api.stop)
            loop.add_signal_handler(signal.SIGHUP, _reload_settings, api)
            try:
                await _run_engine(engine, api, until_idle)
            finally:
                for received in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                    loop.remove_signal_handler(received)
            connected = {name for names in (await instance.connected()).values() for name in names}
            keyless = tuple(doc.name for doc in instance.state.connections() if doc.name not in connected)
            return DaemonResult(len(await instance.journal.holds()), keyless)


async def _run_engine(engine: Engine, api: ApiServer | None, until_idle: bool) -> None:
    if api is None:
        await engine.run(until_idle=until_idle)
        return
    serving = asyncio.create_task(api.run())
    serving.add_done_callback(lambda _: engine.stop())
    try:
        await engine.run(until_idle=until_idle)
    finally:
        api.stop()
        await serving


def _reload_settings(api: ApiServer | None) -> None:
    log.info("reads settings anew")
    if api is not None:
        api.reload()
