"""(d): profiles from a file: `askel ingest` and then the daemon, each in a process of its own; upserts only."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from askel_tui.contract.endpoints import NEWEST
from askel_tui.core.operations import Identity
from askel_tui.klaviyo.client import Client
from askel_tui.klaviyo.reads.profiles import find_profiles
from askel_tui.sync.instance import open_instance
from tests.benchmarks.common import (
    JOB_S,
    NAME,
    UPSERT,
    Process,
    Row,
    account,
    bound,
    daemon,
    email,
    line,
    prepare,
    throttled,
    workflow,
)
from tests.support.sandbox import SandboxProcess

PROFILES, QUICK = 1_000_000, 500
ROWS_A_JOB = 10_000
PATIENCE_S = 1_800.0
LOOKED_AT = 100


async def measure(quick: bool = False) -> list[Row]:
    """Time and peak memory. Raises where a profile is missing."""
    count = QUICK if quick else PROFILES
    with account() as server, tempfile.TemporaryDirectory() as directory:
        home, file = Path(directory) / "home", Path(directory) / "people.jsonl"
        home.mkdir(mode=0o700)
        await asyncio.to_thread(_write, file, count)
        await prepare(home, server.key, workflow((UPSERT,)))
        refused, calls = throttled(server)
        command = [sys.executable, "-m", "askel_tui", "ingest", str(file), "--connection", NAME]
        taken = await Process(command, {"ASKEL_HOME": str(home)}).ended(PATIENCE_S)
        sent = await daemon(home).ended(PATIENCE_S)
        async with open_instance(home) as instance:
            counts = (await instance.journal.counts())[NAME]
        if counts.sent != count or counts.failed or counts.waiting:
            raise RuntimeError(f"not all was sent: {counts}")
        await _read(server, count)
        refused, calls = (
            now - before for now, before in zip(throttled(server), (refused, calls), strict=True)
        )
    wait = bound("bulk_import_profiles", -(-count // ROWS_A_JOB)) + JOB_S
    peak = max(taken.peak_mb, sent.peak_mb)
    return [
        Row(f"(d) {count:,} profiles from a file", taken.seconds + sent.seconds, "s", "Klaviyo's windows and one job",
            wait, aim=240, note=f"taking in {taken.seconds:.0f} s, sending {sent.seconds:.0f} s"),
        Row("(d): peak memory", peak, "MB", aim=300, note=f"{taken.peak_mb:.0f} and {sent.peak_mb:.0f}"),
        Row("(d): processor", (taken.cpu_s + sent.cpu_s) / count * 1e6, "µs a profile"),
        Row("(d): 429s", refused, f"of {calls} calls", aim=0),
    ]  # fmt: skip


def _write(file: Path, count: int) -> None:
    with file.open("wb") as lines:
        for number in range(count):
            lines.write(line(number) + b"\n")


async def _read(server: SandboxProcess, count: int) -> None:
    """Reads some profiles back, from all over the file."""
    wanted = {Identity(email=email(number)): number for number in range(0, count, max(1, count // LOOKED_AT))}
    async with Client(key=server.key, revision=NEWEST, url=server.url) as client:
        found = await find_profiles(client, list(wanted))
    for identity, number in wanted.items():
        profile = found.get(identity)
        if profile is None or profile.attributes["properties"] != {
            "LoyaltyTier": "Gold",
            "LoyaltyPoints": number,
        }:
            raise RuntimeError(f"{identity.label()} is missing or wrong")
