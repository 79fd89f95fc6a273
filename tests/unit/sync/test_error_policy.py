"""The error policy: what each error means for operations, above all for consent, which is never repeated blindly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.contract.calls import Call
from askel_tui.core.addressing import CONSENT_CALLS
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
from askel_tui.sync.settlement.error_policy import Action, action_for, backoff_ms
from askel_tui.sync.timing import Timing

TIMING = Timing()
PLAIN_CALLS = [
    Call.CREATE_OR_UPDATE_PROFILE,
    Call.ADD_PROFILES_TO_LIST,
    Call.REMOVE_PROFILES_FROM_LIST,
    Call.CREATE_EVENT,
    Call.GET_PROFILES_FOR_SEGMENT,
]
CALLS = [*PLAIN_CALLS, *sorted(CONSENT_CALLS)]


def test_consent_is_what_gives_and_what_takes_it() -> None:
    assert {"bulk_subscribe_profiles", "bulk_unsubscribe_profiles"} == CONSENT_CALLS


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("error", "act", "cause"),
    [
        (KeyRefused("said"), "hold", "key_refused"),
        (ScopeMissing("said"), "hold", "scope_missing"),
        (NotInThisRevision("said"), "hold", "revision"),
        (NotInAccount("said"), "check_target", ""),
        (Conflict("said"), "fail", ""),
        (InvalidRequest("said"), "fail", ""),
        (TooLarge("said"), "fail", ""),
        (KlaviyoError("said"), "fail", ""),
        (RateLimited("said"), "delay", ""),
        (Unavailable("said", may_have_arrived=False), "delay", ""),
    ],
)
def test_these_errors_mean_the_same_for_every_call(
    call: Call, error: KlaviyoError, act: str, cause: str
) -> None:
    found = action_for(error, call)
    assert (found.kind, found.cause, found.detail) == (act, cause, "said")


@pytest.mark.parametrize("error", [Unavailable("said", may_have_arrived=True), UnreadableResponse("said")])
def test_a_write_of_unknown_outcome_is_repeated_unless_it_is_consent(error: KlaviyoError) -> None:
    assert {action_for(error, call).kind for call in PLAIN_CALLS} == {"delay"}
    assert {action_for(error, call).kind for call in CONSENT_CALLS} == {"read_back"}


def test_retry_after_is_kept_in_milliseconds() -> None:
    assert action_for(RateLimited("said", retry_after=1.5), Call.CREATE_EVENT).wait_ms == 1500
    assert action_for(RateLimited("said"), Call.CREATE_EVENT) == Action("delay", "said")


@given(st.integers(0, 10_000), st.none() | st.integers(0, 10_000_000))
def test_backing_off_is_never_before_retry_after_and_has_bounds(attempts: int, wait: int | None) -> None:
    found = backoff_ms(attempts, wait, TIMING)
    assert found >= (wait or 0)
    assert 500 <= found <= max(TIMING.max_retry_wait_ms, wait or 0)


def test_backing_off_doubles_up_to_its_limit() -> None:
    for attempts in range(6):
        waits = [backoff_ms(attempts, None, TIMING) for _ in range(50)]
        assert 500 * 2**attempts <= min(waits)
        assert max(waits) <= 1000 * 2**attempts
    assert max(backoff_ms(6, None, TIMING) for _ in range(50)) <= TIMING.max_retry_wait_ms


def test_waits_differ_so_that_many_do_not_come_back_at_once() -> None:
    assert len({backoff_ms(5, None, TIMING) for _ in range(50)}) > 10
