"""Reads records from JSONL and CSV, line by line. A bad line is refused by itself; the others are read. Pure."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO

from askel_tui.core.numbers import read_float
from askel_tui.core.problems import did_you_mean
from askel_tui.core.records.record import (
    MAX_NESTING_LEVELS,
    MAX_RECORD_BYTES,
    Record,
    RecordRefused,
    RefusedLine,
    read_record,
)
from askel_tui.text.numbers import pluralize

MAX_SHOWN_BYTES = 65_536
"""The number of bytes of a refused line that are kept, to show and mend it."""

_BOM = b"\xef\xbb\xbf"
_RECORD_COLUMNS = ("id", "event", "time", "actor")
_CELL = re.compile(r'(?:"((?:[^"]++|"")*+)"|((?!")[^,]*+))(?:,|(\Z))')
_REST_OF_QUOTED = re.compile(r'(?:[^"]++|"")*+"')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,4000})(\.[0-9]+)?([eE][+-]?[0-9]+)?")

NumberedRecord = tuple[int, Record | RefusedLine]


def read_lines(stream: BinaryIO) -> Iterator[bytes]:
    """Reads the lines of a file. Each is cut just over the size that is refused, so that memory stays bounded."""
    while line := stream.readline(MAX_RECORD_BYTES + 2):
        yield line
        cut = len(line) == MAX_RECORD_BYTES + 2 and not line.endswith(b"\n")
        while cut:
            rest = stream.readline(MAX_RECORD_BYTES)
            cut = bool(rest) and not rest.endswith(b"\n")


def read_jsonl(lines: Iterable[bytes], *, now: str) -> Iterator[NumberedRecord]:
    """Reads a JSONL file: (line number, record or refusal) for each line that is not empty.

    A byte order mark at the start is skipped.
    """
    for number, line in enumerate(lines, 1):
        body = (line.removeprefix(_BOM) if number == 1 else line).strip(b" \t\r\n")
        if body:
            yield number, _read(body, body, now, number)


def _read(value: bytes | Mapping[str, Any], text: bytes, now: str, number: int) -> Record | RefusedLine:
    try:
        return read_record(value, now=now)
    except RecordRefused as refused:
        return RefusedLine(number, refused.reason, text[:MAX_SHOWN_BYTES])


def read_csv(lines: Iterable[bytes], *, now: str) -> Iterator[NumberedRecord]:
    """Reads a CSV file: (line number, record or refusal) for each row under the header.

    A row has the number of its first line. The columns `id`, `event`, `time`, `actor` are the record's own, all
    others nest under `data` by their dots. An empty cell is absent; plain JSON numbers and booleans become numbers
    and booleans, all else is text. A header that can't be used gives one refusal and no more.
    """
    rows = _rows(lines)
    for number, row, reason in rows:
        try:
            paths = _header(_decoded(row, reason))
        except RecordRefused as refused:
            yield (
                number,
                RefusedLine(number, f"the header can't be used: {refused.reason}", row[:MAX_SHOWN_BYTES]),
            )
            return
        break
    else:
        return
    for number, row, reason in rows:
        try:
            body = _body(_decoded(row, reason), paths)
        except RecordRefused as refused:
            yield number, RefusedLine(number, refused.reason, row[:MAX_SHOWN_BYTES])
        else:
            yield number, _read(body, row, now, number)


def _rows(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes, str | None]]:
    """Reads rows: (line number, row, None or why it can't be read). Lines are joined while a quoted cell is open.

    Where a quote is never closed, its line is refused and each line after it is read by itself.
    """
    opened: deque[tuple[int, bytes]] = deque()
    size = 0
    inside = False
    for number, raw in enumerate(lines, 1):
        line = raw.removeprefix(_BOM) if number == 1 else raw
        if not opened and not line.strip():
            continue
        inside = _ends_inside(line, inside)
        if not opened and not inside:
            yield number, line, None
            continue
        opened.append((number, line))
        size += len(line)
        if not inside:
            yield opened[0][0], b"".join(text for _, text in opened), None
        elif size > MAX_RECORD_BYTES:
            yield from _alone(opened)
            inside = False
        else:
            continue
        opened.clear()
        size = 0
    yield from _alone(opened)


def _alone(opened: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes, str | None]]:
    for number, line in opened:
        if line.strip():
            reason = "a quote is opened and never closed" if _ends_inside(line, False) else None
            yield number, line, reason


def _ends_inside(line: bytes, inside: bool) -> bool:
    """Checks whether a quoted cell is still open at the end of the line, given whether one was open at its start."""
    if not inside and b'"' not in line:
        return False
    text = line.decode("latin-1")
    at = 0
    while True:
        if inside:
            closed = _REST_OF_QUOTED.match(text, at)
            if closed is None:
                return True
            inside = False
            at = closed.end()
        elif text.startswith('"', at):
            inside = True
            at += 1
            continue
        comma = text.find(",", at)
        if comma < 0:
            return False
        at = comma + 1


def _decoded(row: bytes, reason: str | None) -> list[str]:
    """Decodes the cells of a row. Raises `RecordRefused`."""
    if reason is not None:
        raise RecordRefused(reason)
    if len(row) > MAX_RECORD_BYTES:
        raise RecordRefused(f"over 5 MB ({len(row):,} bytes)")
    try:
        text = row.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise RecordRefused(f"not UTF-8 (byte {error.start + 1})") from None
    if '"' not in text:
        return text.split(",")
    cells: list[str] = []
    at = 0
    while True:
        cell = _CELL.match(text, at)
        if cell is None:
            raise RecordRefused(f"cell {len(cells) + 1}: text after the closing quote")
        quoted, plain, end = cell.groups()
        cells.append(plain if quoted is None else quoted.replace('""', '"'))
        if end is not None:
            return cells
        at = cell.end()


def _header(names: list[str]) -> list[tuple[str, ...]]:
    """Reads a header: the path of keys in the record's body for each column. Raises `RecordRefused`."""
    names = [name.replace("\0", "").strip() for name in names]
    paths: list[tuple[str, ...]] = []
    seen: set[tuple[str, ...]] = set()
    for column, name in enumerate(names, 1):
        if not name:
            raise RecordRefused(f"column {column} has no name")
        own = name in _RECORD_COLUMNS
        path = (name,) if own else ("data", *name.split("."))
        if "" in path:
            raise RecordRefused(f"column {column}, {name!r}, has an empty part between its dots")
        if len(path) > MAX_NESTING_LEVELS:
            raise RecordRefused(f"column {column} is nested deeper than {MAX_NESTING_LEVELS} levels")
        if path in seen:
            raise RecordRefused(f"two columns are named {name!r}")
        seen.add(path)
        paths.append(path)
    for name, path in zip(names, paths, strict=True):
        for length in range(2, len(path)):
            if path[:length] in seen:
                raise RecordRefused(
                    f"{'.'.join(path[1:length])!r} can't be a value and hold {name!r}: rename one"
                )
    if "event" not in names:
        raise RecordRefused(f"there is no column `event`{_hint(names)}")
    return paths


def _hint(names: list[str]) -> str:
    if len(names) == 1 and (";" in names[0] or "\t" in names[0]):
        return "; columns are separated by commas"
    like = did_you_mean("event", names)
    return f"; did you mean {like!r}?" if like else ""


def _body(cells: list[str], paths: list[tuple[str, ...]]) -> dict[str, Any]:
    if len(cells) != len(paths):
        raise RecordRefused(
            f"{pluralize(len(cells), 'cell')}, where the header has {pluralize(len(paths), 'column')}"
        )
    body: dict[str, Any] = {}
    for path, cell in zip(paths, cells, strict=True):
        if cell == "":
            continue
        if len(path) == 1:
            body[path[0]] = cell
            continue
        parent = body
        for key in path[:-1]:
            parent = parent.setdefault(key, {})
        parent[path[-1]] = _value(cell)
    return body


def _value(cell: str) -> Any:
    if cell in ("true", "false"):
        return cell == "true"
    number = _NUMBER.fullmatch(cell)
    if number is None:
        return cell
    if number.group(1) is None and number.group(2) is None:
        return cell if cell == "-0" else int(cell)
    value = read_float(cell)
    return value if math.isfinite(value) else cell
