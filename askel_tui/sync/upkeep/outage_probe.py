"""Probes: a step that is held for passing trouble sends one operation from time to time, until one is answered.

This is the half-open state of a circuit breaker: an outage, a wait that Klaviyo asked for, a gate that can't be read.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace

from askel_tui.core.hold_causes import hold_cause
from askel_tui.core.hold_history import pause_ms
from askel_tui.store.journal.rows import Hold
from askel_tui.sync.dispatching.dispatcher import Dispatcher
from askel_tui.sync.instance import Instance
from askel_tui.sync.periodic import Interval

log = logging.getLogger(__name__)

ROUND_INTERVAL_MS = 200
"""The shortest time between two rounds, in milliseconds."""


@dataclass(frozen=True, slots=True)
class _Probe:
    """An operation that was sent as a probe, by its `seq`, when, and how many were sent in vain before."""

    seq: int
    at: int
    failures: int


class OutageProbes:
    """A worker that tests, step by step, whether operations that were held for passing trouble can be sent again."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._probes: dict[tuple[str, int, str], _Probe] = {}
        self._interval = Interval()

    async def run_round(self, dispatchers: Iterable[Dispatcher]) -> None:
        """Sends the probes that are due, and ends the holds whose probe was answered."""
        now = self._instance.clock()
        if not self._interval.elapsed(now, ROUND_INTERVAL_MS):
            return
        holds = [hold for hold in await self._instance.journal.holds() if hold_cause(hold.cause).is_probed]
        current = {hold.key for hold in holds}
        self._probes = {key: probe for key, probe in self._probes.items() if key in current}
        serving = list(dispatchers) if holds else []
        for hold in holds:
            dispatcher = next((each for each in serving if hold.connection in each.connections), None)
            if dispatcher is not None:
                await self._probe(hold, dispatcher, now)

    async def _probe(self, hold: Hold, dispatcher: Dispatcher, now: int) -> None:
        key = hold.key
        probe = self._probes.get(key)
        last, failures = hold.since, hold.repeats
        if probe is not None:
            state = await self._instance.journal.operation_state(probe.seq)
            if state in (None, "failed"):
                # Any answer, a refusal too, shows that the outage is over.
                await self._end_hold(hold, now)
                return
            if state == "waiting":
                return
            last, failures = probe.at, probe.failures + 1
        pause = pause_ms(self._instance.timing.probe_interval_ms, failures)
        if 0 <= now - last < pause or hold.since <= now < (hold.until or 0):
            return
        async with dispatcher.suspend_loading():
            seq = await self._instance.journal.release_one(
                hold.workflow, hold.step, now, version=hold.version
            )
        if seq is None:
            await self._end_hold(hold, now)
        else:
            self._probes[key] = _Probe(seq, now, failures)

    async def _end_hold(self, hold: Hold, now: int) -> None:
        self._probes.pop(hold.key, None)
        # Klaviyo answers: the other steps are tried soon, however long they were to wait.
        self._probes = {key: replace(probe, failures=-1) for key, probe in self._probes.items()}
        await self._instance.journal.submit_command("release", hold.release_arguments(), "askel", now)
        log.info("%s step %s: Klaviyo answers again", hold.workflow, hold.step)
