"""The history of a step's holds: whether one that comes back stays until a person acts, and how long it lasts. Pure.

Times are in milliseconds since 1970.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from askel_tui.core.hold_causes import hold_cause

RETURN_WINDOW_MS = 10 * 60_000
"""The time within which a hold for a changed account that was released has to come back, twice, to stay."""

REPEAT_WINDOW_MS = 15 * 60_000
"""The time after its end within which a hold for passing trouble comes back as the same trouble."""

MAX_PAUSE_MS = 15 * 60_000
"""The longest pause of a hold for passing trouble, however often it came back."""


@dataclass(frozen=True, slots=True)
class HoldHistory:
    """The facts about a step's earlier holds that decide about the next one."""

    released: int | None = None
    """The time at which a person or an activation last ended a hold for a changed account."""
    returned: int | None = None
    """The time at which such a hold last came back after that."""
    ended: int | None = None
    """The time at which a hold for passing trouble last ended by itself."""
    repeats: int = 0
    """The number of times that such a hold came back soon."""


@dataclass(frozen=True, slots=True)
class HoldTerms:
    """The terms of a hold. With `stays` it ends by a person only; each repeat doubles its shortest pause."""

    stays: bool = False
    repeats: int = 0


def note_end(history: HoldHistory, cause: str, now: int, *, by_itself: bool, stayed: bool) -> HoldHistory:
    """Returns the history after the end of a hold; `stayed` if that one stayed until a person acted."""
    about = hold_cause(cause)
    if about.is_account_change and not by_itself:
        return replace(history, released=now, returned=None if stayed else history.returned)
    if about.is_passing:
        return replace(history, ended=now) if by_itself else replace(history, ended=None, repeats=0)
    return history


def note_begin(history: HoldHistory, cause: str, now: int) -> tuple[HoldHistory, HoldTerms]:
    """Returns the history after the beginning of a hold, and the terms of that hold."""
    about = hold_cause(cause)
    if about.is_account_change:
        if history.returned is not None and now - history.returned <= RETURN_WINDOW_MS:
            return replace(history, returned=now), HoldTerms(stays=True)
        if history.released is not None and now - history.released <= RETURN_WINDOW_MS:
            return replace(history, returned=now), HoldTerms()
        return replace(history, released=None, returned=None), HoldTerms()
    if about.is_passing:
        soon = history.ended is not None and now - history.ended <= REPEAT_WINDOW_MS
        repeats = history.repeats + 1 if soon else 0
        return replace(history, repeats=repeats), HoldTerms(repeats=repeats)
    return history, HoldTerms()


def pause_ms(first_ms: int, repeats: int) -> int:
    """Returns the shortest pause of a hold, whose first one is `first_ms`: doubling, up to a quarter of an hour."""
    return int(min(first_ms * 2.0 ** min(repeats, 64), max(first_ms, MAX_PAUSE_MS)))
