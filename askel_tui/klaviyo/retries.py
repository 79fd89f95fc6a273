"""Repeating a call that failed for a passing reason: how often, how long, after what wait.

Pacing is the budget's work; this is only about trouble. Each attempt takes a place of its own in the budget.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from askel_tui.core.backoff import backoff
from askel_tui.klaviyo.errors import KlaviyoError, RateLimited, Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

RetryMode = Literal["always", "certain"]
"""When a call may be made again: after any passing trouble, or only where it certainly did nothing yet."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Bounds of the attempts at one call: how many, and seconds from the first to the start of the last."""

    max_attempts: int = 4
    max_total_s: float = 30.0
    first_wait_s: float = 0.5
    max_wait_s: float = 8.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random

    def wait(self, attempt: int, error: BaseException | None) -> float:
        """Seconds to wait after a failed attempt (from 1): doubling, jittered, never before Retry-After."""
        if isinstance(error, RateLimited):
            # A little after the second that Klaviyo names, and not all callers at once.
            return max(1.0, error.retry_after or 0.0) + 0.25 * self.random()
        return backoff(attempt - 1, self.first_wait_s, self.max_wait_s, self.random)


def may_retry(error: BaseException, repeat: RetryMode) -> bool:
    """Whether a call that ended so may be made again by itself. A refused rate (429) did nothing."""
    if isinstance(error, RateLimited):
        return True
    return isinstance(error, Unavailable) and (repeat == "always" or not error.may_have_arrived)


async def retry(
    first: KlaviyoError,
    attempt: Callable[[], Awaitable[T]],
    policy: RetryPolicy,
    repeat: RetryMode,
    began: float,
) -> T:
    """Goes on after the first failed attempt until one succeeds. Raises the last error when the bounds are
    reached.

    The first attempt is made without this machinery, which costs as much as the attempt itself.
    """
    pending: list[KlaviyoError] = [first]

    async def next_attempt() -> T:
        if pending:
            raise pending.pop()
        return await attempt()

    def spent(state: RetryCallState) -> bool:
        late = policy.clock() - began + state.upcoming_sleep > policy.max_total_s
        return late or state.attempt_number >= policy.max_attempts

    def wait(state: RetryCallState) -> float:
        outcome = state.outcome
        return policy.wait(state.attempt_number, outcome.exception() if outcome else None)

    retrying = AsyncRetrying(
        sleep=policy.sleep,
        wait=wait,
        stop=spent,
        retry=retry_if_exception(lambda error: may_retry(error, repeat)),
        reraise=True,
    )
    try:
        return await retrying(next_attempt)
    except KlaviyoError as error:
        error.attempts = int(retrying.statistics.get("attempt_number", 1))
        raise
