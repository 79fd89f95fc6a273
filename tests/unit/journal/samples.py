"""Records and operations for journal tests, and a desk that does the everyday work with a journal."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from askel_tui.contract.calls import Call
from askel_tui.core.operations import Identity, Operation, StepKind, Target, operation_id
from askel_tui.core.records.record import Record
from askel_tui.store.journal.interface import Journal
from askel_tui.store.journal.rows import (
    AuditEntry,
    AuditFilter,
    Decision,
    Hold,
    Outcome,
    RequestIntent,
    SettledOperation,
    StoredOperation,
    WorkflowCounts,
    WorkflowState,
    encode_run,
)

Opener = Callable[[Path], Coroutine[Any, Any, Journal]]

CONNECTION = "maple-ember"
WORKFLOW = "welcome"
NOW = 1_795_400_000_000
STEPS = ("tier", "points", "list")
EVERYTHING = AuditFilter()


def record(number: int, *, event: str = "first_points_earned", **data: Any) -> Record:
    """A record with its own id."""
    return Record(
        f"evt-{number:06d}", event, "2026-11-23T09:14:05Z", {"points": number, **data}, "rewards-service"
    )


def operation(record_id: str, step: str, *, gate: bool = False, workflow: str = WORKFLOW) -> Operation:
    """An operation of a record's step; each record is about a profile of its own."""
    kind: StepKind = "require_segment" if gate else "upsert_profile"
    return Operation(
        id=operation_id(CONNECTION, workflow, 1, record_id, step),
        step=step,
        kind=kind,
        call=Call.GET_PROFILES_FOR_SEGMENT if gate else Call.CREATE_OR_UPDATE_PROFILE,
        profile=Identity(email=f"{record_id}@mapleandember.example"),
        target=Target("segment", "Seg1", "VIP") if gate else None,
        body={"member": False} if gate else {"properties": {"LoyaltyTier": "Gold"}},
    )


def intent(
    operations: Sequence[StoredOperation], body: bytes = b'{"data":{"type":"profile"}}'
) -> RequestIntent:
    """A request that carries these operations."""
    return RequestIntent(
        connection=CONNECTION,
        account="MpEmbr",
        call=Call.CREATE_OR_UPDATE_PROFILE,
        method="POST",
        path="/api/profile-import",
        body=body,
        revision="2026-07-15",
        key="sha256:0123456789ab",
        operation_seqs=[each.seq for each in operations],
    )


def hold(step: str, cause: str = "target_gone", workflow: str = WORKFLOW, version: int = 1) -> Hold:
    """A hold of a step."""
    return Hold(CONNECTION, workflow, version, step, cause, "the list Welcome Flow (L1) is gone", NOW)


def decision(kind: str, step: str | None = None) -> Decision:
    """A decision of a person."""
    return Decision(kind, "ada", CONNECTION, WORKFLOW, step, {"why": "asked"})


@dataclass
class Desk:
    """Everyday work with a journal, for tests."""

    journal: Journal
    workflow: str = WORKFLOW
    connection: str = CONNECTION
    position: int = 0
    now: int = NOW
    version: int = 1
    _number: int = field(default=0)

    def state(self, status: Any = "active") -> WorkflowState:
        """The workflow's state."""
        return WorkflowState(self.workflow, self.connection, status, self.version, self.position)

    async def take(self, count: int) -> None:
        """Accepts new records."""
        numbers = range(self._number, self._number + count)
        self._number += count
        await self.journal.accept_records(self.connection, [record(number) for number in numbers], self.now)

    async def plan(self, steps: Sequence[str] = STEPS, *, gates: Sequence[str] = ()) -> list[StoredOperation]:
        """Plans all records after the position with these steps."""
        records = await self.journal.records_after(self.connection, self.position, 10_000)
        runs = [
            encode_run(
                each.seq,
                each.record.id,
                [
                    operation(each.record.id, step, gate=step in gates, workflow=self.workflow)
                    for step in steps
                ],
            )
            for each in records
        ]
        before = self.state()
        self.position = records[-1].seq if records else self.position
        return await self.journal.commit_runs(before, runs, self.position, self.now)

    async def planned(
        self, count: int, steps: Sequence[str] = STEPS, *, gates: Sequence[str] = ()
    ) -> list[StoredOperation]:
        """Operations of new records, waiting."""
        await self.take(count)
        return await self.plan(steps, gates=gates)

    async def plan_fails(self) -> None:
        """One new record whose planning fails."""
        await self.take(1)
        (stored,) = await self.journal.records_after(self.connection, self.position, 10)
        problem = {"step": "tier", "field": "profile.email", "message": "no usable identity"}
        before = self.state()
        self.position = stored.seq
        await self.journal.commit_runs(
            before, [encode_run(stored.seq, stored.record.id, (), [problem])], stored.seq, self.now
        )

    async def send(
        self, operations: Sequence[StoredOperation], outcome: Outcome = "written", detail: str | None = None
    ) -> int:
        """Opens a request for operations and settles all of them alike; gives the request's id."""
        request = await self.journal.open_request(intent(operations), self.now)
        settled = [
            SettledOperation(each, outcome, 200, b'{"data":{"id":"P1"}}', detail, 80) for each in operations
        ]
        await self.journal.answer_request(request, settled=settled, connection=self.connection, now=self.now)
        return request

    async def decide_gate(self, gate: StoredOperation, outcome: Outcome, detail: str | None = None) -> None:
        """Settles a gate, which needs no request of its own."""
        await self.journal.answer_request(
            None,
            settled=[SettledOperation(gate, outcome, detail=detail)],
            connection=self.connection,
            now=self.now,
        )

    async def waiting(self, after: int = 0) -> list[StoredOperation]:
        """What waits, in the order of its records, as planning gives it."""
        found = await self.journal.waiting_operations([self.connection], after, 100_000)
        assert [each.seq for each in found] == sorted(each.seq for each in found)
        return sorted(found, key=lambda each: (each.record_seq, each.index))

    async def waiting_seqs(self) -> list[int]:
        """What waits, by `seq`."""
        return sorted(each.seq for each in await self.waiting())

    async def counts(self) -> WorkflowCounts:
        """The workflow's counts."""
        return (await self.journal.counts()).get(self.workflow, WorkflowCounts())

    async def entries(self, **wanted: Any) -> list[AuditEntry]:
        """Audit entries under a filter."""
        return await self.journal.audit_entries(AuditFilter(**wanted), limit=100_000)
