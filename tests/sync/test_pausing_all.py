"""Pausing all workflows at once, and taking that back."""

from __future__ import annotations

from functools import partial

import pytest

from tests.support.bad_days import WELCOME, brisk, engine, order, settled, until
from tests.support.workbench import Workbench, points

__all__ = ["brisk"]

pytestmark = pytest.mark.usefixtures("brisk")


async def _states(bench: Workbench) -> dict[str, str]:
    return {state.workflow: state.status for state in await bench.instance.journal.workflow_states()}


async def _written(bench: Workbench, count: int) -> bool:
    return (await settled(bench))["points written"] == count


async def test_all_are_paused_and_only_those_are_resumed(bench: Workbench) -> None:
    for name in ("welcome", "second", "quiet"):
        await bench.apply(WELCOME.replace("workflow: welcome", f"workflow: {name}"))
    await bench.apply(WELCOME.replace("workflow: welcome", "workflow: draft"), activate=False)
    await order(bench, "pause", workflow="quiet")
    async with engine(bench):
        assert await order(bench, "pause_all") == {"paused": ["second", "welcome"]}
        assert await order(bench, "pause_all") == {"paused": []}
        await bench.take(points(number) for number in range(3))
        assert set((await _states(bench)).values()) == {"paused", "draft"}
        assert not bench.events("First Points Earned")
        assert await order(bench, "resume_all") == {"resumed": ["second", "welcome"], "paused": ["quiet"]}
        await until(bench, partial(_written, bench, 6))
        assert await _states(bench) == {
            "draft": "draft",
            "quiet": "paused",
            "second": "active",
            "welcome": "active",
        }
        await order(bench, "pause_all")
        await order(bench, "resume", workflow="welcome")
        await order(bench, "pause", workflow="welcome")
        assert (await order(bench, "resume_all"))["paused"] == ["quiet", "welcome"]
