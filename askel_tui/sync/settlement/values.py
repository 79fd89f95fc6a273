"""Settlements: the result of each operation that was to be sent, as a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from askel_tui.core.operations import Identity
from askel_tui.store.journal.rows import Decision, DelayedOperation, Hold, SettledOperation, StoredOperation
from askel_tui.sync.connected import Connected


@dataclass(frozen=True, slots=True)
class Retry:
    """Operations that are tried again: after a back-off, or at once where `wait_ms` is 0.

    Another `wait_ms` is the shortest wait that Klaviyo allows.
    """

    operations: Sequence[StoredOperation]
    detail: str
    wait_ms: int | None = None
    single_only: bool = False
    """True if the operations may not travel in bulk any more."""


def single_retries(operations: Sequence[StoredOperation], detail: str) -> Sequence[Retry]:
    """Makes retries of operations at once as single calls; none without operations."""
    return [Retry(operations, detail, 0, single_only=True)] if operations else ()


@dataclass(frozen=True, slots=True)
class HeldOperations:
    """Operations whose steps are held for a cause, and which wait with them."""

    operations: Sequence[StoredOperation]
    cause: str
    detail: str
    wait_ms: int | None = None
    """The time that Klaviyo asked to wait before the next call."""
    keep_request_open: bool = False
    """True if the request stays open, because its import job may run and can't be read with this key."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """The results of the operations of a request, or of none: every operation is in exactly one of the fields."""

    ended: Sequence[SettledOperation] = ()
    retries: Sequence[Retry] = ()
    held: Sequence[HeldOperations] = ()
    again: Sequence[Sequence[StoredOperation]] = ()
    """The groups that are sent again right away, each in requests of its own; `again_reason` says why."""
    waiting: Sequence[DelayedOperation] = ()
    """The gates that are asked again, each at its time, while the rest of their lines goes on."""
    unattempted: Sequence[StoredOperation] = ()
    """The operations behind a failed one of their record: the journal fails them with it."""
    stale: Sequence[StoredOperation] = ()
    """The operations of a request that was not sent, because some wait no longer: the journal knows which still do."""
    again_reason: str = ""
    learned_profiles: Mapping[str, Identity] = field(default_factory=dict)
    """The identifiers by Klaviyo's profile id, as an answer showed them."""
    forgotten_profile: str | None = None
    """A profile id that was remembered and turned out to be wrong."""
    decision: Decision | None = None
    """An audit entry of its own that belongs to the answer."""
    may_be_written: bool = False
    """True if the request may have written the operations that are held or tried again."""


@dataclass(frozen=True, slots=True, eq=False)
class OrphanedJob:
    """A request that stays open because its key may not read its import job; nothing else may be sent for it."""

    request: int
    operations: Sequence[StoredOperation]
    connected: Connected
    """The connection, with the key that may not read the job."""


@dataclass(slots=True)
class QueueUpdate:
    """The changes that committed settlements make in the queue."""

    done: list[StoredOperation] = field(default_factory=list)
    """The operations that left the queue."""
    stopped: list[StoredOperation] = field(default_factory=list)
    """The operations that failed, or gates that refused: the later ones of their records were settled with them."""
    again: list[StoredOperation] = field(default_factory=list)
    """The operations that are tried again once they are due."""
    parked: list[StoredOperation] = field(default_factory=list)
    """The gates that are asked again once they are due, while the rest of their lines goes on."""
    single_only: set[int] = field(default_factory=set)
    """The `seq` of operations that may not travel in bulk any more."""
    holds: list[Hold] = field(default_factory=list)
    orphaned: list[OrphanedJob] = field(default_factory=list)
    reload: bool = False
    """True if memory and journal differ: the operations in memory are to be read again."""

    def add(self, other: QueueUpdate) -> None:
        """Adds the changes of another settlement."""
        self.done += other.done
        self.stopped += other.stopped
        self.again += other.again
        self.parked += other.parked
        self.single_only |= other.single_only
        self.holds += other.holds
        self.orphaned += other.orphaned
        self.reload |= other.reload
