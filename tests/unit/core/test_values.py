"""Values: what may be written to each field, and the sentence for what may not."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.contract.caps import caps
from askel_tui.contract.endpoints import SELECTABLE
from askel_tui.core.expressions import values
from askel_tui.core.expressions.expression import parse_expression
from askel_tui.core.expressions.values import UnusableValue
from askel_tui.core.problems import json_type_name
from askel_tui.text.quoting import quote
from tests.support.strategies import json_values

pytestmark = pytest.mark.clock

UNSEEN_LETTERS = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0" + "".join(
    map(chr, [*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)])
)
NEWEST = caps("2026-07-15")
OLDEST = caps("2024-02-15")


@pytest.mark.parametrize("name", ["email", "phone_number", "external_id"])
@pytest.mark.parametrize("nothing", [None, ""])
def test_nothing_is_no_identifier(name: str, nothing: Any) -> None:
    assert values.check_identifier(name, nothing, NEWEST) is None


@pytest.mark.parametrize(
    "address",
    [
        "ada@mapleandember.example",
        "o'neil+news@x.example",
        "a.b-c_d@sub.domain.example",
        "Zoë@exämple.example",
        "用户@例え.テスト",
        "x@1.example",
    ],
)
def test_addresses_are_kept_as_they_are(address: str) -> None:
    assert values.check_identifier("email", address, NEWEST) == address


@pytest.mark.parametrize(
    "address",
    [
        "not-an-address",
        "@x.example",
        "a@",
        "a@example",
        "a@@x.example",
        "a b@x.example",
        " a@x.example",
        "a@x.example\n",
        ".a@x.example",
        "a..b@x.example",
        "a.@x.example",
        "a@-x.example",
        "a@x..example",
        "a@x.e",
        "<a@x.example>",
        "a@x.example,b@x.example",
    ],
)
def test_text_that_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(UnusableValue, match="not an e-mail address"):
        values.check_identifier("email", address, NEWEST)


UNSEEN = st.characters(categories=["Cc", "Cf", "Zl", "Zp", "Zs", "Co", "Cn"], exclude_characters=" ")
UNSEEN |= st.sampled_from("\u034f\u115f\u2800\u3164\ufe0f\uffa0\U000e0100")
PICTURES = st.characters(categories=["So", "Sk"], min_codepoint=128)


@given(st.data(), UNSEEN | PICTURES)
def test_a_character_that_is_not_seen_or_is_a_picture_is_named_in_an_address(
    data: st.DataObject, char: str
) -> None:
    address = "zoë.o'neil@mapleandember.example"
    at = data.draw(st.integers(0, len(address)))
    with pytest.raises(UnusableValue, match=rf"not an e-mail address: .* \(U\+{ord(char):04X}\) in ."):
        values.check_identifier("email", address[:at] + char + address[at:], NEWEST)


@given(st.data(), UNSEEN)
def test_a_character_that_is_not_seen_is_named_in_an_external_id_and_a_phone_number(
    data: st.DataObject, char: str
) -> None:
    for name, value in (("external_id", "Kundin 7 ★"), ("phone_number", "+442079460018")):
        at = data.draw(st.integers(0, len(value)))
        with pytest.raises(UnusableValue, match=rf"not an? .*: .* \(U\+{ord(char):04X}\) in ."):
            values.check_identifier(name, value[:at] + char + value[at:], NEWEST)
    assert values.check_identifier("external_id", "Kundin 7 ★", NEWEST) == "Kundin 7 ★"


LETTERS = st.characters(categories=["L", "Mn", "Nd"], exclude_characters=UNSEEN_LETTERS)


@given(st.text(LETTERS, min_size=1, max_size=8))
def test_letters_of_any_script_are_an_address(letters: str) -> None:
    address = f"{letters}@example.example"
    assert values.check_identifier("email", address, NEWEST) == address


LEFT_BY_COPYING = st.text("\u200b\ufeff\u2060\u200e\u202e\u202c\u00a0\t ", max_size=4)


@given(LEFT_BY_COPYING, LEFT_BY_COPYING)
def test_trim_takes_what_is_not_seen_off_both_ends(before: str, after: str) -> None:
    trim = parse_expression("trim(data.email)")
    assert trim.evaluate({"data": {"email": f"{before}ada\u200b@x.example{after}"}}) == "ada\u200b@x.example"


def test_an_address_may_be_as_long_as_klaviyo_takes() -> None:
    fits = "a" * (NEWEST.email - len("@x.example")) + "@x.example"
    assert values.check_identifier("email", fits, NEWEST) == fits
    with pytest.raises(UnusableValue):
        values.check_identifier("email", "a" + fits, NEWEST)


@pytest.mark.parametrize("phone", ["+442079460018", "+15550100"])
def test_phones_are_international(phone: str) -> None:
    assert values.check_identifier("phone_number", phone, NEWEST) == phone


@pytest.mark.parametrize(
    "phone", ["020 7946 0018", "+44 20 7946 0018", "+0123456789", "+123", "+" + "1" * 16]
)
def test_text_that_is_no_international_phone_is_refused(phone: str) -> None:
    with pytest.raises(UnusableValue, match="not a phone number in international form"):
        values.check_identifier("phone_number", phone, NEWEST)


def test_an_external_id_may_be_a_whole_number_and_has_a_length() -> None:
    assert values.check_identifier("external_id", 42, NEWEST) == "42"
    assert values.check_identifier("external_id", "x" * NEWEST.external_id, NEWEST)
    for too_long in ("x" * (NEWEST.external_id + 1), 10**NEWEST.external_id):
        with pytest.raises(UnusableValue, match=f"{NEWEST.external_id + 1} characters"):
            values.check_identifier("external_id", too_long, NEWEST)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("email", 5),
        ("phone_number", 442079460018),
        ("external_id", True),
        ("external_id", ["a"]),
        ("email", {"a": 1}),
    ],
)
def test_other_types_are_no_identifiers(name: str, value: Any) -> None:
    with pytest.raises(UnusableValue, match=f"can't be {name.replace('_', ' ')}"):
        values.check_identifier(name, value, NEWEST)


def test_attributes_take_text_or_null_and_coordinates_numbers() -> None:
    assert values.check_attribute("first_name", "Zoë") == "Zoë"
    assert values.check_attribute("first_name", None) is None
    assert values.check_attribute("location.latitude", 51.5) == 51.5
    assert values.check_attribute("location.zip", 97209) == "97209"
    assert values.check_attribute("first_name", True) == "true"
    for name, value in (("first_name", [5]), ("location.latitude", True), ("location.city", {"a": 1})):
        with pytest.raises(UnusableValue, match=re.escape(f"{name} takes text")):
            values.check_attribute(name, value)


def test_jmespath_decides_what_is_true() -> None:
    false: list[Any] = [None, False, "", [], {}]
    true: list[Any] = [True, 0, 0.0, "0", [0], {"a": None}]
    assert not any(values.is_truthy(one) for one in false)
    assert all(values.is_truthy(one) for one in true)


def deep(levels: int) -> Any:
    value: Any = "leaf"
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


def test_event_properties_have_levels_lengths_and_sizes() -> None:
    for fits in (deep(NEWEST.nesting), [0] * NEWEST.array_items, "x" * NEWEST.event_string_bytes, 5, None):
        values.check_event_property(fits, NEWEST)
    for too_much, why in (
        (deep(NEWEST.nesting + 1), "levels deep"),
        ([0] * (NEWEST.array_items + 1), "a list of 4,001"),
        ("x" * (NEWEST.event_string_bytes + 1), "100,001 characters"),
        ({"a": ["é" * NEWEST.event_string_bytes]}, "bytes"),
    ):
        with pytest.raises(UnusableValue, match=why):
            values.check_event_property(too_much, NEWEST)


def test_an_amount_is_a_number() -> None:
    assert (values.check_amount(5), values.check_amount(-0.5), values.check_amount(1e308)) == (5, -0.5, 1e308)
    others: list[Any] = ["5", True, [5], {}]
    for wrong in others:
        with pytest.raises(UnusableValue, match="value takes a number"):
            values.check_amount(wrong)


def test_a_currency_is_three_capital_letters() -> None:
    assert values.check_currency("GBP") == "GBP"
    for wrong in ("gbp", "GB", "GBPX", "GBP\n", 5, ["GBP"]):
        with pytest.raises(UnusableValue, match="not a currency code"):
            values.check_currency(wrong)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23T09:14:05Z",
        "2026-11-23T09:14:05.123456789Z",
        "2026-11-23T09:14:05+05:30",
        "9999-12-31T23:59:59-05:00",
    ],
)
def test_times_are_kept_as_they_are(text: str) -> None:
    assert values.check_event_time(text, NEWEST) == text


@pytest.mark.parametrize(
    "wrong",
    [
        "yesterday",
        "2026-11-23",
        "2026-11-23T09:14:05",
        "2026-11-23 09:14:05+00:00",
        "20261123T091405Z",
        "2026-W47-1T09:00:00Z",
        "2026-11-23T09Z",
        "2026-02-30T09:14:05Z",
        "",
        1795425245,
        True,
        ["2026-11-23T09:14:05Z"],
    ],
)
def test_text_that_is_no_time_of_rfc_3339_is_refused(wrong: Any) -> None:
    with pytest.raises(UnusableValue, match="not a time such as 2026"):
        values.check_event_time(wrong, NEWEST)


def test_small_letters_in_a_time_become_capitals() -> None:
    assert values.check_time("2026-11-23t09:14:05z") == "2026-11-23T09:14:05Z"


@pytest.mark.parametrize(
    ("limits", "first"), [(NEWEST, "1991-01-01T00:00:00Z"), (OLDEST, "2001-01-01T00:00:00Z")]
)
def test_events_have_a_first_year_that_depends_on_the_revision(limits: Any, first: str) -> None:
    assert values.check_event_time(first, limits) == first
    # A minute later by the clock on the wall, but in the year before by UTC.
    with pytest.raises(UnusableValue, match="no events before"):
        values.check_event_time(first.replace("00:00:00Z", "00:01:00+01:00"), limits)
    with pytest.raises(UnusableValue, match="no events before"):
        values.check_event_time("0001-01-01T00:00:00+05:00", limits)


@given(st.datetimes(min_value=datetime(2002, 1, 1), timezones=st.timezones()))
def test_every_moment_since_2002_is_taken_at_every_revision(when: datetime) -> None:
    text = when.isoformat(timespec="seconds")
    if re.search(r"[+-]\d\d:\d\d$", text):
        for revision in SELECTABLE:
            assert values.check_event_time(text, caps(revision)) == text


@given(json_values)
def test_checks_answer_or_refuse_and_nothing_else(value: Any) -> None:
    checks: list[Callable[[Any], object]] = [
        partial(values.check_identifier, "email", limits=NEWEST),
        partial(values.check_identifier, "phone_number", limits=NEWEST),
        partial(values.check_identifier, "external_id", limits=NEWEST),
        partial(values.check_attribute, "title"),
        partial(values.check_attribute, "location.longitude"),
        partial(values.check_event_property, limits=NEWEST),
        partial(values.check_event_time, limits=NEWEST),
        values.check_amount,
        values.check_currency,
    ]
    for check in checks:
        said = ""
        try:
            check(value)
        except UnusableValue as refused:
            said = str(refused)
        assert said.isprintable()


@given(st.dictionaries(st.text(), json_values))
def test_what_is_over_a_limit_is_found_to_the_byte(value: dict[str, Any]) -> None:
    found = values.json_size(value)
    assert values.describe_excess(value, found) is None
    assert values.describe_excess(value, found - 1) is not None


def test_sizes_are_those_of_the_encoded_value() -> None:
    assert values.json_size({"a": "é"}) == len('{"a":"é"}'.encode())
    assert values.describe_excess({"a": "é"}, 10) is None
    assert values.describe_excess({"a": "é" * 1000}, 1500) == "2,008 bytes, where Klaviyo takes 1,500"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null"),
        (True, "a boolean"),
        (1, "a number"),
        (1.5, "a number"),
        ("1", "text"),
        ([], "a list"),
        ({}, "an object"),
    ],
)
def test_types_have_names_for_people(value: Any, words: str) -> None:
    assert json_type_name(value) == words


@given(st.text())
def test_quoted_text_is_short_and_acts_on_no_terminal(text: str) -> None:
    shown = quote(text)
    assert shown.isprintable()
    assert len(shown) <= 12 * 60


def test_quoted_text_reads_well() -> None:
    assert quote("Zoë") == "'Zoë'"
    assert quote("x" * 61) == "'" + "x" * 60 + "…'"
    assert quote("\x1b[2J") == r"'\x1b[2J'"
