"""(f): connections without traffic, each of an account of its own: what they take of a core."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from askel_tui.contract.endpoints import NEWEST
from askel_tui.core.fingerprints import fingerprint
from askel_tui.store.state.documents import ConnectionDoc
from askel_tui.sync.instance import now_ms, open_instance
from tests.benchmarks.common import Row, account, cpu_seconds, daemon
from tests.support.sandbox import SandboxProcess

CONNECTIONS, QUICK = 1_000, 20
SECONDS, QUICK_SECONDS = 30.0, 1.0
SETTLED_S, QUICK_SETTLED_S = 10.0, 1.0
LATE_S = 120.0


async def measure(quick: bool = False) -> list[Row]:
    """The share of a core over half a minute, and the memory."""
    count = QUICK if quick else CONNECTIONS
    with account() as server, tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        await _connect(home, server, count)
        running = daemon(home, until_idle=False)
        try:
            await asyncio.sleep(QUICK_SETTLED_S if quick else SETTLED_S)
            await _quiet(running.process.pid)
            before, began = cpu_seconds(running.process.pid), time.perf_counter()
            await asyncio.sleep(QUICK_SECONDS if quick else SECONDS)
            took, seconds = cpu_seconds(running.process.pid) - before, time.perf_counter() - began
            _, peak = running.usage()
        finally:
            running.stop()
            await running.ended(time.perf_counter() - running.began + LATE_S)
    return [
        Row(f"(f) {count:,} connections without traffic", 100 * took / seconds, "% of a core", aim=2),
        Row("(f): peak memory", peak, "MB"),
    ]


async def _connect(home: Path, server: SandboxProcess, count: int) -> None:
    """Connections as `askel connect` leaves them, without asking the account for its scopes a thousand times."""
    async with open_instance(home) as instance:
        for number in range(count):
            name, ident = f"brand-{number}", f"Acct{number:04}"
            server.control("POST", "accounts", {"id": ident, "name": name, "seed": "empty"})
            key = server.control("POST", "keys", {"account": ident})["key"]
            instance.secrets().set(name, key)
            doc = ConnectionDoc(
                name=name, account=ident, key=fingerprint(key), revision=NEWEST, created=now_ms()
            )
            instance.state.save_connection(doc)


async def _quiet(pid: int) -> None:
    """Waits until the process has stopped working at its start: less than half of a core over a second."""
    for _ in range(60):
        before = cpu_seconds(pid)
        await asyncio.sleep(1)
        if cpu_seconds(pid) - before < 0.5:
            return
