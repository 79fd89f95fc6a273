"""The filter behind `/`: words that must all be there, `!word` for words that must not. Pure.

`field:value` asks for a field where the caller knows it (the tail: connection, workflow, step, profile, result,
kind, record, since, until).
"""

from __future__ import annotations

import shlex
from collections.abc import Collection
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter as typed. An empty one matches everything."""

    text: str = ""
    words: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    fields: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.words or self.excluded or self.fields)

    def matches(self, text: str) -> bool:
        """Checks whether a text has all words and none of the excluded ones; case does not count."""
        folded = text.casefold()
        return all(word.casefold() in folded for word in self.words) and not any(
            word.casefold() in folded for word in self.excluded
        )


def parse_filter(text: str, fields: Collection[str] = ()) -> Filter:
    """Parses a line into a filter. Never raises: an open quote is a character like any other."""
    words: list[str] = []
    without: list[str] = []
    asked: dict[str, str] = {}
    for part in _split(text):
        name, colon, value = part.partition(":")
        if colon and value and name.casefold() in fields:
            asked[name.casefold()] = value
        elif part.startswith("!"):
            if len(part) > 1:
                without.append(part[1:])
        else:
            words.append(part)
    return Filter(text, tuple(words), tuple(without), asked)


def _split(text: str) -> list[str]:
    try:
        lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
        lexer.whitespace_split = True
        lexer.commenters = ""
        lexer.quotes = '"'
        lexer.escape = ""
        return list(lexer)
    except ValueError:
        return text.split()
