"""Silences: the calls that Klaviyo does not answer are written down for `status`, the console and other processes."""

from __future__ import annotations

import logging

from askel_tui.sync.instance import Instance
from askel_tui.sync.periodic import Interval

log = logging.getLogger(__name__)

ROUND_INTERVAL_MS = 1_000
"""The time between two rounds, in milliseconds."""


class Silences:
    """A worker that keeps the journal's list of unanswered calls, for the engine that owns the instance."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._saved: list[tuple[str, str, int]] | None = None
        self._interval = Interval()

    async def run_round(self) -> None:
        """Writes the list where it changed; the first round replaces what an earlier process left."""
        if not self._interval.elapsed(self._instance.clock(), ROUND_INTERVAL_MS):
            return
        unanswered = self._instance.answers.unanswered(self._instance.timing.silence_ms)
        silent = [(each.account, each.call, each.since) for each in unanswered]
        if silent != self._saved:
            await self._instance.journal.save_unanswered_calls(silent)
            self._saved = silent
