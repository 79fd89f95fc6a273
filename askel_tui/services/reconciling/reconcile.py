"""Reconciles a workflow with the account: what the audit says was written, beside what Klaviyo holds now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from askel_tui.core.operations import Identity, Operation
from askel_tui.core.planning.disposition import DOUBLE_OPT_IN
from askel_tui.core.planning.plan import plan
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
    same."""

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


@dataclass(frozen=True, slots=True)
class _Written:
    """A field that was written, with the audit entry that says so."""

    expected: ExpectedField
    entry: AuditEntry


async def reconcile(instance: Instance, workflow: str, sample: int) -> Reconciliation:
    """Compares what the newest `sample` records of a workflow wrote with what the account holds now.

    Raises `UnknownWorkflow`, `KeyNotStored`, `KlaviyoError`.
    """
    document = instance.workflow_document(workflow)
    client = await instance.client(document.connection)
    pending = await _double_opt_in_lists(client)
    written: dict[Any, _Written] = {}
    records = 0
    for record, sent in (await _newest_sent(instance, workflow, sample)).items():
        records += 1
        for each in await _written_fields(instance, workflow, record, sent, pending):
            written[each.expected.key] = each
    found = await read_back(client, [each.expected for each in written.values()])
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
    return Reconciliation(
        workflow,
        records,
        len({found.profile_key(each.expected.profile) for each in fields}),
        len(fields),
        len(fields) - len(rows),
        counts["changed_since"],
        counts["rewritten"],
        counts["different"],
        counts["missing"],
        tuple(rows),
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


async def _written_fields(
    instance: Instance, workflow: str, record: str, sent: Sent, pending: set[str]
) -> list[_Written]:
    """Lists the fields that a record wrote, in order, as the audit has them."""
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
    return list(_fields_of(record, planned.operations, entries, pending))


def _fields_of(
    record: str,
    operations: Sequence[Operation],
    entries: Mapping[str, AuditEntry],
    pending: set[str],
) -> Iterator[_Written]:
    for operation in operations:
        entry, target = entries.get(operation.id), operation.destination
        if entry is None:
            continue
        asks = operation.kind == "subscribe" and not operation.body.get("historical")
        if asks and target is not None and target.id in pending:
            continue  # it waits for the click, or somebody has clicked
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
