"""Escaping of text of unknown origin, so that nothing in it acts on a terminal.

Control characters, bidi controls, zero-width characters, lone surrogates, private use and unassigned characters become
visible signs; none of them moves the cursor, hides, reorders or beeps. Markup stays plain text: callers never parse it.
Nothing here raises, whatever the text.
"""

from __future__ import annotations

import re
import unicodedata

from askel_tui.text.shortening import ELLIPSIS, shorten

MAX_LINE_CHARS = 4_096
"""The number of characters of one line that are read; no screen is wider, so the rest is cut unread."""

MAX_TEXT_CHARS = 200_000
"""The number of characters of a text of several lines that are read."""

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

_HIDDEN_CATEGORIES = ("Cc", "Cf", "Cs", "Zl", "Zp", "Cn", "Co")
"""The Unicode categories of control and format characters, surrogates, separators, unassigned and private use."""

_COMBINING_MARKS = r"\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
_COMBINING_RUN = re.compile(f"([{_COMBINING_MARKS}]{{3}})[{_COMBINING_MARKS}]+")


def sanitize(text: str, max_chars: int | None = MAX_LINE_CHARS) -> str:
    """Makes one line of harmless text; beyond `max_chars` characters it is cut with an ellipsis.

    Line breaks become `⏎`.
    """
    if max_chars is not None:
        text = shorten(text, max_chars)
    if text.isascii() and text.isprintable():
        return text
    shown = text if text.isprintable() else "".join(map(_visible_char, text))
    # Many combining marks on one character are painted over the lines above.
    return _COMBINING_RUN.sub(r"\1", shown)


def sanitize_sentence(text: str) -> str:
    """Makes one line of harmless text, of any length, with line breaks and runs of blanks as single spaces."""
    return text if text.isprintable() else sanitize(" ".join(text.split()), None)


def sanitize_lines(text: str, max_chars: int = MAX_TEXT_CHARS) -> str:
    """Makes harmless text of several lines: line feeds stay, tabs become spaces."""
    cut = text if len(text) <= max_chars else text[:max_chars] + ELLIPSIS
    lines = cut.replace("\r\n", "\n").split("\n")
    return "\n".join(sanitize(line.replace("\t", "    "), None) for line in lines)


def _visible_char(char: str) -> str:
    named = _CONTROL_PICTURES.get(char)
    if named is not None:
        return named
    if char.isprintable():
        return char
    if unicodedata.category(char) in _HIDDEN_CATEGORIES:
        # A joiner between two emoji is as harmless as they are, but terminals differ about its width.
        return f"<{ord(char):x}>"
    # The remaining characters are kinds of blanks.
    return " "
