"""Records from JSONL and CSV: every good line is read, every bad one is named."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from askel_tui.core.records.files import MAX_SHOWN_BYTES, read_csv, read_jsonl
from askel_tui.core.records.lines import read_lines
from askel_tui.core.records.record import MAX_RECORD_BYTES, Record, RefusedLine
from tests.support.files import EXAMPLES

pytestmark = pytest.mark.clock

NOW = "2026-11-23T12:00:00Z"
GOOD = b'{"id":"good","event":"e","time":"2026-11-23T09:00:00Z","data":{"n":1}}\n'


def csv_rows(text: str | bytes) -> dict[int, Record | RefusedLine]:
    raw = text.encode() if isinstance(text, str) else text
    return dict(read_csv(read_lines(io.BytesIO(raw)), now=NOW))


def csv_data(text: str) -> list[Any]:
    return [row.data if isinstance(row, Record) else row.reason for row in csv_rows(text).values()]


def test_the_hostile_lines_meet_their_fates() -> None:
    with (EXAMPLES / "hostile.jsonl").open("rb") as stream:
        rows = dict(read_jsonl(read_lines(stream), now=NOW))
    refused = {number: row.reason for number, row in rows.items() if isinstance(row, RefusedLine)}
    assert {number: reason.split(" (")[0].split(":")[0] for number, reason in refused.items()} == {
        2: "not JSON",
        12: "`time` is no RFC 3339 time such as 2026-11-23T09",
        14: "`id` is empty",
        15: "`id` has 300 characters, more than 255",
        17: "not UTF-8",
        18: "not an object but a list",
    }
    records = {number: row for number, row in rows.items() if isinstance(row, Record)}
    assert set(records) == set(range(1, 26)) - set(refused) - {23}
    assert records[21].data["shopper"]["first_name"] == "AB"
    assert records[21].notes == ("NUL characters removed: 1",)
    assert records[19].encode() == records[20].encode()


@pytest.mark.parametrize(("name", "count"), [("first-points.jsonl", 40), ("other-events.jsonl", 21)])
def test_the_examples_are_all_records(name: str, count: int) -> None:
    with (EXAMPLES / name).open("rb") as stream:
        rows = [row for _, row in read_jsonl(read_lines(stream), now=NOW)]
    assert [row for row in rows if isinstance(row, RefusedLine)] == []
    assert len({row.id for row in rows if isinstance(row, Record)}) == len(rows) == count


def test_the_nightly_export_says_what_its_cells_say() -> None:
    path = EXAMPLES / "nightly.csv"
    with path.open("rb") as stream:
        rows = [row for _, row in read_csv(read_lines(stream), now=NOW)]
    with path.open(newline="", encoding="utf-8") as text:
        expected = list(csv.DictReader(text))
    assert len(rows) == len(expected) == 200
    for row, cells in zip(rows, expected, strict=True):
        assert isinstance(row, Record)
        assert (row.id, row.event, row.time) == (cells["id"], cells["event"], cells["time"])
        assert row.data["points"] == int(cells["points"])
        assert row.data["store"] == cells["store"]
        assert row.data["shopper"].get("phone", "") == cells["shopper.phone"]
        assert row.data["shopper"]["last_name"] == cells["shopper.last_name"]


def test_a_byte_order_mark_empty_lines_and_line_ends_of_windows_are_taken() -> None:
    rows = dict(
        read_jsonl([b"\xef\xbb\xbf" + GOOD, b"\n", b" \t\r\n", GOOD.replace(b"\n", b"\r\n")], now=NOW)
    )
    assert list(rows) == [1, 4]
    assert rows[1] == rows[4]


def test_a_refused_line_is_kept_to_be_mended_but_cut() -> None:
    (_, row), *_ = read_jsonl([b"x" * (MAX_SHOWN_BYTES + 1)], now=NOW)
    assert row == RefusedLine(1, "not JSON: Expecting value (column 1)", b"x" * MAX_SHOWN_BYTES)


def test_a_line_without_an_end_takes_no_memory_and_costs_no_neighbour() -> None:
    stream = io.BytesIO(GOOD + b'"' + b"x" * (3 * MAX_RECORD_BYTES) + b"\n" + GOOD)
    lines = list(read_lines(stream))
    assert [len(line) for line in lines] == [len(GOOD), MAX_RECORD_BYTES + 2, len(GOOD)]
    rows = dict(read_jsonl(lines, now=NOW))
    assert isinstance(rows[1], Record)
    assert isinstance(rows[2], RefusedLine)
    assert "over 5 MB" in rows[2].reason
    assert rows[3] == rows[1]


def test_a_line_exactly_at_the_cut_is_not_joined_with_the_next() -> None:
    exact = b"x" * (MAX_RECORD_BYTES + 1) + b"\n"
    assert list(read_lines(io.BytesIO(exact + GOOD))) == [exact, GOOD]
    no_end = b"x" * (MAX_RECORD_BYTES + 2)
    assert list(read_lines(io.BytesIO(no_end + b"\n" + GOOD))) == [no_end, GOOD]


@given(st.lists(st.binary(max_size=60).map(lambda line: line.replace(b"\n", b"")), max_size=12))
def test_arbitrary_lines_never_cost_the_good_ones_between_them(bad: list[bytes]) -> None:
    lines = [line for each in bad for line in (each + b"\n", GOOD)]
    rows = dict(read_jsonl(lines, now=NOW))
    for number in range(2, len(lines) + 1, 2):
        row = rows[number]
        assert isinstance(row, Record)
        assert row.id == "good"
    assert all(rows[number].line == number for number in rows if isinstance(rows[number], RefusedLine))  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("5", 5),
        ("-12", -12),
        ("1.50", 1.5),
        ("1e3", 1000.0),
        ("12345678901234567890", 12345678901234567890),
        ("true", True),
        ("false", False),
        ("+442079460001", "+442079460001"),
        ("007", "007"),
        ("0", 0),
        ("-01", "-01"),
        ("1.", "1."),
        (".5", ".5"),
        ("1e999", "1e999"),
        ("9" * 5000, "9" * 5000),
        ("null", "null"),
        ("True", "True"),
        ("NaN", "NaN"),
        (" 5", " 5"),
        ("٥", "٥"),
        ('"5"', 5),
        ('"a ""b"", c"', 'a "b", c'),
        ('"two\nlines"', "two\nlines"),
        ('"two\r\nlines"', "two\r\nlines"),
        ('5" pipe', '5" pipe'),
    ],
)
def test_cells_become_what_they_plainly_are(cell: str, value: object) -> None:
    assert csv_data(f"event,x,y\ne,{cell},end\n") == [{"x": value, "y": "end"}]


def test_columns_of_the_record_are_text_and_others_nest_by_their_dots() -> None:
    rows = csv_rows("id,event,actor,a.b.c,a.b.d,a.e\n007,1,2,x,,y\n")
    assert rows == {2: Record("007", "1", NOW, {"a": {"b": {"c": "x"}, "e": "y"}}, "2")}


def test_a_row_counts_where_it_begins_and_empty_lines_are_no_rows() -> None:
    rows = csv_rows('\ufeffevent,x\r\n\r\ne,"a\n\nb"\r\n\ne,c\r\n')
    assert {number: row.data for number, row in rows.items() if isinstance(row, Record)} == {
        3: {"x": "a\n\nb"},
        7: {"x": "c"},
    }


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("e", "1 cell, where the header has 2 columns"),
        ("e,1,2", "3 cells, where the header has 2 columns"),
        (",1", "no `event`"),
        ('e,"a"b', "cell 2: text after the closing quote"),
        ("e,\udcff", "not UTF-8"),
    ],
)
def test_a_bad_row_is_refused_by_itself(row: str, reason: str) -> None:
    rows = csv_rows(f"event,x\ne,1\n{row}\ne,2\n".encode("utf-8", "surrogateescape"))
    assert isinstance(rows[2], Record)
    assert isinstance(rows[4], Record)
    refused = rows[3]
    assert isinstance(refused, RefusedLine)
    assert reason in refused.reason


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("id,time", "no column `event`"),
        ("Event,x", "did you mean 'Event'"),
        ("event;id;time", "no column `event`"),
        (",,", "no column has a name"),
        ("event,x,x", "two columns are named 'x'"),
        ("event,a,a.b", "'a' can't be a value and hold 'a.b'"),
        ("event,a.b.c,a.b", "'a.b' can't be a value and hold 'a.b.c'"),
        ("event,,x", "column 2 has no name"),
        ("event," + "a." * 70 + "a", "64 levels"),
        ('event,"x', "never closed"),
    ],
)
def test_a_header_that_can_not_be_used_is_one_refusal(header: str, reason: str) -> None:
    rows = csv_rows(f"{header}\ne,1\n")
    assert list(rows) == [1]
    refused = rows[1]
    assert isinstance(refused, RefusedLine)
    assert reason in refused.reason


def test_a_quote_that_is_never_closed_costs_its_own_line_only() -> None:
    rows = csv_rows('event,x\ne,1\ne,"oops\ne,2\n\ne,3\n')
    assert {number: isinstance(row, Record) for number, row in rows.items()} == {
        2: True,
        3: False,
        4: True,
        6: True,
    }


def test_what_a_quote_swallows_is_bounded() -> None:
    filler = "e," + "y" * 1000 + "\n"
    count = MAX_RECORD_BYTES // len(filler) + 2
    rows = csv_rows('event,x\ne,"oops\n' + filler * count)
    assert isinstance(rows[2], RefusedLine)
    assert sum(isinstance(row, Record) for row in rows.values()) == count


def test_nothing_gives_nothing() -> None:
    assert csv_rows("") == {}
    assert csv_rows("\n\n") == {}
    assert csv_rows("event,x\n") == {}


def test_nul_characters_in_cells_are_removed_and_reported() -> None:
    (row,) = csv_rows("event,x\ne,a\0b\n").values()
    assert isinstance(row, Record)
    assert row.data == {"x": "ab"}
    assert row.notes


cells = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=8))
@example([('"', ","), ("\n", "\r\n"), ("\r", '""')])
def test_what_a_csv_writer_writes_is_read_back(rows: list[tuple[str, str]]) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(["event", "a.b", "c"])
    writer.writerows(["e", *row] for row in rows)
    read = [row for row in csv_rows(out.getvalue()).values() if isinstance(row, Record)]
    assert len(read) == len(rows)
    for record, (first, second) in zip(read, rows, strict=True):
        for found, cell in (
            (record.data.get("a", {}).get("b", ""), first),
            (record.data.get("c", ""), second),
        ):
            if isinstance(found, str):
                assert found == cell
            else:
                assert found == json.loads(cell)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_never_crash_and_rows_come_in_order(raw: bytes) -> None:
    for content in (raw, b"event,x\n" + raw, b'event,x\ne,"' + raw):
        numbers = [number for number, _ in read_csv(read_lines(io.BytesIO(content)), now=NOW)]
        assert numbers == sorted(set(numbers))
