"""Answers: which calls Klaviyo does not answer, and since when. In memory; the time is any clock's milliseconds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple


class UnansweredCall(NamedTuple):
    """A call of an account that was tried since a time, and not answered once."""

    account: str
    call: str
    since: int


@dataclass(slots=True)
class _Attempts:
    """The attempts at one call since its last answer."""

    open: dict[int, int] = field(default_factory=dict)
    """The starts of the attempts under way, by number; not before the last answer."""
    failing_since: int | None = None
    """The start of the first attempt that failed."""


class AnswerWatch:
    """Watches the attempts at calls. An outage, a refused connection and a server error are no answer."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._attempts: defaultdict[tuple[str, str], _Attempts] = defaultdict(_Attempts)
        self._number = 0

    def begin(self, account: str, call: str) -> int:
        """Notes that an attempt begins. Returns its number."""
        self._number += 1
        self._attempts[account, call].open[self._number] = self._clock()
        return self._number

    def end(self, account: str, call: str, number: int, *, answered: bool | None) -> None:
        """Notes that an attempt ended; `answered` is None where it was given up."""
        attempts = self._attempts[account, call]
        began = attempts.open.pop(number)
        if answered:
            attempts.failing_since = None
            now = self._clock()
            # What is still under way is late only if nothing is answered from now on.
            attempts.open = dict.fromkeys(attempts.open, now)
        elif answered is False and attempts.failing_since is None:
            attempts.failing_since = began

    def unanswered(self, min_age_ms: int) -> Iterator[UnansweredCall]:
        """Yields the calls that were not answered for so long."""
        latest = self._clock() - min_age_ms
        for (account, call), attempts in sorted(self._attempts.items()):
            starts = [*attempts.open.values()]
            if attempts.failing_since is not None:
                starts.append(attempts.failing_since)
            if starts and min(starts) <= latest:
                yield UnansweredCall(account, call, min(starts))
