"""Ingest of records: each is checked, the valid ones are durable before the response, and each gets a result."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from askel_tui.api.shared.context import MAX_TIMED_RECORDS, ApiContext
from askel_tui.api.shared.errors import ApiError
from askel_tui.core.records.record import Record, RecordRefused, RefusedLine, read_record
from askel_tui.services.refusals import keep_refused
from askel_tui.store.journal.rows import AcceptResult
from askel_tui.text.times import to_rfc3339

RECORDS_PER_TRANSACTION = 500
"""Records that are checked and stored in one transaction before other requests get their turn."""

IncomingRecord = bytes | Mapping[str, Any] | RecordRefused

_UNREADABLE_CODES = frozenset({"not_json", "not_utf8", "too_many", "content_type", "unprocessable"})
"""The codes of errors that say that a body holds no records."""


@dataclass(slots=True)
class IngestResult:
    """The result of each record, in the order of the request, with counts."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    accepted: int = 0
    same: int = 0
    refused: int = 0

    def body(self) -> dict[str, Any]:
        """Returns the body of the response."""
        counts = {"accepted": self.accepted, "same": self.same, "refused": self.refused}
        return {**counts, "records": self.rows}


async def ingest(
    context: ApiContext,
    connection: str,
    incoming: Sequence[IncomingRecord],
    source: str,
    actor: str,
    *,
    key: str | None = None,
    originals: Sequence[tuple[int, Any]] | None = None,
) -> IngestResult:
    """Stores the valid records, durable on return, and keeps the refused ones aside under `source`.

    `actor` hands them in.

    `key` is the request's Idempotency-Key with its token's name; `originals` are the records as they came, each with
    its index in the request, where `incoming` is made of them. Raises `JournalError`; a record that was stored before
    is the same record when it is sent again with its id.
    """
    result = IngestResult()
    for start in range(0, len(incoming), RECORDS_PER_TRANSACTION):
        if start:
            await asyncio.sleep(0)
        await _ingest_batch(
            context, connection, incoming[start : start + RECORDS_PER_TRANSACTION], start, actor, key, result
        )
    if not result.refused:
        return result
    given = list(enumerate(incoming)) if originals is None else originals
    refused = [
        RefusedLine(index, row["reason"], _as_it_came(value))
        for row, (index, value) in zip(result.rows, given, strict=True)
        if row["fate"] == "refused"
    ]
    await keep_refused(context.instance, connection, source, refused, len(incoming))
    return result


@asynccontextmanager
async def keep_unreadable(
    context: ApiContext, connection: str, source: str, body: bytes
) -> AsyncIterator[None]:
    """Keeps a body aside of which no record can be read: where the block raises `ApiError` for that."""
    try:
        yield
    except ApiError as error:
        # Where there are problems, each record was judged, and kept, by itself.
        if error.code in _UNREADABLE_CODES and not error.problems:
            await keep_refused(
                context.instance, connection, source, [RefusedLine(0, str(error.detail), body)], 1
            )
        raise


def _as_it_came(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, RecordRefused):
        return b""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


async def _ingest_batch(
    context: ApiContext,
    connection: str,
    incoming: Sequence[IncomingRecord],
    start: int,
    actor: str,
    key: str | None,
    result: IngestResult,
) -> None:
    at = context.instance.clock()
    now = to_rfc3339(at)
    records: list[Record] = []
    rows: list[dict[str, Any]] = []
    for index, value in enumerate(incoming, start):
        row: dict[str, Any] = {"index": index}
        try:
            record = _read_record(value, now, at, index, actor, key)
        except RecordRefused as refused:
            row |= {"fate": "refused", "reason": refused.reason}
            result.refused += 1
        else:
            row["id"] = record.id
            if record.notes:
                row["notes"] = list(record.notes)
            records.append(record)
            rows.append(row)
        result.rows.append(row)
    if records:
        outcomes = await context.record_batcher.accept(connection, records)
        for record, outcome, row in zip(records, outcomes, rows, strict=True):
            if outcome == "other_body" and not record.has_time:
                outcome = await _result_without_time(context, connection, record)
            row["fate"] = outcome
            if outcome == "new":
                result.accepted += 1
                context.metrics.received_at_ms[connection, record.id] = at
            else:
                result.same += 1
    _count_records(context, connection, rows, len(incoming) - len(rows))


def _count_records(
    context: ApiContext, connection: str, rows: Sequence[Mapping[str, Any]], refused: int
) -> None:
    counts = Counter(row["fate"] for row in rows)
    counts["refused"] += refused
    for outcome, count in (+counts).items():
        context.metrics.records.add(count, connection=connection, fate=outcome)
    received = context.metrics.received_at_ms
    while len(received) > MAX_TIMED_RECORDS:
        received.popitem(last=False)


def _read_record(value: IncomingRecord, now: str, at: int, index: int, actor: str, key: str | None) -> Record:
    if isinstance(value, RecordRefused):
        raise value
    record = read_record(value, now=now, by=actor)
    # A digest means that no id was given. Without a time as well, two equal bodies are two records, unless an
    # Idempotency-Key says that they are one request.
    if not record.has_id:
        if key is not None:
            return replace(
                record, id=hashlib.sha256(f"{key}\0{index}".encode("utf-8", "replace")).hexdigest()[:32]
            )
        if not record.has_time:
            return replace(record, id=f"{at:012x}{secrets.token_hex(10)}")
    return record


async def _result_without_time(context: ApiContext, connection: str, record: Record) -> AcceptResult:
    """Returns `same` where the stored record differs only in its time, which was its time of receipt."""
    stored = await context.instance.journal.find_record(connection, record.id)
    same = stored is not None and replace(record, time=stored.record.time) == stored.record
    return "same" if same else "other_body"


def refuse_under_pressure(context: ApiContext) -> None:
    """Refuses records while the server can't accept any.

    Raises `ApiError`: 429 under backpressure, 503 while the daemon stops.
    """
    if context.backpressure.reason is not None:
        message = f"no more records are taken at present: {context.backpressure.reason}"
        raise ApiError(429, "pressure", message, retry_after=10)
    if context.stopping.is_set():
        raise ApiError(503, "stopping", "the daemon is stopping", retry_after=5)
