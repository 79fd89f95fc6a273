"""The rows of notices: messages to the team, and how far they were delivered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Notice:
    """A message to the team. A `quiet` one is not delivered: its incident has another notice that is."""

    seq: int
    at: int
    connection: str
    workflow: str
    step: str
    kind: Literal["hold", "recovery", "reminder", "warning", "over"]
    text: str
    cause: str | None = None
    detail: str | None = None
    quiet: bool = False
    incident: str | None = None
    """The incident that it is about, which may concern several steps and connections."""
    connections: tuple[str, ...] = ()
    """The connections that hear of their own notices only and get this one, `quiet` or not."""


@dataclass(frozen=True, slots=True)
class WarningNotice:
    """A notice that belongs to no hold: a warning, or its end. `cause` and `detail` say what it is about."""

    kind: Literal["warning", "over"]
    connection: str
    workflow: str
    step: str
    cause: str
    detail: str


@dataclass(frozen=True, slots=True)
class DeliveryPosition:
    """The position of an address: notices were delivered to it up to `seq`; delivering the next one failed `attempts`
    times."""

    seq: int
    attempts: int = 0
    due: int = 0
    """The time from which on it may be tried again, in milliseconds since 1970."""
    reason: str | None = None
    """Why the last attempt failed."""
