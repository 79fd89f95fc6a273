"""Re-planning: which step goes on with which, and what becomes of a record's operations."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.core.operations import Operation
from askel_tui.core.planning.replanning import Consents, QueuedOperation, RecordReplan, replan_record
from askel_tui.core.planning.step_matching import match_steps
from askel_tui.core.records.record import Record
from tests.support.workflows import ALL_KINDS, EVENT, LIST, UPSERT, applied, happened, of_steps, operations

GATE = "- id: vip\n  require_segment: {segment: VIP, member: false}\n"
CONSENT = "- id: opt-in\n  subscribe: {channels: [email], list: Newsletter}\n"
ALL = Consents(new_consent_steps=True, close_unmatched=True, accept_identity=True)
POOL = [f"- id{part.rstrip()}" for part in f"\n{ALL_KINDS}".split("\n- id")[1:]]
"""Each step of a workflow with all kinds, as YAML."""


def _queue(
    record: Record, steps: str, *, ended: Collection[str] = (), kept: Collection[str] = (), **how: Any
) -> list[QueuedOperation]:
    """The queue of a record under version 1 once the steps `ended` have ended; `kept` may have been sent."""
    planned = operations(record, applied(of_steps(steps, **how)))
    return [
        QueuedOperation(1_024 * at, each, each.step not in kept)
        for at, each in enumerate(planned, 1)
        if each.step not in ended
    ]


def _replan(
    record: Record,
    before: str,
    after: str,
    queue: list[QueuedOperation],
    consents: Consents | None = None,
    **how: Any,
) -> RecordReplan:
    old, new = applied(of_steps(before)), applied(of_steps(after, **how), version=2)
    return replan_record(record, old, new, match_steps(old, new), queue, consents or Consents())


def _outcomes(found: RecordReplan) -> list[tuple[str, str]]:
    closed = [(each.operation.step, "closed") for each in found.closed]
    return [*((slot.shown.step, str(slot.outcome)) for slot in found.slots), *closed]


def _new(found: RecordReplan, step: str) -> Operation:
    [operation] = [slot.operation for slot in found.slots if slot.operation and slot.operation.step == step]
    return operation


def test_steps_match_by_id_and_a_renamed_one_by_kind_and_target() -> None:
    old = applied(of_steps(UPSERT + LIST + EVENT))
    new = applied(of_steps(UPSERT + LIST.replace("welcome", "hello") + GATE), version=2)
    matches = match_steps(old, new)
    assert matches.old_by_new == {"tier": "tier", "hello": "welcome"}
    assert matches.new_by_old == {"tier": "tier", "welcome": "hello"}


def test_of_two_that_fit_none_is_matched() -> None:
    old = applied(of_steps(LIST))
    new = applied(of_steps(LIST.replace("welcome", "a") + LIST.replace("welcome", "b")), version=2)
    assert match_steps(old, new).old_by_new == {}


def test_another_target_under_another_id_is_another_step() -> None:
    old = applied(of_steps(LIST))
    new = applied(of_steps("- id: hello\n  add_to_list: Newsletter\n"), version=2)
    assert match_steps(old, new).old_by_new == {}


def test_an_unsent_step_takes_the_new_plan_and_one_that_ended_is_not_done_again() -> None:
    record = happened(tier="gold", points=5)
    after = UPSERT.replace("Tier:", "Level:") + LIST + EVENT.replace("Tier:", "Level:")
    found = _replan(
        record, UPSERT + LIST + EVENT, after, _queue(record, UPSERT + LIST + EVENT, ended={"tier"})
    )
    assert _outcomes(found) == [("welcome", "replanned"), ("points", "replanned")]
    assert _new(found, "points").body["properties"] == {"Level": "gold"}
    assert _new(found, "points").id == operations(record, applied(of_steps(after), version=2))[2].id


def test_what_may_have_been_sent_stays_where_it_is() -> None:
    record = happened(tier="gold", points=5)
    queue = _queue(record, UPSERT + LIST + EVENT, kept={"welcome"})
    found = _replan(record, UPSERT + LIST + EVENT, UPSERT + EVENT, queue)
    assert _outcomes(found) == [("tier", "replanned"), ("welcome", "kept"), ("points", "replanned")]


def test_a_new_step_is_added_and_a_dropped_one_is_closed() -> None:
    record = happened(tier="gold", points=5)
    found = _replan(record, UPSERT + LIST, EVENT + UPSERT, _queue(record, UPSERT + LIST))
    assert _outcomes(found) == [("points", "added"), ("tier", "replanned"), ("welcome", "closed")]


def test_a_new_consent_step_needs_a_word() -> None:
    record = happened(tier="gold", points=5)
    found = _replan(record, UPSERT, UPSERT + CONSENT, _queue(record, UPSERT))
    assert (_outcomes(found), list(found.declined)) == ([("tier", "replanned")], ["opt-in"])
    agreed = _replan(
        record, UPSERT, UPSERT + CONSENT, _queue(record, UPSERT), Consents(new_consent_steps=True)
    )
    assert _outcomes(agreed) == [("tier", "replanned"), ("opt-in", "added")]


@pytest.mark.parametrize(
    ("gate", "asked"),
    [
        (GATE, False),
        (GATE.replace("member: false", "member: true"), True),
        (GATE.replace("VIP", "Loyal"), True),
        (GATE.replace("id: vip", "id: is-vip"), False),
    ],
)
def test_the_answer_of_a_gate_is_kept_while_it_is_the_same_question(gate: str, asked: bool) -> None:
    record = happened(points=5)
    found = _replan(record, GATE + EVENT, gate + EVENT, _queue(record, GATE + EVENT, ended={"vip"}))
    assert [step for step, _ in _outcomes(found)][:-1] == ([gate.split()[2]] if asked else [])


def test_a_gate_is_asked_again_about_another_profile() -> None:
    record = happened(points=5, mail="new@x.example")
    profile = "profile: {email: data.mail}\n"
    queue = _queue(record, GATE + EVENT, ended={"vip"})
    found = _replan(record, GATE + EVENT, GATE + EVENT, queue, profile=profile)
    assert (found.obstacle, len(found.offered)) == ("other_identity", 2)
    assert "new@x.example instead of ada@x.example" in found.reason
    accepted = _replan(
        record, GATE + EVENT, GATE + EVENT, queue, Consents(accept_identity=True), profile=profile
    )
    assert _outcomes(accepted) == [("vip", "added"), ("points", "replanned")]


@pytest.mark.parametrize("how", [{"when": "data.go"}, {"profile": "profile: {email: data.nobody}\n"}])
def test_a_record_that_the_new_version_refuses_waits_for_a_decision(how: dict[str, Any]) -> None:
    record = happened(points=5)
    queue = _queue(record, LIST + EVENT, kept={"points"})
    found = _replan(record, LIST + EVENT, LIST + EVENT, queue, **how)
    assert (found.obstacle, found.slots, found.closed) == ("unmatched", (), ())
    closed = _replan(record, LIST + EVENT, LIST + EVENT, queue, Consents(close_unmatched=True), **how)
    # The list step is two operations: the upsert of its identifiers, and itself.
    assert _outcomes(closed) == [("points", "kept"), ("welcome", "closed"), ("welcome", "closed")]


def test_the_event_of_a_renamed_step_stays_the_same_event() -> None:
    record = happened(points=5)
    queue = _queue(record, EVENT)
    renamed = _replan(record, EVENT, EVENT.replace("id: points", "id: earned"), queue)
    assert _new(renamed, "earned").body["unique_id"] == queue[0].operation.body["unique_id"]
    other = _replan(record, EVENT, EVENT.replace("First Points Earned", "Points"), queue)
    assert _new(other, "points").body["unique_id"] != queue[0].operation.body["unique_id"]


def test_the_identifiers_are_upserted_again_only_where_nothing_has_upserted_them() -> None:
    record = happened(tier="gold")
    sent = _replan(record, UPSERT + LIST, LIST, _queue(record, UPSERT + LIST, ended={"tier"}))
    assert _outcomes(sent) == [("welcome", "replanned")]
    unsent = _replan(record, UPSERT + LIST, LIST, _queue(record, UPSERT + LIST))
    assert _outcomes(unsent) == [("welcome", "added"), ("welcome", "replanned"), ("tier", "closed")]


@given(st.data())
def test_every_operation_has_one_outcome(data: st.DataObject) -> None:
    """Whatever the versions are and however far a record is: nothing is lost, done twice or out of order."""
    record = happened(tier="gold", points=5, name="Ada")
    steps = st.lists(st.sampled_from(POOL), min_size=1, unique=True)
    before = "\n".join(data.draw(steps))
    after = "\n".join(data.draw(steps))
    planned = operations(record, applied(of_steps(before)))
    ends = [data.draw(st.sampled_from(("ended", "kept", "unsent"))) for _ in planned]
    queue = [
        QueuedOperation(at, each, end == "unsent")
        for at, (each, end) in enumerate(zip(planned, ends, strict=True))
        if end != "ended"
    ]
    unsent = {each.seq for each in queue if each.unsent}
    if not unsent:
        return
    found = _replan(record, before, after, queue, ALL)

    replaced = [slot.queued.seq for slot in found.slots if slot.queued and slot.operation]
    kept = [slot.queued.seq for slot in found.slots if slot.queued and not slot.operation]
    closed = [each.seq for each in found.closed]
    assert sorted(replaced + closed) == sorted(unsent)
    assert sorted(kept) == sorted({each.seq for each in queue} - unsent)
    wanted = [each.id for each in operations(record, applied(of_steps(after), version=2))]
    made = [slot.operation.id for slot in found.slots if slot.operation]
    assert made == [each for each in wanted if each in made]
    ended = {each.step for each, end in zip(planned, ends, strict=True) if end == "ended"}
    whole = ended - {each.operation.step for each in queue}
    assert not {slot.operation.step for slot in found.slots if slot.operation} & whole
