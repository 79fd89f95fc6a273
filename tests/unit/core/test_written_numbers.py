"""Numbers that remember how they were written: the text comes back, and the number counts as before."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from askel_tui.core.canonical import canonical_json
from askel_tui.core.expressions.expression import parse_expression
from askel_tui.core.numbers import WrittenNumber, read_float
from askel_tui.core.records.files import read_csv
from askel_tui.core.records.record import Record, read_record

NOW = "2026-11-23T12:00:00Z"

literals = st.from_regex(r"\A-?(0|[1-9][0-9]{0,12})(\.[0-9]{1,8})?([eE][+-]?[0-9]{1,2})?\Z")


def record_of(literal: str) -> Record:
    body = f'{{"id": "n", "event": "e", "data": {{"n": {literal}, "in": [{{"n": {literal}}}]}}}}'
    return read_record(body.encode(), now=NOW)


def value(text: str, record: Record) -> Any:
    return parse_expression(text).evaluate(record.as_dict())


@example("1e+16")
@example("1e-07")
@given(literals.filter(lambda literal: literal != "-0"))
def test_a_number_of_a_record_is_written_as_it_came(literal: str) -> None:
    record = record_of(literal)
    kept = Record.decode(record.encode())
    assert record.encode() == kept.encode()
    assert literal.encode() in record.encode()
    for each in (record, kept, pickle.loads(pickle.dumps(record))):
        assert value("text(data.n)", each) == literal
        assert value("concat('no ', data.in[0].n)", each) == f"no {literal}"
        assert value("data.n", each) == json.loads(literal)
    assert canonical_json(record.data) == canonical_json(
        {"n": json.loads(literal), "in": [{"n": json.loads(literal)}]}
    )


@given(literals)
def test_a_cell_that_looks_like_a_number_is_one_and_keeps_its_text(literal: str) -> None:
    lines = [b"event,id,n\n", f"e,n,{literal}\n".encode()]
    ((_, record),) = read_csv(lines, now=NOW)
    assert isinstance(record, Record)
    assert value("text(data.n)", Record.decode(record.encode())) == literal
    assert value("number(data.n)", record) == json.loads(literal)


@pytest.mark.parametrize("literal", ["1.5", "0.1", "100.0"])
def test_a_number_that_tells_its_own_text_is_plain(literal: str) -> None:
    assert type(read_float(literal)) is float


def test_numbers_beside_integers_of_any_size_keep_their_text() -> None:
    body = b'{"id":"n","event":"e","data":{"big":123456789012345678901234567890,"sku":12E3}}'
    assert b'"sku":12E3' in read_record(body, now=NOW).encode()


def test_a_written_number_compares_and_counts_as_the_number() -> None:
    assert WrittenNumber("1.10") == 1.1
    assert value("data.n > `1`", record_of("1.10")) is True
    record = record_of("12E3")
    assert value("sum([data.n, data.n])", record) == 24_000
    assert value("type(data.n)", record) == "number"
    assert value("to_string(data.n)", record) == "12E3"
    assert value("max_by(data.in, &n).n", record) == 12_000
