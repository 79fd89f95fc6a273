"""Ingest of records from files: good records are durable before they are counted, refused lines go to a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Literal, TypeVar

from askel_tui.core.records.files import read_csv, read_jsonl
from askel_tui.core.records.record import Record, RefusedLine
from askel_tui.store.paths import make_private, refused_dir
from askel_tui.sync.instance import Instance
from askel_tui.text.times import to_rfc3339

RECORDS_PER_TRANSACTION = 500
"""The number of records that are stored in one transaction."""

FileFormat = Literal["jsonl", "csv"]
T = TypeVar("T")


@dataclass(slots=True)
class IngestResult:
    """The result of an ingest: counts, and the first of the refused lines with their reasons."""

    accepted: int = 0
    duplicates: int = 0
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
    file_format: FileFormat,
    *,
    progress: Callable[[IngestResult], None] | None = None,
) -> IngestResult:
    """Stores the records of a file for a connection. Raises `UnknownConnection` and journal errors."""
    instance.state.connection(connection)
    result = IngestResult()
    batch: list[Record] = []
    with _RefusedLinesFile(instance.home, connection) as aside:
        for line, read in _read_records(lines, file_format, to_rfc3339(instance.clock())):
            result.lines_read = line
            if isinstance(read, RefusedLine):
                aside.write(read)
                result.refused += 1
                _append_capped(result.refusals, read)
                continue
            for note in read.notes:
                _append_capped(result.notes, (line, note))
            batch.append(read)
            if len(batch) >= RECORDS_PER_TRANSACTION:
                await _store_batch(instance, connection, batch, result)
                batch = []
                if progress is not None:
                    progress(result)
        if batch:
            await _store_batch(instance, connection, batch, result)
        result.refused_file = aside.path
    if progress is not None:
        progress(result)
    return result


async def _store_batch(
    instance: Instance, connection: str, batch: list[Record], result: IngestResult
) -> None:
    results = await instance.journal.accept_records(connection, batch, instance.clock())
    for record, accepted in zip(batch, results, strict=True):
        if accepted == "new":
            result.accepted += 1
        else:
            result.duplicates += 1
            if accepted == "other_body":
                _append_capped(result.conflicting_ids, record.id)


def _read_records(
    lines: Iterable[bytes], file_format: FileFormat, now: str
) -> Iterator[tuple[int, Record | RefusedLine]]:
    return read_csv(lines, now=now) if file_format == "csv" else read_jsonl(lines, now=now)


def _append_capped(where: list[T], item: T) -> None:
    if len(where) < MAX_REMEMBERED_LINES:
        where.append(item)


class _RefusedLinesFile:
    """The file of refused lines, made with the first one: `line<TAB>reason<TAB>text`."""

    def __init__(self, home: Path, connection: str) -> None:
        self._directory = refused_dir(home)
        self._connection = connection
        self._file: BinaryIO | None = None
        self.path: Path | None = None

    def __enter__(self) -> _RefusedLinesFile:
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, refused: RefusedLine) -> None:
        if self._file is None:
            make_private(self._directory)
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
            self.path = self._directory / f"{self._connection}-{stamp}.tsv"
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            self._file = os.fdopen(descriptor, "wb")
        text = refused.text.replace(b"\t", b" ").replace(b"\r", b" ").replace(b"\n", b" ")
        self._file.write(b"%d\t%s\t%s\n" % (refused.line, refused.reason.encode(), text))
