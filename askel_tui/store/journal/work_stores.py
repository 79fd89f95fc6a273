"""The journal's interface, first half: the way of a record, from its receipt to the answer of its last request."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from askel_tui.core.operations import Identity
from askel_tui.core.records.record import Record
from askel_tui.store.journal.rows import (
    AcceptResult,
    Decision,
    DelayedOperation,
    Hold,
    OpenRequest,
    OperationState,
    PlannedRun,
    RequestIntent,
    SettledOperation,
    StoredOperation,
    StoredRecord,
    WorkflowCounts,
    WorkflowState,
)


class RecordStore(Protocol):
    """Accepted records, in order of receipt."""

    async def accept_records(
        self, connection: str, records: Sequence[Record], now: int
    ) -> list[AcceptResult]:
        """Stores records that are not stored yet. Gives one result per record, in order."""
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
        """The newest records by receipt, newest first; `before` (a `seq`) pages further back."""
        ...

    async def find_record(self, connection: str, record_id: str) -> StoredRecord | None:
        """The record of this id; None where there is none."""
        ...

    async def count_unplanned(self, connection: str, after: int, events: Collection[str]) -> int:
        """How many records of these events were received after the one with the `seq` `after`."""
        ...

    async def last_record_seq(self, connection: str) -> int:
        """The `seq` of the newest record of a connection; 0 where there is none."""
        ...


class WorkflowStore(Protocol):
    """What changes about workflows while they run, and the runs of records under them."""

    async def workflow_states(self) -> list[WorkflowState]:
        """The states of all workflows, by name."""
        ...

    async def set_workflow_state(self, state: WorkflowState, decision: Decision | None, now: int) -> None:
        """Stores the state of a workflow (its position included) with the decision that changed it."""
        ...

    async def forget_workflow(self, workflow: str, decision: Decision, now: int) -> None:
        """Deletes a workflow's state, holds, failures and unsent operations; the audit stays.

        Each hold that ends this way leaves a notice. Operations that a request carries are settled with its answer;
        where one would have to be tried again, it is discarded with an entry.
        """
        ...

    async def commit_runs(
        self, state: WorkflowState, runs: Sequence[PlannedRun], position: int, now: int
    ) -> list[StoredOperation]:
        """Stores planned runs and moves the workflow's position, in one transaction.

        A record that already ran under this workflow (any version) is passed over: a record runs once per workflow.
        Operations of a step under a hold are stored as held. Runs with problems become failures with an audit entry.
        Gives the operations that were stored as waiting, in the order of their records. Where these are of different
        profiles, the queue's own order (`seq`) goes by step, so that operations that travel together lie together.
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
        """Which of these records ran under the workflow and are not to be planned again."""
        ...

    async def records_to_replan(self, workflow: str, limit: int) -> list[StoredRecord]:
        """Records whose failed plan is to be made again, in order of receipt."""
        ...

    async def counts(self) -> dict[str, WorkflowCounts]:
        """Counts by workflow; answered from counters, whatever the size of the journal."""
        ...


class OperationStore(Protocol):
    """The queue of operations that are not settled, and what is known about their profiles."""

    async def waiting_operations(
        self, connections: Collection[str], after: int, limit: int
    ) -> list[StoredOperation]:
        """Waiting operations of these connections with a `seq` over `after`, in order; paused workflows left out."""
        ...

    async def operation_state(self, seq: int) -> OperationState | None:
        """The state of an operation; None once it left the queue."""
        ...

    async def profile_ids(self, connection: str, keys: Collection[str]) -> dict[str, str]:
        """Klaviyo profile ids remembered for ordering keys (see `Identity.keys`)."""
        ...

    async def forget_profile_id(self, connection: str, profile_id: str) -> None:
        """Deletes what was remembered of a profile id that turned out to be wrong."""
        ...


class RequestStore(Protocol):
    """Requests: written down before they are sent, closed with what became of each operation."""

    async def open_request(self, intent: RequestIntent, now: int) -> int:
        """Writes down that a request is about to be sent, and takes its rate-limit slot. Gives its id.

        Raises `StaleOperations` where one of its operations no longer waits; then nothing was written.
        """
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
        """Closes a request: what became of each operation, audit, counters and learned profile ids, in one commit.

        `held` are operations that wait for `hold`; if `hold` is given, it is placed, audited and noticed once, and
        the waiting operations of its step become held with them. With `keep_carrying` the request goes on carrying
        the held ones and stays open: a release does not let them be sent. A failed operation takes the later
        operations of its record along: they become failed, unattempted ("after step X failed"). A gate settled as
        `skipped` skips the later operations of its record. `profiles` maps Klaviyo profile ids to the identity that
        the answer showed for them; it replaces what was remembered of these ids and identifiers. `request=None`
        settles operations that needed no request.
        """
        ...

    async def requests_in_doubt(self, connections: Collection[str]) -> list[OpenRequest]:
        """Requests that were opened and never answered, oldest first, with the operations they still carry."""
        ...

    async def request_body(self, request: int) -> bytes | None:
        """The body of a request; None once it was pruned."""
        ...
