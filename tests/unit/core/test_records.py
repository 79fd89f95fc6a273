"""Reading records: which are refused and why, and what is kept as it came."""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.core.records.record import (
    MAX_NESTING_LEVELS,
    MAX_RECORD_BYTES,
    Record,
    RecordRefused,
    read_record,
)

pytestmark = pytest.mark.clock

NOW = "2026-11-23T12:00:00Z"

texts = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


def read(**body: Any) -> Record:
    return read_record(json.dumps({"event": "e", **body}).encode(), now=NOW)


def refusal(body: bytes | dict[str, Any]) -> str:
    with pytest.raises(RecordRefused) as refused:
        read_record(body, now=NOW)
    return refused.value.reason


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"event": "e"} x', "not JSON"),
        (b'{"event": "e\x00"}', "not JSON"),
        (b"\xff\xfe{}", "not UTF-8"),
        ('{"event": "e"}'.encode("utf-16"), "not UTF-8"),
        ('{"event": "e"}'.encode("utf-16-le"), "not JSON"),
        (b'["an", "array"]', "not an object but a list"),
        (b'"text"', "not an object but text"),
        (b"null", "not an object but null"),
        (b"{}", "no `event`"),
        (b'{"event": ""}', "no `event`"),
        (b'{"event": null}', "no `event`"),
        (b'{"event": "\\u0000"}', "no `event`"),
        (b'{"event": 5}', "`event` is a number"),
        (b'{"event": "e", "id": ""}', "`id` is empty"),
        (b'{"event": "e", "id": "\\u0000"}', "`id` is empty"),
        (b'{"event": "e", "id": true}', "`id` is a boolean"),
        (b'{"event": "e", "id": 1.5}', "`id` is a number"),
        (b'{"event": "e", "id": "' + b"i" * 256 + b'"}', "`id` has 256 characters"),
        (b'{"event": "e", "data": [1]}', "`data` is a list"),
        (b'{"event": "e", "time": "yesterday"}', "`time` is no RFC 3339 time"),
        (b'{"event": "e", "time": 1732358045}', "`time` is no RFC 3339 time"),
        (b'{"event": "e", "time": "2026-11-23 09:14:05Z"}', "`time` is no RFC 3339 time"),
        (b'{"event": "e", "time": "2026-11-23T09:14:05"}', "`time` is no RFC 3339 time"),
        (b'{"event": "e", "time": "2026-11-23T09:14Z"}', "`time` is no RFC 3339 time"),
        (b'{"event": "e", "time": "2026-11-23T09:14:05+24:00"}', "`time` is no RFC 3339 time"),
        (b'{"event": "e", "time": "2026-02-30T09:14:05Z"}', "`time` does not exist"),
        (b'{"event": "e", "time": "2026-11-23T09:14:60Z"}', "`time` does not exist"),
        (b'{"event": "e", "data": {"n": NaN}}', "NaN is no JSON value"),
        (b'{"event": "e", "data": {"n": -Infinity}}', "-Infinity is no JSON value"),
        (b'{"event": "e", "data": {"n": 1e999}}', "too large"),
        (b'{"event": "e", "data": {"n": ' + b"9" * 5000 + b"}}", "4,300 digits"),
    ],
)
def test_a_body_that_is_no_record_is_refused_with_a_reason(body: bytes, reason: str) -> None:
    assert reason in refusal(body)


@pytest.mark.parametrize(
    ("given_time", "kept"),
    [
        ("2026-11-23T09:14:05Z", "2026-11-23T09:14:05Z"),
        ("2026-11-23t09:14:05z", "2026-11-23T09:14:05Z"),
        ("2026-11-23T09:14:05.123456789+05:30", "2026-11-23T09:14:05.123456789+05:30"),
        ("2026-12-31T23:59:60Z", "2026-12-31T23:59:59Z"),
        ("2027-01-01T05:29:60+05:30", "2027-01-01T05:29:59+05:30"),
        (None, NOW),
    ],
)
def test_times_of_rfc_3339_are_kept(given_time: str | None, kept: str) -> None:
    assert read(time=given_time).time == kept


def test_ids_of_1_to_255_characters_are_kept_and_whole_numbers_become_text() -> None:
    assert read(id="é" * 255).id == "é" * 255
    assert read(id=42).id == "42"


def test_a_body_over_5_mb_is_refused_and_one_at_the_limit_is_kept() -> None:
    frame = b'{"event":"e","data":{"text":"%s"}}'
    room = MAX_RECORD_BYTES - len(frame) + 2
    assert read_record(frame % (b"x" * room), now=NOW).data["text"] == "x" * room
    assert "over 5 MB" in refusal(frame % (b"x" * (room + 1)))


def nested(levels: int) -> bytes:
    """A record of that many levels, itself and `data` counted."""
    lists = levels - 2
    return b'{"event":"e","data":{"deep":' + b"[" * lists + b"]" * lists + b"}}"


def test_64_levels_are_kept_and_65_refused() -> None:
    assert read_record(nested(MAX_NESTING_LEVELS), now=NOW).event == "e"
    assert "64 levels" in refusal(nested(MAX_NESTING_LEVELS + 1))
    assert "64 levels" in refusal(json.loads(nested(MAX_NESTING_LEVELS + 1)))


@pytest.mark.parametrize("opener", [b"[", b'{"a":', b'[{"a":'])
def test_a_hundred_thousand_levels_are_refused_on_a_small_stack_too(opener: bytes) -> None:
    reasons: list[str] = []
    before = threading.stack_size(256 * 1024)
    try:
        thread = threading.Thread(
            target=lambda: reasons.append(refusal(b'{"event":"e","data":' + opener * 100_000))
        )
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert reasons == ["nested deeper than 64 levels"]


def test_brackets_inside_text_are_no_levels() -> None:
    text = '[{"\\' * 500
    assert read(data={"text": text}).data == {"text": text}


def test_a_circle_is_refused() -> None:
    circle: dict[str, Any] = {"event": "e"}
    circle["data"] = circle
    assert "64 levels" in refusal(circle)


def test_of_a_key_that_comes_twice_the_last_one_wins() -> None:
    assert read_record(b'{"event":"a","event":"b","data":{"n":1,"n":2}}', now=NOW).as_dict()["data"] == {
        "n": 2
    }


def test_integers_beyond_64_bits_stay_as_they_are() -> None:
    large = 2**200 + 1
    record = read(data={"n": large})
    assert Record.decode(record.encode()).data["n"] == large


def test_nul_characters_are_removed_from_keys_and_values_and_reported() -> None:
    record = read(data={"a\0b": "x\0\0y", "list": ["\0"]})
    assert record.data == {"ab": "xy", "list": [""]}
    assert record.notes == ("NUL characters removed: 4",)


def test_lone_surrogates_are_replaced_and_reported_and_pairs_are_kept() -> None:
    record = read_record(b'{"event":"e","data":{"lone":"\\ud800!","pair":"\\ud83d\\ude00"}}', now=NOW)
    assert record.data == {"lone": "\ufffd!", "pair": "\U0001f600"}
    assert len(record.notes) == 1
    assert "U+FFFD" in record.notes[0]


def test_fields_that_a_record_does_not_have_are_left_out_and_reported() -> None:
    record = read(extra=1, actor=5, data={})
    assert record.as_dict() == {"id": record.id, "event": "e", "time": NOW, "data": {}}
    assert any("`actor`" in note for note in record.notes)
    assert any("'extra'" in note for note in record.notes)


def test_without_an_id_the_canonical_body_gives_one_at_any_time_of_receipt() -> None:
    first = read_record(b'{"event":"e","data":{"a":1,"b":2}}', now=NOW)
    again = read_record(b' {"data": {"b":2, "a":1}, "event":"e", "id":null}', now="2027-01-01T00:00:00Z")
    other = read_record(b'{"event":"e","data":{"a":1,"b":3}}', now=NOW)
    assert first.id == again.id != other.id
    assert len(first.id) == 32
    assert int(first.id, 16) >= 0


def test_the_line_stands_in_the_message_of_a_refusal() -> None:
    with pytest.raises(RecordRefused, match="line 7: no `event`"):
        read_record(b"{}", now=NOW, line=7)


def test_a_record_shares_nothing_with_the_mapping_it_was_read_from() -> None:
    body: dict[str, Any] = {"event": "e", "data": {"list": [1]}}
    record = read_record(body, now=NOW)
    body["data"]["list"].append(2)
    assert record.data == {"list": [1]}


def test_a_mapping_that_is_no_json_is_refused() -> None:
    assert "not JSON" in refusal({"event": "e", "data": {"x": {1, 2}}})
    assert "not JSON" in refusal({"event": "e", "data": {"x": float("nan")}})


@given(data=st.dictionaries(texts, values, max_size=5), actor=st.none() | texts)
def test_bytes_and_mappings_give_the_same_record_and_encoding_keeps_it(
    data: dict[str, Any], actor: str | None
) -> None:
    body = {"id": "r", "event": "e", "time": NOW, "data": data, "actor": actor}
    from_bytes = read_record(json.dumps(body).encode(), now=NOW)
    assert from_bytes == read_record(body, now=NOW)
    assert from_bytes.data == data
    assert Record.decode(from_bytes.encode()) == from_bytes
    assert Record.decode(from_bytes.encode()).encode() == from_bytes.encode()


@given(
    body=st.binary(max_size=200)
    | values
    | st.dictionaries(st.sampled_from(["id", "event", "time", "data"]), values)
)
def test_every_body_is_a_record_or_refused(body: Any) -> None:
    try:
        record = read_record(body, now=NOW)
    except RecordRefused:
        assert refusal(body).isprintable()
        return
    assert record.event
    assert 1 <= len(record.id) <= 255
    record.encode().decode("utf-8")


def test_the_limit_of_digits_is_the_one_that_python_has() -> None:
    assert sys.get_int_max_str_digits() == 4300
    assert read_record(b'{"event":"e","data":{"n":' + b"9" * 4300 + b"}}", now=NOW).encode()
