"""Taking records in: each is checked, the good ones are durable before the answer, and each has a fate."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from askel_tui.api.shared.context import MAX_TIMED_RECORDS, ApiContext
from askel_tui.api.shared.errors import ApiError
from askel_tui.core.records.record import Record, RecordRefused, read_record
from askel_tui.store.journal.rows import AcceptResult
from askel_tui.text.times import to_rfc3339

RECORDS_PER_TRANSACTION = 500
"""Records stored in one transaction, and checked before others get their turn."""

IncomingRecord = bytes | Mapping[str, Any] | RecordRefused

_DIGEST_PATTERN = re.compile(r"[0-9a-f]{32}")


@dataclass(slots=True)
class IngestResult:
    """What became of each record, by its place in what was sent."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    accepted: int = 0
    same: int = 0
    refused: int = 0

    def body(self) -> dict[str, Any]:
        """The answer's body."""
        counts = {"accepted": self.accepted, "same": self.same, "refused": self.refused}
        return {**counts, "records": self.rows}


async def ingest(
    context: ApiContext, connection: str, incoming: Sequence[IncomingRecord], *, key: str | None = None
) -> IngestResult:
    """Stores what can be stored; durable on return. `key` is the request's Idempotency-Key, with whose it is.

    Raises `JournalError`; what was stored until then is the same record when it is sent again with its id.
    """
    taken = IngestResult()
    for start in range(0, len(incoming), RECORDS_PER_TRANSACTION):
        if start:
            await asyncio.sleep(0)
        await _ingest_batch(
            context, connection, incoming[start : start + RECORDS_PER_TRANSACTION], start, key, taken
        )
    return taken


async def _ingest_batch(
    context: ApiContext,
    connection: str,
    given: Sequence[IncomingRecord],
    start: int,
    key: str | None,
    taken: IngestResult,
) -> None:
    at = context.instance.clock()
    now = to_rfc3339(at)
    records: list[Record] = []
    rows: list[dict[str, Any]] = []
    for index, value in enumerate(given, start):
        row: dict[str, Any] = {"index": index}
        try:
            record = _read_record(value, now, at, index, key)
        except RecordRefused as refused:
            row |= {"fate": "refused", "reason": refused.reason}
            taken.refused += 1
        else:
            row["id"] = record.id
            if record.notes:
                row["notes"] = list(record.notes)
            records.append(record)
            rows.append(row)
        taken.rows.append(row)
    if records:
        fates = await context.record_batcher.accept(connection, records)
        for record, fate, row in zip(records, fates, rows, strict=True):
            if fate == "other_body" and record.time == now:
                fate = await _result_without_time(context, connection, record)
            row["fate"] = fate
            if fate == "new":
                taken.accepted += 1
                context.metrics.received_at_ms[connection, record.id] = at
            else:
                taken.same += 1
    _count_records(context, connection, rows, len(given) - len(rows))


def _count_records(
    context: ApiContext, connection: str, rows: Sequence[Mapping[str, Any]], refused: int
) -> None:
    fates: dict[str, int] = {"refused": refused} if refused else {}
    for row in rows:
        fates[row["fate"]] = fates.get(row["fate"], 0) + 1
    for fate, count in fates.items():
        context.metrics.records.add((("connection", connection), ("fate", fate)), count)
    received = context.metrics.received_at_ms
    while len(received) > MAX_TIMED_RECORDS:
        received.popitem(last=False)


def _read_record(value: IncomingRecord, now: str, at: int, index: int, key: str | None) -> Record:
    if isinstance(value, RecordRefused):
        raise value
    record = read_record(value, now=now)
    # A digest stands for an id that was not given. Where the time was not given either, two equal bodies are two
    # things that happened, unless the caller says by its key that they are one request.
    if _DIGEST_PATTERN.fullmatch(record.id) and not _has_id(value):
        if key is not None:
            return replace(
                record, id=hashlib.sha256(f"{key}\0{index}".encode("utf-8", "replace")).hexdigest()[:32]
            )
        if record.time == now:
            return replace(record, id=f"{at:012x}{secrets.token_hex(10)}")
    return record


def _has_id(value: bytes | Mapping[str, Any]) -> bool:
    body = json.loads(value) if isinstance(value, bytes) else value
    return body.get("id") is not None


async def _result_without_time(context: ApiContext, connection: str, record: Record) -> AcceptResult:
    """A record that gave no time, sent again, differs in nothing but the moment of receipt."""
    stored = await context.instance.journal.find_record(connection, record.id)
    same = stored is not None and replace(record, time=stored.record.time) == stored.record
    return "same" if same else "other_body"


def refuse_under_pressure(context: ApiContext) -> None:
    """Raises `ApiError` (429) where no more records are taken at present."""
    if context.backpressure.reason is not None:
        told = f"no more records are taken at present: {context.backpressure.reason}"
        raise ApiError(429, "pressure", told, retry_after=10)
    if context.stopping.is_set():
        raise ApiError(503, "stopping", "the daemon is stopping", retry_after=5)
