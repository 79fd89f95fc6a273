"""What an error of a request means for its operations. Pure: errors in, verdicts out."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from askel_tui.core.requests.packing import CONSENT_CALLS
from askel_tui.klaviyo.errors import (
    Conflict,
    Invalid,
    KeyRefused,
    KlaviyoError,
    Missing,
    NotInThisRevision,
    ScopeMissing,
    Throttled,
    TooLarge,
    Unavailable,
    Unreadable,
)

OF_THE_KEY = frozenset({"key_refused", "scope_missing"})
"""Causes of a hold that another key may not have."""

FIRST_WAIT_MS = 1_000
LONGEST_WAIT_MS = 60_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with the operations of a failed request.

    `fail` keeps them with the reason, `hold` holds their step for `cause`, `delay` tries again, `doubt` asks the
    account what became of them, `look` asks whether the target is still there.
    """

    act: Literal["fail", "hold", "delay", "doubt", "look"]
    detail: str
    cause: str = ""
    wait_ms: int | None = None


def verdict(error: KlaviyoError, call: str) -> Verdict:
    """What the error means for a request of this call (contract.md 4, last paragraph)."""
    detail = str(error)
    match error:
        case KeyRefused():
            return Verdict("hold", detail, "key_refused")
        case ScopeMissing():
            return Verdict("hold", detail, "scope_missing")
        case NotInThisRevision():
            return Verdict("hold", detail, "revision")
        case Missing():
            return Verdict("look", detail)
        case Throttled():
            # Without a wait named, or with none at all, it is ours to back off.
            wait = int((error.retry_after or 0) * 1000)
            return Verdict("delay", detail, wait_ms=wait or None)
        case Unavailable():
            if call in CONSENT_CALLS and error.arrived:
                return Verdict("doubt", detail)
            return Verdict("delay", detail)
        case Unreadable():
            return Verdict("doubt" if call in CONSENT_CALLS else "delay", detail)
        case Conflict() | Invalid() | TooLarge():
            return Verdict("fail", detail)
    return Verdict("fail", detail)


def backoff(attempts: int, wait_ms: int | None = None) -> int:
    """How long to wait before the next attempt, in milliseconds: doubling, with jitter, never before Retry-After."""
    longest = min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** min(attempts, 10))
    jittered = int(longest * random.uniform(0.5, 1.0))
    return max(jittered, wait_ms or 0)
