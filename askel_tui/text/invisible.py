"""Characters that are not seen or are no part of an identifier: found and named, for sentences about them."""

from __future__ import annotations

import re
import unicodedata

_UNSEEN_CATEGORIES = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zs", "Zl", "Zp"))
"""Control and format characters, surrogates, private use, unassigned ones, and every kind of blank."""

_SYMBOL_CATEGORIES = frozenset(("So", "Sk", "Me"))
"""Emoji and other pictures, what changes their colour, and what is drawn around a character."""

_UNSEEN_LETTERS = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""What Unicode counts as letters, marks or symbols and draws as nothing: fillers and variation selectors."""

_AT_THE_ENDS = "\\s\u00ad\u180e\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff"
_ENDS = re.compile(f"^[{_AT_THE_ENDS}]+|[{_AT_THE_ENDS}]+$")


def find_unseen(text: str, *, symbols: bool = False) -> str | None:
    """Finds the first character that is not seen, a plain space excepted; with `symbols` also emoji and the like."""
    if text.isascii() and text.isprintable():
        return None
    unwanted = _UNSEEN_CATEGORIES | _SYMBOL_CATEGORIES if symbols else _UNSEEN_CATEGORIES
    for char in text:
        if char != " " and (unicodedata.category(char) in unwanted or _UNSEEN_LETTERS.match(char)):
            return char
    return None


def name_character(char: str) -> str:
    """Names a character: `NO-BREAK SPACE (U+00A0)`."""
    return f"{unicodedata.name(char, 'a control character')} (U+{ord(char):04X})"


def trim_unseen(text: str) -> str:
    """Takes blanks, and the format characters that copying leaves behind, off both ends."""
    return _ENDS.sub("", text)
