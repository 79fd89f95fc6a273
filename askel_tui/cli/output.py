"""What the command line writes: data on standard output, narration on standard error.

Whatever comes from records or from Klaviyo is shown inert: no control character and no escape reaches a terminal.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any

NARROWEST = 8
"""Columns are never cut below this width."""

GAP = "  "
INDENT = "    "
"""Before what goes on below the line that it belongs to."""


def inert(text: str) -> str:
    """The text with whatever is not printable written as an escape, and line breaks as spaces."""
    if text.isprintable():
        return text
    from askel_tui.klaviyo.errors import inert as escaped

    return escaped(text)


def shown(value: object) -> str:
    """A cell: nothing for None, words for truth, JSON for what is nested, always inert."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case str():
            return inert(value)
        case Mapping() | list() | tuple():
            return inert(json.dumps(value, ensure_ascii=False))
    return str(value)


def width(text: str) -> int:
    """How many cells of a terminal a text takes: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(_cells(char) for char in text)


def fit(text: str, cells: int) -> str:
    """The text, cut with an ellipsis where it takes more than `cells` cells."""
    if width(text) <= cells:
        return text
    kept, used = [], 0
    for char in text:
        used += _cells(char)
        if used > cells - 1:
            break
        kept.append(char)
    return "".join(kept) + "…"


def _cells(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def table(headers: Sequence[str], rows: Iterable[Sequence[object]], *, whole_last: bool = False) -> None:
    """Writes an aligned table; on a terminal the widest columns are cut until it fits. Numbers go right.

    `whole_last`: the last column is never cut; where it does not fit, it stands below the rest of its row.
    """
    given = [list(row) for row in rows]
    if not given:
        return
    cells = [[shown(value) for value in row] for row in given]
    right = [all(_is_number(row[at]) for row in given) for at in range(len(headers))]
    widths = [max(width(header), *(width(row[at]) for row in cells)) for at, header in enumerate(headers)]
    room = _room()
    below = whole_last and room is not None and _taken(widths) > room
    if below:
        widths.pop()
    if room is not None:
        _shrink(widths, room)
    if any(headers):
        put(bold(_line(headers[: len(widths)], widths, right[: len(widths)])))
    for row in cells:
        put(_line(row[: len(widths)], widths, right[: len(widths)]))
        if below and row[-1]:
            put(INDENT + row[-1])


def flow(words: Iterable[str]) -> None:
    """Writes words on one line; on a terminal, on as many lines as they need, cut between words only."""
    room, line = _room(), ""
    for word in words:
        longer = f"{line}{GAP}{word}" if line else word
        if room is not None and line.strip() and width(longer) > room:
            put(line)
            longer = INDENT + word.strip()
        line = longer
    put(line.rstrip())


def _room() -> int | None:
    """How many cells a line of the terminal has; None where standard output is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _taken(widths: Sequence[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _shrink(widths: list[int], room: int) -> None:
    while _taken(widths) > room and max(widths) > NARROWEST:
        widths[widths.index(max(widths))] -= 1


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = []
    for cell, cut, to_right in zip(cells, widths, right, strict=True):
        text = fit(cell, cut)
        blanks = " " * (cut - width(text))
        padded.append(blanks + text if to_right else text + blanks)
    return GAP.join(padded).rstrip()


def bold(text: str) -> str:
    """The text in bold, where standard output is a terminal that may show it."""
    plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb" or not sys.stdout.isatty()
    return text if plain else f"\x1b[1m{text}\x1b[0m"


def put(line: str = "") -> None:
    """Writes a line of data."""
    _write(sys.stdout, line)


def tell(line: str) -> None:
    """Writes a line of narration, inert."""
    sys.stdout.flush()
    _write(sys.stderr, inert(line))
    sys.stderr.flush()


def put_json(document: object) -> None:
    """Writes one JSON document for programs, indented for people."""
    put(encoded(document, indent=2))


def put_json_line(document: object) -> None:
    """Writes one JSON object on one line."""
    put(encoded(document))


def encoded(document: object, *, indent: int | None = None) -> str:
    """JSON that is safe on a terminal: characters that are not printable are written as JSON's own escapes."""
    separators = (",", ": ") if indent else (",", ":")
    text = json.dumps(document, ensure_ascii=False, indent=indent, separators=separators)
    if text.isascii() and "\x7f" not in text:
        return text
    return "".join(char if char < "\x7f" or char.isprintable() else json.dumps(char)[1:-1] for char in text)


def _write(stream: IO[str], line: str) -> None:
    text = f"{line}\n"
    try:
        stream.write(text)
    except UnicodeEncodeError:
        # A terminal that knows few letters gets escapes, which JSON reads as the same letters.
        stream.write("".join(char if char.isascii() else json.dumps(char)[1:-1] for char in text))


def plural(number: int, thing: str, things: str | None = None) -> str:
    """`1 record`, `1,200 records`."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def problem_rows(problems: Iterable[Any]) -> list[dict[str, Any]]:
    """Problems (`core.problems.Problem`) as JSON values."""
    names = ("file", "line", "step", "field", "message", "suggestion")
    return [{name: getattr(problem, name) for name in names} for problem in problems]
