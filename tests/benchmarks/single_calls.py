"""Single calls with budgets off: the engine, journal and audit included, against a bare loop over the same transport.

Both send the same bodies to the same server in the same run, over 64 connections.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from askel_tui.contract.endpoints import NEWEST
from askel_tui.klaviyo.client import Client
from askel_tui.sync import connections, workflows
from askel_tui.sync.engine import Engine
from askel_tui.sync.instance import opened
from askel_tui.sync.intake import ingest
from tests.benchmarks.common import Row
from tests.support.sandbox import SandboxProcess, sandbox_process

RECORDS, QUICK = 5_000, 100
CONNECTIONS = 64
WORKFLOW = """
workflow: bench
connection: bench
trigger: first_points_earned
profile: {email: data.email}
steps:
  - id: tier
    upsert_profile: {first_name: data.name, properties: {LoyaltyTier: data.tier, LoyaltyPoints: data.points}}
  - id: points
    track_event: {metric: First Points Earned, value: data.points, properties: {Points: data.points}}
"""


def records(count: int) -> list[bytes]:
    """JSON lines of records, each of another person."""
    return [
        json.dumps(
            {
                "id": f"b-{number}",
                "event": "first_points_earned",
                "time": "2026-11-23T09:00:00Z",
                "data": {
                    "email": f"b{number}@bench.example",
                    "name": "Ada",
                    "tier": "Gold",
                    "points": number,
                },
            }
        ).encode()
        for number in range(count)
    ]


async def run(count: int = RECORDS) -> dict[str, Any]:
    """Calls per second of both, and the ratio."""
    with sandbox_process() as server, tempfile.TemporaryDirectory() as home:
        server.control("PATCH", "settings", {"log_limit": count * 3})
        os.environ.update(ASKEL_KLAVIYO_URL=server.url, ASKEL_VAULT_KEY="bench", ASKEL_BUDGETS="off")
        engine_s = await _engine(Path(home), server, count)
        sent = [each for each in server.control("GET", "requests")["requests"] if each["method"] == "POST"]
        calls = [
            (each["endpoint"], json.dumps(each["body"]).encode())
            for each in sent
            if each["status"] in (200, 201, 202)
        ]
        calls = [call for call in calls if call[0] in ("create_or_update_profile", "create_event")]
        server.control("POST", "reset", {"seed": "maple-ember"})
        bare_s = await _bare(server, calls)
    return {
        "calls": len(calls),
        "engine_per_s": round(len(calls) / engine_s),
        "bare_per_s": round(len(calls) / bare_s),
        "ratio": round(bare_s / engine_s, 2),
    }


async def _engine(home: Path, server: SandboxProcess, count: int) -> float:
    async with opened(home) as instance:
        await connections.connect(instance, "bench", server.key, "bench")
        await workflows.apply(instance, WORKFLOW, "bench.yaml", "bench")
        await workflows.activate(instance, "bench", "bench")
        await ingest(instance, "bench", records(count), "jsonl")
    async with opened(home, owner=True) as instance:
        began = time.perf_counter()
        await Engine(instance).run(until_idle=True)
        return time.perf_counter() - began


async def _bare(server: SandboxProcess, calls: list[tuple[str, bytes]]) -> float:
    async with Client(key=server.key, revision=NEWEST, url=server.url) as client:
        waiting = iter(calls)

        async def loop() -> None:
            for name, body in waiting:
                await client.call(name, body=body)

        began = time.perf_counter()
        await asyncio.gather(*(loop() for _ in range(CONNECTIONS)))
        return time.perf_counter() - began


async def measure(quick: bool = False) -> list[Row]:
    """Calls a second of both."""
    found = await run(QUICK if quick else RECORDS)
    return [
        Row(f"single calls, {found['calls']:,} of them", found["engine_per_s"], "calls/s", "a bare loop",
            found["bare_per_s"], aim=found["bare_per_s"] / 2, more=True),
    ]  # fmt: skip
