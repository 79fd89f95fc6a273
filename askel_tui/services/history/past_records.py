"""What kept records of the past would start under a workflow: live flows, subscriptions. Writes nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from askel_tui.contract.calls import Call
from askel_tui.contract.dialects import dialect
from askel_tui.core.exit_codes import AskelError, ExitCode
from askel_tui.core.operations import Identity
from askel_tui.core.planning.history import FlowStarts, flow_starts, plan_history
from askel_tui.core.planning.plan import Plan, plan
from askel_tui.core.planning.steps import AppliedWorkflow
from askel_tui.core.problems import HISTORY_ASIDE_KIND
from askel_tui.core.records.record import Record
from askel_tui.services.discovery import with_dates
from askel_tui.store.journal.rows import StoredRecord
from askel_tui.sync.instance import Instance
from askel_tui.text.numbers import pluralize

FlowsAnswer = Literal["fire", "history"]
"""What records of the past do to live flows: they start them as new records do, or are written as history."""

REACH = timedelta(hours=1)
"""The age from which on records are of the past."""

RECORDS_PER_PAGE = 500
"""The number of stored records that are read at a time."""


@dataclass(frozen=True, slots=True)
class FlowReach:
    """A live flow, and the number of people for whom it would start at most: who is on its list already counts."""

    flow: str
    people: int


@dataclass(frozen=True, slots=True)
class PastPreview:
    """What records of the past would do under a workflow's version."""

    workflow: str
    version: int
    records: int
    people: int
    oldest: str | None
    """The time of the oldest record."""
    flows: tuple[FlowReach, ...]
    subscribed: int
    """The number of people who would be subscribed."""
    left_aside: dict[str, int]
    """What `--history` leaves aside: the number of records by sentence."""
    marks_events: bool
    """True if the connection's revision can mark events as history."""
    failing: int = 0
    """The number of records that would fail."""
    operations: dict[str, int] = field(default_factory=dict)
    """The number of writes by Klaviyo's call."""

    @property
    def asks(self) -> bool:
        """True if a person has to say whether flows start."""
        return bool(self.flows or self.subscribed)

    def describe(self) -> str:
        """Describes in a sentence what would happen."""
        parts = [
            f"start {each.flow} for up to {pluralize(each.people, 'person', 'people')}" for each in self.flows
        ]
        if self.subscribed:
            parts.append(f"subscribe {pluralize(self.subscribed, 'person', 'people')}")
        records = pluralize(self.records, "record")
        return f"{records} of the past under {self.workflow} would {' and '.join(parts)}"


class PastRecords(AskelError):
    """A question: records of the past would start live flows or subscribe people, and nobody said whether to."""

    exit_code = ExitCode.REFUSED

    def __init__(self, preview: PastPreview) -> None:
        super().__init__(
            f"{preview.describe()}: --fire-flows lets them, --history writes them so that no flow starts; "
            "nothing was changed"
        )
        self.preview = preview


async def read_flow_starts(instance: Instance, connection: str) -> FlowStarts:
    """Reads from the account what starts its live flows. Raises `KlaviyoError`."""
    from askel_tui.klaviyo.reads.catalog import read_catalog

    client = await instance.client(connection)
    catalog = await read_catalog(client, sections=["flows", "lists", "segments", "metrics"])
    return flow_starts(await with_dates(client, catalog))


class PastCount:
    """Counts what records would do, one after another."""

    def __init__(self, applied: AppliedWorkflow, starts: FlowStarts) -> None:
        self._applied = applied
        self._starts = starts
        self._records = self._failing = 0
        self._people: set[Identity] = set()
        self._reached: dict[str, set[Identity]] = {}
        self._subscribed: set[Identity] = set()
        self._aside: Counter[str] = Counter()
        self._operations: Counter[str] = Counter()
        self._oldest: str | None = None

    def add(self, record: Record) -> bool:
        """Counts a record; returns whether the workflow takes it."""
        planned = plan(record, self._applied)
        if planned is None:
            return False
        self._records += 1
        self._failing += bool(planned.problems)
        if self._oldest is None or parse(record.time) < parse(self._oldest):
            self._oldest = record.time
        if planned.operations:
            self._add_operations(planned, record.time)
        return True

    def _add_operations(self, planned: Plan, time: str) -> None:
        self._people.add(planned.profile)
        for each in planned.operations:
            self._operations[each.call] += 1
            for flow in self._starts.started(each):
                self._reached.setdefault(flow, set()).add(planned.profile)
            if each.call == Call.BULK_SUBSCRIBE_PROFILES:
                self._subscribed.add(planned.profile)
        as_history = plan_history(planned, self._starts, time, self._applied.revision)
        self._aside.update(str(each) for each in as_history.warnings if each.kind == HISTORY_ASIDE_KIND)

    def result(self) -> PastPreview:
        """Returns what was counted."""
        flows = (FlowReach(name, len(people)) for name, people in self._reached.items())
        return PastPreview(
            self._applied.workflow.name,
            self._applied.version,
            self._records,
            len(self._people),
            self._oldest,
            tuple(sorted(flows, key=lambda each: (-each.people, each.flow))),
            len(self._subscribed),
            dict(self._aside.most_common()),
            dialect(self._applied.revision).has_backfill,
            self._failing,
            dict(self._operations),
        )


async def preview_activation(
    instance: Instance, workflow: str, since: str | None, from_record: str | None
) -> PastPreview | None:
    """Counts what an activation would start with records of the past; None where it reaches back an hour at most, or
    where the version can't be read. Raises `KlaviyoError`, `KeyNotStored`."""
    document = instance.workflow_document(workflow)
    applied = await instance.applied_version(workflow, document.version)
    floor = now_of(instance) - REACH
    if applied is None or (since is not None and parse(since) >= floor):
        return None
    starts = await read_flow_starts(instance, document.connection)
    count, oldest = PastCount(applied, starts), now_of(instance)
    async for stored in matching_records(instance, applied, since, from_record):
        if count.add(stored.record):
            received = datetime.fromtimestamp(stored.received / 1000, UTC)
            oldest = min(oldest, received, parse(stored.record.time))
    is_past = since is not None or oldest < floor
    return count.result() if is_past else None


async def agree_on_flows(
    instance: Instance, workflow: str, since: str | None, from_record: str | None, flows: FlowsAnswer | None
) -> FlowStarts | None:
    """Returns what starts flows, where an activation writes its records of the past as history; else None.

    Raises `PastRecords` where nobody said so and they would start some, `KlaviyoError`, `KeyNotStored`.
    """
    if flows == "history":
        return await read_flow_starts(instance, instance.workflow_document(workflow).connection)
    if flows is None and (since is not None or from_record is not None):
        past = await preview_activation(instance, workflow, since, from_record)
        if past is not None and past.asks:
            raise PastRecords(past)
    return None


async def matching_records(
    instance: Instance, applied: AppliedWorkflow, since: str | None, from_record: str | None
) -> AsyncIterator[StoredRecord]:
    """Yields the kept records that an activation would take and that the workflow has not run, in order of receipt."""
    journal, workflow, connection = instance.journal, applied.workflow.name, applied.workflow.connection
    position = 0 if since is not None else await journal.last_record_seq(connection)
    if from_record is not None:
        stored = await journal.find_record(connection, from_record)
        position = position if stored is None else stored.seq - 1
    elif since is None:
        state = await instance.workflow_state(workflow)
        if state is not None and state.status != "draft" and state.position is not None:
            position = state.position
    floor = parse(since) if since is not None else None
    while True:
        page = await journal.records_after(
            connection, position, RECORDS_PER_PAGE, events=applied.workflow.triggers
        )
        ran = await journal.already_ran(workflow, [stored.seq for stored in page])
        for stored in page:
            if stored.seq not in ran and (floor is None or parse(stored.record.time) >= floor):
                yield stored
        if len(page) < RECORDS_PER_PAGE:
            return
        position = page[-1].seq
        await asyncio.sleep(0)


def parse(time: str) -> datetime:
    """Reads a time of RFC 3339."""
    return datetime.fromisoformat(time)


def now_of(instance: Instance) -> datetime:
    """Returns the instance's time."""
    return datetime.fromtimestamp(instance.clock() / 1000, UTC)
