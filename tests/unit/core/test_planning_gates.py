"""Planning: gates with known memberships, and consent, which needs its channel's identifier."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from askel_tui.core.operations import Identity
from askel_tui.core.planning.disposition import gate_refusal
from askel_tui.core.planning.rehearsal import Rehearsal
from tests.support.workflows import (
    Facts,
    applied,
    happened,
    of_steps,
    operations,
    planned,
    problems,
    rehearsed,
)

ADA = Identity("ada@x.example")
GATED = """\
- id: before
  track_event: {metric: Before}
- id: vip
  require_segment: {segment: VIP, member: true}
- id: between
  add_to_list: Welcome Flow
- id: not-loyal
  require_segment: {segment: Loyal, member: false}
- id: after
  track_event: {metric: After}
"""


def facts(vip: bool | None, loyal: bool | None) -> Facts:
    return {("SegVip", ADA): vip, ("SegLoy", ADA): loyal}


def steps_of(found: Rehearsal) -> list[str]:
    return list(dict.fromkeys(each.operation.step for each in found.operations))


def test_a_gate_that_agrees_lets_everything_pass() -> None:
    found = rehearsed(happened(), applied(of_steps(GATED)), facts(True, False))
    everything = planned(happened(), applied(of_steps(GATED))).operations
    assert tuple(each.operation for each in found.operations) == everything
    assert found.skipped == ()


def test_a_gate_that_refuses_skips_all_steps_below_it_once_each() -> None:
    found = rehearsed(happened(), applied(of_steps(GATED)), facts(False, False))
    assert steps_of(found) == ["before", "vip"]
    assert [(each.step, each.why) for each in found.skipped] == [
        (step, "gate vip: the profile is not in VIP") for step in ("between", "not-loyal", "after")
    ]


def test_a_later_gate_skips_only_what_is_below_it() -> None:
    found = rehearsed(happened(), applied(of_steps(GATED)), facts(True, True))
    assert steps_of(found) == ["before", "vip", "between", "not-loyal"]
    assert [(each.step, each.why) for each in found.skipped] == [
        ("after", "gate not-loyal: the profile is in Loyal")
    ]


@pytest.mark.parametrize(("vip", "loyal"), list(product([True, False, None], repeat=2)))
def test_gates_are_anded(vip: bool | None, loyal: bool | None) -> None:
    found = rehearsed(happened(), applied(of_steps(GATED)), facts(vip, loyal))
    assert ("after" in steps_of(found)) == (vip is True and loyal is False)
    assert ("between" in steps_of(found)) == (vip is True)
    assert found.problems == ()


def test_a_gate_that_cannot_be_read_makes_the_rest_wait_and_says_so() -> None:
    for unread in ({("SegVip", ADA): None}, {}, {("SegVip", Identity("b@x.example")): True}):
        found = rehearsed(happened(), applied(of_steps(GATED)), unread)
        assert steps_of(found) == ["before", "vip"]
        assert {each.why for each in found.skipped} == {
            "gate vip: whether the profile is in VIP can't be read; the steps below would wait"
        }


@pytest.mark.parametrize(
    ("required", "member", "passes"),
    [(True, True, True), (True, False, False), (False, True, False), (False, False, True)],
)
def test_what_a_gate_requires_decides(required: bool, member: bool, passes: bool) -> None:
    text = of_steps(f"- id: gate\n  require_segment: {{segment: VIP, member: {str(required).lower()}}}\n")
    gate = operations(happened(), applied(text))[0]
    assert (gate_refusal(gate, member) is None) == passes


def test_a_record_with_problems_has_neither_operations_nor_skipped_steps() -> None:
    found = rehearsed(happened(phone="12"), applied(of_steps(GATED)), facts(False, False))
    assert (found.operations, found.skipped) == ((), ())
    assert found.problems


@pytest.mark.parametrize("kind", ["subscribe", "unsubscribe"])
@pytest.mark.parametrize(
    ("channels", "data", "passes"),
    [
        ("[email]", {}, True),
        ("[email]", {"email": None, "ref": "S-1"}, False),
        ("[sms]", {"phone": "+442079460018"}, True),
        ("[sms]", {}, False),
        ("[whatsapp]", {}, False),
        ("[email, sms]", {"phone": "+442079460018"}, True),
        ("[email, sms]", {}, False),
        ("[email, sms]", {"email": None, "phone": "+442079460018"}, False),
    ],
)
def test_consent_needs_the_identifier_of_its_channel(
    kind: str, channels: str, data: dict[str, Any], passes: bool
) -> None:
    of = applied(of_steps(f"- id: consent\n  {kind}: {{channels: {channels}, list: Newsletter}}\n"))
    if passes:
        assert operations(happened(**data), of)[0].kind == kind
    else:
        assert problems(happened(**data), of) == [("consent", "channels")]


HISTORICAL = """\
- id: consent
  subscribe: {channels: [email], list: Newsletter, historical: true, consented_at: data.when}
"""


def test_consent_from_the_past_carries_when_it_was_given() -> None:
    body = operations(happened(when="2020-01-02T03:04:05Z"), applied(of_steps(HISTORICAL)))[0].body
    assert body == {"channels": ["email"], "historical": True, "consented_at": "2020-01-02T03:04:05Z"}


@pytest.mark.parametrize("when", [None, "last year", 1577934245, {"a": 1}, "2020-01-02"])
def test_consent_from_the_past_needs_a_time_and_says_so_once(when: object) -> None:
    assert problems(happened(when=when), applied(of_steps(HISTORICAL))) == [("consent", "consented_at")]


@pytest.mark.parametrize(
    ("revision", "steps"),
    [
        ("2026-07-15", HISTORICAL.replace("historical: true, ", "")),
        ("2024-02-15", HISTORICAL.replace("historical: true, ", "")),
        ("2024-02-15", HISTORICAL),
    ],
)
def test_a_time_of_consent_that_the_revision_cannot_say_is_a_problem_and_no_crash(
    revision: str, steps: str
) -> None:
    of = applied(of_steps(steps), revision=revision, checked=False)
    assert problems(happened(when="2020-01-02T03:04:05Z"), of) == [("consent", "consented_at")]


def test_channels_whose_identifiers_are_missing_are_left_out_and_named() -> None:
    steps = of_steps("- id: consent\n  subscribe: {channels: [email, sms, whatsapp], list: Newsletter}\n")
    newest = applied(f"askel: 2\n{steps}")
    [operation] = operations(happened(), newest)
    assert operation.body == {"channels": ["email"], "left_out": ["sms", "whatsapp"]}
    everything = operations(happened(phone="+442079460018"), newest)[0].body
    assert everything == {"channels": ["email", "sms", "whatsapp"]}
    assert problems(happened(email=None, ref="S-1"), newest) == [("consent", "channels")] * 3
    # The strict way, which files of the first rules mean without a word.
    for strict in (f"askel: 2\n{steps.replace('Newsletter', 'Newsletter, require: all')}", steps):
        assert problems(happened(), applied(strict)) == [("consent", "channels")] * 2
    assert [each.field for each in applied(steps).workflow.warnings] == ["channels", "subscribe"]
    assert [each.field for each in applied(f"askel: 2\n{steps}").workflow.warnings] == ["subscribe"]


def test_everywhere_takes_consent_away_on_the_list_and_off_it() -> None:
    steps = "- id: quiet\n  unsubscribe: {channels: [email], list: Newsletter, everywhere: true}\n"
    on_list, everywhere = operations(happened(), applied(of_steps(steps)))
    assert on_list.destination is not None
    assert everywhere.destination is None
    assert on_list.id != everywhere.id
    [only] = operations(happened(), applied(of_steps(steps.replace(", list: Newsletter", ""))))
    assert only == everywhere
