"""The journal: what was accepted, planned, sent and decided, kept durably. This is its interface.

Everything that grows or changes while the program runs is in the journal: records, operations, requests, the audit,
holds, commands, rate-limit slots and counters. Every method that writes is durable when it returns, and a decision is
committed together with its audit entry. Times are milliseconds since 1970, given by the caller. Any method may raise
`JournalError`. The rows are in `rows`; `store.sqlite` is the embedded implementation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from askel_tui.store.journal.control_stores import (
    AuditStore,
    CommandStore,
    FailureStore,
    HoldStore,
    NoticeStore,
    SlotStore,
)
from askel_tui.store.journal.work_stores import OperationStore, RecordStore, RequestStore, WorkflowStore

Clock = Callable[[], int]
"""Milliseconds since 1970."""


class Journal(
    RecordStore,
    WorkflowStore,
    OperationStore,
    RequestStore,
    HoldStore,
    FailureStore,
    CommandStore,
    SlotStore,
    AuditStore,
    NoticeStore,
    Protocol,
):
    """All stores of one home, and what concerns the journal as a whole."""

    async def close(self) -> None:
        """Waits for what was handed in, then closes the files."""
        ...

    async def enter_bulk_mode(self) -> None:
        """Prepares for a backlog: writing may move to a process of its own. Raises `OSError` where it can't."""
        ...

    async def leave_bulk_mode(self) -> None:
        """Ends what `enter_bulk_mode` began."""
        ...

    async def wait_for_change(self, timeout: float) -> bool:
        """Returns True as soon as any process has committed something, False after `timeout` seconds."""
        ...

    async def prune_bodies(self, before: int) -> int:
        """Deletes the bodies of requests answered before a time, and rate-limit slots that ended before it.

        Gives the number of rows.
        """
        ...

    async def prune_history(self, before: int, now: int) -> int:
        """Deletes audit entries and records older than `before` with all that belongs to them; gives how many rows.

        The work is done in small parts, between other writes. An entry marks where the audit's chain begins from
        then on. Records that something waits for stay, and so do failed ones.
        """
        ...

    async def used_bytes(self) -> int:
        """How many bytes the journal holds."""
        ...
