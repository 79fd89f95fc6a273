"""Batches: the operations that one request carries, above all the rows of bulk calls. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from askel_tui.contract.calls import Call
from askel_tui.core.addressing import CONSENT_CALLS
from askel_tui.core.planning.shared_phones import has_checkable_phone
from askel_tui.core.requests import bulk
from askel_tui.core.requests.bulk import Row
from askel_tui.core.requests.packing import PACKED_CALLS, Request
from askel_tui.klaviyo.priority import Priority
from askel_tui.store.journal.rows import OpenRequest, StoredOperation
from askel_tui.sync.settlement.values import Retry, Settlement, single_retries

BULK_CALLS = frozenset({Call.BULK_IMPORT_PROFILES, Call.BULK_CREATE_EVENTS})

ProfileUpdates = tuple[Sequence[StoredOperation], StoredOperation | None]
"""The updates of one profile that become one, and the list addition of the last one's record that travels along."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The operations that one request carries."""

    request: Request
    operations: Sequence[StoredOperation]
    priority: Priority = "live"
    profile_ids: Mapping[str, str] = field(default_factory=dict)
    """The profile ids that a list call names, by operation id."""
    rows: Sequence[Row] = ()
    """The rows of a bulk call; none where they are not known any more."""
    list_id: str | None = None
    """The list that an import job puts its profiles on."""
    opt_outs_read: int | None = None
    """When the opt-outs of the people whom it subscribes were read, in milliseconds since 1970, where they were."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """The result of preparing operations: batches to send, and operations that were settled without a request."""

    batches: Sequence[Batch] = ()
    settlements: Sequence[Settlement] = ()


def import_batches(profiles: Sequence[ProfileUpdates], list_id: str | None, revision: str) -> Prepared:
    """Builds import jobs that upsert profiles, and put them on the list where it is given."""
    rows = [
        bulk.import_row(
            [each.operation for each in upserts], revision, addition.operation if addition else None
        )
        for upserts, addition in profiles
    ]
    return _pack(Call.BULK_IMPORT_PROFILES, rows, list(row_operations(profiles)), revision, list_id)


def addition_batches(additions: Sequence[StoredOperation], revision: str) -> Prepared:
    """Builds import jobs that put profiles on a list by their identifiers, without knowing their ids."""
    destination = additions[0].operation.destination
    rows = [bulk.addition_row(stored.operation, revision) for stored in additions]
    return _pack(
        Call.BULK_IMPORT_PROFILES, rows, additions, revision, destination.id if destination else None
    )


def event_batches(events: Sequence[StoredOperation], revision: str) -> Prepared:
    """Builds bulk event calls, none of which repeats a `unique_id`."""
    first: dict[str, StoredOperation] = {}
    repeated = [
        stored
        for stored in events
        if first.setdefault(stored.operation.body["unique_id"], stored) is not stored
    ]
    rows = [bulk.event_row(stored.operation, revision) for stored in first.values()]
    retries = single_retries(repeated, "the same event travels in this call already")
    return _pack(Call.BULK_CREATE_EVENTS, rows, list(first.values()), revision, None, retries)


def remaining_batches(batch: Batch, left: Sequence[StoredOperation], revision: str) -> Prepared:
    """Builds batches of the rows of a bulk batch that carry the operations `left`."""
    kept = {stored.operation.id for stored in left}
    rows = [row for row in batch.rows if any(each.id in kept for each in row.operations)]
    return _pack(batch.request.call, rows, left, revision, batch.list_id)


def batch_in_doubt(unanswered: OpenRequest) -> Batch:
    """Rebuilds the batch of a request that was recorded and never answered: with the same bytes."""
    intent = unanswered.intent
    stored = unanswered.operations
    if intent.call not in PACKED_CALLS | CONSENT_CALLS:
        stored = [_as_sent(each, intent.body) for each in stored]
    operations = tuple(each.operation for each in stored)
    destination = operations[0].destination
    ids = {"id": destination.id or ""} if destination and intent.call in PACKED_CALLS else {}
    request = Request(intent.call, intent.method, intent.path, ids, intent.body, operations)
    rows = bulk.rebuild_import_request(request).rows if intent.call == Call.BULK_IMPORT_PROFILES else ()
    return Batch(request, stored, "bulk" if intent.call in BULK_CALLS else "live", rows=rows)


def _as_sent(stored: StoredOperation, body: bytes) -> StoredOperation:
    """Returns an operation without the phone number that was left out of its request."""
    identity = stored.operation.profile
    if not has_checkable_phone(identity) or (identity.phone_number or "").encode() in body:
        return stored
    left = replace(stored.operation, profile=replace(identity, phone_number=None))
    return replace(stored, operation=left, has_fewer_identifiers=True)


def admitted_rows(
    profiles: Iterable[ProfileUpdates], admitted: Mapping[int, StoredOperation]
) -> list[ProfileUpdates]:
    """Returns the import rows whose operations are to be sent, as these are to be sent."""
    return [
        (
            [admitted[each.seq] for each in upserts],
            admitted.get(addition.seq) if addition is not None else None,
        )
        for upserts, addition in profiles
        if all(each.seq in admitted for each in upserts)
    ]


def row_operations(profiles: Iterable[ProfileUpdates]) -> Iterator[StoredOperation]:
    """Lists the operations of import rows, in their order."""
    for upserts, addition in profiles:
        yield from upserts
        if addition is not None:
            yield addition


def _pack(
    call: Call,
    rows: Sequence[Row],
    operations: Sequence[StoredOperation],
    revision: str,
    list_id: str | None,
    retries: Sequence[Retry] = (),
) -> Prepared:
    stored = {each.operation.id: each for each in operations}
    max_bytes = bulk.max_row_bytes(call, revision, list_id)
    fitting = [row for row in rows if len(row.item) <= max_bytes]
    large = [stored[each.id] for row in rows if len(row.item) > max_bytes for each in row.operations]
    batches = [
        Batch(
            packed.request,
            [stored[each.id] for each in packed.request.operations],
            "bulk",
            rows=packed.rows,
            list_id=list_id,
        )
        for packed in bulk.pack_rows(call, fitting, revision, list_id)
    ]
    retries = [*retries, *single_retries(large, "it is too large for a bulk call")]
    return Prepared(batches, [Settlement(retries=retries)] if retries else ())
