"""Output of the command line: data on standard output, messages on standard error.

Text from records or from Klaviyo is sanitized: no control character and no escape sequence reaches a terminal.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any

from askel_tui.text.cells import cell_width, pad
from askel_tui.text.json_text import encode_json
from askel_tui.text.sanitizing import sanitize_sentence

MIN_COLUMN_CELLS = 8
"""Width below which columns are never cut, in cells."""

COLUMN_GAP = "  "
CONTINUATION_INDENT = "    "
"""Indent of text that continues on the next line."""


def format_cell(value: object) -> str:
    """Formats a value as the text of a cell, sanitized: empty for None, yes or no, JSON for nested values."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case str():
            return sanitize_sentence(value)
        case Mapping() | list() | tuple():
            return sanitize_sentence(json.dumps(value, ensure_ascii=False))
    return str(value)


def put_table(
    headers: Sequence[str], rows: Iterable[Sequence[object]], *, keep_last_whole: bool = False
) -> None:
    """Writes an aligned table; on a terminal the widest columns are cut until it fits. Numbers go right.

    `keep_last_whole`: the last column is never cut; where it does not fit, it is written below the rest of its row.
    """
    given = [list(row) for row in rows]
    if not given:
        return
    cells = [[format_cell(value) for value in row] for row in given]
    right = [all(_is_number(row[at]) for row in given) for at in range(len(headers))]
    widths = [
        max(cell_width(header), *(cell_width(row[at]) for row in cells)) for at, header in enumerate(headers)
    ]
    room = _terminal_columns()
    below = keep_last_whole and room is not None and _row_width(widths) > room
    if below:
        widths.pop()
    if room is not None:
        _shrink(widths, room)
    if any(headers):
        put(bold(_format_row(headers[: len(widths)], widths, right[: len(widths)])))
    for row in cells:
        put(_format_row(row[: len(widths)], widths, right[: len(widths)]))
        if below and row[-1]:
            put(CONTINUATION_INDENT + row[-1])


def put_wrapped(words: Iterable[str]) -> None:
    """Writes words on one line; on a terminal, on as many lines as they need, cut between words only."""
    room, line = _terminal_columns(), ""
    for word in words:
        longer = f"{line}{COLUMN_GAP}{word}" if line else word
        if room is not None and line.strip() and cell_width(longer) > room:
            put(line)
            longer = CONTINUATION_INDENT + word.strip()
        line = longer
    put(line.rstrip())


def _terminal_columns() -> int | None:
    """Returns the number of cells in a line of the terminal; None where standard output is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _row_width(widths: Sequence[int]) -> int:
    return sum(widths) + len(COLUMN_GAP) * (len(widths) - 1)


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _shrink(widths: list[int], room: int) -> None:
    while _row_width(widths) > room and max(widths) > MIN_COLUMN_CELLS:
        widths[widths.index(max(widths))] -= 1


def _format_row(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = [
        pad(cell, cut, align_right=to_right) for cell, cut, to_right in zip(cells, widths, right, strict=True)
    ]
    return COLUMN_GAP.join(padded).rstrip()


def bold(text: str) -> str:
    """Makes a text bold, where standard output is a terminal that may show it."""
    plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb" or not sys.stdout.isatty()
    return text if plain else f"\x1b[1m{text}\x1b[0m"


def put(line: str = "") -> None:
    """Writes a line of data."""
    _write(sys.stdout, line)


def put_message(line: str) -> None:
    """Writes a message, made harmless, on standard error."""
    sys.stdout.flush()
    _write(sys.stderr, sanitize_sentence(line))
    sys.stderr.flush()


def put_json(document: object) -> None:
    """Writes one JSON document for programs, indented for people."""
    put(encode_json(document, indent=2))


def put_json_line(document: object) -> None:
    """Writes one JSON object on one line."""
    put(encode_json(document))


def _write(stream: IO[str], line: str) -> None:
    text = f"{line}\n"
    try:
        stream.write(text)
    except UnicodeEncodeError:
        # A terminal that knows few letters gets escapes, which JSON reads as the same letters.
        stream.write("".join(char if char.isascii() else json.dumps(char)[1:-1] for char in text))


def problem_rows(problems: Iterable[Any]) -> list[dict[str, Any]]:
    """Converts problems (`core.problems.Problem`) to JSON values."""
    names = ("file", "line", "step", "field", "message", "suggestion")
    return [{name: getattr(problem, name) for name in names} for problem in problems]
