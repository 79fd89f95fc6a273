"""The journal: what has been accepted, planned, sent and decided, durably. The interface; its rows are `journal_rows`.

Everything that grows or changes while running lives here: records, operations, requests, audit, holds, commands,
places in the budget, counters. `store/sqlite/journal.py` is the embedded implementation. Every method that writes is
durable when it returns, and every decision is committed together with its audit entry.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Any, Literal, Protocol

from askel_tui.core.operations import Identity
from askel_tui.core.records.record import Record
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


class Journal(Protocol):
    """The seam between the moving parts and the disk. Times are milliseconds since 1970, given by the caller."""

    async def close(self) -> None: ...

    async def enter_bulk_mode(self) -> None:
        """There is a backlog: whatever makes writing it faster may be done. Raises `OSError` where that can't be."""
        ...

    async def leave_bulk_mode(self) -> None:
        """The backlog is over."""
        ...

    # Records in.

    async def accept_records(
        self, connection: str, records: Sequence[Record], now: int
    ) -> list[AcceptResult]:
        """Stores records; durable on return. One fate per record, in order."""
        ...

    async def records_after(
        self, connection: str, seq: int, limit: int, *, events: Collection[str] | None = None
    ) -> list[StoredRecord]:
        """Records in order of receipt after `seq`; only those of the named events, if given."""
        ...

    async def record_seqs_after(
        self, connection: str, seq: int, limit: int, events: Collection[str]
    ) -> list[int]:
        """The `seq` of the records of these events after one, in order."""
        ...

    async def newest_records(
        self, connection: str, limit: int, *, events: Collection[str] | None = None, before: int | None = None
    ) -> list[StoredRecord]:
        """The newest records by receipt, newest first; `before` (a seq) pages further back."""
        ...

    async def find_record(self, connection: str, record_id: str) -> StoredRecord | None: ...

    async def count_unplanned(self, connection: str, after: int, events: Collection[str]) -> int:
        """How many records of these events were received after the one with the `seq` `after`."""
        ...

    async def last_record_seq(self, connection: str) -> int:
        """The `seq` of the newest record of a connection; 0 when there is none."""
        ...

    # Workflows while they run.

    async def workflow_states(self) -> list[WorkflowState]: ...

    async def set_workflow_state(self, state: WorkflowState, decision: Decision | None, now: int) -> None:
        """Stores the state of a workflow (its position included) with the decision that changed it."""
        ...

    async def forget_workflow(self, workflow: str, decision: Decision, now: int) -> None:
        """Forgets a workflow's state, holds, failures and unsent operations; the audit stays.

        Each hold that ends so leaves a notice. What a request carries is settled with its answer, or given up
        with an entry where it would have to be tried again.
        """
        ...

    async def commit_runs(
        self, state: WorkflowState, runs: Sequence[PlannedRun], position: int, now: int
    ) -> list[StoredOperation]:
        """Commits what planning gave and moves the position, in one transaction.

        A record that already ran under this workflow (any version) is passed over: a record runs once per workflow.
        Operations of a step under a hold are stored as held. Runs with problems become failures with an audit entry.
        Gives the operations that were stored as waiting, in the order of their records. Where these are of different
        profiles, the queue's own order (`seq`) goes by step: what travels together is stored together.
        """
        ...

    async def requeue_runs(
        self, state: WorkflowState, runs: Sequence[PlannedRun], decision: Decision, now: int
    ) -> int:
        """Queues operations of records that ran before (a replay), with the decision; gives how many.

        Their actor is the decision's. Those of a step under a hold are stored as held; the workflow's own state and
        position stay as they are.
        """
        ...

    async def already_ran(self, workflow: str, record_seqs: Sequence[int]) -> set[int]:
        """Which of these records already ran under the workflow."""
        ...

    # Operations out.

    async def waiting_operations(
        self, connections: Collection[str], after: int, limit: int
    ) -> list[StoredOperation]:
        """Waiting operations with a `seq` over `after`, in order, of these connections; paused workflows left out."""
        ...

    async def operation_state(self, seq: int) -> OperationState | None:
        """Where an operation stands; None once it left the queue."""
        ...

    async def open_request(self, intent: RequestIntent, now: int) -> int:
        """Writes down that a request is about to be sent, and takes note of its place in the budget. Gives its id."""
        ...

    async def save_job_id(self, request: int, job: str) -> None:
        """Writes down which job Klaviyo made of a request: its answer is that job's end."""
        ...

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
        """Closes a request: what became of each operation, with audit, counters and learned profile ids, at once.

        `held` are operations that wait for `hold`; if `hold` is given, it is placed, audited and noticed once, and
        the waiting operations of its step become held with them. With `carried` the request goes on carrying the held
        ones and stays open: a release does not let them be sent. A failed operation takes the later operations of its
        record along: they become failed, unattempted ("after step X failed"). A gate settled as `skipped` skips the
        later operations of its record. `profiles` maps Klaviyo profile ids to the identity the answer showed for
        them; what the memory held for these ids or identifiers before is replaced. `request=None` settles
        operations that needed no request.
        """
        ...

    async def requests_in_doubt(self, connections: Collection[str]) -> list[OpenRequest]:
        """Requests that were opened and never answered, oldest first, with the operations they still carry."""
        ...

    async def profile_ids(self, connection: str, keys: Collection[str]) -> dict[str, str]:
        """Klaviyo profile ids remembered for ordering keys (see `Identity.keys`)."""
        ...

    async def forget_profile_id(self, connection: str, profile_id: str) -> None:
        """Drops what was remembered of a profile id that turned out to be wrong."""
        ...

    # Holds.

    async def holds(self) -> list[Hold]:
        """All holds, oldest first, each with the number of operations that wait for it."""
        ...

    async def attempted_held_operations(self, workflow: str, step: str, limit: int) -> list[StoredOperation]:
        """Operations that a hold keeps and that came back from a request (`reason` says why), oldest first."""
        ...

    async def place_hold(self, hold: Hold, now: int) -> bool:
        """Holds a step: its waiting operations become held; audited and noticed. False if it was held already.

        What needs a person takes the place of a cause that may end by itself (`in_doubt` that of any other, any
        other that of an `outage`), and is audited and noticed in turn.
        """
        ...

    async def release_one(self, workflow: str, step: str, now: int) -> int | None:
        """Lets the oldest operation of a held step go and gives its `seq`; the hold stays.

        An operation that is to be tried again is held again.
        """
        ...

    async def release_hold(self, workflow: str, step: str, decision: Decision, now: int) -> int:
        """Ends a hold: its operations wait again, in order. Gives how many; 0 as well when there was no hold.

        Where the decision's detail names a cause, a hold that has another one by now stays.
        """
        ...

    async def discard_held(self, workflow: str, step: str, decision: Decision, now: int) -> int:
        """Discards the operations that a hold keeps, one audit entry each; the hold itself stays. Gives how many."""
        ...

    # Failures.

    async def failures(self, workflow: str | None = None, limit: int = 1000) -> list[Failure]: ...

    async def retry_failures(self, ids: Sequence[int], decision: Decision, now: int) -> int:
        """Failed operations (with the unattempted ones behind them) wait again; failed plans are planned again."""
        ...

    async def discard_failures(self, ids: Sequence[int], decision: Decision, now: int) -> int: ...

    async def records_to_replan(self, workflow: str, limit: int) -> list[StoredRecord]:
        """Records whose failed plan was ordered to be tried again."""
        ...

    # Orders.

    async def submit_command(self, name: str, arguments: Mapping[str, Any], actor: str, now: int) -> int:
        """Leaves an order for the daemon; gives its id."""
        ...

    async def open_commands(self) -> list[Command]: ...

    async def finish_command(
        self, command: int, state: Literal["done", "refused"], result: Mapping[str, Any], now: int
    ) -> None: ...

    async def find_command(self, command: int) -> Command: ...

    # Budget.

    async def take_slot(
        self, account: str, call: str, windows: Sequence[tuple[int, int]], now: int
    ) -> tuple[int | None, int]:
        """Takes a place in the windows [(limit, milliseconds)] of a call, shared by all processes.

        Gives (place id, 0), or (None, milliseconds to wait) where a window is full. A place counts from its taking
        until its answer plus the window; one that was never answered counts as answered a minute after its taking.
        """
        ...

    async def release_slot(self, place: int, now: int) -> None: ...

    async def taken_slots(self, account: str, since: int) -> list[tuple[str, int, int | None]]:
        """(call, taken, answered) of the account's places and requests not older than `since`."""
        ...

    async def count_occupied_slots(self, account: str, call: str, since: int) -> int:
        """How many places of a call were taken or answered at `since` or later."""
        ...

    # Audit, notices and counters.

    async def write_decision(self, decision: Decision, now: int) -> None:
        """Writes an audit entry for a decision that changes nothing here."""
        ...

    async def audit_entries(
        self, wanted: AuditFilter, *, after: int = 0, limit: int = 1000, newest: bool = False
    ) -> list[AuditEntry]:
        """Audit entries over `after` in order; `newest` gives the last `limit` of them, still in order."""
        ...

    async def unconfirmed_writes(
        self, after: int, since: int, limit: int
    ) -> tuple[list[UnconfirmedWrite], int]:
        """Entries over `after`, not older than `since`, that wait for a confirmation, and how far was looked.

        All of consent, and of a call's events a few.
        """
        ...

    async def request_body(self, request: int) -> bytes | None:
        """The body of a request; None once it was folded away."""
        ...

    async def write_confirmations(self, confirmed: Sequence[Confirmation], now: int) -> int:
        """Writes audit entries for what was read back, one for each; gives how many were new."""
        ...

    def follow_audit(self, wanted: AuditFilter, after: int) -> AsyncIterator[AuditEntry]:
        """Audit entries as they come, whichever process writes them."""
        ...

    async def verify_audit(self) -> tuple[int, int | None]:
        """(entries checked, seq of the first one that breaks the chain or None)."""
        ...

    async def notices(self, after: int = 0) -> list[Notice]:
        """The notices with a higher `seq` than `after`, oldest first."""
        ...

    async def add_notice(self, notice: WarningNotice, decision: Decision | None, now: int) -> None:
        """Leaves a notice that no hold makes, with the decision behind it."""
        ...

    async def add_reminders(self, before: int, now: int) -> int:
        """Leaves a reminder per cause of standing holds that was last told of before a time. Gives how many."""
        ...

    async def delivery(self, address: str, connection: str | None) -> DeliveryPosition:
        """How far notices were delivered to an address (a word that stands for it, never the address itself).

        One that was never seen begins with the oldest hold that stands (of the connection, if one is given).
        """
        ...

    async def forget_other_deliveries(self, addresses: Collection[str]) -> None:
        """Forgets how far notices were delivered to any other address."""
        ...

    async def save_delivery(self, address: str, delivery: DeliveryPosition) -> None:
        """Remembers how far notices were delivered to an address; durable when it returns."""
        ...

    async def counts(self) -> dict[str, WorkflowCounts]:
        """Counts by workflow; answered from counters, whatever the size of the journal."""
        ...

    async def wait_for_change(self, timeout: float) -> bool:
        """Returns True as soon as any process has committed something, False after `timeout` seconds."""
        ...

    async def prune_bodies(self, before: int) -> int:
        """Folds away answered requests' bodies and places older than `before`. Gives how many rows went."""
        ...

    async def prune_history(self, before: int, now: int) -> int:
        """Folds away audit entries and records older than `before` with all that belongs to them; gives how many rows.

        In small parts, while others work. An entry marks where the chain begins from then on. Records that something
        waits for stay, and so does what failed.
        """
        ...

    async def used_bytes(self) -> int:
        """How many bytes the journal holds."""
        ...


Clock = Callable[[], int]
"""Milliseconds since 1970."""
