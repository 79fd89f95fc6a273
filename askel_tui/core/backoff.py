"""Back-off: how long to wait before a failed attempt is made again."""

from __future__ import annotations

import random
from collections.abc import Callable

MAX_DOUBLINGS = 30
"""The number of doublings after which the wait grows no more, whatever its limit."""


def backoff(
    failures: int, first: float, longest: float, random_fraction: Callable[[], float] = random.random
) -> float:
    """Returns the wait after `failures` failed attempts beyond the first one, in the unit of `first` and `longest`.

    It doubles up to the longest, and is shortened by up to a half at random, so that many do not come back at once.
    """
    doubled = min(longest, first * 2.0 ** min(failures, MAX_DOUBLINGS))
    return doubled * (0.5 + random_fraction() / 2)
