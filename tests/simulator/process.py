"""One life of the program: its journal, its instance and its engine, from a start to a stop or a crash."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from keyring.backend import KeyringBackend

from askel_tui.klaviyo.retries import RetryPolicy
from askel_tui.store.locks import OwnershipLock
from askel_tui.store.secrets.key_store import KeyStore
from askel_tui.store.state.state import State
from askel_tui.sync.engine.engine import Engine
from askel_tui.sync.instance import Instance
from askel_tui.sync.timing import Limits, Timing
from tests.simulator.account import SimulatedKlaviyo, Wire
from tests.simulator.journal import Crash, open_journal_in_loop
from tests.simulator.loop import WallClock

NO_HELPERS = 10**9
"""More records than any run has: no worker process is started."""


class KeptKeys:
    """A keyring in memory."""

    def __init__(self) -> None:
        self._keys: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, name: str) -> str | None:
        """Returns a key."""
        return self._keys.get((service, name))

    def set_password(self, service: str, name: str, key: str) -> None:
        """Stores a key."""
        self._keys[service, name] = key

    def store(self) -> KeyStore:
        """Returns a key store of these keys."""
        return KeyStore(cast(KeyringBackend, self), "memory")


class Process:
    """One life of the program on a home. The engine runs from `start_engine` on."""

    def __init__(
        self, home: Path, klaviyo: SimulatedKlaviyo, keys: KeptKeys, seed: str, limits: dict[str, Any]
    ) -> None:
        self.home = home
        self.clock: WallClock = klaviyo.clock
        self.wire = Wire(klaviyo)
        self.lock = OwnershipLock(home)
        self.lock.acquire()
        chance = random.Random(f"process {seed}")
        self.journal, self.writer = open_journal_in_loop(home, random.Random(f"writer {seed}"))
        self.instance = Instance(home, State(home), self.journal, owner=True, secrets=keys.store())
        self.instance.clock = self.clock.wall
        self.instance.rate_clock = self.clock
        self.instance.http_carrier = self.wire
        self.instance.timing = replace(Timing(), random_fraction=chance.random)
        self.instance.limits = replace(Limits(), **{"backlog_min_count": NO_HELPERS, **limits})
        self.instance.retry_policy = RetryPolicy(clock=self.clock.now, random=chance.random)
        self._engine: Engine | None = None
        self._running: asyncio.Task[None] | None = None

    def start_engine(self, *, until_idle: bool = False) -> asyncio.Task[None]:
        """Starts the engine."""
        self._engine = Engine(self.instance)
        self._running = asyncio.get_running_loop().create_task(self._engine.run(until_idle=until_idle))
        return self._running

    @property
    def engine_task(self) -> asyncio.Task[None]:
        """The engine's task."""
        assert self._running is not None
        return self._running

    async def stop_engine(self) -> None:
        """Ends the engine as a signal does."""
        assert self._engine is not None
        assert self._running is not None
        self._engine.stop()
        await self._running

    def crash_at(self, crash: Crash | None) -> None:
        """Sets the commit at which this life ends."""
        self.writer.crash = crash

    async def bury(self, alive: Collection[asyncio.Task[Any]]) -> None:
        """Ends all tasks of a process that died; those `alive` are not of it."""
        self.wire.cut = True
        for _ in range(50):
            left = [task for task in asyncio.all_tasks() if task not in alive]
            if not left:
                break
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=1.0)
        self.lock.release()
        await self.journal.close()
        self.instance.state.close()

    async def end(self) -> None:
        """Ends this life in order; the engine has stopped."""
        await self.instance.aclose()
        self.lock.release()
        self.instance.state.close()
