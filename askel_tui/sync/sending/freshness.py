"""The gate before sending: what a step names must have been looked at a short while ago."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from askel_tui.store.journal.rows import StoredOperation


class FreshnessGate(Protocol):
    """Whoever looks at accounts, as whoever sends sees it."""

    async def ensure_fresh(self, connection: str, operations: Sequence[StoredOperation]) -> bool:
        """Waits until what the operations' steps name was looked at within the last 15 s.

        False where one of these steps is held by now: the journal knows what still waits. Raises `KlaviyoError` where
        the account cannot be looked at: nothing is to be sent then, but later.
        """
        ...


class NoGate:
    """Nobody looks: everything may be sent."""

    async def ensure_fresh(self, connection: str, operations: Sequence[StoredOperation]) -> bool:
        """Always True."""
        return True
