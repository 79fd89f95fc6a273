"""What an error of a request means for its operations. Pure: errors in, verdicts out."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from askel_tui.core.requests.packing import CONSENT_CALLS
from askel_tui.klaviyo.errors import (
    Conflict,
    InvalidRequest,
    KeyRefused,
    KlaviyoError,
    NotInAccount,
    NotInThisRevision,
    RateLimited,
    ScopeMissing,
    TooLarge,
    Unavailable,
    UnreadableResponse,
)

KEY_CAUSES = frozenset({"key_refused", "scope_missing"})
"""Causes of a hold that another key may not have."""

FIRST_RETRY_WAIT_MS = 1_000
MAX_RETRY_WAIT_MS = 60_000


@dataclass(frozen=True, slots=True)
class Action:
    """What to do with the operations of a failed request.

    `fail` keeps them with the reason, `hold` holds their step for `cause`, `delay` tries again, `doubt` asks the
    account what became of them, `look` asks whether the target is still there.
    """

    kind: Literal["fail", "hold", "delay", "doubt", "look"]
    detail: str
    cause: str = ""
    wait_ms: int | None = None


def action_for(error: KlaviyoError, call: str) -> Action:
    """What the error means for a request of this call (docs/klaviyo.md 4)."""
    detail = str(error)
    match error:
        case KeyRefused():
            return Action("hold", detail, "key_refused")
        case ScopeMissing():
            return Action("hold", detail, "scope_missing")
        case NotInThisRevision():
            return Action("hold", detail, "revision")
        case NotInAccount():
            return Action("look", detail)
        case RateLimited():
            # Without a wait named, or with none at all, it is ours to back off.
            wait = int((error.retry_after or 0) * 1000)
            return Action("delay", detail, wait_ms=wait or None)
        case Unavailable():
            if call in CONSENT_CALLS and error.may_have_arrived:
                return Action("doubt", detail)
            return Action("delay", detail)
        case UnreadableResponse():
            return Action("doubt" if call in CONSENT_CALLS else "delay", detail)
        case Conflict() | InvalidRequest() | TooLarge():
            return Action("fail", detail)
    return Action("fail", detail)


def backoff_ms(attempts: int, wait_ms: int | None = None) -> int:
    """How long to wait before the next attempt, in milliseconds: doubling, with jitter, never before Retry-After."""
    longest = min(MAX_RETRY_WAIT_MS, FIRST_RETRY_WAIT_MS * 2 ** min(attempts, 10))
    jittered = int(longest * random.uniform(0.5, 1.0))
    return max(jittered, wait_ms or 0)
