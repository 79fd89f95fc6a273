"""Replay: sends events of a range of the journal again, with the same ids, so that none is doubled.

An event is recreated by planning its record under the version that sent it. Klaviyo discards an event whose
`unique_id` it has; where the revision can say so, a replayed event fires no flow (`backfill`).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from askel_tui.contract.calls import Call
from askel_tui.contract.dialects import dialect
from askel_tui.core.operations import Operation, operation_id
from askel_tui.core.planning.plan import plan
from askel_tui.core.planning.steps import AppliedWorkflow
from askel_tui.store.errors import UnknownWorkflow
from askel_tui.store.journal.rows import (
    AuditEntry,
    AuditFilter,
    Decision,
    StoredRecord,
    WorkflowState,
    encode_run,
)
from askel_tui.sync.engine.commands import CommandRefused
from askel_tui.sync.instance import Instance
from askel_tui.sync.settlement.single_calls import REPLAY

ENTRIES_PER_PAGE = 1_000
"""The number of audit entries that are read, and of events that are queued, at once."""

EVENT_KINDS = frozenset({"track_event", "trigger_flow"})
SENT_STATUSES = frozenset({"written", "unconfirmed"})


@dataclass(frozen=True, slots=True)
class ReplayRange:
    """A range of events of a connection: by workflow, step and time, or by their records in order of receipt.

    `since` and `until` are when the event was sent, in milliseconds since 1970; `first` and `last` are record ids.
    """

    connection: str
    workflow: str | None = None
    step: str | None = None
    since: int | None = None
    until: int | None = None
    first: str | None = None
    last: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Converts the range to JSON, as the audit keeps it."""
        names = ("workflow", "step", "since", "until", "first", "last")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True)
class ReplayableEvent:
    """An event that was sent, with its operation recreated."""

    entry: AuditEntry
    stored: StoredRecord
    version: int
    operation: Operation

    def as_dict(self) -> dict[str, Any]:
        """Converts the event to JSON."""
        body = self.operation.body
        return {
            "record": self.entry.record,
            "workflow": self.entry.workflow,
            "step": self.entry.step,
            "profile": self.operation.profile.identifiers(),
            "metric": body["metric"],
            "time": body["time"],
            "unique_id": body["unique_id"],
            "sent": self.entry.at,
        }


@dataclass(frozen=True, slots=True)
class UnreplayableEvent:
    """An event that can't be recreated, and the reason."""

    entry: AuditEntry
    reason: str


async def replayable_events(
    instance: Instance, wanted: ReplayRange
) -> AsyncIterator[ReplayableEvent | UnreplayableEvent]:
    """Yields the events of a range, in the order they were sent, each once.

    Raises `UnknownConnection`, and `CommandRefused` where a record that bounds the range is not kept.
    """
    instance.state.connection(wanted.connection)
    first, last = await _record_bounds(instance, wanted)
    versions = _WorkflowVersions(instance)
    seen: set[str] = set()
    after = 0
    sent = AuditFilter(
        wanted.connection, wanted.workflow, wanted.step, since=wanted.since, until=wanted.until
    )
    while page := await instance.journal.audit_entries(sent, after=after, limit=ENTRIES_PER_PAGE):
        after = page[-1].position
        for entry in page:
            if (
                entry.kind not in EVENT_KINDS
                or entry.status not in SENT_STATUSES
                or not entry.operation
                or not entry.record
            ):
                continue
            if entry.operation in seen or _is_replay(entry):
                continue
            seen.add(entry.operation)
            stored = await instance.journal.find_record(wanted.connection, entry.record)
            if stored is None:
                yield UnreplayableEvent(entry, "its record is no longer kept")
            elif first <= stored.seq <= last:
                found = await versions.recreate(entry, stored)
                if isinstance(found, UnreplayableEvent) or found.operation.call == Call.CREATE_EVENT:
                    yield found


async def replay(
    instance: Instance, wanted: ReplayRange, actor: str, *, backfill: bool = True
) -> tuple[int, list[UnreplayableEvent]]:
    """Queues the events of a range again. Returns their number, and the events that can't be recreated.

    Raises as `replayable_events` does.
    """
    revision = instance.state.connection(wanted.connection).revision
    backfill = backfill and dialect(revision).has_backfill
    lost: list[UnreplayableEvent] = []
    events: list[ReplayableEvent] = []
    count = 0
    async for each in replayable_events(instance, wanted):
        if isinstance(each, UnreplayableEvent):
            lost.append(each)
            continue
        events.append(each)
        if len(events) == ENTRIES_PER_PAGE:
            count += await _queue_events(instance, wanted, events, actor, backfill)
            events = []
    if events:
        count += await _queue_events(instance, wanted, events, actor, backfill)
    if count:
        # The owner of the home executes it; the events wait for that, and the caller need not.
        await instance.journal.submit_command("replay", {"events": count}, actor, instance.clock())
    return count, lost


async def _queue_events(
    instance: Instance, wanted: ReplayRange, events: Sequence[ReplayableEvent], actor: str, backfill: bool
) -> int:
    now = instance.clock()
    count = 0
    for workflow, version in dict.fromkeys((each.entry.workflow or "", each.version) for each in events):
        by_record: defaultdict[tuple[int, str], list[Operation]] = defaultdict(list)
        for each in events:
            if (each.entry.workflow, each.version) == (workflow, version):
                operation = _replayed_operation(each, wanted.connection, now, backfill)
                by_record[each.stored.seq, each.stored.record.id].append(operation)
        runs = [encode_run(seq, record, operations) for (seq, record), operations in by_record.items()]
        state = WorkflowState(workflow, wanted.connection, "active", version)
        number = sum(len(run.operations) for run in runs)
        detail = {**wanted.as_dict(), "events": number, "backfill": backfill}
        decision = Decision("replay", actor, wanted.connection, workflow, detail=detail)
        count += await instance.journal.requeue_runs(state, runs, decision, now)
    return count


def _replayed_operation(event: ReplayableEvent, connection: str, now: int, backfill: bool) -> Operation:
    """Makes an operation of its own from the same event: its `unique_id` stays."""
    operation, entry = event.operation, event.entry
    body = {**operation.body, "replay": True}
    if backfill:
        body["backfill"] = True
    step = f"{operation.step}.replay.{now}"
    new_id = operation_id(connection, entry.workflow or "", event.version, event.stored.record.id, step)
    return replace(operation, id=new_id, body=body)


async def _record_bounds(instance: Instance, wanted: ReplayRange) -> tuple[int, int]:
    """Finds the seqs of the records that bound the range."""
    found = []
    for record, otherwise in ((wanted.first, 0), (wanted.last, 2**63 - 1)):
        if record is None:
            found.append(otherwise)
            continue
        stored = await instance.journal.find_record(wanted.connection, record)
        if stored is None:
            raise CommandRefused(f"no record {record} is kept for {wanted.connection}")
        found.append(stored.seq)
    return found[0], found[1]


class _WorkflowVersions:
    """The versions of workflows, each loaded once."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._numbers: dict[str, list[int]] = {}
        self._applied: dict[tuple[str, int], AppliedWorkflow | None] = {}

    async def recreate(self, entry: AuditEntry, stored: StoredRecord) -> ReplayableEvent | UnreplayableEvent:
        """Recreates the event of an audit entry by planning its record under the version that sent it."""
        workflow, connection = entry.workflow or "", entry.connection or ""
        for number in self._version_numbers(workflow):
            step = entry.step or ""
            if operation_id(connection, workflow, number, stored.record.id, step) == entry.operation:
                break
        else:
            return UnreplayableEvent(entry, "the version that sent it is no longer kept")
        applied = await self._applied_version(workflow, number)
        planned = plan(stored.record, applied) if applied is not None else None
        operations = planned.operations if planned else ()
        operation = next((each for each in operations if each.id == entry.operation), None)
        if operation is None:
            return UnreplayableEvent(entry, "its record does not plan to it any more")
        if operation.call == Call.CREATE_EVENT and not _has_same_unique_id(entry, operation):
            return UnreplayableEvent(entry, "it would get another unique_id than it was sent with")
        return ReplayableEvent(entry, stored, number, operation)

    def _version_numbers(self, workflow: str) -> list[int]:
        if workflow not in self._numbers:
            try:
                found = [doc.version for doc in self._instance.state.versions(workflow)]
            except UnknownWorkflow:
                found = []
            self._numbers[workflow] = found[::-1]
        return self._numbers[workflow]

    async def _applied_version(self, workflow: str, version: int) -> AppliedWorkflow | None:
        key = (workflow, version)
        if key not in self._applied:
            self._applied[key] = await self._instance.applied_version(workflow, version)
        return self._applied[key]


def _has_same_unique_id(entry: AuditEntry, operation: Operation) -> bool:
    """Checks whether the event was sent with the unique id that it would get now; True where its body was pruned."""
    request: Mapping[str, Any] = entry.request or {}
    body = request.get("body")
    return body is None or f'"{operation.body["unique_id"]}"' in json.dumps(body)


def _is_replay(entry: AuditEntry) -> bool:
    detail = (entry.response or {}).get("detail")
    return isinstance(detail, str) and detail.partition(";")[0] == REPLAY
