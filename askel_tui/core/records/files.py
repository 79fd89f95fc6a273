"""Reads records from files: JSONL, JSON, CSV. What is no record is refused by itself; the others are read. Pure."""

from __future__ import annotations

import codecs
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from askel_tui.core.records.delimited import read_rows
from askel_tui.core.records.json_documents import split_documents
from askel_tui.core.records.lines import read_chunks, read_lines
from askel_tui.core.records.record import (
    OWN_FIELDS,
    Record,
    RecordRefused,
    RefusedLine,
    TimeRefused,
    parse_body,
    read_record,
)
from askel_tui.core.records.shape import FileShape
from askel_tui.core.records.times import read_time

MAX_SHOWN_BYTES = 65_536
"""The number of bytes of a refused line that are kept, to show and mend it."""

NumberedRecord = tuple[int, Record | RefusedLine]


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns or fields of a file that say what a record's own fields don't.

    `event` is the event of records without one. `id` and `time` name columns; `time_format` is a format of
    `strptime`, and `zone` the time zone of times that name none: `UTC`, `+01:00`, `Europe/London`.
    """

    event: str | None = None
    id: str | None = None
    time: str | None = None
    time_format: str | None = None
    zone: str | None = None

    @property
    def named(self) -> list[str]:
        """The columns that have to be there."""
        return [name for name in (self.id, self.time) if name is not None]


PLAIN_COLUMNS = Columns()


def read_records(
    stream: BinaryIO,
    shape: FileShape,
    *,
    now: str,
    columns: Columns = PLAIN_COLUMNS,
    progress: Callable[[Iterable[bytes]], Iterable[bytes]] = iter,
) -> Iterator[NumberedRecord]:
    """Reads a file of a recognized shape: (line number, record or refusal) for each line, row or object.

    `progress` passes on the parts of the file that are read, as UTF-8. Two rows without id and time that are equal
    are two records: the second has its number in its digest.
    """
    if shape.format == "json":
        chunks = _without_mark(progress(read_chunks(stream, shape.encoding)))
        return number_equal(
            (number, _read(text, text, number, now, columns)) for number, text in split_documents(chunks)
        )
    any_end = shape.format == "csv" or shape.line_end == "\r"
    lines = iter(progress(read_lines(stream, shape.encoding, any_end=any_end)))
    for _ in range(shape.skipped_lines):
        next(lines, None)
    if shape.format == "csv":
        found = read_csv(lines, now=now, delimiter=shape.delimiter, columns=columns)
    else:
        found = read_jsonl(lines, now=now, columns=columns)
    return number_equal((number + shape.skipped_lines, each) for number, each in found)


def read_jsonl(
    lines: Iterable[bytes], *, now: str, columns: Columns = PLAIN_COLUMNS
) -> Iterator[NumberedRecord]:
    """Reads a JSONL file: (line number, record or refusal) for each line that is not empty.

    A byte order mark at the start is skipped.
    """
    for number, line in enumerate(lines, 1):
        body = (line.removeprefix(codecs.BOM_UTF8) if number == 1 else line).strip(b" \t\r\n")
        for each in _objects(body) if b"\r" in body else (body,) if body else ():
            yield number, _read(each, each, number, now, columns)


def _objects(line: bytes) -> list[bytes]:
    """Cuts a line at its CRs where that gives objects: some files mix line ends, and CR is a space in JSON too."""
    parts = [part for each in line.split(b"\r") if (part := each.strip(b" \t\n"))]
    return parts if all(part.startswith(b"{") and part.endswith(b"}") for part in parts) else [line]


def read_csv(
    lines: Iterable[bytes], *, now: str, delimiter: str = ",", columns: Columns = PLAIN_COLUMNS
) -> Iterator[NumberedRecord]:
    """Reads a CSV file as `read_rows` does: (line number, record or refusal) for each row under the header."""
    rows = read_rows(lines, delimiter, has_event=columns.event is not None, needed=columns.named)
    for number, row, body in rows:
        if isinstance(body, RecordRefused):
            yield number, RefusedLine(number, body.reason, row[:MAX_SHOWN_BYTES])
        else:
            yield number, _read(body, row, number, now, columns)


def _read(
    value: bytes | Mapping[str, Any], text: bytes, number: int, now: str, columns: Columns
) -> Record | RefusedLine:
    if columns is PLAIN_COLUMNS and isinstance(value, bytes):
        try:
            return read_record(value, now=now)
        except RecordRefused as refused:
            if not isinstance(refused, TimeRefused):
                return RefusedLine(number, refused.reason, text[:MAX_SHOWN_BYTES])
    try:
        body = parse_body(value) if isinstance(value, bytes) else value
        return read_record(_with_own_fields(body, columns), now=now)
    except RecordRefused as refused:
        return RefusedLine(number, refused.reason, text[:MAX_SHOWN_BYTES])


def _with_own_fields(body: Mapping[str, Any], columns: Columns) -> dict[str, Any]:
    """Fills in the record's own fields from the columns that are named for them. Raises `RecordRefused`."""
    filled = dict(body)
    if columns.event is not None and filled.get("event") in (None, ""):
        filled["event"] = columns.event
        if "data" not in filled:
            # An object of another program's export: all of its fields are the record's.
            filled["data"] = {name: each for name, each in body.items() if name not in OWN_FIELDS}
            filled = {name: each for name, each in filled.items() if name in OWN_FIELDS}
    for own, column in (("id", columns.id), ("time", columns.time)):
        if column is not None:
            filled[own] = _find(body, filled, column)
    if filled.get("time") is not None:
        filled["time"] = read_time(filled["time"], columns.time_format, columns.zone)
    return filled


def _find(body: Mapping[str, Any], filled: Mapping[str, Any], column: str) -> Any:
    """Finds a column's value: that of the name as it stands, or by its dots, in the data or beside it."""
    for fields in (filled.get("data"), body):
        value: Any = fields
        for name in [column] if isinstance(fields, Mapping) and column in fields else column.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        if value is not None:
            return value
    return None


def number_equal(found: Iterable[NumberedRecord]) -> Iterator[NumberedRecord]:
    """Tells equal records that have neither an id nor a time apart, by which of them it is."""
    seen: Counter[int] = Counter()
    for number, each in found:
        if isinstance(each, Record) and not each.has_id and not each.has_time:
            # Half of the digest tells as many rows apart as a file can have, and takes less memory.
            short = int(each.id[:16], 16)
            seen[short] += 1
            if seen[short] > 1:
                digest = hashlib.sha256(f"{each.id}\0{seen[short]}".encode()).hexdigest()[:32]
                each = replace(each, id=digest)
        yield number, each


def _without_mark(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for index, chunk in enumerate(chunks):
        yield chunk.removeprefix(codecs.BOM_UTF8) if index == 0 else chunk
