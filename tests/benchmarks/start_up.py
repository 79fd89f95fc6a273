"""`askel --help` against an interpreter that does nothing: medians, in milliseconds."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time

from tests.benchmarks.common import Row

TIMES = 10


async def measure(quick: bool = False) -> list[Row]:
    """Both in turns, so that what else the machine does meets both."""
    ours, bare = [], []
    for _ in range(3 if quick else TIMES):
        ours.append(await asyncio.to_thread(_took, [sys.executable, "-m", "askel_tui", "--help"]))
        bare.append(await asyncio.to_thread(_took, [sys.executable, "-c", "pass"]))
    return [
        Row("askel --help", statistics.median(ours), "ms", "python -c pass", statistics.median(bare)),
    ]


def _took(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - began) * 1000
