"""The daemon: owns a home, runs the engine, ends cleanly on SIGTERM and SIGINT."""

from __future__ import annotations

import asyncio
import logging
import signal
from dataclasses import dataclass
from pathlib import Path

from askel_tui.store.locks import OwnershipLock
from askel_tui.store.paths import home as usable_home
from askel_tui.sync.engine import Engine
from askel_tui.sync.instance import opened

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run of the daemon ended: how many steps are held, and which connections have no key."""

    holds: int
    keyless: tuple[str, ...]


async def run(home: Path | None = None, *, until_idle: bool = False) -> Ended:
    """Keeps the home's data moving until a signal, or with `until_idle` until nothing can be sent.

    Raises `AlreadyOwned` where another daemon works on the home, `HomeUnusable`, `JournalError`, `NoSafeKeyring`.
    """
    where = home or usable_home()
    with OwnershipLock(where):
        async with opened(where, owner=True) as instance:
            log.info("works on %s", where)
            engine = Engine(instance)
            loop = asyncio.get_running_loop()
            for received in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(received, engine.stop)
            try:
                await engine.run(until_idle=until_idle)
            finally:
                for received in (signal.SIGTERM, signal.SIGINT):
                    loop.remove_signal_handler(received)
            connected = {name for names in (await instance.connected()).values() for name in names}
            keyless = tuple(doc.name for doc in instance.state.connections() if doc.name not in connected)
            return Ended(len(await instance.journal.holds()), keyless)
