"""A connection as the engine uses it: the account that it writes to, its client and its policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from askel_tui.core.operations import OnConflict
from askel_tui.core.workflows.model import OnSharedPhone
from askel_tui.klaviyo.client import Client
from askel_tui.sync.timing import Limits, Timing

PAUSE_AFTER_MS = 15 * 60_000
"""Time for which operations are tried again before their step is held, without a setting, in milliseconds."""


PhonePolicy = Callable[[str, int], OnSharedPhone]
"""A function of a workflow and its version."""


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
