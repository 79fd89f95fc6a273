"""The progress of work that takes long: a line with count, rate and time left; Esc cancels."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from textual.content import Content
from textual.timer import Timer
from textual.widget import Widget

from askel_tui.text.sanitizing import sanitize

SPINNER_INTERVAL_S = 0.25
"""Interval at which the sign of running work changes, in seconds."""

_SPINNER = "◐◓◑◒"


class Cancelled(Exception):
    """Raised for work that a person has cancelled."""


@dataclass(slots=True)
class Progress:
    """The progress of some work. `report` may be called from any thread."""

    done: int = 0
    total: int | None = None
    started_at: float = field(default_factory=time.monotonic)

    def report(self, done: int, total: int | None = None) -> None:
        """Sets how much is done, of how much where that is known."""
        self.done = done
        self.total = total if total is not None else self.total

    def describe(self, now: float) -> str:
        """Describes count, rate and time left, as far as they are known."""
        seconds = max(now - self.started_at, 0.001)
        if not self.done:
            return f"{seconds:.0f} s"
        rate = self.done / seconds
        parts = [f"{self.done:,}" + (f" of {self.total:,}" if self.total else ""), f"{rate:,.0f}/s"]
        if self.total and self.total > self.done:
            parts.append(f"{(self.total - self.done) / rate:,.0f} s left")
        return " · ".join(parts)


class BusyLine(Widget):
    """A line with the progress of the newest work; hidden while there is none."""

    def __init__(self) -> None:
        super().__init__()
        self._work: list[tuple[str, asyncio.Future[Any], Progress]] = []
        self._timer: Timer | None = None
        self._spinner_step = 0

    def on_mount(self) -> None:
        """Makes the timer, which runs only while there is work: idle means idle."""
        self._timer = self.set_interval(SPINNER_INTERVAL_S, self._tick, pause=True)

    @contextmanager
    def shown(self, label: str, task: asyncio.Future[Any], progress: Progress) -> Iterator[None]:
        """Shows the progress of work inside the block."""
        item = (sanitize(label), task, progress)
        self._work.append(item)
        self._show()
        try:
            yield
        finally:
            self._work.remove(item)
            self._show()

    def cancel(self) -> bool:
        """Cancels the newest work; returns False where there is none."""
        if not self._work:
            return False
        self._work[-1][1].cancel()
        return True

    def _show(self) -> None:
        self.set_class(bool(self._work), "-shown")
        if self._timer is not None:
            self._timer.resume() if self._work else self._timer.pause()
        self.refresh()

    def _tick(self) -> None:
        self._spinner_step += 1
        self.refresh()

    def render(self) -> Content:
        """Renders the line."""
        if not self._work:
            return Content("")
        label, _, progress = self._work[-1]
        sign = _SPINNER[self._spinner_step % len(_SPINNER)]
        words = progress.describe(time.monotonic())
        return Content.assemble(
            (f"{sign} ", "$accent"), f"{label}  {words}  ", ("Esc cancels", "$foreground-muted")
        )
