"""How long an engine's background work waits, and how much it takes at once; tests hand in other values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Intervals and ages: milliseconds where the instance's clock measures them, else seconds (`_s`)."""

    # Drift.
    max_check_age_ms: int = 15_000
    """How old the last check of a step may be when one of its operations is sent."""
    recheck_age_ms: int = 10_000
    """From which age on steps with traffic are checked ahead, so that their operations need not wait."""
    hold_check_interval_ms: int = 15_000
    """Between two checks for a hold that may end by itself."""
    active_check_interval_ms: int = 60_000
    """Between two full checks of a connection with traffic, and how recent that traffic is."""
    idle_check_interval_ms: int = 15 * 60_000
    """Between two full checks of an idle connection."""
    first_check_spread_ms: int = 1_000
    """Between the first checks of two idle connections, so that many of them make no burst."""
    property_confirm_delay_s: float = 1.0
    """Before a property counts as lost it is read once more: a write may show a moment later."""

    # Notices.
    gather_delay_ms: int = 1_000
    """How long a notice waits, so that it names other steps that are held for the same cause."""
    first_retry_delay_ms: int = 5_000
    """Before a notice that could not be delivered is tried again; doubling, with jitter."""
    max_retry_delay_ms: int = 15 * 60_000

    # Retention.
    retention_interval_ms: int = 3_600_000
    """Between two rounds of pruning."""
    min_kept_ms: int = 3_600_000
    """Entries that are younger stay, whatever the size of the journal."""

    # Sending.
    first_retry_wait_ms: int = 1_000
    """The first wait of operations that are tried again; doubling, with jitter."""
    max_retry_wait_ms: int = 60_000
    probe_interval_ms: int = 15_000
    """Between two operations that are let go to see whether an outage is over."""
    job_drain_s: float = 5.0
    """How long an import job is waited for at the end; the next run follows those that take longer."""

    # Import jobs.
    first_poll_s: float = 0.5
    """Before the first poll of a job, and the shortest time between two."""
    max_poll_interval_s: float = 5.0
    """At most between two polls of a job that does not take hours."""
    job_visible_after_s: float = 1.0
    """How long a request may take to show as a job."""
    slow_job_after_ms: int = 15 * 60_000
    """After how long a job is reported as slow."""

    # Confirmation.
    confirmation_interval_ms: int = 1_000
    """Between two rounds of reading back, at least."""
    first_read_back_ms: int = 15_000
    """How long after a write or a hold it is read back first; the wait doubles from read to read."""
    max_confirmation_wait_ms: int = 300_000
    """How long an unconfirmed write is looked for."""

    # Planning.
    worker_idle_timeout_s: float = 60.0
    """How long the processes that help with a backlog stay without one."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much planning and sending take at once."""

    records_per_transaction: int = 1_000
    """Records planned in one transaction."""
    max_live_operations: int = 50
    """Up to this many operations planned at once count as live: their records have just come in."""
    max_passes_per_round: int = 8
    """Batches planned in one round while each is full; each is built while the one before is written."""
    max_pending_writes: int = 3
    """Plans on their way into the journal at once."""
    backfill_min_records: int = 2_000
    """From how many waiting records on a workflow has a backfill; fewer are planned within half a second."""
    max_planned_ahead: int = 300_000
    """How many operations of a workflow may wait in memory before no more of its records are planned.

    So much that the import jobs which may run at once are full (10,000 records each), and so little that a workflow's
    backlog leaves room for the records of others, and what was planned is never read back from the journal.
    """
    max_single_backlog_s: float = 15
    """A backlog that takes longer than this in single calls goes in bulk, in seconds."""
    max_merge_attempts: int = 20
    """How often an upsert may be tried until the profiles of its identifiers are merged; then it fails."""
    backlog_min_count: int = 1_000
    """From how many waiting records or operations on processes help."""
