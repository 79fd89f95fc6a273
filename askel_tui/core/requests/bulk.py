"""Bulk requests: many operations in one job. Pure; caps are checked on the encoded bytes.

A bulk request holds rows. A row of an import job is one profile with its upsert (or several, coalesced), and with the
addition to the job's list where that is the record's next step. A row of a bulk event call is one event.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from askel_tui.contract.calls import Call
from askel_tui.contract.dialects import dialect
from askel_tui.contract.endpoints import NotInRevision, endpoint
from askel_tui.core.canonical import canonical_json
from askel_tui.core.operations import Identity, Operation
from askel_tui.core.requests.coalescing import coalesce
from askel_tui.core.requests.packing import Request, nest_attributes

BULK_CALL_OF = {
    Call.CREATE_OR_UPDATE_PROFILE: Call.BULK_IMPORT_PROFILES,
    Call.CREATE_EVENT: Call.BULK_CREATE_EVENTS,
}
"""The bulk call that does the same as a single call, by the single call."""

_EMPTY = b'"data":[]'


@dataclass(slots=True)
class Row:
    """One row of a bulk request: its encoded item, and the operations that it carries, in their order.

    `operations` is empty where they were settled before the request was continued after a restart.
    """

    operations: tuple[Operation, ...]
    item: bytes


def revision_has_call(call: Call, revision: str) -> bool:
    """Checks whether the revision has the call."""
    try:
        endpoint(revision, call)
    except NotInRevision:
        return False
    return True


def bulk_call_for(operation: Operation, revision: str) -> Call | None:
    """Returns the bulk call that can carry the operation at the revision; None where only a single call can.

    Bulk import cannot clear (docs/klaviyo.md 3.2), and the revision may not have the call.
    """
    call = BULK_CALL_OF.get(operation.call)
    if call is None or not revision_has_call(call, revision):
        return None
    body = operation.body
    if call == Call.BULK_IMPORT_PROFILES and (body["unset"] or None in body["attributes"].values()):
        return None
    return call


def import_row(upserts: Sequence[Operation], revision: str, addition: Operation | None = None) -> Row:
    """Builds a row of an import job: updates of one profile, and its addition to the job's list."""
    upsert = coalesce(upserts)
    item = dialect(revision).import_item(
        upsert.profile.identifiers(), nest_attributes(upsert.body["attributes"]), upsert.body["properties"]
    )
    carried = (*upserts,) if addition is None else (*upserts, addition)
    return Row(carried, canonical_json(item))


def rebuild_import_request(request: Request) -> BulkRequest:
    """Rebuilds the rows of an import job's request that was read from the journal, each with its unsettled
    operations."""
    by_keys: dict[tuple[str, ...], list[Operation]] = {}
    for operation in request.operations:
        by_keys.setdefault(operation.profile.keys(), []).append(operation)
    rows = []
    for item in json.loads(request.body)["data"]["attributes"]["profiles"]["data"]:
        identity = Identity.from_attributes(item["attributes"])
        rows.append(Row(tuple(by_keys.get(identity.keys(), ())), canonical_json(item)))
    return BulkRequest(request, tuple(rows))


def addition_row(addition: Operation, revision: str) -> Row:
    """Builds a row of an import job that only puts a profile on the job's list: its identifiers, and nothing else."""
    return Row((addition,), canonical_json(dialect(revision).import_item(addition.profile.identifiers())))


def event_row(event: Operation, revision: str) -> Row:
    """Builds a row of a bulk event call."""
    bodies, body = dialect(revision), event.body
    item = bodies.event_item(
        body["metric"],
        body["properties"],
        body["time"],
        body["unique_id"],
        value=body.get("value"),
        value_currency=body.get("value_currency"),
        backfill=bool(body.get("backfill")),
    )
    return Row((event,), canonical_json(bodies.event_group(event.profile.identifiers(), [item])))


def max_row_bytes(call: Call, revision: str, list_id: str | None = None) -> int:
    """Returns the largest size of a row, in bytes. A larger one needs a single call."""
    head, tail = _frame(call, revision, list_id)
    at = endpoint(revision, call)
    most = (at.max_bytes or 1_000_000) - len(head) - len(tail)
    return min(most, at.max_item_bytes or most)


def pack_rows(
    call: Call, rows: Iterable[Row], revision: str, list_id: str | None = None
) -> Iterator[BulkRequest]:
    """Packs rows into as few requests as the call's caps allow, in order.

    Raises `ValueError` for a row that is larger than `max_row_bytes`.
    """
    head, tail = _frame(call, revision, list_id)
    at = endpoint(revision, call)
    max_items = at.max_items or 1
    max_bytes = (at.max_bytes or 1_000_000) - len(head) - len(tail)
    max_one = max_row_bytes(call, revision, list_id)
    batch: list[Row] = []
    size = 0
    for row in rows:
        if len(row.item) > max_one:
            raise ValueError(f"a row of {len(row.item)} bytes is over the cap of {call}")
        if batch and (len(batch) == max_items or size + len(row.item) + 1 > max_bytes):
            yield _bulk_request(call, revision, batch, head, tail)
            batch, size = [], 0
        batch.append(row)
        size += len(row.item) + 1
    if batch:
        yield _bulk_request(call, revision, batch, head, tail)


@dataclass(frozen=True, slots=True)
class BulkRequest:
    """A request and its rows, which the pointers of a response count."""

    request: Request
    rows: tuple[Row, ...]


def _bulk_request(call: Call, revision: str, rows: Sequence[Row], head: bytes, tail: bytes) -> BulkRequest:
    at = endpoint(revision, call)
    body = b"".join((head, b",".join(row.item for row in rows), tail))
    operations = tuple(operation for row in rows for operation in row.operations)
    lengths = [len(row.item) + 1 for row in rows]
    lengths[-1] -= 1
    parts = (len(head), *lengths, len(tail))
    return BulkRequest(Request(call, at.method, at.url_path(), {}, body, operations, parts), tuple(rows))


def _frame(call: Call, revision: str, list_id: str | None) -> tuple[bytes, bytes]:
    """Encodes the bytes of the body before and after the items."""
    bodies = dialect(revision)
    body: dict[str, Any] = (
        bodies.bulk_events([]) if call == Call.BULK_CREATE_EVENTS else bodies.bulk_import([], list_id)
    )
    head, _, tail = canonical_json(body).partition(_EMPTY)
    return head + _EMPTY[:-1], _EMPTY[-1:] + tail


def row_index_of(pointer: str) -> int | None:
    """Finds the row that an error's pointer names: the first number in it (docs/klaviyo.md 2.6, 3.3)."""
    numbers = (part for part in pointer.split("/") if part.isascii() and part.isdigit() and len(part) < 10)
    return next(map(int, numbers), None)
