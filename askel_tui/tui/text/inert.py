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

MAX_LINE_CHARS = 4_096
"""Characters looked at for one line; no screen is wider, so the rest is cut unread."""

ELLIPSIS = "…"

_CONTROL_PICTURES = {
    "\n": "⏎",
    "\t": "→",
    "\r": "␍",
    "\x00": "␀",
    "\x1b": "␛",
    "\x07": "␇",
    "\x08": "␈",
    "\x7f": "␡",
}

# Format characters (bidi, zero width, tags), line separators, private use and unassigned stay out of cells.
_HIDDEN_CATEGORIES = ("Cc", "Cf", "Cs", "Zl", "Zp", "Cn", "Co")
_COMBINING_RUN = re.compile(
    r"([\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{3})"
    r"[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+"
)


def sanitize(text: str, max_chars: int = MAX_LINE_CHARS) -> str:
    """One line of harmless text; what is over `longest` characters is cut with an ellipsis."""
    if len(text) > max_chars:
        text = text[: max(0, max_chars - 1)] + ELLIPSIS
    if text.isascii() and text.isprintable():
        return text
    shown = text if text.isprintable() else "".join(map(_visible_char, text))
    # Heaps of combining marks climb over the lines above.
    return _COMBINING_RUN.sub(r"\1", shown)


def sanitize_lines(text: str, max_chars: int = 200_000) -> str:
    """Harmless text of several lines: line feeds stay, tabs become spaces."""
    cut = text if len(text) <= max_chars else text[:max_chars] + ELLIPSIS
    lines = cut.replace("\r\n", "\n").split("\n")
    return "\n".join(sanitize(line.replace("\t", "    "), max_chars + 1) for line in lines)


def truncate(text: str, cells: int) -> str:
    """Inert text of at most `cells` cells, cut with an ellipsis."""
    if cells <= 0:
        return ""
    shown = sanitize(text, max(cells * 4, 64))
    if len(shown) <= cells and shown.isascii():
        return shown
    if cell_len(shown) <= cells:
        return shown
    return set_cell_size(shown, cells - 1).rstrip() + ELLIPSIS


def pad(text: str, cells: int, *, align_right: bool = False) -> str:
    """Inert text of exactly `cells` cells."""
    if len(text) <= cells and text.isascii() and text.isprintable():
        return text.rjust(cells) if align_right else text.ljust(cells)
    shown = truncate(text, cells)
    if align_right:
        return " " * (cells - cell_len(shown)) + shown
    return set_cell_size(shown, max(cells, 0))


def format_value(value: object) -> str:
    """A value as one inert line: text as it is, everything else as JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return sanitize(value)
    return sanitize(_encode_json(value, None))


def format_json(value: object) -> str:
    """A value as inert, indented JSON of several lines."""
    return sanitize_lines(_encode_json(value, 2))


def _encode_json(value: object, indent: int | None) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, indent=indent, default=_json_fallback)
    except (ValueError, TypeError, RecursionError):
        return "(cannot be shown)"


def _json_fallback(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)


def _visible_char(char: str) -> str:
    named = _CONTROL_PICTURES.get(char)
    if named is not None:
        return named
    if char.isprintable():
        return char
    if unicodedata.category(char) in _HIDDEN_CATEGORIES:
        # The joiner between two emoji is as harmless as they are, but its width is a matter of taste.
        return f"<{ord(char):x}>"
    # What is left are kinds of blanks.
    return " "
