"""Phone numbers: placeholders, countries that there are, and numbers that are left out where they are bad."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.core.expressions.expression import EvaluationProblem, parse_expression
from askel_tui.core.planning.plan import Plan
from askel_tui.core.workflows.loader import load_workflow
from tests.support.workflows import applied, happened, of_steps, planned

PLACEHOLDERS = [
    "0000000000",
    "000-000-0000",
    "(000) 000 0000",
    "1111111111",
    "+1 999 999 9999",
    "1234567890",
    "212 000 0000",
]
REAL = ["212 555 0123", "+44 20 7946 0018", "+49 30 901820", "+852 2345 6789", "+290 22158"]


def number_plan(phone: str, *, rules: int = 2, if_bad: bool = False, steps: str = "") -> Plan:
    """The plan of a record with this phone number beside an e-mail."""
    value = "e164(data.phone, 'US')"
    given = f'{{value: "{value}", if_bad: leave_out}}' if if_bad else value
    profile = f"profile:\n  email: data.email\n  phone_number: {given}\n"
    text = of_steps(steps or "- id: s\n  add_to_list: Welcome Flow\n", profile=profile)
    return planned(happened(phone=phone), applied(f"askel: 2\n{text}" if rules == 2 else text))


@pytest.mark.parametrize("phone", PLACEHOLDERS)
def test_a_placeholder_is_refused_by_the_newest_rules_and_counted_under_the_first(phone: str) -> None:
    refused = number_plan(phone)
    assert [(each.field, "placeholder" in each.message) for each in refused.problems] == [
        ("profile.phone_number", True)
    ]
    warned = number_plan(phone, rules=1)
    assert warned.problems == ()
    assert [each.kind for each in warned.warnings] == ["placeholder_phone"]
    assert warned.operations[0].profile.phone_number


@pytest.mark.parametrize("phone", REAL)
@pytest.mark.parametrize("rules", [1, 2])
def test_numbers_that_there_may_be_are_taken_in_silence(phone: str, rules: int) -> None:
    found = number_plan(phone, rules=rules)
    assert (found.problems, found.warnings) == ((), ())


@pytest.mark.parametrize("rules", [1, 2])
def test_a_number_in_no_known_range_is_counted(rules: int) -> None:
    found = number_plan("+1 123 555 0142", rules=rules)
    assert [each.kind for each in found.warnings] == ["unknown_phone"]
    assert found.operations[0].profile.phone_number == "+11235550142"


@pytest.mark.parametrize("phone", ["+999 1234 5678", "+210 1234 5678", "+0 123 456 7890"])
def test_a_code_that_no_country_has_is_named(phone: str) -> None:
    with pytest.raises(EvaluationProblem, match="no country has the code"):
        parse_expression("e164(data.phone, 'US')").evaluate({"data": {"phone": phone}})


@pytest.mark.parametrize("phone", [*PLACEHOLDERS, "12", "none", "+999 1234 5678"])
def test_a_bad_number_is_left_out_where_the_file_says_so(phone: str) -> None:
    found = number_plan(phone, if_bad=True)
    assert found.problems == ()
    assert [(each.kind, each.field) for each in found.warnings] == [
        ("phone_left_out", "profile.phone_number")
    ]
    assert {each.profile.phone_number for each in found.operations} == {None}


def test_what_needs_the_number_that_was_left_out_fails() -> None:
    found = number_plan("12", if_bad=True, steps="- id: s\n  subscribe: {channels: [sms]}\n")
    assert [each.field for each in found.problems] == ["channels"]


def test_only_the_phone_number_may_be_left_out() -> None:
    text = of_steps(
        "- id: s\n  add_to_list: L\n", profile="profile: {email: {value: data.e, if_bad: leave_out}}\n"
    )
    assert "takes an expression" in str(load_workflow(text)[1][0])
    text = of_steps(
        "- id: s\n  add_to_list: L\n", profile="profile: {phone_number: {value: data.p, if_bad: drop}}\n"
    )
    assert "`if_bad` takes leave_out, not drop" in str(load_workflow(text)[1][0])
    text = of_steps(
        "- id: s\n  add_to_list: L\n", profile="profile: {email: data.e}\non_shared_phone: leave-out\n"
    )
    assert "Did you mean 'leave_out'?" in str(load_workflow(text)[1][0])


@given(st.text("0123456789+-() ", max_size=14))
def test_no_text_breaks_it_and_both_rules_agree_on_what_is_sent(text: str) -> None:
    """The newest rules send less, never another number."""
    first, newest = number_plan(text, rules=1), number_plan(text, rules=2)
    if not newest.problems:
        assert [each.profile for each in newest.operations] == [each.profile for each in first.operations]
        assert newest.warnings == first.warnings
