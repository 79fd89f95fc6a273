"""Retries of one call that failed for a passing reason: their number, time and waits.

Pacing is the rate limiter's work. Each attempt takes a permit of its own.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from askel_tui.core.backoff import backoff
from askel_tui.klaviyo.errors import RateLimited, Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

RetryMode = Literal["always", "certain"]
"""The condition for making a call again: after any passing trouble, or only where it certainly had no effect."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Bounds of the attempts at one call. `max_total_s` is from the start of the first to the start of the last."""

    max_attempts: int = 4
    max_total_s: float = 30.0
    first_wait_s: float = 0.5
    max_wait_s: float = 8.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random

    def attempts(self, mode: RetryMode, began: float) -> AsyncRetrying:
        """Returns the attempts at one call that `began` then, to be iterated over.

        The last error is raised when the bounds are reached.
        """

        def is_over(state: RetryCallState) -> bool:
            late = self.clock() - began + state.upcoming_sleep > self.max_total_s
            return late or state.attempt_number >= self.max_attempts

        def wait(state: RetryCallState) -> float:
            return self.wait_s(state.attempt_number, state.outcome.exception() if state.outcome else None)

        return AsyncRetrying(
            sleep=self.sleep,
            wait=wait,
            stop=is_over,
            retry=retry_if_exception(lambda error: may_retry(error, mode)),
            reraise=True,
        )

    def wait_s(self, attempt: int, error: BaseException | None) -> float:
        """Returns the seconds to wait after a failed attempt (counted from 1): doubling, jittered, never before
        Retry-After."""
        if isinstance(error, RateLimited):
            # A little after the second that Klaviyo names, and not all callers at once.
            return max(1.0, error.retry_after or 0.0) + 0.25 * self.random()
        return backoff(attempt - 1, self.first_wait_s, self.max_wait_s, self.random)


def may_retry(error: BaseException, mode: RetryMode) -> bool:
    """Checks whether a call that failed with `error` may be made again. A refused rate (429) had no effect."""
    if isinstance(error, RateLimited):
        return True
    return isinstance(error, Unavailable) and (mode == "always" or not error.may_have_arrived)
