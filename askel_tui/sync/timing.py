"""Timing of an engine's background work: how long it waits, and how much it takes at once; tests hand in other
values."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """The intervals and ages of background work: milliseconds where the instance's clock measures them, else seconds
    (`_s`)."""

    random_fraction: Callable[[], float] = random.random
    """The source of jitter: a number from 0 to 1."""

    # Drift.
    max_check_age_ms: int = 15_000
    """The largest age of the last check of a step when one of its operations is sent."""
    recheck_age_ms: int = 10_000
    """The age from which on steps with traffic are checked ahead, so that their operations need not wait."""
    hold_check_interval_ms: int = 15_000
    """The time between two checks for a hold that may end by itself."""
    active_check_interval_ms: int = 60_000
    """The time between two full checks of a connection with traffic, and the largest age of that traffic."""
    idle_check_interval_ms: int = 15 * 60_000
    """The time between two full checks of an idle connection."""
    first_check_spread_ms: int = 1_000
    """The time between the first checks of two idle connections, so that many of them make no burst."""
    property_confirm_delay_s: float = 1.0
    """The time before a missing property is read once more and counts as lost: a write may show a moment later."""

    # Notices.
    gather_delay_ms: int = 1_000
    """The time that a notice waits, so that it names other steps that are held for the same cause."""
    outage_gather_ms: int = 60_000
    """The time that the notice of an outage waits, so that one of several accounts is told as one."""
    first_retry_delay_ms: int = 5_000
    """The time before a notice that could not be delivered is tried again; doubling, with jitter."""
    max_retry_delay_ms: int = 15 * 60_000

    waiting_check_interval_ms: int = 60_000
    """The time between two looks for records that wait too long."""

    # Retention.
    retention_interval_ms: int = 3_600_000
    """The time between two rounds of pruning."""
    min_kept_ms: int = 3_600_000
    """The age up to which entries stay, whatever the size of the journal."""

    # Sending.
    silence_ms: int = 5_000
    """The time for which a call has to be without an answer to be shown as an outage."""
    first_retry_wait_ms: int = 1_000
    """The first wait of operations that are tried again; doubling, with jitter."""
    max_retry_wait_ms: int = 60_000
    probe_interval_ms: int = 15_000
    """The time between two operations that are sent to test whether an outage is over."""
    job_drain_s: float = 5.0
    """The time that an import job is waited for at the end; the next run follows those that take longer."""

    max_opt_outs_age_ms: int = 60_000
    """The largest age of what was read of people's opt-outs when they are subscribed."""

    gate_asks_s: tuple[float, ...] = (15, 45, 105, 225)
    """The times, after the first, at which a gate is asked again that waits; and once more when its time is over."""

    # Import jobs.
    first_poll_s: float = 0.5
    """The time before the first poll of a job, and the shortest time between two polls."""
    max_poll_interval_s: float = 5.0
    """The longest time between two polls of a job that does not take hours."""
    job_visible_after_s: float = 1.0
    """The time that a request may take to show as a job."""
    slow_job_after_ms: int = 15 * 60_000
    """The time after which a job is reported as slow."""

    # Confirmation.
    confirmation_interval_ms: int = 1_000
    """The shortest time between two rounds of reading back."""
    first_read_back_ms: int = 15_000
    """The time between a write or a hold and the first reading back; the wait doubles from read to read."""
    max_confirmation_wait_ms: int = 300_000
    """The time during which an unconfirmed write is read back."""

    # Planning.
    worker_idle_timeout_s: float = 60.0
    """The time that the worker processes stay without a backlog."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The amounts that planning and sending take at once."""

    records_per_transaction: int = 1_000
    """The number of records planned in one transaction."""
    max_live_operations: int = 50
    """The number of operations planned at once up to which they count as live: their records have just come in."""
    max_passes_per_round: int = 8
    """The number of batches planned in one round while each is full; each is built while the one before is written."""
    max_pending_writes: int = 3
    """The number of plans on their way into the journal at once."""
    backfill_min_records: int = 2_000
    """The number of waiting records from which on a workflow has a backfill; fewer are planned within half a second."""
    max_planned_ahead: int = 300_000
    """The number of operations of a workflow in memory from which on no more of its records are planned.

    So much that the import jobs which may run at once are full (10,000 records each), and so little that a workflow's
    backlog leaves room for the records of others, and what was planned is never read back from the journal.
    """
    max_single_backlog_s: float = 15
    """The time, in seconds, for which a backlog may go in single calls; a longer one goes in bulk."""
    max_merge_attempts: int = 20
    """The number of attempts at an upsert until the profiles of its identifiers are merged; then it fails."""
    backlog_min_count: int = 1_000
    """The number of waiting records or operations from which on worker processes help."""
