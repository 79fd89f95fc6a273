"""Failed: reasons, another try, giving up, exports, by keys alone."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from askel_tui.tui.app import AskelApp
from tests.support.workbench import Workbench, example, points
from tests.tui.conftest import Console, assert_snapshot, ready, text_of

SIZES = [(80, 24), (120, 36), (200, 50)]


async def some(bench: Workbench) -> None:
    """Records of the hostile file that fail, and others that lack a field."""
    await bench.apply(example("first-points-welcome.yaml"))
    await bench.take(example("hostile.jsonl"))
    await bench.take([{**points(number), "data": {"points": 1, "shopper": {}}} for number in range(3)])
    await bench.drain()


async def press(pilot: Pilot[Any], *keys: str) -> None:
    """Keys, and everything that they set going."""
    await pilot.press(*keys)
    await ready(pilot)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_what_it_shows(console: Console, size: tuple[int, int]) -> None:
    """Reasons, the failures of the first, and one of them whole."""
    async with console(size=size, first="failed", prepare=some) as (app, pilot, _):
        assert_snapshot(text_of(app), f"failed-{size[0]}x{size[1]}")
