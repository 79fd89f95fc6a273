"""(a) and (b): a backlog of upsert, list addition and event, from the daemon's start to the last answer.

(a) at the newest revision, also with a gate, and with another client that takes 30 % of each window; (b) at 2024-02-15,
where events go one by one. The end state is compared exactly, and the server counts its own 429s.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from askel_tui.contract.endpoints import NEWEST
from tests.benchmarks.common import (
    ADDITION,
    EVENT,
    GATE,
    JOB_S,
    NAME,
    UPSERT,
    Ran,
    Row,
    account,
    bound,
    daemon,
    differences,
    line,
    prepare,
    throttled,
    workflow,
)
from tests.support.sandbox import SandboxProcess

OLD = "2024-02-15"
RECORDS, OLD_RECORDS = 100_000, 10_000
QUICK, OLD_QUICK = 300, 100
ROWS_A_JOB, EVENTS_A_CALL = 10_000, 1_000
PATIENCE_S = 1_800.0

FOREIGN = Path(__file__).with_name("foreign.py")
FOREIGN_SHARE = 0.3


async def measure(quick: bool = False) -> list[Row]:
    """(a), (a) with a gate, (a) beside another client."""
    count = QUICK if quick else RECORDS
    rows = []
    for name, gate, foreign in (
        ("", False, False),
        (" with a gate", True, False),
        (" beside another", False, True),
    ):
        ran, refused, calls, took = await drained(count, gate=gate, foreign=foreign)
        wait = max(
            bound("bulk_import_profiles", -(-count // ROWS_A_JOB)),
            bound("bulk_create_events", -(-count // EVENTS_A_CALL)),
        )
        rows.append(
            Row(
                f"(a) {count:,} records{name}",
                ran.seconds,
                "s",
                "Klaviyo's windows and one job",
                wait + JOB_S,
                aim=None if foreign else 30,
            )
        )
        rows.append(
            Row(
                f"(a){name}: processor",
                ran.cpu_s / count / 3 * 1e6,
                "µs an operation",
                note=f"{ran.cpu_s:.1f} s",
            )
        )
        rows.append(Row(f"(a){name}: peak memory", ran.peak_mb, "MB"))
        if foreign:
            rows.append(Row(f"(a){name}: 429s", 100 * refused / calls, "% of our calls", aim=1))
        else:
            rows.append(Row(f"(a){name}: 429s", refused, f"of {calls} calls", aim=0))
            rows.append(Row(f"(a){name}: taking the records in", took, "s"))
    return rows


async def measure_old(quick: bool = False) -> list[Row]:
    """(b)."""
    count = OLD_QUICK if quick else OLD_RECORDS
    ran, refused, calls, _ = await drained(count, revision=OLD)
    wait = bound("create_event", count, OLD)
    return [
        Row(f"(b) {count:,} records at {OLD}", ran.seconds, "s", "Klaviyo's windows", wait or None, aim=180),
        Row("(b): 429s", refused, f"of {calls} calls", aim=0),
        Row("(b): peak memory", ran.peak_mb, "MB"),
    ]


async def drained(
    count: int, *, revision: str = NEWEST, gate: bool = False, foreign: bool = False
) -> tuple[Ran, int, int, float]:
    """(how the daemon ran, 429s we got, calls we made, seconds of ingesting). Raises where the end state is wrong."""
    with account() as server, tempfile.TemporaryDirectory() as home:
        lines = (line(number) for number in range(count))
        source = workflow((UPSERT, *([GATE] if gate else []), ADDITION, EVENT))
        took = await prepare(Path(home), server.key, source, lines, revision=revision)
        refused, calls = throttled(server)
        with other(server, revision) if foreign else nobody() as theirs:
            ran = await daemon(Path(home)).ended(PATIENCE_S)
        wrong = differences(server, count)
        if wrong:
            raise RuntimeError(f"{NAME}: {'; '.join(wrong)}")
        refused, calls = (
            now - before for now, before in zip(throttled(server), (refused, calls), strict=True)
        )
        return ran, refused - theirs[0], calls - theirs[1], took


@contextmanager
def nobody() -> Iterator[list[int]]:
    """No other client: [429s it got, calls it made]."""
    yield [0, 0]


@contextmanager
def other(server: SandboxProcess, revision: str) -> Iterator[list[int]]:
    """Another client with a key of its own, which takes its share of each window: [429s it got, calls it made]."""
    key = server.control("POST", "keys", {})["key"]
    command = [sys.executable, str(FOREIGN), server.url, key, revision, str(FOREIGN_SHARE)]
    counts = [0, 0]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield counts
        finally:
            out, _ = process.communicate("\n", timeout=60)
            counts[:] = map(int, out.split())
