"""How long tests wait: until something is so, and never for a fixed time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

PATIENCE_S = 120.0
"""A bound against hanging on a machine that does much else, in seconds; no measure of how fast anything is."""

_PAUSE_S = 0.01


def wait_until(true: Callable[[], object], what: str = "what was waited for") -> None:
    """Waits, without an event loop, until something is true."""
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, f"{what} never came to be"
        time.sleep(_PAUSE_S)


async def eventually(true: Callable[[], object], what: str = "what was waited for") -> None:
    """Lets the event loop run until something is true."""
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, f"{what} never came to be"
        await asyncio.sleep(_PAUSE_S)
