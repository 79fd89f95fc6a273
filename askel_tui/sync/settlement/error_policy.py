"""The error policy: decides what to do with the operations of a request that failed. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from askel_tui.contract.calls import Call
from askel_tui.core.addressing import CONSENT_CALLS
from askel_tui.core.backoff import backoff
from askel_tui.core.hold_causes import Cause
from askel_tui.core.operations import Operation, Target
from askel_tui.klaviyo.errors import (
    KeyRefused,
    KlaviyoError,
    NotInAccount,
    NotInThisRevision,
    RateLimited,
    RevisionRetired,
    ScopeMissing,
    Unavailable,
    UnreadableResponse,
)
from askel_tui.store.journal.rows import StoredOperation
from askel_tui.sync.settlement.values import HeldOperations, Retry, Settlement
from askel_tui.sync.timing import Timing


@dataclass(frozen=True, slots=True)
class Action:
    """The decision about the operations of a failed request.

    `fail` keeps them with the reason, `hold` holds their steps for `cause`, `delay` tries them again, `read_back` asks
    the account whether they were written, `check_target` asks it whether what the step names is still there.
    """

    kind: Literal["fail", "hold", "delay", "read_back", "check_target"]
    detail: str
    cause: str = ""
    wait_ms: int | None = None


def action_for(error: KlaviyoError, call: Call | None) -> Action:
    """Returns the action for an error of this call, or of a read without one (docs/klaviyo.md 4)."""
    detail = str(error)
    match error:
        case KeyRefused():
            return Action("hold", detail, Cause.KEY_REFUSED)
        case ScopeMissing():
            return Action("hold", detail, Cause.SCOPE_MISSING)
        case RevisionRetired():
            return Action("hold", detail, Cause.RETIRED)
        case NotInThisRevision():
            return Action("hold", detail, Cause.REVISION)
        case NotInAccount():
            return Action("check_target", detail)
        case RateLimited() if error.is_long:
            return Action("hold", detail, Cause.LIMIT, int((error.retry_after or 0) * 1000))
        case RateLimited():
            # Where Klaviyo names no wait, or one of 0 s, our own back-off decides.
            return Action("delay", detail, wait_ms=int((error.retry_after or 0) * 1000) or None)
        case Unavailable():
            unknown = call in CONSENT_CALLS and error.may_have_arrived
            return Action("read_back" if unknown else "delay", detail)
        case UnreadableResponse():
            return Action("read_back" if call in CONSENT_CALLS else "delay", detail)
    return Action("fail", detail)


def settlement_for(action: Action, operations: Sequence[StoredOperation]) -> Settlement | None:
    """Makes the settlement of operations that are held or delayed; None where the action is another one."""
    if action.kind == "hold":
        return Settlement(held=[HeldOperations(operations, action.cause, action.detail, action.wait_ms)])
    if action.kind == "delay":
        return Settlement(retries=[Retry(operations, action.detail, action.wait_ms)])
    return None


def target_to_check(operation: Operation) -> Target | None:
    """Finds the list, segment or flow to read after a 404; None where the operation names none that can be read."""
    target = operation.destination
    if target is None or target.id is None or target.type not in ("list", "segment", "flow"):
        return None
    return target


def action_after_check(action: Action, operation: Operation, read_error: KlaviyoError | None) -> Action:
    """Returns the action for a 404 once the target was read; `read_error` is None where the target is there."""
    target = target_to_check(operation)
    if target is None or read_error is None:
        return Action("fail", action.detail)
    if isinstance(read_error, NotInAccount):
        gone = f"the {target.type} {target.name} ({target.id}) is gone from the account"
        return Action("hold", gone, Cause.TARGET_GONE)
    return action_for(read_error, None)


def backoff_ms(attempts: int, wait_ms: int | None, timing: Timing) -> int:
    """Returns the wait before the next attempt, in milliseconds, and never less than Klaviyo's `wait_ms`."""
    first, longest = timing.first_retry_wait_ms, timing.max_retry_wait_ms
    return max(int(backoff(attempts, first, longest, timing.random_fraction)), wait_ms or 0)
