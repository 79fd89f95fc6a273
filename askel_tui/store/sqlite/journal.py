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
    AuditEntry,
    AuditFilter,
    Command,
    Confirmed,
    Counts,
    Decision,
    Delayed,
    Delivery,
    Failure,
    Fate,
    Hold,
    Intent,
    Notice,
    OpenRequest,
    OperationState,
    PlannedRun,
    Settled,
    StoredOperation,
    StoredRecord,
    Unconfirmed,
    WorkflowState,
)
from askel_tui.store.paths import journal_file
from askel_tui.store.sqlite.commit_watch import Watch
from askel_tui.store.sqlite.connection import connect
from askel_tui.store.sqlite.reader_pool import Readers
from askel_tui.store.sqlite.schema import prepare
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
from askel_tui.store.sqlite.writing.switching_writer import ChangingWriter
from askel_tui.store.sqlite.writing.writer import ThreadWriter, Writer, written

T = TypeVar("T")

FOLD_ROWS = 2_000
"""Rows folded in one transaction, so that other writers get their turn."""

FOLLOW_ROWS = 1_000
FOLLOW_S = 60.0


async def open_journal(home_or_path: Path, *, lock: int | None = None) -> Journal:
    """The journal of a home, or the one in a file. Raises `JournalError`.

    With the descriptor of the home's lock a process of its own may write it in a hurry; it keeps the lock until it has
    ended.
    """
    path = await asyncio.to_thread(_file, home_or_path)
    connection = await asyncio.to_thread(connect, path)
    try:
        await asyncio.to_thread(prepare, connection, path)
        watch = Watch(path)
    except BaseException:
        connection.close()
        raise
    writer: Writer = ThreadWriter(connection, path, watch.poke)
    if lock is not None:
        writer = ChangingWriter(writer, path, watch.poke, lock)
    return SqliteJournal(writer, Readers(path), watch)


def _file(home_or_path: Path) -> Path:
    return journal_file(home_or_path) if home_or_path.is_dir() else home_or_path


class SqliteJournal:
    """`Journal` on SQLite. Open one with `open_journal`."""

    def __init__(self, writer: Writer, readers: Readers, watch: Watch) -> None:
        self._writer = writer
        self._readers = readers
        self._watch = watch
        self._seen: WeakKeyDictionary[asyncio.Task[Any], int] = WeakKeyDictionary()
        self._reported = watch.changes

    async def close(self) -> None:
        await self._writer.close()
        await self._readers.close()
        self._watch.close()

    async def hurry(self) -> None:
        """As the interface says; raises `OSError` where no process can be started."""
        if isinstance(self._writer, ChangingWriter):
            await self._writer.hurry()

    async def rest(self) -> None:
        if isinstance(self._writer, ChangingWriter):
            await self._writer.rest()

    def _write(self, work: Callable[..., T], *arguments: Any) -> Awaitable[T]:
        return written(self._writer, work, *arguments)

    async def _read(self, work: Callable[..., T], *arguments: Any) -> T:
        return await self._readers.read(lambda db: work(db, *arguments))

    # Records in.

    async def accept(self, connection: str, records: Sequence[Record], now: int) -> list[Fate]:
        return await self._write(records_kept.accept, connection, records_kept.encoded(records), now)

    async def records_after(
        self, connection: str, seq: int, limit: int, *, events: Collection[str] | None = None
    ) -> list[StoredRecord]:
        return await self._read(records_kept.after, connection, seq, limit, events)

    async def record_seqs(self, connection: str, seq: int, limit: int, events: Collection[str]) -> list[int]:
        return await self._read(records_kept.seqs_after, connection, seq, limit, events)

    async def newest_records(
        self, connection: str, limit: int, *, events: Collection[str] | None = None, before: int | None = None
    ) -> list[StoredRecord]:
        return await self._read(records_kept.newest, connection, limit, events, before)

    async def record(self, connection: str, record_id: str) -> StoredRecord | None:
        return await self._read(records_kept.by_id, connection, record_id)

    async def unplanned(self, connection: str, after: int, events: Collection[str]) -> int:
        return await self._read(records_kept.unplanned, connection, after, events)

    async def last_seq(self, connection: str) -> int:
        return await self._read(records_kept.last_seq, connection)

    # Workflows while they run.

    async def workflow_states(self) -> list[WorkflowState]:
        return await self._read(workflows.states)

    async def set_workflow(self, state: WorkflowState, decision: Decision | None, now: int) -> None:
        await self._write(workflows.set_state, state, decision, now)

    async def forget_workflow(self, workflow: str, decision: Decision, now: int) -> None:
        await self._write(workflows.forget, workflow, decision, now)

    async def plan(
        self, state: WorkflowState, runs: Sequence[PlannedRun], position: int, now: int
    ) -> list[StoredOperation]:
        places = await self._write(workflows.plan, state, list(runs), position, now)
        return workflows.waiting(state, runs, places)

    async def requeue(
        self, state: WorkflowState, runs: Sequence[PlannedRun], decision: Decision, now: int
    ) -> int:
        return await self._write(workflows.requeue, state, list(runs), decision, now)

    async def ran(self, workflow: str, record_seqs: Sequence[int]) -> set[int]:
        return await self._read(workflows.ran, workflow, record_seqs)

    # Operations out.

    async def waiting(self, connections: Collection[str], after: int, limit: int) -> list[StoredOperation]:
        return await self._read(operations.waiting, connections, after, limit)

    async def operation_state(self, seq: int) -> OperationState | None:
        return await self._read(operations.state_of, seq)

    async def open_request(self, intent: Intent, now: int) -> int:
        """As the interface says; raises `StaleOperations` where an operation no longer waits."""
        return await self._write(requests.open_request, intent, now)

    async def note_job(self, request: int, job: str) -> None:
        await self._write(requests.note_job, request, job)

    async def answer_request(
        self,
        request: int | None,
        *,
        settled: Sequence[Settled] = (),
        delayed: Sequence[Delayed] = (),
        held: Sequence[StoredOperation] = (),
        hold: Hold | None = None,
        carried: bool = False,
        profiles: Mapping[str, Identity] | None = None,
        connection: str = "",
        now: int,
    ) -> None:
        answer = requests.Answer(
            request,
            now,
            requests.endings(settled),
            [(each.operation.seq, each.due, each.detail) for each in delayed],
            [each.seq for each in held],
            hold,
            carried,
            dict(profiles or {}),
            connection,
        )
        await self._write(requests.answer_request, answer)

    async def in_doubt(self, connections: Collection[str]) -> list[OpenRequest]:
        return await self._read(requests.in_doubt, connections)

    async def profile_ids(self, connection: str, keys: Collection[str]) -> dict[str, str]:
        return await self._read(profiles_known.ids, connection, keys)

    async def forget_profile(self, connection: str, profile_id: str) -> None:
        await self._write(profiles_known.forget, connection, profile_id)

    # Holds.

    async def holds(self) -> list[Hold]:
        return await self._read(holds.all_holds)

    async def held(self, workflow: str, step: str, limit: int) -> list[StoredOperation]:
        return await self._read(holds.tried, workflow, step, limit)

    async def place_hold(self, hold: Hold, now: int) -> bool:
        return await self._write(holds.place, hold, now)

    async def release_hold(self, workflow: str, step: str, decision: Decision, now: int) -> int:
        return await self._write(holds.release, workflow, step, decision, now)

    async def let_one(self, workflow: str, step: str, now: int) -> int | None:
        return await self._write(holds.let_one, workflow, step, now)

    async def discard_held(self, workflow: str, step: str, decision: Decision, now: int) -> int:
        return await self._write(holds.discard, workflow, step, decision, now)

    # Failures.

    async def failures(self, workflow: str | None = None, limit: int = 1000) -> list[Failure]:
        return await self._read(failures.failures, workflow, limit)

    async def retry_failures(self, ids: Sequence[int], decision: Decision, now: int) -> int:
        return await self._write(failures.retry, ids, decision, now)

    async def discard_failures(self, ids: Sequence[int], decision: Decision, now: int) -> int:
        return await self._write(failures.discard, ids, decision, now)

    async def to_replan(self, workflow: str, limit: int) -> list[StoredRecord]:
        return await self._read(workflows.to_replan, workflow, limit)

    # Orders.

    async def order(self, name: str, arguments: Mapping[str, Any], actor: str, now: int) -> int:
        return await self._write(commands.order, name, arguments, actor, now)

    async def open_commands(self) -> list[Command]:
        return await self._read(commands.open_commands)

    async def finish_command(
        self, command: int, state: Literal["done", "refused"], result: Mapping[str, Any], now: int
    ) -> None:
        await self._write(commands.finish, command, state, result)

    async def command(self, command: int) -> Command:
        """The order of this id. Raises `LookupError`."""
        return await self._read(commands.find, command)

    # Budget.

    async def take_place(
        self, account: str, call: str, windows: Sequence[tuple[int, int]], now: int
    ) -> tuple[int | None, int]:
        return await self._write(budget.take, account, call, windows, now)

    async def answer_place(self, place: int, now: int) -> None:
        await self._write(budget.answer, place, now)

    async def places(self, account: str, since: int) -> list[tuple[str, int, int | None]]:
        return await self._read(budget.places, account, since)

    async def occupied(self, account: str, call: str, since: int) -> int:
        return await self._read(budget.occupied, account, call, since)

    # Audit, notices and counters.

    async def decide(self, decision: Decision, now: int) -> None:
        await self._write(chain.decide, decision, now)

    async def audit(
        self, wanted: AuditFilter, *, after: int = 0, limit: int = 1000, newest: bool = False
    ) -> list[AuditEntry]:
        entries, _ = await self._read(audit_read.read, wanted, after, limit, newest)
        return entries

    async def unconfirmed(self, after: int, since: int, limit: int) -> tuple[list[Unconfirmed], int]:
        return await self._read(receipts.unconfirmed, after, since, limit)

    async def request_body(self, request: int) -> bytes | None:
        return await self._read(receipts.body_of, request)

    async def confirm(self, confirmed: Sequence[Confirmed], now: int) -> int:
        return await self._write(receipts.confirm, confirmed, now)

    async def follow(self, wanted: AuditFilter, after: int) -> AsyncIterator[AuditEntry]:
        """As the interface says; ends when the journal is closed."""
        while not self._watch.closed:
            seen = self._watch.changes
            entries, head = await self._read(audit_read.read, wanted, after, FOLLOW_ROWS, False)
            for entry in entries:
                after = entry.seq
                yield entry
            if len(entries) < FOLLOW_ROWS:
                # Nothing up to the chain's end is left to look at, wanted or not.
                after = max(after, head)
                while not self._watch.closed and not await self._watch.wait(seen, FOLLOW_S):
                    pass

    async def verify(self) -> tuple[int, int | None]:
        checked = audit_read.Checked()
        while not checked.ended:
            checked = await self._read(audit_read.check, checked)
        return checked.seq - checked.start, checked.broken

    async def notices(self, after: int = 0) -> list[Mapping[str, Any]]:
        return await self._read(notices_kept.after, after)

    async def note(self, notice: Notice, decision: Decision | None, now: int) -> None:
        await self._write(notices_kept.note, notice, decision, now)

    async def remind(self, before: int, now: int) -> int:
        return await self._write(notices_kept.remind, before, now)

    async def delivery(self, address: str, connection: str | None) -> Delivery:
        known = await self._read(notices_kept.delivery, address)
        if known is not None:
            return known
        return await self._write(notices_kept.first_delivery, address, connection)

    async def keep_deliveries(self, addresses: Collection[str]) -> None:
        await self._write(notices_kept.keep_deliveries, addresses)

    async def move_delivery(self, address: str, delivery: Delivery) -> None:
        await self._write(notices_kept.move_delivery, address, delivery)

    async def counts(self) -> dict[str, Counts]:
        return await self._read(counters.counts)

    async def wait_change(self, timeout: float) -> bool:
        """As the interface says; commits since the last call count, so that none is missed in between."""
        task = asyncio.current_task()
        seen = self._reported if task is None else self._seen.get(task, self._reported)
        changed = await self._watch.wait(seen, timeout)
        self._reported = self._watch.changes
        if task is not None:
            self._seen[task] = self._reported
        return changed

    async def fold(self, before: int) -> int:
        bodies = await self._fold(budget.old_bodies, budget.drop_bodies, before)
        return bodies + await self._fold(budget.old_places, budget.drop_places, before)

    async def retire(self, before: int, now: int) -> int:
        through = await self._read(retention.last_old, before)
        await self._write(retention.mark, through, now)
        marked = await self._read(retention.anchor)
        gone = 0 if marked is None else await self._drop("audit", {"through": marked[0]})
        gone += await self._fold(retention.old_records, retention.drop_records, before)
        first = await self._read(retention.first_request)
        gone += await self._drop("requests", {"first": first, "before": before})
        for table in ("notices", "commands"):
            gone += await self._drop(table, {"before": before})
        return gone

    async def used(self) -> int:
        return await self._read(retention.used)

    async def _drop(self, table: str, wanted: Mapping[str, int]) -> int:
        gone = 0
        while dropped := await self._write(retention.drop, table, wanted, FOLD_ROWS):
            gone += dropped
        return gone

    async def _fold(self, find: Callable[..., list[int]], drop: Callable[..., int], before: int) -> int:
        folded = last = 0
        while found := await self._read(partial(find, before=before, after=last, limit=FOLD_ROWS)):
            folded += await self._write(drop, found)
            last = found[-1]
        return folded
