"""A connection as the engine uses it: the account that it writes to, its client and its policy."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from askel_tui.core.operations import OnConflict
from askel_tui.core.workflows.model import OnSharedPhone
from askel_tui.klaviyo.client import Client
from askel_tui.sync.timing import Limits, Timing

PAUSE_AFTER_MS = 15 * 60_000
"""Time for which operations are tried again before their step is held, without a setting, in milliseconds."""


PhonePolicy = Callable[[str, int], OnSharedPhone]
"""A function of a workflow and its version."""


ClientAt = Callable[[str], Awaitable[Client | None]]
"""A function of a revision."""


def _go_on(workflow: str, version: int) -> OnSharedPhone:
    return "go_on"


@dataclass(frozen=True, slots=True)
class Connected:
    """A connection that has a key, with the client that uses it."""

    name: str
    account: str
    revision: str
    key: str
    """The key's fingerprint."""
    client: Client
    on_conflict: OnConflict = "fail"
    pause_after_ms: int = PAUSE_AFTER_MS
    """Time for which a step's operations may be backed off before the step is held, in milliseconds."""
    timing: Timing = field(default_factory=Timing)
    limits: Limits = field(default_factory=Limits)
    on_shared_phone: PhonePolicy = field(default=_go_on, compare=False)
    """Finds what a version of a workflow does with phone numbers that another person's profile has."""
    canary: Connected | None = field(default=None, compare=False)
    """The connection at the revision of a move that is tried: the first people are written there."""
    client_at: ClientAt | None = field(default=None, compare=False)
    """Finds the connection's client at another revision: what was sent before a move is settled where it was sent."""

    async def at(self, revision: str) -> Connected:
        """Returns the connection at the revision of one of its requests."""
        client = (
            None if revision == self.revision or self.client_at is None else await self.client_at(revision)
        )
        return self if client is None else replace(self, revision=revision, client=client)
