"""Expressions: values over records, strict types, and errors that are always a problem of one field."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.core.expressions.expression import (
    EvaluationProblem,
    Expression,
    ExpressionError,
    parse_expression,
    text_literal,
)

pytestmark = pytest.mark.clock

RECORD: dict[str, Any] = {
    "id": "r-1",
    "event": "e",
    "time": "2026-11-23T09:14:05Z",
    "data": {
        "points": 120,
        "zero": 0,
        "ratio": 1.5,
        "word": "12",
        "empty": "",
        "null": None,
        "yes": True,
        "list": [{"sku": "A"}, {"sku": "B"}],
        "shopper": {"tier": "gold", "first-name": "ada"},
    },
}


def value(text: str, record: Any = RECORD) -> Any:
    return parse_expression(text).evaluate(record)


def problem(text: str) -> str:
    with pytest.raises(EvaluationProblem) as raised:
        value(text)
    return str(raised.value)


def error(text: str) -> ExpressionError:
    with pytest.raises(ExpressionError) as raised:
        parse_expression(text)
    return raised.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id", "r-1"),
        ("data.points", 120),
        ("data.shopper.tier", "gold"),
        ('data.shopper."first-name"', "ada"),
        ("data.nothing.at.all", None),
        ("data.points.tier", None),
        ("data.list.sku", None),
        ("data.list[].sku", ["A", "B"]),
        ("data.list[?sku=='B'].sku | [0]", "B"),
        ("data.list[-1].sku", "B"),
        ("length(data.list)", 2),
        ("data.points > `0`", True),
        ("data.points >= `120.0`", True),
        ("data.word > '11'", True),
        ("data.null > `0`", None),
        ("`0` > data.null", None),
        ("data.yes > data.null", None),
        ("data.word == `12`", False),
        ("data.null || 'none'", "none"),
        ("data.points && data.word", "12"),
        ("!data.yes", False),
        ("!data.nothing && data.yes", True),
        ("!data.zero == data.yes", False),
        ("!data.list[0].sku", False),
        ("{a: data.points, b: [id]}", {"a": 120, "b": ["r-1"]}),
        ("@.event", "e"),
        ("`5`", 5),
        ("'text'", "text"),
        ('`{"a": [1, null]}`', {"a": [1, None]}),
    ],
)
def test_values(text: str, expected: Any) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("title('ember')", "Ember"),
        ("title('gold card')", "Gold Card"),
        ("title('O\\'Neil')", "O'Neil"),
        ("title('o\\'neil d’angelo')", "O'Neil D’Angelo"),
        ("title('don\\'t we\\'ll')", "Don't We'll"),
        ("title('Berners-Lee anne-marie')", "Berners-Lee Anne-Marie"),
        ("title('McDonald VIP')", "McDonald VIP"),
        ("title('élan  \"quoted\" ßa 3rd')", 'Élan  "Quoted" Ssa 3rd'),
        ("title('')", ""),
        ("lower('ÀB')", "àb"),
        ("upper('àb')", "ÀB"),
        ("trim('  a b ')", "a b"),
        ("concat('a', `1`, `true`, `1.5`)", "a1true1.5"),
        ("concat('a', data.null, `[1]`)", None),
        ("coalesce(data.null, data.nothing, 'none')", "none"),
        ("coalesce(data.empty, 'none')", ""),
        ("coalesce(data.null)", None),
        ("number(' 12 ')", 12),
        ("number('-1.50')", -1.5),
        ("number('+7')", 7),
        ("number('1e3')", 1000.0),
        ("number(`2.5`)", 2.5),
        ("text(`5`)", "5"),
        ("text(`true`)", "true"),
        ('text(`{"a":["é"]}`)', '{"a":["é"]}'),
        ("text('as it is')", "as it is"),
        ("date('2026-11-23')", "2026-11-23T00:00:00Z"),
        ("date('2026-11-23T09:14:05+02:00')", "2026-11-23T07:14:05Z"),
        ("date('2026-11-23t09:14:05z')", "2026-11-23T09:14:05Z"),
        ("date('2026-11-23 09:14:05.25')", "2026-11-23T09:14:05.250000Z"),
        ("date(`0`)", "1970-01-01T00:00:00Z"),
        ("date(`1795425245`)", "2026-11-23T09:14:05Z"),
        ("date(`1795425245123`)", "2026-11-23T09:14:05.123000Z"),
        ("e164('020 7946 0018', 'GB')", "+442079460018"),
        ("e164('+1 (212) 555-0100', 'GB')", "+12125550100"),
        ("e164(`442079460018`, 'GB')", "+442079460018"),
        ("e164(' ', 'GB')", None),
    ],
)
def test_our_functions(text: str, expected: Any) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    "name", ["title", "lower", "upper", "trim", "concat", "coalesce", "number", "text", "date"]
)
def test_null_gives_null(name: str) -> None:
    assert value(f"{name}(data.null)") is None
    assert value("e164(data.null, 'GB')") is None
    assert value("e164('020 7946 0018', data.null)") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data.word > `0`", "can't compare text '12' with the number 0"),
        ("`0` < data.word", "can't compare the number 0 with text '12'"),
        ("data.yes > `0`", "can't compare true with the number 0"),
        ("data.list <= data.points", "can't compare a list with the number 120"),
        ("data.list[?sku > `1`]", "can't compare text 'A' with the number 1"),
        ("title(data.shopper)", "title takes text, not an object"),
        ("lower(data.points)", "lower takes text, not the number 120"),
        ("concat('a', data.list)", "concat takes text and numbers, not a list"),
        ("number('abc')", "not a number: text 'abc'"),
        ("number('')", "not a number: text ''"),
        ("number('nan')", "not a number"),
        ("number('1_000')", "not a number"),
        ("number('1e999')", "too large"),
        ("number(data.yes)", "not a number: true"),
        ("number(data.list)", "not a number: a list"),
        ("text(&data)", "text can't be made of an expression"),
        ("date('yesterday')", "not a date or time: text 'yesterday'"),
        ("date('2026-02-30')", "not a date or time"),
        ("date('0001-01-01T00:00:00+23:00')", "not a date or time"),
        ("date(`1e300`)", "not a date or time"),
        ("date(data.yes)", "not a date or time: true"),
        ("e164('12', 'GB')", "not a phone number in GB: '12'"),
        ("e164('555-0100', 'US')", "not a phone number in US"),
        ("e164(data.word, data.word)", "not a region such as 'GB': '12'"),
        ("e164(data.list, 'GB')", "e164 takes text, not a list"),
        ("e164('1', data.list)", "e164 takes a region such as 'GB', not a list"),
        ("length(data.null)", "length takes text or a list or an object, not null"),
        ("abs(data.word)", "abs takes a number, not text '12'"),
        ("sum(data.list)", "sum takes a list of numbers"),
        ("sort_by(data.list, &nothing)", "sort_by takes"),
        ("contains('text', `5`)", "can't be worked out for this record"),
        ("to_number('1e999')", "no number that JSON can say"),
        ("&data", "is an expression"),
        ("[&data]", "is an expression"),
    ],
)
def test_a_value_that_cannot_be_evaluated_is_a_problem(text: str, expected: str) -> None:
    assert expected in problem(text)


@pytest.mark.parametrize(
    ("text", "expected", "suggestion"),
    [
        ("", "empty", None),
        (" ", "not an expression", None),
        ("data.shopper.[", "ends too early", None),
        ("data..x", "at column 6", None),
        ("data.x)", "at column 7", None),
        ("5", "not an expression", None),
        ("'open", "not an expression", None),
        ("`gold`", "text is written 'like this'", None),
        ("`NaN`", "no JSON between the backticks", None),
        ("`1e999`", "no JSON between the backticks", None),
        ("data.a || `{`", "no JSON between the backticks", None),
        ("titel(data.x)", "there is no function 'titel'", "title"),
        ("data.list[?lenght(sku) > `1`]", "there is no function 'lenght'", "length"),
        ("eval(data.x)", "there is no function 'eval'", None),
        ("title()", "title takes 1 argument, 0 given", None),
        ("title(id, id)", "title takes 1 argument, 2 given", None),
        ("e164(data.phone)", "e164 takes 2 arguments, 1 given", None),
        ("concat()", "concat takes at least 1 argument, 0 given", None),
        ("length(id, id)", "length takes 1 argument, 2 given", None),
        ("e164(data.phone, 'UK')", "region such as 'GB', not text 'UK'", "GB"),
        ("e164(data.phone, `44`)", "region such as 'GB', not the number 44", None),
        ("gold", "a record has no field 'gold'", "data.gold"),
        ("shopper.email", "a record has no field 'shopper'", "data.shopper"),
        ("title(shopper.tier)", "a record has no field 'shopper'", "data.shopper"),
        ("dat.points > `0`", "a record has no field 'dat'", "data"),
        ("[points]", "a record has no field 'points'", "data.points"),
        ("{a: points}", "a record has no field 'points'", "data.points"),
        ("list[0]", "a record has no field 'list'", "data.list"),
        ("(" * 100_000, "characters long", None),
        ("(" * 3_900, "not an expression", None),
        ("!" * 3_000 + "id", "not an expression", None),
    ],
)
def test_text_that_is_no_expression_is_refused_before_any_record(
    text: str, expected: str, suggestion: str | None
) -> None:
    raised = error(text)
    assert expected in raised.message
    assert raised.suggestion == suggestion


@pytest.mark.parametrize(
    "text", ["data.list[?sku].x", "data.list[*].y", "map(&z, data.list)", "data.* | [0].q", "data.{n: m}"]
)
def test_fields_of_what_is_inside_the_record_are_free(text: str) -> None:
    parse_expression(text)


def test_a_literal_in_backticks_never_warns() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert value("'`gold`'") == "`gold`"
        assert value('`"go\\`ld"`') == "go`ld"


def test_an_expression_that_doubles_its_value_forty_times_is_a_problem() -> None:
    assert "more than 100,000 values" in problem("|".join(["[@,@]"] * 40))


def test_numbers_that_could_not_be_written_out_are_a_problem() -> None:
    record = {"data": {"n": [10**4299] * 20}}
    with pytest.raises(EvaluationProblem, match="digits"):
        parse_expression("sum(data.n)").evaluate(record)


def test_any_mapping_is_a_record() -> None:
    assert value("data.points", MappingProxyType(RECORD)) == 120


def test_expressions_are_equal_by_their_texts() -> None:
    assert parse_expression("data.x") == parse_expression("data.x") != parse_expression("data.y")
    assert len({parse_expression("data.x"), parse_expression("data.x")}) == 1
    assert repr(parse_expression("data.x")) == "Expression('data.x')"
    assert parse_expression("data.x") != "data.x"


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20))
def test_a_literal_is_its_text(text: str) -> None:
    expression = text_literal(text)
    assert isinstance(expression, Expression)
    assert expression.evaluate({}) == text


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    "text",
    [
        *(f"{name}(data.a)" for name in ("title", "lower", "upper", "trim", "number", "text", "date")),
        "concat(data.a, data.b)",
        "coalesce(data.a, data.b)",
        "e164(data.a, data.b)",
        "e164(data.a, 'GB')",
        "data.a > data.b",
        "data.a <= data.b",
        "data.a == data.b",
        "contains(data.a, data.b)",
        "join(data.a, data.b)",
        "sort(data.a)",
        "to_number(data.a)",
        "avg(data.a)",
        "max_by(data.a, &b)",
        "data.a[?b > `1`]",
        "merge(data.a, data.b)",
    ],
)
@given(a=values, b=values)
def test_values_of_any_type_give_json_or_a_problem(text: str, a: Any, b: Any) -> None:
    try:
        found = parse_expression(text).evaluate({"data": {"a": a, "b": b}})
    except EvaluationProblem:
        return
    json.dumps(found, allow_nan=False)


@given(st.text(alphabet="abdt.[]{}()'`\"*?|&!<>=@,: 0-1\\", max_size=30) | st.text(max_size=30))
def test_any_text_is_an_expression_or_an_error(text: str) -> None:
    try:
        expression = parse_expression(text)
        found = expression.evaluate(RECORD)
    except (ExpressionError, EvaluationProblem):
        return
    json.dumps(found, allow_nan=False)


def test_phone_numbers_are_loaded_when_first_needed() -> None:
    code = (
        "import sys; from askel_tui.core.expressions.expression import parse_expression; "
        "parse_expression('data.x').evaluate({}); "
        "sys.exit('phonenumbers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
