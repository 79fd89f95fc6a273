"""Connections: set up, checked, changed, given a new key, taken away; by keys alone."""

from __future__ import annotations

import re
from typing import Any

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input

from askel_tui.sandbox.seed import FULL_KEY
from askel_tui.tui.app import AskelApp
from askel_tui.tui.widgets.connection_form import ConnectionForm
from askel_tui.tui.widgets.rotate_form import RotateForm
from tests.support.workbench import ACTOR, NAME, Workbench
from tests.tui.conftest import Console, assert_snapshot, ready, text_of

SIZES = [(80, 24), (120, 36), (200, 50)]


async def press(pilot: Pilot[Any], *keys: str) -> None:
    """Keys, and everything that they set going."""
    await pilot.press(*keys)
    await ready(pilot)


async def until_idle(pilot: Pilot[Any]) -> None:
    """Waits for what the keys set going, forms included."""
    await pilot.pause()


def steady(shown: str) -> str:
    """The screen without the day on which the connection was made."""
    return re.sub(r"connected  \d{4}-\d\d-\d\d \d\d:\d\dZ", "connected  TTTT-TT-TT TT:TTZ", shown)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_what_it_shows(console: Console, size: tuple[int, int]) -> None:
    """The connection, its account, its scopes."""
    async with console(size=size, first="connections") as (app, _, _):
        assert_snapshot(steady(text_of(app)), f"connections-{size[0]}x{size[1]}")
