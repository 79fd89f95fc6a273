"""Problems: what is wrong with a workflow file or a record, said so that a person can mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from askel_tui.text.sanitizing import sanitize

_MAX_COMPARED_CHARACTERS = 100
"""Characters of a word that are compared with known ones: nobody mistypes more, and the comparison is slow."""

_MIN_PREFIX_CHARACTERS = 3


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where it stands and what it is. `message` is a sentence without its full stop."""

    message: str
    field: str | None = None
    step: str | None = None
    file: str | None = None
    line: int | None = None
    suggestion: str | None = None

    def __str__(self) -> str:
        """`file:line: step X, field: message. Did you mean 'Y'?`; parts that are unknown are left out."""
        place = self.file
        if self.line is not None:
            place = f"{self.file}:{self.line}" if self.file else f"line {self.line}"
        about = ", ".join(filter(None, (self.step and f"step {self.step}", self.field)))
        question = f". Did you mean '{self.suggestion}'?" if self.suggestion else ""
        return sanitize(": ".join(filter(None, (place, about, self.message))) + question, None)


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like `word` or alone begins with it, or None. Case does not count."""
    by_folded: dict[str, str] = {}
    for each in known:
        by_folded.setdefault(each.casefold(), each)
    folded = word.casefold()[:_MAX_COMPARED_CHARACTERS]
    if folded in by_folded:
        return by_folded[folded]
    begun = [each for each in by_folded if len(folded) >= _MIN_PREFIX_CHARACTERS and each.startswith(folded)]
    close = begun if len(begun) == 1 else difflib.get_close_matches(folded, by_folded, n=1, cutoff=0.7)
    return by_folded[close[0]] if close else None


def json_type_name(value: object) -> str:
    """The JSON type of a value with its article, for sentences."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
    return "an object"
