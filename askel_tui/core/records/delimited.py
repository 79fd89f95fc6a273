"""Reads the rows of a CSV file into bodies of records. A bad row is refused by itself, the others are read. Pure."""

from __future__ import annotations

import codecs
import functools
import math
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from askel_tui.core.numbers import read_float
from askel_tui.core.problems import did_you_mean
from askel_tui.core.records.record import MAX_NESTING_LEVELS, MAX_RECORD_BYTES, RecordRefused
from askel_tui.text.numbers import pluralize

OWN_COLUMNS = ("id", "event", "time", "actor")
"""The columns that are a record's own; all others nest under `data`."""

_REST_OF_QUOTED = re.compile(r'(?:[^"]++|"")*+"')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,4000})(\.[0-9]+)?([eE][+-]?[0-9]+)?")

Row = tuple[int, bytes, dict[str, Any] | RecordRefused]
"""A row's first line, its bytes, and its body or why it is refused."""


def read_rows(
    lines: Iterable[bytes], delimiter: str = ",", *, has_event: bool = False, needed: Sequence[str] = ()
) -> Iterator[Row]:
    """Reads the rows under the header of a CSV file.

    The columns `id`, `event`, `time`, `actor` are the record's own, all others nest under `data` by their dots. An
    empty cell is absent; plain JSON numbers and booleans become numbers and booleans, all else is text. Columns at
    the end that have neither a name nor cells are left out. `has_event` says that the event is known without a
    column, `needed` are the columns that must be there. A header that can't be used gives one refusal and no more.
    """
    rows = _rows(lines, delimiter)
    for number, row, reason in rows:
        try:
            names = _decoded(row, reason, delimiter)
            paths = _header(names, has_event=has_event, needed=needed)
        except RecordRefused as refused:
            yield number, row, RecordRefused(f"the header can't be used: {refused.reason}")
            return
        break
    else:
        return
    for number, row, reason in rows:
        try:
            yield number, row, _body(_decoded(row, reason, delimiter), paths)
        except RecordRefused as refused:
            yield number, row, refused


def _rows(lines: Iterable[bytes], delimiter: str) -> Iterator[tuple[int, bytes, str | None]]:
    """Reads rows: (line number, row, None or why it can't be read). Lines are joined while a quoted cell is open.

    Where a quote is never closed, its line is refused and each line after it is read by itself.
    """
    opened: deque[tuple[int, bytes]] = deque()
    size = 0
    inside = False
    for number, raw in enumerate(lines, 1):
        line = raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw
        if not opened and not line.strip():
            continue
        inside = _ends_inside(line, inside, delimiter)
        if not opened and not inside:
            yield number, line, None
            continue
        opened.append((number, line))
        size += len(line)
        if not inside:
            yield opened[0][0], b"".join(text for _, text in opened), None
        elif size > MAX_RECORD_BYTES:
            yield from _alone(opened, delimiter)
            inside = False
        else:
            continue
        opened.clear()
        size = 0
    yield from _alone(opened, delimiter)


def _alone(opened: Iterable[tuple[int, bytes]], delimiter: str) -> Iterator[tuple[int, bytes, str | None]]:
    for number, line in opened:
        if line.strip():
            reason = "a quote is opened and never closed" if _ends_inside(line, False, delimiter) else None
            yield number, line, reason


def _ends_inside(line: bytes, inside: bool, delimiter: str) -> bool:
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
        end = text.find(delimiter, at)
        if end < 0:
            return False
        at = end + len(delimiter)


def _decoded(row: bytes, reason: str | None, delimiter: str) -> list[str]:
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
        return text.split(delimiter)
    cells: list[str] = []
    at, pattern = 0, _cell_pattern(delimiter)
    while True:
        cell = pattern.match(text, at)
        if cell is None:
            raise RecordRefused(f"cell {len(cells) + 1}: text after the closing quote")
        quoted, plain, end = cell.groups()
        cells.append(plain if quoted is None else quoted.replace('""', '"'))
        if end is not None:
            return cells
        at = cell.end()


@functools.cache
def _cell_pattern(delimiter: str) -> re.Pattern[str]:
    mark = re.escape(delimiter)
    return re.compile(f'(?:"((?:[^"]++|"")*+)"|((?!")(?:(?!{mark}).)*+))(?:{mark}|(\\Z))', re.DOTALL)


def _header(names: list[str], *, has_event: bool, needed: Sequence[str]) -> list[tuple[str, ...]]:
    """Reads a header: the path of keys in the record's body for each column. Raises `RecordRefused`."""
    names = [name.replace("\0", "").strip() for name in names]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise RecordRefused("no column has a name")
    paths: list[tuple[str, ...]] = []
    seen: set[tuple[str, ...]] = set()
    for column, name in enumerate(names, 1):
        if not name:
            raise RecordRefused(f"column {column} has no name")
        path = (name,) if name in OWN_COLUMNS else ("data", *_nested(name))
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
    if "event" not in names and not has_event:
        like = did_you_mean("event", names)
        hint = f"; did you mean {like!r}?" if like else "; --event NAME says what the rows are"
        raise RecordRefused(f"there is no column `event`{hint}")
    for wanted in needed:
        if wanted not in names:
            like = did_you_mean(wanted, names)
            raise RecordRefused(f"there is no column {wanted!r}{f'; did you mean {like!r}?' if like else ''}")
    return paths


def _nested(name: str) -> list[str]:
    """Splits a column's name at its dots; one like `Order No.` or `No. 2`, where a dot ends a word, is a plain name."""
    parts = name.split(".")
    return parts if all(part and part == part.strip() for part in parts) else [name]


def _body(cells: list[str], paths: Sequence[tuple[str, ...]]) -> dict[str, Any]:
    while len(cells) > len(paths) and not cells[-1].strip():
        cells.pop()
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
