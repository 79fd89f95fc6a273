"""Settlements: whatever the answer is, every operation of a request is settled exactly once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.contract.calls import Call
from askel_tui.contract.caps import Caps
from askel_tui.core.operations import Identity, Operation, StepKind, Target
from askel_tui.core.planning.disposition import Known
from askel_tui.core.requests.bulk import Row
from askel_tui.klaviyo.client import Response
from askel_tui.klaviyo.errors import (
    Conflict,
    InvalidRequest,
    KeyRefused,
    KlaviyoError,
    KlaviyoErrorItem,
    NotInAccount,
    NotInThisRevision,
    RateLimited,
    ScopeMissing,
    TooLarge,
    Unavailable,
    UnreadableResponse,
)
from askel_tui.store.journal.rows import StoredOperation
from askel_tui.sync.settlement.bulk_calls import JobEnd, interpret_events, interpret_import
from askel_tui.sync.settlement.dispositions import decide
from askel_tui.sync.settlement.single_calls import (
    ConflictFindings,
    Evidence,
    interpret,
)
from askel_tui.sync.settlement.values import Settlement

ERRORS: Sequence[type[KlaviyoError]] = (
    Conflict, InvalidRequest, KeyRefused, KlaviyoError, NotInAccount, NotInThisRevision, RateLimited, ScopeMissing,
    TooLarge, Unavailable, UnreadableResponse,
)  # fmt: skip
FAMILIES: dict[str, tuple[StepKind, Target | None, dict[str, Any]]] = {
    Call.CREATE_OR_UPDATE_PROFILE: (
        "upsert_profile",
        None,
        {"attributes": {}, "properties": {"a": 1}, "unset": []},
    ),
    Call.CREATE_EVENT: ("track_event", Target("metric", "M1", "Points"), {"unique_id": "u", "replay": True}),
    Call.ADD_PROFILES_TO_LIST: ("add_to_list", Target("list", "L1", "VIP"), {}),
    Call.REMOVE_PROFILES_FROM_LIST: ("remove_from_list", Target("list", "L1", "VIP"), {}),
    Call.BULK_SUBSCRIBE_PROFILES: ("subscribe", Target("list", "L1", "VIP"), {"channels": ["email"]}),
    Call.BULK_UNSUBSCRIBE_PROFILES: ("unsubscribe", None, {"channels": ["email"]}),
    Call.GET_PROFILES_FOR_SEGMENT: ("require_segment", Target("segment", "S1", "Gold"), {"member": True}),
}


def _stored(seq: int, call: Call, attempts: int = 0) -> StoredOperation:
    kind, target, body = FAMILIES[call]
    who = Identity(f"p{seq}@shop.example", external_id=f"P-{seq}")
    operation = Operation(f"o{seq}", f"step{seq % 2}", kind, call, who, target, body=body)
    return StoredOperation(seq, "maple-ember", "w", 1, seq, f"r{seq}", 0, operation, attempts=attempts)


def _seqs(settlement: Settlement) -> list[int]:
    """The `seq` of all operations that are settled, each as often as it is."""
    ended = [each.operation for each in settlement.ended]
    retried = [each.operations for each in settlement.retries]
    held = [each.operations for each in settlement.held]
    settled = chain(ended, *retried, *held, *settlement.again, settlement.unattempted, settlement.stale)
    return sorted(each.seq for each in settled)


pointers = st.sampled_from(
    ["", "/data", "/data/0/id", "/data/attributes/profiles/data/2/x", "/data/relationships/1"]
)
items = st.lists(
    pointers.map(lambda pointer: KlaviyoErrorItem(code="c", detail="d", pointer=pointer)), max_size=3
)
errors = st.builds(
    lambda kind, items, wait, arrived: kind(
        "said", status=400, errors=items, retry_after=wait, may_have_arrived=arrived
    ),
    st.sampled_from(ERRORS),
    items,
    st.none() | st.floats(0, 10),
    st.booleans(),
)
bodies = st.sampled_from(
    [None, {}, {"data": {"type": "profile", "id": "01A", "attributes": {"email": "p@x.example"}}}]
)
responses = st.builds(
    lambda status, body: Response(status, body, b"", 12, 1, None), st.sampled_from([200, 202]), bodies
)
findings = st.builds(
    ConflictFindings,
    st.sampled_from(["fail", "strongest", "merge"]),
    st.just(("01A", "01B")),
    st.booleans(),
    st.booleans(),
    st.none() | errors,
)


@given(
    call=st.sampled_from(sorted(FAMILIES)),
    count=st.integers(1, 5),
    attempts=st.integers(0, 25),
    outcome=responses | errors,
    target_error=st.none() | errors,
    written=st.sets(st.sampled_from(["o0", "o1", "o2"])),
    conflict=findings,
    sent=st.booleans(),
)
def test_every_operation_of_a_call_is_settled_once(
    call: Call,
    count: int,
    attempts: int,
    outcome: Response | KlaviyoError,
    target_error: KlaviyoError | None,
    written: set[str],
    conflict: ConflictFindings,
    sent: bool,
) -> None:
    operations = [_stored(seq, call, attempts) for seq in range(count)]
    evidence = Evidence(
        target_error, written, conflict if isinstance(outcome, Conflict) and count == 1 else None
    )
    settlement = interpret(operations, outcome, evidence, sent=sent, profile_ids={"o0": "01A"})
    assert _seqs(settlement) == list(range(count))
    # What is sent again gets smaller, or names fewer identifiers: it comes to an end.
    for group in settlement.again:
        assert len(group) < count or group[0].has_fewer_identifiers


@given(count=st.integers(1, 6), inside=st.sets(st.integers(0, 5)))
def test_every_gate_is_settled_once(count: int, inside: set[int]) -> None:
    gates = [_stored(seq, Call.GET_PROFILES_FOR_SEGMENT) for seq in range(count)]
    decided = decide(gates, lambda each: Known(member=each.seq in inside), 0, Caps())
    settlement = decided.answered({each.operation.profile: each.seq in inside for each in gates}, 7)
    for each in settlement.ended:
        assert each.gate == (each.operation.seq in inside, 7)
    assert _seqs(settlement) == list(range(count))
    assert {each.operation.seq for each in settlement.ended if each.outcome == "passed"} == inside & set(
        range(count)
    )


@st.composite
def import_rows(draw: st.DrawFn) -> tuple[list[StoredOperation], list[Row]]:
    """Operations of an import job in rows: upserts with an addition, coalesced updates, rows that are settled."""
    operations: list[StoredOperation] = []
    rows = []
    for shape in draw(
        st.lists(st.sampled_from(["upsert", "with_addition", "coalesced", "settled"]), min_size=1, max_size=5)
    ):
        calls = {
            "upsert": [Call.CREATE_OR_UPDATE_PROFILE],
            "with_addition": [Call.CREATE_OR_UPDATE_PROFILE, Call.ADD_PROFILES_TO_LIST],
            "coalesced": [Call.CREATE_OR_UPDATE_PROFILE] * 2,
            "settled": [],
        }[shape]
        carried = [_stored(len(operations) + index, call) for index, call in enumerate(calls)]
        operations += carried
        rows.append(Row(tuple(each.operation for each in carried), b"{}"))
    return operations, rows


row_errors = st.lists(
    st.builds(
        lambda row, code: {
            "code": code,
            "detail": "bad",
            "source": {"pointer": f"/data/attributes/profiles/data/{row}"},
        },
        st.integers(0, 6),
        st.sampled_from(["invalid", "duplicate_profile"]),
    ),
    max_size=4,
)
counts = st.dictionaries(
    st.sampled_from(["total_count", "completed_count", "failed_count"]), st.integers(0, 5)
)
job_ends = st.builds(
    JobEnd, st.just("J1"), counts, row_errors, st.none() | st.just("it is gone"), st.none() | errors
)


@given(made=import_rows(), outcome=responses | errors, job=job_ends, has_job=st.booleans())
def test_every_operation_of_an_import_job_is_settled_once(
    made: tuple[list[StoredOperation], list[Row]],
    outcome: Response | KlaviyoError,
    job: JobEnd,
    has_job: bool,
) -> None:
    operations, rows = made
    if not operations:
        return
    has_job = has_job or not isinstance(outcome, KlaviyoError)
    settlement = interpret_import(operations, outcome, rows, job if has_job else None)
    assert _seqs(settlement) == list(range(len(operations)))
    assert all(len(group) < len(operations) for group in settlement.again)


@given(count=st.integers(1, 5), outcome=responses | errors, rows_known=st.booleans())
def test_every_event_of_a_bulk_call_is_settled_once(
    count: int, outcome: Response | KlaviyoError, rows_known: bool
) -> None:
    events = [_stored(seq, Call.CREATE_EVENT) for seq in range(count)]
    rows = [Row((each.operation,), b"{}") for each in events] if rows_known else []
    settlement = interpret_events(events, outcome, rows)
    assert _seqs(settlement) == list(range(count))
    assert all(len(group) < count for group in settlement.again)


@pytest.mark.parametrize("call", [Call.BULK_SUBSCRIBE_PROFILES, Call.BULK_UNSUBSCRIBE_PROFILES])
@pytest.mark.parametrize("error", [Unavailable("lost"), UnreadableResponse("lost")])
def test_consent_without_an_answer_is_written_or_held_and_never_sent_again(
    call: Call, error: KlaviyoError
) -> None:
    operations = [_stored(seq, call) for seq in range(3)]
    settlement = interpret(operations, error, Evidence(written={"o1"}))
    assert [(each.operation.seq, each.outcome) for each in settlement.ended] == [(1, "written")]
    [held] = settlement.held
    assert ([each.seq for each in held.operations], held.cause) == ([0, 2], "in_doubt")
    assert not settlement.retries
    assert not settlement.again


def test_an_import_job_that_the_key_may_not_read_keeps_its_request_open() -> None:
    operations = [_stored(0, Call.CREATE_OR_UPDATE_PROFILE)]
    rows = [Row((operations[0].operation,), b"{}")]
    job = JobEnd("J1", error=ScopeMissing("no jobs:read"))
    [held] = interpret_import(operations, Response(202, None, b"", 1, 1, None), rows, job).held
    assert (held.cause, held.keep_request_open) == ("scope_missing", True)


def test_a_wrong_profile_id_is_forgotten_and_looked_up_again() -> None:
    stored = _stored(0, Call.ADD_PROFILES_TO_LIST)
    error = NotInAccount("no such profile")
    settlement = interpret([stored], error, profile_ids={"o0": "01A"})
    assert settlement.forgotten_profile == "01A"
    assert [each.wait_ms for each in settlement.retries] == [0]
    tired = interpret([replace(stored, attempts=19)], error, profile_ids={"o0": "01A"})
    assert [each.outcome for each in tired.ended] == ["failed"]
