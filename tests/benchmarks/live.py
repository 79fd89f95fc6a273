"""(c): single records, from the moment they are committed to the moment their writes are answered.

A record's upsert and event go in two calls of their own, one after the other; the later answer counts. Once while
nothing else is to do, once beside the backlog of (b), which shares its event budget.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

from askel_tui.contract.endpoints import NEWEST
from askel_tui.core.records.record import read_record
from askel_tui.services import workflows
from askel_tui.store.journal.rows import AuditFilter
from askel_tui.sync.instance import Instance, now_ms, open_instance
from tests.benchmarks.common import EVENT, NAME, UPSERT, Row, account, daemon, line, prepare, workflow

OLD = "2024-02-15"
RECORDS, QUICK = 300, 20
BACKLOG, QUICK_BACKLOG = 10_000, 200
INTERVAL_S = 0.35
SETTLED_S = 3.0
"""How long the daemon runs before the first record."""
LATE_S = 60.0

LIVE = "live"
TRIGGER = "points_now"
STEPS = 2


async def measure(quick: bool = False) -> list[Row]:
    """p50 and p99, idle and beside (b)."""
    count = QUICK if quick else RECORDS
    idle = await _latencies(count, 0, NEWEST)
    with_backlog = await _latencies(count, QUICK_BACKLOG if quick else BACKLOG, OLD)
    return [
        Row("(c) record to answer, idle: p50", median(idle), "ms"),
        Row("(c) record to answer, idle: p99", p99(idle), "ms", aim=100),
        Row("(c) beside (b): p50", median(with_backlog), "ms", "idle", median(idle)),
        Row("(c) beside (b): p99", p99(with_backlog), "ms", "idle", p99(idle), aim=500),
    ]


def p99(values: list[float]) -> float:
    """The value that one in a hundred is over."""
    return quantiles(values, n=100, method="inclusive")[98]


async def _latencies(count: int, backlog: int, revision: str) -> list[float]:
    """Milliseconds of each record."""
    with account() as server, tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        lines = (line(number) for number in range(backlog))
        await prepare(home, server.key, workflow(), lines, revision=revision)
        async with open_instance(home) as instance:
            await workflows.apply(
                instance, workflow((UPSERT, EVENT), name=LIVE, trigger=TRIGGER), f"{LIVE}.yaml", NAME
            )
            await workflows.activate(instance, LIVE, NAME)
            running = daemon(home, until_idle=False)
            try:
                await asyncio.sleep(SETTLED_S)
                committed = await _accept(instance, count)
                answered = await _answers(instance, count)
            finally:
                running.stop()
                await running.ended(LATE_S + time.perf_counter() - running.began)
    return [answered[record] - at for record, at in committed.items()]


async def _accept(instance: Instance, count: int) -> dict[str, float]:
    """Takes records in one by one; when each was durable, in milliseconds since 1970."""
    committed: dict[str, float] = {}
    for number in range(count):
        record = read_record(line(number, LIVE, TRIGGER), now="2026-11-23T09:00:00Z")
        await instance.journal.accept_records(NAME, [record], now_ms())
        committed[record.id] = time.time() * 1000
        await asyncio.sleep(INTERVAL_S)
    return committed


async def _answers(instance: Instance, count: int) -> dict[str, float]:
    """When the last write of each record was answered, by the audit."""
    end = time.monotonic() + LATE_S
    while True:
        entries = await instance.journal.audit_entries(AuditFilter(workflow=LIVE), limit=10 * count + 100)
        written = [entry for entry in entries if entry.status == "written" and entry.record]
        if len(written) >= STEPS * count:
            return {str(entry.record): float(entry.at) for entry in written}
        if time.monotonic() > end:
            raise RuntimeError(f"{len(written)} of {STEPS * count} writes were answered")
        await asyncio.sleep(0.2)
