"""Processes that help with a backlog: they plan as this one does, come and go by themselves, and may die."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from askel_tui.store.journal.rows import WorkflowState
from askel_tui.sync.planning.backlog_workers import BacklogWorkers
from askel_tui.sync.planning.planner import build_runs_here
from askel_tui.sync.timing import Limits
from tests.support.patience import eventually
from tests.support.processes import children
from tests.support.workbench import NAME, Workbench

BACKLOG_MIN_COUNT = Limits().backlog_min_count

WORKFLOW = """\
workflow: many
connection: maple-ember
trigger: [earned, spent]
profile: {email: data.email}
when: "!data.dull"
steps:
  - id: tier
    upsert_profile: {first_name: data.name, properties: {Points: data.points}}
  - id: welcome
    add_to_list: Welcome Flow
  - id: told
    track_event: {metric: Points, value: data.points, properties: {Points: data.points}}
"""


def _record(number: int) -> dict[str, Any]:
    """Records of two events and of others; some that name nobody, some hostile, some with large numbers."""
    names: list[Any] = ["Ada", '","step":"', "\\ud800"[:0] + "é\u2028[red]", None, "\x1b[2J"]
    return {
        "id": f"r-{number}",
        "event": ("earned", "spent", "other")[number % 3],
        "data": {
            "email": None if number % 50 == 0 else f"p{number % 97}@shop.example",
            "dull": number % 7 == 0,
            "points": 10**30 if number % 41 == 0 else number % 11 + number / 8,
            "name": names[number % len(names)],
        },
    }


async def _ready(bench: Workbench) -> tuple[BacklogWorkers, list[int]]:
    """Helpers that have come, and their processes."""
    there = BacklogWorkers(bench.instance)
    before = set(children(os.getpid()))
    there.update(True)
    assert there._transition is not None
    await there._transition
    return there, [pid for pid in children(os.getpid()) if pid not in before]


async def _stretch(bench: Workbench) -> tuple[WorkflowState, Any, list[int]]:
    await bench.apply(WORKFLOW)
    await bench.take(_record(number) for number in range(2 * BACKLOG_MIN_COUNT))
    (state,) = await bench.instance.journal.workflow_states()
    applied = await bench.instance.applied_version(state.workflow, state.version)
    assert applied is not None
    seqs = await bench.instance.journal.record_seqs_after(
        NAME, 7, BACKLOG_MIN_COUNT, applied.workflow.triggers
    )
    assert len(seqs) == BACKLOG_MIN_COUNT
    return state, applied, seqs


async def test_the_process_plans_what_is_planned_here_and_its_end_ends_nothing(bench: Workbench) -> None:
    state, applied, seqs = await _stretch(bench)
    here = await build_runs_here(bench.instance.journal, state, applied, seqs)
    assert {bool(run.problems) for run in here} == {True, False}
    assert len(here) < len(seqs)
    there, processes = await _ready(bench)
    assert await there.build_runs(state, applied, seqs) == here
    assert (
        await there.build_runs(state, applied, seqs[:5])
        == here[: len([s for s in here if s.record_seq <= seqs[4]])]
    )
    for pid in processes:
        os.kill(pid, signal.SIGKILL)
    assert await there.build_runs(state, applied, seqs) == here
    await there.close()


async def test_they_come_with_a_backlog_and_go_after_a_rest(bench: Workbench) -> None:
    there, processes = await _ready(bench)
    assert len(processes) == 1
    there.update(False)
    assert set(processes) <= set(children(os.getpid()))
    bench.set_timing(worker_idle_timeout_s=0.0)
    there.update(False)
    await eventually(lambda: not set(processes) & set(children(os.getpid())))
    bench.set_timing(worker_idle_timeout_s=60.0)

    def come_again() -> bool:
        # Asked again and again, as the engine does: they may still be going.
        there.update(True)
        return bool(set(children(os.getpid())) - set(processes))

    await eventually(come_again)
    await there.close()
    assert not [pid for pid in children(os.getpid()) if pid in processes]


async def test_one_that_can_not_be_started_is_done_without(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    state, applied, seqs = await _stretch(bench)
    monkeypatch.setattr("askel_tui.worker_process.parent.sys.executable", "/nowhere/python")
    there, processes = await _ready(bench)
    assert processes == []
    assert "no process can be started to help with the backlog" in caplog.text
    assert len(await there.build_runs(state, applied, seqs)) > 100
    await there.close()
