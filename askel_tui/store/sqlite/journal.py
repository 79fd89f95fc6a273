"""The embedded journal: one SQLite file that several processes use at once.

Writes go through one thread per process that commits many of them together; reads have threads of their own. What a
method does is in the module it names; here is which of them writes and which reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar
from weakref import WeakKeyDictionary

from askel_tui.core.operations import Identity
from askel_tui.core.records.record import Record
from askel_tui.store.journal.interface import Journal
from askel_tui.store.journal.rows import (
    AcceptResult,
    AuditEntry,
    AuditFilter,
    Command,
    Confirmation,
    Decision,
    DelayedOperation,
    DeliveryPosition,
    Failure,
    Hold,
    Notice,
    OpenRequest,
    OperationState,
    PlannedRun,
    RequestIntent,
    SettledOperation,
    StoredOperation,
    StoredRecord,
    UnconfirmedWrite,
    WarningNotice,
    WorkflowCounts,
    WorkflowState,
)
from askel_tui.store.paths import journal_file
from askel_tui.store.sqlite.commit_watch import CommitWatch
from askel_tui.store.sqlite.connection import connect
from askel_tui.store.sqlite.reader_pool import ReaderPool
from askel_tui.store.sqlite.schema import prepare_schema
from askel_tui.store.sqlite.tables import audit_chain as chain
from askel_tui.store.sqlite.tables import audit_queries as audit_read
from askel_tui.store.sqlite.tables import (
    commands,
    counters,
    failures,
    holds,
    operations,
    requests,
    retention,
    workflows,
)
from askel_tui.store.sqlite.tables import confirmations as receipts
from askel_tui.store.sqlite.tables import notices as notices_kept
from askel_tui.store.sqlite.tables import profile_ids as profiles_known
from askel_tui.store.sqlite.tables import rate_limit_slots as budget
from askel_tui.store.sqlite.tables import records as records_kept
from askel_tui.store.sqlite.writing.switching_writer import SwitchingWriter
from askel_tui.store.sqlite.writing.writer import ThreadWriter, Writer, write

T = TypeVar("T")

PRUNE_BATCH_ROWS = 2_000
"""Rows folded in one transaction, so that other writers get their turn."""

FOLLOW_PAGE_ROWS = 1_000
FOLLOW_POLL_S = 60.0


async def open_journal(home_or_path: Path, *, lock: int | None = None) -> Journal:
    """The journal of a home, or the one in a file. Raises `JournalError`.

    With the descriptor of the home's lock a process of its own may write it in a hurry; it keeps the lock until it has
    ended.
    """
    path = await asyncio.to_thread(_journal_path, home_or_path)
    connection = await asyncio.to_thread(connect, path)
    try:
        await asyncio.to_thread(prepare_schema, connection, path)
        watch = CommitWatch(path)
    except BaseException:
        connection.close()
        raise
    writer: Writer = ThreadWriter(connection, path, watch.notify)
    if lock is not None:
        writer = SwitchingWriter(writer, path, watch.notify, lock)
    return SqliteJournal(writer, ReaderPool(path), watch)


def _journal_path(home_or_path: Path) -> Path:
    return journal_file(home_or_path) if home_or_path.is_dir() else home_or_path


class SqliteJournal:
    """`Journal` on SQLite. Open one with `open_journal`."""

    def __init__(self, writer: Writer, readers: ReaderPool, watch: CommitWatch) -> None:
        self._writer = writer
        self._readers = readers
        self._watch = watch
        self._seen: WeakKeyDictionary[asyncio.Task[Any], int] = WeakKeyDictionary()
        self._reported = watch.changes

    async def close(self) -> None:
        await self._writer.close()
        await self._readers.close()
        self._watch.close()

    async def enter_bulk_mode(self) -> None:
        """As the interface says; raises `OSError` where no process can be started."""
        if isinstance(self._writer, SwitchingWriter):
            await self._writer.enter_bulk_mode()

    async def leave_bulk_mode(self) -> None:
        if isinstance(self._writer, SwitchingWriter):
            await self._writer.leave_bulk_mode()

    def _write(self, work: Callable[..., T], *arguments: Any) -> Awaitable[T]:
        return write(self._writer, work, *arguments)

    async def _read(self, work: Callable[..., T], *arguments: Any) -> T:
        return await self._readers.read(lambda db: work(db, *arguments))

    # Records in.

    async def accept_records(
        self, connection: str, records: Sequence[Record], now: int
    ) -> list[AcceptResult]:
        return await self._write(
            records_kept.accept_records, connection, records_kept.encode_records(records), now
        )

    async def records_after(
        self, connection: str, seq: int, limit: int, *, events: Collection[str] | None = None
    ) -> list[StoredRecord]:
        return await self._read(records_kept.records_after, connection, seq, limit, events)

    async def record_seqs_after(
        self, connection: str, seq: int, limit: int, events: Collection[str]
    ) -> list[int]:
        return await self._read(records_kept.record_seqs_after, connection, seq, limit, events)

    async def newest_records(
        self, connection: str, limit: int, *, events: Collection[str] | None = None, before: int | None = None
    ) -> list[StoredRecord]:
        return await self._read(records_kept.newest_records, connection, limit, events, before)

    async def find_record(self, connection: str, record_id: str) -> StoredRecord | None:
        return await self._read(records_kept.find_record, connection, record_id)

    async def count_unplanned(self, connection: str, after: int, events: Collection[str]) -> int:
        return await self._read(records_kept.count_unplanned, connection, after, events)

    async def last_record_seq(self, connection: str) -> int:
        return await self._read(records_kept.last_record_seq, connection)

    # Workflows while they run.

    async def workflow_states(self) -> list[WorkflowState]:
        return await self._read(workflows.workflow_states)

    async def set_workflow_state(self, state: WorkflowState, decision: Decision | None, now: int) -> None:
        await self._write(workflows.set_workflow_state, state, decision, now)

    async def forget_workflow(self, workflow: str, decision: Decision, now: int) -> None:
        await self._write(workflows.forget_workflow, workflow, decision, now)

    async def commit_runs(
        self, state: WorkflowState, runs: Sequence[PlannedRun], position: int, now: int
    ) -> list[StoredOperation]:
        places = await self._write(workflows.commit_runs, state, list(runs), position, now)
        return workflows.waiting_after_commit(state, runs, places)

    async def requeue_runs(
        self, state: WorkflowState, runs: Sequence[PlannedRun], decision: Decision, now: int
    ) -> int:
        return await self._write(workflows.requeue_runs, state, list(runs), decision, now)

    async def already_ran(self, workflow: str, record_seqs: Sequence[int]) -> set[int]:
        return await self._read(workflows.already_ran, workflow, record_seqs)

    # Operations out.

    async def waiting_operations(
        self, connections: Collection[str], after: int, limit: int
    ) -> list[StoredOperation]:
        return await self._read(operations.waiting_operations, connections, after, limit)

    async def operation_state(self, seq: int) -> OperationState | None:
        return await self._read(operations.operation_state, seq)

    async def open_request(self, intent: RequestIntent, now: int) -> int:
        """As the interface says; raises `StaleOperations` where an operation no longer waits."""
        return await self._write(requests.open_request, intent, now)

    async def save_job_id(self, request: int, job: str) -> None:
        await self._write(requests.save_job_id, request, job)

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
        now: int,
    ) -> None:
        answer = requests.RequestSettlement(
            request,
            now,
            requests.group_settled(settled),
            [(each.operation.seq, each.due, each.detail) for each in delayed],
            [each.seq for each in held],
            hold,
            keep_carrying,
            dict(profiles or {}),
            connection,
        )
        await self._write(requests.answer_request, answer)

    async def requests_in_doubt(self, connections: Collection[str]) -> list[OpenRequest]:
        return await self._read(requests.requests_in_doubt, connections)

    async def profile_ids(self, connection: str, keys: Collection[str]) -> dict[str, str]:
        return await self._read(profiles_known.profile_ids, connection, keys)

    async def forget_profile_id(self, connection: str, profile_id: str) -> None:
        await self._write(profiles_known.forget_profile_id, connection, profile_id)

    # Holds.

    async def holds(self) -> list[Hold]:
        return await self._read(holds.read_holds)

    async def attempted_held_operations(self, workflow: str, step: str, limit: int) -> list[StoredOperation]:
        return await self._read(holds.attempted_held_operations, workflow, step, limit)

    async def place_hold(self, hold: Hold, now: int) -> bool:
        return await self._write(holds.place_hold, hold, now)

    async def release_hold(self, workflow: str, step: str, decision: Decision, now: int) -> int:
        return await self._write(holds.release_hold, workflow, step, decision, now)

    async def release_one(self, workflow: str, step: str, now: int) -> int | None:
        return await self._write(holds.release_one, workflow, step, now)

    async def discard_held(self, workflow: str, step: str, decision: Decision, now: int) -> int:
        return await self._write(holds.discard_held, workflow, step, decision, now)

    # Failures.

    async def failures(self, workflow: str | None = None, limit: int = 1000) -> list[Failure]:
        return await self._read(failures.failures, workflow, limit)

    async def retry_failures(self, ids: Sequence[int], decision: Decision, now: int) -> int:
        return await self._write(failures.retry_failures, ids, decision, now)

    async def discard_failures(self, ids: Sequence[int], decision: Decision, now: int) -> int:
        return await self._write(failures.discard_failures, ids, decision, now)

    async def records_to_replan(self, workflow: str, limit: int) -> list[StoredRecord]:
        return await self._read(workflows.records_to_replan, workflow, limit)

    # Orders.

    async def submit_command(self, name: str, arguments: Mapping[str, Any], actor: str, now: int) -> int:
        return await self._write(commands.submit_command, name, arguments, actor, now)

    async def open_commands(self) -> list[Command]:
        return await self._read(commands.open_commands)

    async def finish_command(
        self, command: int, state: Literal["done", "refused"], result: Mapping[str, Any], now: int
    ) -> None:
        await self._write(commands.finish_command, command, state, result)

    async def find_command(self, command: int) -> Command:
        """The order of this id. Raises `LookupError`."""
        return await self._read(commands.find_command, command)

    # Budget.

    async def take_slot(
        self, account: str, call: str, windows: Sequence[tuple[int, int]], now: int
    ) -> tuple[int | None, int]:
        return await self._write(budget.take_slot, account, call, windows, now)

    async def release_slot(self, place: int, now: int) -> None:
        await self._write(budget.release_slot, place, now)

    async def taken_slots(self, account: str, since: int) -> list[tuple[str, int, int | None]]:
        return await self._read(budget.taken_slots, account, since)

    async def count_occupied_slots(self, account: str, call: str, since: int) -> int:
        return await self._read(budget.count_occupied_slots, account, call, since)

    # Audit, notices and counters.

    async def write_decision(self, decision: Decision, now: int) -> None:
        await self._write(chain.write_decision, decision, now)

    async def audit_entries(
        self, wanted: AuditFilter, *, after: int = 0, limit: int = 1000, newest: bool = False
    ) -> list[AuditEntry]:
        entries, _ = await self._read(audit_read.read_entries, wanted, after, limit, newest)
        return entries

    async def unconfirmed_writes(
        self, after: int, since: int, limit: int
    ) -> tuple[list[UnconfirmedWrite], int]:
        return await self._read(receipts.unconfirmed_writes, after, since, limit)

    async def request_body(self, request: int) -> bytes | None:
        return await self._read(receipts.request_body, request)

    async def write_confirmations(self, confirmed: Sequence[Confirmation], now: int) -> int:
        return await self._write(receipts.write_confirmations, confirmed, now)

    async def follow_audit(self, wanted: AuditFilter, after: int) -> AsyncIterator[AuditEntry]:
        """As the interface says; ends when the journal is closed."""
        while not self._watch.closed:
            seen = self._watch.changes
            entries, head = await self._read(audit_read.read_entries, wanted, after, FOLLOW_PAGE_ROWS, False)
            for entry in entries:
                after = entry.seq
                yield entry
            if len(entries) < FOLLOW_PAGE_ROWS:
                # Nothing up to the chain's end is left to look at, wanted or not.
                after = max(after, head)
                while not self._watch.closed and not await self._watch.wait(seen, FOLLOW_POLL_S):
                    pass

    async def verify_audit(self) -> tuple[int, int | None]:
        checked = audit_read.ChainCheck()
        while not checked.ended:
            checked = await self._read(audit_read.check_chain, checked)
        return checked.seq - checked.start, checked.broken

    async def notices(self, after: int = 0) -> list[Notice]:
        return await self._read(notices_kept.read_notices, after)

    async def add_notice(self, notice: WarningNotice, decision: Decision | None, now: int) -> None:
        await self._write(notices_kept.add_notice, notice, decision, now)

    async def add_reminders(self, before: int, now: int) -> int:
        return await self._write(notices_kept.add_reminders, before, now)

    async def delivery(self, address: str, connection: str | None) -> DeliveryPosition:
        known = await self._read(notices_kept.find_delivery, address)
        if known is not None:
            return known
        return await self._write(notices_kept.first_delivery, address, connection)

    async def forget_other_deliveries(self, addresses: Collection[str]) -> None:
        await self._write(notices_kept.forget_other_deliveries, addresses)

    async def save_delivery(self, address: str, delivery: DeliveryPosition) -> None:
        await self._write(notices_kept.save_delivery, address, delivery)

    async def counts(self) -> dict[str, WorkflowCounts]:
        return await self._read(counters.read_counts)

    async def wait_for_change(self, timeout: float) -> bool:
        """As the interface says; commits since the last call count, so that none is missed in between."""
        task = asyncio.current_task()
        seen = self._reported if task is None else self._seen.get(task, self._reported)
        changed = await self._watch.wait(seen, timeout)
        self._reported = self._watch.changes
        if task is not None:
            self._seen[task] = self._reported
        return changed

    async def prune_bodies(self, before: int) -> int:
        bodies = await self._fold(budget.old_request_bodies, budget.delete_request_bodies, before)
        return bodies + await self._fold(budget.expired_slots, budget.delete_slots, before)

    async def prune_history(self, before: int, now: int) -> int:
        through = await self._read(retention.last_old_entry, before)
        await self._write(retention.write_marker, through, now)
        marked = await self._read(retention.chain_anchor)
        gone = 0 if marked is None else await self._drop("audit", {"through": marked[0]})
        gone += await self._fold(retention.old_records, retention.delete_records, before)
        first = await self._read(retention.first_audited_request)
        gone += await self._drop("requests", {"first": first, "before": before})
        for table in ("notices", "commands"):
            gone += await self._drop(table, {"before": before})
        return gone

    async def used_bytes(self) -> int:
        return await self._read(retention.used_bytes)

    async def _drop(self, table: str, wanted: Mapping[str, int]) -> int:
        gone = 0
        while dropped := await self._write(retention.delete_rows, table, wanted, PRUNE_BATCH_ROWS):
            gone += dropped
        return gone

    async def _fold(self, find: Callable[..., list[int]], drop: Callable[..., int], before: int) -> int:
        folded = last = 0
        while found := await self._read(partial(find, before=before, after=last, limit=PRUNE_BATCH_ROWS)):
            folded += await self._write(drop, found)
            last = found[-1]
        return folded
