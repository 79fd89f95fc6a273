"""Reconciles a workflow with the account: what the audit says was written, beside what Klaviyo holds now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from askel_tui.core.operations import Identity, Operation
from askel_tui.core.planning.disposition import DOUBLE_OPT_IN, dropped_event
from askel_tui.core.planning.plan import plan
from askel_tui.services.reconciling.events_back import (
    ExpectedEvent,
    expected_event,
    read_events_back,
)
from askel_tui.services.reconciling.read_back import ExpectedField, ReadBack, expected_fields, read_back
from askel_tui.services.reconciling.sent_records import SENT_STATUSES, Sent, find_sent
from askel_tui.store.journal.rows import AuditEntry, AuditFilter
from askel_tui.sync.instance import Instance

RECORDS_PER_PAGE = 500
"""The number of stored records that are searched at a time."""

FieldOutcome = Literal["same", "changed_since", "rewritten", "different", "missing"]
"""What a field that was written holds now: what was sent; what others made of it since; what a later record of ours
wrote; something else although nobody is known to have changed it; nothing, because the account has no such profile."""

IMPORT_PATH = "profile-bulk-import-jobs"

SETTLING_MS = 60_000
"""The time in which a job's or a consent's own effect may change a profile, in milliseconds."""


@dataclass(frozen=True, slots=True)
class ReconciledField:
    """A field of which the account does not hold what was sent."""

    record: str
    profile: Mapping[str, str]
    field: str
    sent: Any
    now: Any
    outcome: FieldOutcome


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The result: counts of records, of profiles, and of fields by outcome; `rows` are the fields that are not the
    same, and the events that the account does not show."""

    workflow: str
    records: int
    profiles: int
    fields: int
    same: int
    changed_since: int
    rewritten: int
    different: int
    missing: int
    rows: tuple[ReconciledField, ...]
    events: int = 0
    """The number of events that were sent."""
    events_found: int = 0
    events_missing: int = 0
    events_unchecked: Mapping[str, int] = field(default_factory=dict)
    """The number of events that could not be checked, by the reason."""


@dataclass(frozen=True, slots=True)
class _Written:
    """A field that was written, with the audit entry that says so."""

    expected: ExpectedField
    entry: AuditEntry


async def reconcile(
    instance: Instance, workflow: str, sample: int, records: Collection[str] | None = None
) -> Reconciliation:
    """Compares what the newest `sample` records of a workflow wrote, or those given, with what the account holds now.

    Raises `UnknownWorkflow`, `KeyNotStored`, `KlaviyoError`.
    """
    document = instance.workflow_document(workflow)
    client = await instance.client(document.connection)
    pending = await _double_opt_in_lists(client)
    written: dict[Any, _Written] = {}
    events: list[ExpectedEvent] = []
    dropped: Counter[str] = Counter()
    chosen = await (
        _newest_sent(instance, workflow, sample)
        if records is None
        else find_sent(instance, workflow, sorted(records))
    )
    for record, sent in chosen.items():
        for operation, entry in await _sent_operations(instance, workflow, record, sent):
            for each in _fields_of(record, operation, entry, pending):
                written[each.expected.key] = each
            event, not_kept = expected_event(operation, record, entry), dropped_event(operation)
            if not_kept is not None:
                dropped[not_kept] += 1
            elif event is not None:
                events.append(event)
    found = await read_back(
        client, [each.expected for each in written.values()], [event.profile for event in events]
    )
    events_back = await read_events_back(client, events, found.profiles, instance.clock())
    fields = [written[each.key] for each in found.last_written(each.expected for each in written.values())]
    rows: list[ReconciledField] = []
    for each in fields:
        outcome = await _outcome(instance, each, found)
        if outcome != "same":
            expected = each.expected
            rows.append(
                ReconciledField(
                    expected.record,
                    expected.profile.identifiers(),
                    expected.field,
                    expected.value,
                    found.value(expected),
                    outcome,
                )
            )
    counts = Counter(row.outcome for row in rows)
    rows += [
        ReconciledField(
            each.record,
            each.profile.identifiers(),
            f"event {each.metric}",
            each.time.isoformat(),
            None,
            "missing",
        )
        for each in events_back.missing
    ]
    unchecked = events_back.unchecked + dropped
    return Reconciliation(
        workflow,
        len(chosen),
        len({found.profile_key(each.expected.profile) for each in fields}),
        len(fields),
        len(fields) - counts.total(),
        counts["changed_since"],
        counts["rewritten"],
        counts["different"],
        counts["missing"],
        tuple(rows),
        events_back.found + len(events_back.missing) + unchecked.total(),
        events_back.found,
        len(events_back.missing),
        dict(unchecked),
    )


async def _newest_sent(instance: Instance, workflow: str, sample: int) -> dict[str, Sent]:
    """Finds the newest records that the workflow has sent, oldest first."""
    document = instance.workflow_document(workflow)
    applied = await instance.applied_version(workflow, document.version)
    events = applied.workflow.triggers if applied else None
    found: list[tuple[str, Sent]] = []
    before: int | None = None
    while len(found) < sample:
        page = await instance.journal.newest_records(
            document.connection, RECORDS_PER_PAGE, events=events, before=before
        )
        sent = await find_sent(instance, workflow, [stored.record.id for stored in page])
        found += [(stored.record.id, sent[stored.record.id]) for stored in page if stored.record.id in sent]
        if len(page) < RECORDS_PER_PAGE:
            break
        before = page[-1].seq
    return dict(found[:sample][::-1])


async def _sent_operations(
    instance: Instance, workflow: str, record: str, sent: Sent
) -> list[tuple[Operation, AuditEntry]]:
    """Lists the operations of a record that were sent, in order, with the audit entries that say so."""
    applied = await instance.applied_version(workflow, sent.version)
    stored = await instance.journal.find_record(instance.workflow_document(workflow).connection, record)
    planned = plan(stored.record, applied) if stored is not None and applied is not None else None
    if planned is None:
        return []
    wanted = AuditFilter(workflow=workflow, record=record)
    entries = {
        entry.operation: entry
        for entry in await instance.journal.audit_entries(wanted)
        if entry.operation and entry.status in SENT_STATUSES
    }
    return [(each, entries[each.id]) for each in planned.operations if each.id in entries]


def _fields_of(record: str, operation: Operation, entry: AuditEntry, pending: set[str]) -> Iterator[_Written]:
    target = operation.destination
    asks = operation.kind == "subscribe" and not operation.body.get("historical")
    if asks and target is not None and target.id in pending:
        return  # it waits for the click, or somebody has clicked
    profile = Identity.from_attributes(entry.profile or {})
    for expected in expected_fields(record, operation, profile):
        yield _Written(expected, entry)


async def _double_opt_in_lists(client: Any) -> set[str]:
    from askel_tui.klaviyo.reads.catalog import read_catalog

    lists = (await read_catalog(client, sections=["lists"])).lists
    return {each.id for each in lists if each.opt_in_process == DOUBLE_OPT_IN}


async def _outcome(instance: Instance, written: _Written, found: ReadBack) -> FieldOutcome:
    expected, entry = written.expected, written.entry
    if expected.is_held(found.value(expected)):
        return "same"
    if not found.exists(expected):
        return "missing"
    later = AuditFilter(
        connection=entry.connection, profile=expected.profile.label(), since=entry.at, kind=entry.kind
    )
    for other in await instance.journal.audit_entries(later):
        if other.position > entry.position and other.record != entry.record and other.status in SENT_STATUSES:
            return "rewritten"
    response = entry.response or {}
    if any(each.get("field") == expected.field for each in response.get("differences") or ()):
        return "different"
    # A single call's answer showed the value as it was sent; of an import job nothing did.
    silent = IMPORT_PATH in str((entry.request or {}).get("path")) or entry.status == "unconfirmed"
    return "different" if silent and found.updated(expected) <= entry.at + SETTLING_MS else "changed_since"
