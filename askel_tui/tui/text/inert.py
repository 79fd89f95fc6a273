"""Makes text of unknown origin harmless for cells: nothing in it moves the cursor, hides, reorders or beeps.

Whatever a terminal acts upon (C0, C1, DEL), what reorders text (bidi controls), what has no width of its own
and hides (zero-width characters but joiners between letters), and lone surrogates become visible escapes. Markup is
left as the plain text that it is: callers never parse it. Nothing here raises, whatever the text.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from rich.cells import cell_len, set_cell_size

LONGEST = 4_096
"""Characters looked at for one line; no screen is wider, so the rest is cut unread."""

ELLIPSIS = "…"

_NAMES = {"\n": "⏎", "\t": "→", "\r": "␍", "\x00": "␀", "\x1b": "␛", "\x07": "␇", "\x08": "␈", "\x7f": "␡"}

# Format characters (bidi, zero width, tags), line separators, private use and unassigned stay out of cells.
_DANGEROUS = ("Cc", "Cf", "Cs", "Zl", "Zp", "Cn", "Co")
_COMBINING_RUN = re.compile(
    r"([\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{3})"
    r"[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+"
)


def inert(text: str, longest: int = LONGEST) -> str:
    """One line of harmless text; what is over `longest` characters is cut with an ellipsis."""
    if len(text) > longest:
        text = text[: max(0, longest - 1)] + ELLIPSIS
    if text.isascii() and text.isprintable():
        return text
    shown = text if text.isprintable() else "".join(map(_char, text))
    # Heaps of combining marks climb over the lines above.
    return _COMBINING_RUN.sub(r"\1", shown)


def inert_lines(text: str, longest: int = 200_000) -> str:
    """Harmless text of several lines: line feeds stay, tabs become spaces."""
    cut = text if len(text) <= longest else text[:longest] + ELLIPSIS
    lines = cut.replace("\r\n", "\n").split("\n")
    return "\n".join(inert(line.replace("\t", "    "), longest + 1) for line in lines)


def fit(text: str, cells: int) -> str:
    """Inert text of at most `cells` cells, cut with an ellipsis."""
    if cells <= 0:
        return ""
    shown = inert(text, max(cells * 4, 64))
    if len(shown) <= cells and shown.isascii():
        return shown
    if cell_len(shown) <= cells:
        return shown
    return set_cell_size(shown, cells - 1).rstrip() + ELLIPSIS


def pad(text: str, cells: int, *, right: bool = False) -> str:
    """Inert text of exactly `cells` cells."""
    if len(text) <= cells and text.isascii() and text.isprintable():
        return text.rjust(cells) if right else text.ljust(cells)
    shown = fit(text, cells)
    if right:
        return " " * (cells - cell_len(shown)) + shown
    return set_cell_size(shown, max(cells, 0))


def shown(value: object) -> str:
    """A value as one inert line: text as it is, everything else as JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return inert(value)
    return inert(_encoded(value, None))


def pretty(value: object) -> str:
    """A value as inert, indented JSON of several lines."""
    return inert_lines(_encoded(value, 2))


def _encoded(value: object, indent: int | None) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, indent=indent, default=_plain)
    except (ValueError, TypeError, RecursionError):
        return "(cannot be shown)"


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)


def _char(char: str) -> str:
    named = _NAMES.get(char)
    if named is not None:
        return named
    if char.isprintable():
        return char
    if unicodedata.category(char) in _DANGEROUS:
        # The joiner between two emoji is as harmless as they are, but its width is a matter of taste.
        return f"<{ord(char):x}>"
    # What is left are kinds of blanks.
    return " "
