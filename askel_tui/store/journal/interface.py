"""The interface of the journal, which durably keeps what was accepted, planned, sent and decided.

Everything that grows or changes while the program runs is in the journal: records, operations, requests, the audit,
holds, commands, rate-limit slots and counters. Every method that writes is durable when it returns, and a decision is
committed together with its audit entry. Times are milliseconds since 1970, given by the caller. Any method may raise
`JournalError`. The rows are in `rows`.

Most methods run one function of `tables` inside a transaction: the function's signature and docstring are the
method's. An engine such as `store.sqlite` says how transactions are run and how commits are noticed.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from askel_tui.core.operations import Identity
from askel_tui.core.records.record import Record
from askel_tui.store.journal.backfill_rows import Backfill
from askel_tui.store.journal.notice_rows import DeliveryPosition
from askel_tui.store.journal.rows import (
    AcceptResult,
    AuditEntry,
    AuditFilter,
    DelayedOperation,
    Hold,
    JoinedLines,
    PlannedRun,
    SettledOperation,
    StoredOperation,
    WorkflowState,
)
from askel_tui.store.journal.tables import backfills as backfills_table
from askel_tui.store.journal.tables import (
    commands,
    counters,
    operations,
    rate_limit_slots,
    replanning,
    requests,
    retention,
    workflows,
)
from askel_tui.store.journal.tables import lines as lines_table
from askel_tui.store.journal.tables import notices as notices_table
from askel_tui.store.journal.tables import profile_ids as profile_ids_table
from askel_tui.store.journal.tables import records as records_table
from askel_tui.store.journal.tables import runs as runs_table
from askel_tui.store.journal.tables.audit import anchors, chain, confirmations, evidence, queries
from askel_tui.store.journal.tables.audit.checking import AuditCheck, AuditChecker
from askel_tui.store.journal.tables.failures import discarded, failed
from askel_tui.store.journal.tables.holds import placing, releasing
from askel_tui.store.journal.tables.order import late_lines, passed
from askel_tui.store.journal.tables.replanning import StoredReplan
from askel_tui.store.journal.transaction_runner import TransactionRunner, reads, writes

Clock = Callable[[], int]
"""A function that gives the time in milliseconds since 1970."""

PRUNE_BATCH_ROWS = 2_000
"""The number of rows that are deleted in one transaction, so that other writes get their turn."""


class Journal(TransactionRunner):
    """The journal of a home, or one in a file."""

    def __init__(self) -> None:
        self.line_listeners: list[Callable[[JoinedLines], None]] = []
        """The functions that are called with lines that were joined, before the method that joined them returns."""

    # Methods that an engine implements.

    @abstractmethod
    async def close(self) -> None:
        """Waits for the writes that were handed in, then closes the files."""

    @abstractmethod
    async def enter_bulk_mode(self) -> None:
        """Prepares for a backlog: writing may move to a process of its own. Raises `OSError` where it can't."""

    @abstractmethod
    async def leave_bulk_mode(self) -> None:
        """Ends the bulk mode that `enter_bulk_mode` began."""

    @abstractmethod
    async def wait_for_change(self, timeout: float) -> bool:
        """Returns True as soon as any process has committed something, False after `timeout` seconds."""

    @abstractmethod
    def follow_audit(self, wanted: AuditFilter, after: int) -> AsyncIterator[AuditEntry]:
        """Yields audit entries as they come, whichever process writes them; ends when the journal is closed."""

    @abstractmethod
    async def used_bytes(self) -> int:
        """Returns how many bytes the journal holds."""

    # Records, in order of receipt.

    records_after = reads(records_table.records_after)
    record_seqs_after = reads(records_table.record_seqs_after)
    newest_records = reads(records_table.newest_records)
    find_record = reads(records_table.find_record)
    count_unplanned = reads(records_table.count_unplanned)
    last_record_seq = reads(records_table.last_record_seq)
    oldest_waiting = reads(records_table.oldest_waiting)
    oldest_unplanned = reads(records_table.oldest_unplanned)
    count_refused = writes(records_table.count_refused)
    refused_counts = reads(records_table.refused_counts)

    # Workflows, and the runs of records under them.

    lines_of = reads(lines_table.lines_of)
    workflow_states = reads(workflows.workflow_states)
    set_workflow_state = writes(workflows.set_workflow_state)
    note_passed = writes(passed.note_passed)
    recent_writes = reads(passed.recent_writes)
    forget_workflow = writes(workflows.forget_workflow)
    record_histories = reads(backfills_table.record_histories)
    begin_backfill = writes(backfills_table.begin_backfill)
    add_to_backfill = writes(backfills_table.add_to_backfill)
    set_backfill_state = writes(backfills_table.set_backfill_state)
    backfills = reads(backfills_table.backfills)
    backfill_records = reads(backfills_table.backfill_records)
    backfill_progress = reads(backfills_table.backfill_progress)
    is_backfill_waiting = reads(backfills_table.is_backfill_waiting)
    backfill_outcomes = reads(backfills_table.backfill_outcomes)
    known_records = reads(backfills_table.known_records)
    requeue_runs = writes(runs_table.requeue_runs)
    already_ran = reads(runs_table.already_ran)
    finished_records = reads(runs_table.finished_records)
    records_to_replan = reads(runs_table.records_to_replan)
    unsent_records = reads(replanning.unsent_records)
    read_unsent_records = reads(replanning.read_records)
    has_unsent = reads(replanning.has_unsent)
    begin_replan = writes(replanning.begin_replan)
    end_replan = writes(replanning.end_replan)
    counts = reads(counters.read_counts)
    waiting_by_connection = reads(counters.waiting_by_connection)
    record_counts = reads(counters.read_record_counts)
    warnings = reads(counters.read_warnings)

    # The queue of operations, and the ids of their profiles.

    waiting_operations = reads(operations.waiting_operations)
    queued_operations = reads(operations.queued_operations)
    operation_state = reads(operations.operation_state)
    settle_late_lines = writes(late_lines.settle_late_lines)
    profile_ids = reads(profile_ids_table.profile_ids)
    phone_owners = reads(profile_ids_table.phone_owners)
    save_phone_owners = writes(profile_ids_table.save_phone_owners)
    forget_profile_id = writes(profile_ids_table.forget_profile_id)

    # Requests.

    open_request = writes(requests.open_request)
    save_job_id = writes(requests.save_job_id)
    requests_in_doubt = reads(requests.requests_in_doubt)
    request_body = reads(requests.request_body)
    count_carried = reads(requests.count_carried)

    # Holds and failures.

    holds = reads(placing.read_holds)
    versions_with_operations = reads(placing.versions_with_operations)
    attempted_held_operations = reads(placing.attempted_held_operations)
    add_hold = writes(placing.add_hold)
    change_hold = writes(placing.change_hold)
    set_other_reasons = writes(placing.set_other_reasons)
    release_one = writes(releasing.release_one)
    release_hold = writes(releasing.release_hold)
    discard_held = writes(discarded.discard_held)

    failures = reads(failed.failures)
    failure_counts = reads(counters.read_failure_counts)
    retry_failures = writes(failed.retry_failures)
    discard_failures = writes(failed.discard_failures)

    # Commands to the daemon, and rate-limit slots.

    submit_command = writes(commands.submit_command)
    open_commands = reads(commands.open_commands)
    finish_command = writes(commands.finish_command)
    find_command = reads(commands.find_command)

    take_slot = writes(rate_limit_slots.take_slot)
    release_slot = writes(rate_limit_slots.release_slot)
    move_slots = writes(rate_limit_slots.move_slots)
    realign_slots = writes(rate_limit_slots.realign_slots)
    taken_slots = reads(rate_limit_slots.taken_slots)
    count_occupied_slots = reads(rate_limit_slots.count_occupied_slots)
    save_unanswered_calls = writes(rate_limit_slots.save_unanswered_calls)
    unanswered_calls = reads(rate_limit_slots.unanswered_calls)

    # The audit.

    write_decision = writes(chain.write_decision)
    save_account = writes(chain.save_account)
    audit_entries = reads(queries.audit_entries)
    entry_evidence = reads(evidence.entry_evidence)
    acceptance_rows = reads(evidence.acceptance_rows)
    unconfirmed_writes = reads(confirmations.unconfirmed_writes)
    write_confirmations = writes(confirmations.write_confirmations)

    # Notices, and how far they were delivered.

    notices = reads(notices_table.read_notices)
    add_notice = writes(notices_table.add_notice)
    add_waiting_notice = writes(notices_table.add_waiting_notice)
    add_retirement_notice = writes(notices_table.add_retirement_notice)
    has_retirement_notice = reads(notices_table.has_retirement_notice)
    has_waiting_notice = reads(notices_table.has_waiting_notice)
    add_reminders = writes(notices_table.add_reminders)
    forget_other_deliveries = writes(notices_table.forget_other_deliveries)
    known_delivery = reads(notices_table.find_delivery)
    save_delivery = writes(notices_table.save_delivery)

    async def accept_records(
        self, connection: str, records: Sequence[Record], now: int
    ) -> list[AcceptResult]:
        """Stores records that are not stored yet. Returns one result per record, in order."""
        encoded = records_table.encode_records(records)
        return await self._write(records_table.accept_records, connection, encoded, now)

    async def accept_for_backfill(
        self, backfill: int, connection: str, records: Sequence[Record], now: int
    ) -> list[AcceptResult]:
        """Stores records of a backfill's file as `accept_records` does, and lists them all for the backfill."""
        encoded = records_table.encode_records(records)
        return await self._write(backfills_table.accept_for_backfill, backfill, connection, encoded, now)

    async def commit_runs(
        self,
        state: WorkflowState,
        runs: Sequence[PlannedRun],
        position: int,
        now: int,
        backfill: Backfill | None = None,
    ) -> list[StoredOperation]:
        """Stores planned runs and moves the workflow's position from that of `state`, or the `backfill`'s own, in one
        transaction.

        A record that already ran under this workflow (any version) is passed over: a record runs once per workflow.
        Operations of a step under a hold are stored as held. Runs with problems become failures with an audit entry.
        Returns the operations that were stored as waiting, in the order of their records. Where these are of different
        profiles, the queue's own order (`seq`) goes by step, so that operations that travel together lie together.
        Raises `JournalError` where the workflow stands at another position: what came before these was not stored.
        """
        seqs, joined = await self._write(runs_table.commit_runs, state, list(runs), position, now, backfill)
        self._report_joined(joined)
        return runs_table.waiting_after_commit(state, runs, seqs)

    async def answer_request(
        self,
        request: int | None,
        *,
        settled: Sequence[SettledOperation] = (),
        delayed: Sequence[DelayedOperation] = (),
        held: Sequence[StoredOperation] = (),
        hold: Hold | None = None,
        keep_carrying: bool = False,
        profiles: Mapping[str, Identity] | None = None,
        connection: str = "",
        may_be_written: bool = False,
        now: int,
    ) -> None:
        """Closes a request: commits each operation's result with audit, counters and learned profile ids, in one
        transaction.

        `held` are operations that wait for `hold`; if `hold` is given, it is placed, audited and noticed once, and
        the waiting operations of its step become held with them. With `keep_carrying` the request goes on carrying
        the held ones and stays open: a release does not let them be sent. A failed operation takes the later
        operations of its record along: they become failed, unattempted ("after step X failed"). A gate settled as
        `skipped` skips the later operations of its record. `profiles` maps Klaviyo profile ids to the identity that
        the answer showed for them; it replaces what was remembered of these ids and identifiers. `request=None`
        settles operations that needed no request. `may_be_written`: the request may have written the delayed and held
        ones.
        """
        settlement = requests.RequestSettlement(
            request, now, requests.group_settled(settled),
            [(each.operation.seq, each.due, each.detail) for each in delayed],
            [each.seq for each in held], hold, keep_carrying, dict(profiles or {}), connection,
            [each.seq for each in (*held, *(one.operation for one in delayed))] if may_be_written else (),
        )  # fmt: skip
        self._report_joined(await self._write(requests.answer_request, settlement))

    async def apply_replans(
        self, state: WorkflowState, replans: Sequence[StoredReplan], actor: str, now: int
    ) -> list[int]:
        """Puts new operations of records in place of the unsent ones. Returns the records that changed meanwhile."""
        changed, joined = await self._write(replanning.apply_replans, state, replans, actor, now)
        self._report_joined(joined)
        return changed

    def _report_joined(self, joined: JoinedLines) -> None:
        for listener in self.line_listeners if joined else ():
            listener(joined)

    async def verify_audit(self) -> AuditCheck:
        """Checks the whole audit; ends at the first thing that is wrong."""
        checker = AuditChecker()
        for check in (checker.check_entries, checker.check_acceptances):
            while checker.broken is None and not await self._read(check):
                pass
        return checker.result

    async def delivery(self, address: str, connection: str | None) -> DeliveryPosition:
        """Returns how far notices were delivered to an address (a word that stands for it, never the address itself).

        One that was never seen begins with the oldest hold that stands (of the connection, if one is given).
        """
        known = await self._read(notices_table.find_delivery, address)
        if known is not None:
            return known
        return await self._write(notices_table.first_delivery, address, connection)

    async def prune_bodies(self, before: int) -> int:
        """Deletes the bodies of requests answered before a time, and rate-limit slots that ended before it.

        Returns the number of rows.
        """
        bodies = await self._prune(retention.old_request_bodies, retention.delete_request_bodies, before)
        return bodies + await self._prune(
            rate_limit_slots.expired_slots, rate_limit_slots.delete_slots, before
        )

    async def prune_history(self, before: int, now: int, *, batch_rows: int = PRUNE_BATCH_ROWS) -> int:
        """Deletes audit entries and records older than `before` with all that belongs to them; returns how many rows.

        The work is done in small parts, between other writes. An entry marks where the audit's chains begin from
        then on. Records that something waits for stay, and so do failed ones.
        """
        entries, acceptances, ends = await self._read(anchors.old_ends, before)
        await self._write(anchors.write_marker, entries, ends, now)
        deleted = await self._delete("audit", batch_rows, through=entries)
        deleted += await self._delete("acceptances", batch_rows, through=acceptances)
        deleted += await self._prune(retention.old_records, retention.delete_records, before, batch_rows)
        first = await self._read(retention.first_audited_request)
        deleted += await self._delete("requests", batch_rows, first=first, before=before)
        for table in ("notices", "commands"):
            deleted += await self._delete(table, batch_rows, before=before)
        return deleted

    async def _delete(self, table: str, batch_rows: int, **bounds: int) -> int:
        """Deletes a table's rows within bounds (see `retention.delete_rows`), a batch at a time."""
        total = 0
        while deleted := await self._write(retention.delete_rows, table, bounds, batch_rows):
            total += deleted
        return total

    async def _prune(
        self,
        find: Callable[..., list[int]],
        delete: Callable[..., int],
        before: int,
        batch_rows: int = PRUNE_BATCH_ROWS,
    ) -> int:
        """Deletes the rows that `find` gives for a time, a batch at a time."""
        total = last = 0
        while found := await self._read(find, before, last, batch_rows):
            total += await self._write(delete, found)
            last = found[-1]
        return total
