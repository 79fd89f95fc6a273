"""Ingest of records from files: good records are durable before they are counted, refused lines go to a file."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeVar

from askel_tui.core.records.files import NumberedRecord, number_equal, read_csv, read_jsonl
from askel_tui.core.records.record import Record, RefusedLine
from askel_tui.services.refusals import RefusedFile, refused_file_name
from askel_tui.store.journal.rows import AcceptResult
from askel_tui.sync.instance import Instance
from askel_tui.text.times import to_rfc3339

RECORDS_PER_TRANSACTION = 500
"""The number of records that are stored in one transaction."""

T = TypeVar("T")


@dataclass(slots=True)
class IngestResult:
    """The result of an ingest: counts, and the first of the refused lines with their reasons."""

    accepted: int = 0
    duplicates: int = 0
    unnamed_duplicates: int = 0
    """Those of the duplicates that have neither an id nor a time: their whole body is the same."""
    conflicting_ids: list[str] = field(default_factory=list)
    """Ids that came again with another body; the first body is kept."""
    refused: int = 0
    refusals: list[RefusedLine] = field(default_factory=list)
    notes: list[tuple[int, str]] = field(default_factory=list)
    """Changes to records before they were stored, by line."""
    refused_file: Path | None = None
    """The file of the refused lines."""
    lines_read: int = 0


MAX_REMEMBERED_LINES = 100
"""The number of refusals, notes and conflicting ids that the result holds; all are counted."""


async def ingest(
    instance: Instance,
    connection: str,
    lines: Iterable[bytes],
    file_format: Literal["jsonl", "csv"],
    *,
    actor: str | None = None,
) -> IngestResult:
    """Stores the records of lines of UTF-8. Raises as `store_records` does."""
    now = to_rfc3339(instance.clock())
    found = read_csv(lines, now=now) if file_format == "csv" else read_jsonl(lines, now=now)
    return await store_records(instance, connection, number_equal(found), actor=actor)


async def store_records(
    instance: Instance,
    connection: str,
    found: Iterable[NumberedRecord],
    *,
    actor: str | None = None,
    progress: Callable[[IngestResult], None] | None = None,
    accept: Callable[[Sequence[Record]], Awaitable[list[AcceptResult]]] | None = None,
) -> IngestResult:
    """Stores the records that were found in a file; `actor` hands them in. `accept` stores them in another way.

    Raises `UnknownConnection` and journal errors.
    """
    instance.state.connection(connection)
    if accept is None:

        async def accept(records: Sequence[Record]) -> list[AcceptResult]:
            return await instance.journal.accept_records(connection, records, instance.clock())

    result = IngestResult()
    batch: list[Record] = []
    with RefusedFile(instance.home, refused_file_name(connection, datetime.now(UTC))) as aside:
        for line, read in found:
            result.lines_read = line
            if isinstance(read, RefusedLine):
                aside.write(str(read.line), read.reason, read.text)
                result.refused += 1
                _append_capped(result.refusals, read)
                continue
            for note in read.notes:
                _append_capped(result.notes, (line, note))
            batch.append(replace(read, by=actor))
            if len(batch) >= RECORDS_PER_TRANSACTION:
                await _store_batch(batch, result, accept)
                batch = []
                if progress is not None:
                    progress(result)
        if batch:
            await _store_batch(batch, result, accept)
        result.refused_file = aside.path
    if result.refused:
        await instance.journal.count_refused(connection, result.refused)
    if progress is not None:
        progress(result)
    return result


async def _store_batch(
    batch: list[Record],
    result: IngestResult,
    accept: Callable[[Sequence[Record]], Awaitable[list[AcceptResult]]],
) -> None:
    results = await accept(batch)
    for record, accepted in zip(batch, results, strict=True):
        if accepted == "new":
            result.accepted += 1
        elif not record.has_id and not record.has_time:
            # Its digest says that the body is the same; only the time of receipt differs.
            result.duplicates += 1
            result.unnamed_duplicates += 1
        else:
            result.duplicates += 1
            if accepted == "other_body":
                _append_capped(result.conflicting_ids, record.id)


def _append_capped(where: list[T], item: T) -> None:
    if len(where) < MAX_REMEMBERED_LINES:
        where.append(item)
