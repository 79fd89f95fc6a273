"""Browse: tabs, search, details, copies, counts and checks, by keys alone."""

from __future__ import annotations

import re
from typing import Any

import pytest
from textual.pilot import Pilot

from askel_tui.tui.app import AskelApp
from tests.support.workbench import Workbench, example
from tests.tui.conftest import Console, assert_snapshot, ready, text_of

SIZES = [(80, 24), (120, 36), (200, 50)]


async def used(bench: Workbench) -> None:
    """An account of which a workflow uses some."""
    await bench.apply(example("first-points-welcome.yaml"))


def steady(shown: str) -> str:
    """The screen without the age of the catalog and the dates of the sandbox."""
    shown = re.sub(r"read \d+ (s|min) ago", "read N s ago", shown)
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.+]+", lambda found: "T" * len(found[0]), shown)


async def press(pilot: Pilot[Any], *keys: str) -> None:
    """Keys, and everything that they set going."""
    await pilot.press(*keys)
    await ready(pilot)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_what_it_shows(console: Console, size: tuple[int, int]) -> None:
    """The lists of the account, and what is known about the first."""
    async with console(size=size, first="browse", prepare=used) as (app, pilot, _):
        await press(pilot, "r")
        app.clear_notifications()
        await ready(pilot)
        assert_snapshot(steady(text_of(app)), f"browse-{size[0]}x{size[1]}")
