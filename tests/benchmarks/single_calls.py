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

from askel_tui.contract.endpoints import endpoint
from askel_tui.klaviyo.http import HttpTransport, header_block
from askel_tui.services import connections, workflows
from askel_tui.services.ingest import ingest
from askel_tui.sync.engine.engine import Engine
from askel_tui.sync.instance import open_instance
from tests.benchmarks.common import METRIC, NAME, Row, line, workflow
from tests.support.sandbox import SandboxProcess, sandbox_process

RECORDS, QUICK = 5_000, 100
CONNECTIONS = 64
REVISION = "2024-02-15"
"""It has no bulk call for events: however many wait, each goes by itself."""
WORKFLOW = workflow(
    f"{{id: points{step}, track_event: {{metric: {METRIC}, value: data.points, properties: {{Points: data.points}}}}}}"
    for step in range(2)
)


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
    if len(calls) != 2 * count:
        raise RuntimeError(f"{len(calls)} calls were written down, not {2 * count}")
    return {
        "calls": len(calls),
        "engine_per_s": round(len(calls) / engine_s),
        "bare_per_s": round(len(calls) / bare_s),
        "ratio": round(bare_s / engine_s, 2),
    }


async def _engine(home: Path, server: SandboxProcess, count: int) -> float:
    async with open_instance(home) as instance:
        await connections.connect(instance, NAME, server.key, NAME, revision=REVISION, accept_retired=True)
        await workflows.apply(instance, WORKFLOW, "bench.yaml", "bench")
        await workflows.activate(instance, "bench", "bench")
        await ingest(instance, NAME, [line(number) for number in range(count)], "jsonl")
    async with open_instance(home, owner=True) as instance:
        began = time.perf_counter()
        await Engine(instance).run(until_idle=True)
        return time.perf_counter() - began


async def _bare(server: SandboxProcess, calls: list[tuple[str, bytes]]) -> float:
    """The same bodies through the bare transport: nothing is written down, counted or understood."""
    wire = HttpTransport(server.url)
    media = endpoint(REVISION, "create_event").content_type or ""
    headers = header_block(
        {
            "Authorization": f"Klaviyo-API-Key {server.key}",
            "revision": REVISION,
            "Accept": media,
            "Content-Type": media,
        }
    )
    waiting = [(endpoint(REVISION, name).method, endpoint(REVISION, name).path, body) for name, body in calls]
    left = iter(waiting)

    async def loop() -> None:
        for method, path, body in left:
            answer = await wire.send(method, path, headers, body)
            assert answer.status < 300, answer.body

    try:
        began = time.perf_counter()
        await asyncio.gather(*(loop() for _ in range(CONNECTIONS)))
        return time.perf_counter() - began
    finally:
        await wire.aclose()


async def measure(quick: bool = False) -> list[Row]:
    """Calls a second of both."""
    found = await run(QUICK if quick else RECORDS)
    return [
        Row(f"single calls, {found['calls']:,} of them", found["engine_per_s"], "calls/s", "a bare loop",
            found["bare_per_s"], aim=found["bare_per_s"] / 2, more=True),
    ]  # fmt: skip
