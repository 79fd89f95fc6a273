"""The schedule of checks: when each connection and step is to be checked for drift again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from askel_tui.core.hold_history import pause_ms
from askel_tui.store.journal.rows import Hold
from askel_tui.sync.account_checks.pins import Pins, VersionedStep
from askel_tui.sync.instance import Instance


@dataclass(slots=True)
class CheckState:
    """The state of a connection between checks; times are milliseconds since 1970."""

    full_check_at: int
    """The time of the last check of the whole connection."""
    requested_at: dict[VersionedStep, int] = field(default_factory=dict)
    """The times at which operations of each step were last to be sent."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class CheckSchedule:
    """Keeps the times of checks, by connection and by step."""

    def __init__(self, instance: Instance, pins: Pins) -> None:
        self._instance = instance
        self._pins = pins
        self._connections: dict[str, CheckState] = {}
        self._checked_at: dict[VersionedStep, int] = {}

    @property
    def connections(self) -> Iterable[str]:
        """The connections with a state."""
        return self._connections.keys()

    def state(self, connection: str) -> CheckState:
        """Returns the state of a connection, made where there is none."""
        if connection not in self._connections:
            timing = self._instance.timing
            # A first idle check soon, but not those of a thousand connections at once.
            offset = timing.active_check_interval_ms + len(self._connections) * timing.first_check_spread_ms
            at = self._instance.clock() - timing.idle_check_interval_ms + offset
            self._connections[connection] = CheckState(at)
        return self._connections[connection]

    def check_soon(self, connection: str) -> None:
        """Makes a connection due for a full check."""
        self.state(connection).full_check_at = -self._instance.timing.idle_check_interval_ms

    def note_checked(self, keys: Iterable[VersionedStep], at: int) -> None:
        """Remembers when a check of the steps `keys` began."""
        self._checked_at.update(dict.fromkeys(keys, at))

    def is_fresh(self, key: VersionedStep, now: int) -> bool:
        """Checks whether operations of the step may be sent without another check."""
        return self._pins.needs_no_check(key) or self._is_younger(
            key, self._instance.timing.max_check_age_ms, now
        )

    def is_due(self, connection: str, holds: Iterable[Hold], now: int) -> bool:
        """Checks whether the connection is due for a full check; `holds` are those of the connection that may end by
        themselves."""
        timing, state = self._instance.timing, self.state(connection)
        has_traffic = any(now - at < timing.active_check_interval_ms for at in state.requested_at.values())
        interval = timing.active_check_interval_ms if has_traffic else timing.idle_check_interval_ms
        if not 0 <= now - state.full_check_at < interval:
            return True
        first = timing.hold_check_interval_ms
        return any(
            now - max(state.full_check_at, hold.since) >= pause_ms(first, hold.repeats) for hold in holds
        )

    def due_soon(self, connection: str, now: int) -> list[VersionedStep]:
        """Returns the steps with traffic that are to be checked ahead."""
        timing, state = self._instance.timing, self.state(connection)
        state.requested_at = {
            key: at for key, at in state.requested_at.items() if now - at < timing.active_check_interval_ms
        }
        return [
            key
            for key in state.requested_at
            if not self._pins.needs_no_check(key) and not self._is_younger(key, timing.recheck_age_ms, now)
        ]

    def _is_younger(self, key: VersionedStep, age_ms: int, now: int) -> bool:
        return 0 <= now - self._checked_at.get(key, -age_ms) < age_ms
