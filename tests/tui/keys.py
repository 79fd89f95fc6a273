"""Keys, and waiting for what they set going, also while a question waits for its answer."""

from __future__ import annotations

import time
from typing import Any

from textual.pilot import Pilot
from textual.screen import ModalScreen


async def press(pilot: Pilot[Any], *keys: str) -> None:
    """Presses keys and waits until nothing moves but what waits for an answer."""
    await pilot.press(*keys)
    await settled(pilot)


async def settled(pilot: Pilot[Any]) -> None:
    """Waits until no worker runs; while a question is open, only its own count."""
    app, end, quiet = pilot.app, time.monotonic() + 20, 0
    while quiet < 3:
        assert time.monotonic() < end, "the console did not settle"
        await pilot.pause(0.01)
        asking = isinstance(app.screen, ModalScreen)
        running = [
            worker
            for worker in app.workers
            if not worker.is_finished and (not asking or worker.node is app.screen)
        ]
        quiet = 0 if running else quiet + 1
