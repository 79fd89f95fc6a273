"""Problems: errors of workflow files and records, for the person who mends them. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from askel_tui.text.sanitizing import sanitize

_MAX_COMPARED_CHARACTERS = 100
"""The number of characters of a word that are compared with known ones: the comparison is slow."""

_MIN_PREFIX_CHARACTERS = 3


LEFT_OUT_KIND = "phone_left_out"
"""The kind of warning that a bad phone number was left out (`if_bad: leave_out`)."""

CHANNEL_LEFT_OUT_KIND = "channel_left_out"
"""The kind of warning that consent left channels out whose identifiers are missing."""

CHANNEL_MISSING_KIND = "channel_missing"
"""The kind of warning that a record fails where the newest rules leave a channel out."""

SHARED_PHONE_KIND = "shared_phone"
"""The kind of warning that a phone number is another person's."""

CONSENT_REFUSED_KIND = "consent_refused"
"""The kind of warning that somebody who opted out is not subscribed again."""

PROPERTY_TYPE_KIND = "property_type"
"""The kind of warning that a value has another type than its property."""

HISTORY_ASIDE_KIND = "history_aside"
"""The kind of warning that a write of history was left out, since it would start a live flow."""

REPORTED_KINDS = frozenset({LEFT_OUT_KIND, HISTORY_ASIDE_KIND})
"""The kinds of warnings of which each gets an entry in the audit: what they are about is not written."""

WARNING_TEXTS: Mapping[str, str] = {
    LEFT_OUT_KIND: "bad phone numbers left out",
    "placeholder_phone": "phone numbers that are placeholders",
    "unknown_phone": "phone numbers in no range that is known",
    CHANNEL_LEFT_OUT_KIND: "consents without the channels whose identifiers are missing",
    CHANNEL_MISSING_KIND: "consents that fail for one channel, where `askel: 2` leaves it out",
    SHARED_PHONE_KIND: "phone numbers that another person's profile has",
    HISTORY_ASIDE_KIND: "writes of history left aside, since they would start flows",
    CONSENT_REFUSED_KIND: "subscriptions refused, since the person opted out and no newer consent is proven",
    PROPERTY_TYPE_KIND: "values of another type than their property's",
}
"""The kinds of warnings about records, each with what is counted under it."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One error and its location. `message` is a sentence without a full stop."""

    message: str
    field: str | None = None
    step: str | None = None
    file: str | None = None
    line: int | None = None
    suggestion: str | None = None
    kind: str | None = None
    """The kind that a record's warning is counted under."""

    def __str__(self) -> str:
        """Formats `file:line: step X, field: message. Did you mean 'Y'?`; parts that are unknown are left out."""
        location = self.file
        if self.line is not None:
            location = f"{self.file}:{self.line}" if self.file else f"line {self.line}"
        about = ", ".join(filter(None, (self.step and f"step {self.step}", self.field)))
        question = f". Did you mean '{self.suggestion}'?" if self.suggestion else ""
        return sanitize(": ".join(filter(None, (location, about, self.message))) + question, None)


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Finds the known word that is most similar to `word`, or the only one that begins with it; else None.

    Ignores case.
    """
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
    """Names the JSON type of a value with its article, for sentences."""
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
