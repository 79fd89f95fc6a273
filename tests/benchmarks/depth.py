"""(e): what an operation costs the processor, with few and with very many waiting.

The operations are planned beforehand; then a daemon without budgets sends, and its processor time is looked at
between the same two numbers of operations sent. Events at 2024-02-15 go one by one, so the work is the same.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

from askel_tui.sync.instance import open_instance
from askel_tui.sync.planning.planner import Planner
from tests.benchmarks.common import METRIC, NAME, Process, Row, account, daemon, line, prepare, workflow

OLD = "2024-02-15"
STEPS = 4
FEW_RECORDS, MANY_RECORDS = 10_000, 1_000_000
QUICK_FEW, QUICK_MANY = 800, 2_000
WORKFLOW = workflow(
    f"{{id: points{step}, track_event: {{metric: {METRIC}, properties: {{Points: data.points}}}}}}"
    for step in range(STEPS)
)
SAMPLE_INTERVAL_S = 0.1
PATIENCE_S = 300.0


async def measure(quick: bool = False) -> list[Row]:
    """Microseconds an operation, and the ratio of the two."""
    few, many = (QUICK_FEW, QUICK_MANY) if quick else (FEW_RECORDS, MANY_RECORDS)
    span = (few // 5, few * 4 // 5)
    less = await _cost(few, span)
    more = await _cost(many, span)
    return [
        Row(
            f"(e) an operation with {many:,} waiting",
            more,
            "µs",
            f"with {few:,} waiting",
            less,
            aim=less * 1.2,
        ),
    ]


async def _cost(waiting: int, span: tuple[int, int]) -> float:
    """Microseconds of processor an operation, between two numbers of operations sent."""
    with account(limits=False) as server, tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        os.environ["ASKEL_BUDGETS"] = "off"
        lines = (line(number) for number in range(waiting // STEPS))
        await prepare(home, server.key, WORKFLOW, lines, revision=OLD)
        await _plan(home)
        running = daemon(home, until_idle=False)
        try:
            (sent, cpu), (sent_later, cpu_later) = await _stretch(home, running, span)
        finally:
            running.process.kill()
            await asyncio.to_thread(running.process.communicate)
    return (cpu_later - cpu) / (sent_later - sent) * 1e6


async def _plan(home: Path) -> None:
    """Plans all that was taken in; nothing is sent."""
    async with open_instance(home) as instance:
        looked_at = 1
        while looked_at:
            (state,) = await instance.journal.workflow_states()
            applied = await instance.applied_version(state.workflow, state.version)
            assert applied is not None
            planner = Planner(instance.journal, instance.clock, lambda *_: None)
            looked_at = await planner.plan_round([(state, applied)])


async def _stretch(
    home: Path, running: Process, span: tuple[int, int]
) -> tuple[tuple[int, float], tuple[int, float]]:
    """(operations sent, processor seconds) when the first and when the second number was passed."""
    marks: list[tuple[int, float]] = []
    end = asyncio.get_running_loop().time() + PATIENCE_S
    async with open_instance(home) as instance:
        while len(marks) < 2:
            counts = (await instance.journal.counts())[NAME]
            cpu, _ = running.usage()
            if counts.sent >= span[len(marks)]:
                marks.append((counts.sent, cpu))
            if asyncio.get_running_loop().time() > end or running.process.poll() is not None:
                raise RuntimeError(f"the daemon sent no more than {counts.sent}")
            await asyncio.sleep(SAMPLE_INTERVAL_S)
    return marks[0], marks[1]
