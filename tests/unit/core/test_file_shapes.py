"""Files of records in every shape: what they are is recognized, and they hold the same records."""

from __future__ import annotations

import io
import json
from contextlib import suppress
from itertools import chain
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from askel_tui.core.records.files import PLAIN_COLUMNS, Columns, read_records
from askel_tui.core.records.json_documents import split_documents
from askel_tui.core.records.lines import read_lines
from askel_tui.core.records.record import MAX_RECORD_BYTES, Record, RecordRefused, RefusedLine
from askel_tui.core.records.shape import DELIMITERS, SAMPLE_BYTES, recognize
from askel_tui.core.records.times import find_zone, read_time

NOW = "2026-11-23T12:00:00Z"
LETTERS = st.characters(codec="cp1252", exclude_characters='\0"\r\n', categories=("L", "N", "P", "Zs"))
TEXTS = st.text(LETTERS, max_size=12)
VALUES = st.recursive(TEXTS | st.integers() | st.just('}"]{['), st.lists, max_leaves=4)
DOCUMENTS = st.lists(st.dictionaries(st.sampled_from("abc"), VALUES), max_size=5)


def found_in(raw: bytes, name: str = "-", columns: Columns = PLAIN_COLUMNS) -> list[Record | RefusedLine]:
    shape = recognize(raw[:SAMPLE_BYTES], name)
    return [each for _, each in read_records(io.BytesIO(raw), shape, now=NOW, columns=columns)]


@given(
    st.lists(TEXTS.map(str.strip), min_size=1, max_size=6),
    st.sampled_from(sorted(DELIMITERS)),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_a_table_holds_the_same_records_however_it_is_written(
    cells: list[str], delimiter: str, encoding: str, line_end: str
) -> None:
    rows = [["event", "id", "note"], *(["e", f"r{index}", f'"{cell}"'] for index, cell in enumerate(cells))]
    text = "".join(delimiter.join(row) + line_end for row in rows)
    raw = text.encode(encoding)
    # Some letters of Windows-1252 are UTF-8 as well, by chance: then nothing can tell.
    assume(encoding != "cp1252" or not any(_is_utf8(line) for line in raw.splitlines()))
    found = found_in(raw)
    notes = [each.data.get("note", "") if isinstance(each, Record) else each.reason for each in found]
    numbers_as_text = [note if isinstance(note, str) else json.dumps(note) for note in notes]
    for note, cell in zip(numbers_as_text, cells, strict=True):
        assert note == cell or _is_number(cell)


ENDS = st.lists(st.sampled_from(["\n", "\r\n", "\r", "\n\n", "\r\r"]), min_size=7, max_size=7)
CELLS = st.text(st.sampled_from('ab ,"\r\n'), max_size=6)


@given(
    st.lists(CELLS, min_size=1, max_size=6),
    ENDS,
    st.sampled_from(["utf-8", "utf-16"]),
    st.integers(1, 2),
    st.sampled_from([1, 7, 65_536]),
)
def test_line_ends_may_be_mixed(
    cells: list[str], ends: list[str], encoding: str, columns: int, chunk: int
) -> None:
    """A CR, an LF or both end a row, except in quotes, where they are text."""
    quoted = [cell if cell.isalpha() else '"' + cell.replace('"', '""') + '"' for cell in cells]
    named = ["event,note"] if columns == 2 else ["note"]
    rows = named + [f"e,{cell}" if columns == 2 else cell for cell in quoted]
    raw = "".join(row + end for row, end in zip(rows, ends, strict=False)).encode(encoding)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("askel_tui.core.records.lines.CHUNK_BYTES", chunk)
        found = found_in(raw, "x.csv", Columns(event="e"))
    notes = [each.data.get("note", "") if isinstance(each, Record) else each.reason for each in found]
    assert notes == cells


@given(st.lists(st.integers(), min_size=1, max_size=6), ENDS)
def test_objects_may_be_ended_by_any_line_end(numbers: list[int], ends: list[str]) -> None:
    rows = [json.dumps({"event": "e", "data": {"n": number}}) for number in numbers]
    raw = "".join(row + end for row, end in zip(rows, ends, strict=False)).encode()
    found = [each for each in found_in(raw) if isinstance(each, Record)]
    assert [each.data["n"] for each in found] == numbers
    spaced = b'{"event":\r"e",\r"data":{"n":1}\r}\n'
    assert [type(each) for each in found_in(spaced + raw)[:1]] == [Record]


def _is_utf8(line: bytes) -> bool:
    try:
        return not line.isascii() and bool(line.decode("utf-8"))
    except UnicodeDecodeError:
        return False


def _is_number(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


@given(DOCUMENTS, st.sampled_from([None, 2]), st.integers(1, 9))
def test_json_is_cut_into_its_objects_whatever_the_chunks(
    documents: list[dict[str, Any]], indent: int | None, size: int
) -> None:
    as_list = json.dumps(documents, indent=indent).encode()
    in_a_row = "\n".join(json.dumps(each, indent=indent) for each in documents).encode()
    for text in (as_list, in_a_row):
        chunks = [text[start : start + size] for start in range(0, len(text), size)]
        assert [json.loads(each) for _, each in split_documents(chunks)] == documents


@given(st.lists(st.binary(max_size=8), max_size=6))
def test_no_bytes_break_the_cutting_of_json(chunks: list[bytes]) -> None:
    kept = b"".join(text for _, text in split_documents(chunks))
    assert len(kept) <= len(b"".join(chunks)) + 1


def test_an_object_that_is_too_long_costs_no_neighbour_and_no_memory() -> None:
    long = [b'{"x":"', *([b'y\\"' * 20_000] * 200), b'"},']
    texts = [text for _, text in split_documents(chain([b'[{"a":1},'], long, [b'{"b":2}]']))]
    assert [len(text) for text in texts] == [7, MAX_RECORD_BYTES + 2, 7]


@pytest.mark.parametrize(
    ("text", "name", "guessed"),
    [
        (b"event;id\ne;1\n", "a.csv", ()),
        (b"Name;Amount, EUR;Day\nAda;1,50;2\n", "a.csv", ("delimiter",)),
        (b"Name;Email\nAda;a@b.example\n", "a.csv", ()),
        (b"Email\na@b.example\n", "a.csv", ()),
        (b"event,name\ne,Zo\xeb\n", "a.csv", ("encoding",)),
        ("event,name\ne,Zoë\n".encode() + b"e,Zo\xeb\n", "a.csv", ()),
        (b'{"event":"e","n":"Zo\xeb"}\n', "a.jsonl", ()),
        ("event,name\ne,Zoe\n".encode("utf-16-le"), "a.csv", ("encoding",)),
        (b"", "a.csv", ()),
        (b"", "-", ()),
    ],
)
def test_what_the_file_does_not_say_is_called_guessed(
    text: bytes, name: str, guessed: tuple[str, ...]
) -> None:
    assert recognize(text, name).guessed == guessed


@pytest.mark.parametrize(
    ("text", "name", "kind"),
    [
        (b'{"event":"e"}\n{"event":"f"}\n', "-", "jsonl"),
        (b'{"event":"e"}\n', "a.json", "jsonl"),
        (b'{"bad\n{"event":"f"}\n', "-", "jsonl"),
        (b'{\n "event":"e"\n}\n', "-", "json"),
        (b'\n [{"event":"e"}]', "-", "json"),
        (b"event,id\n", "-", "csv"),
        (b"event,id\n", "A.CSV.GZ", "csv"),
        (b"nope\n", "-", "jsonl"),
    ],
)
def test_the_format_follows_from_the_name_or_the_first_characters(text: bytes, name: str, kind: str) -> None:
    assert recognize(text, name).format == kind


def test_a_line_that_the_encoding_can_not_read_is_refused_alone() -> None:
    raw = b"\xff\xfe" + "event,id\ne,1\ne,\ud800\ne,3\n".encode("utf-16-le", "surrogatepass")
    assert [isinstance(each, Record) for each in found_in(raw)] == [True, False, True]
    cut = "event,id\ne,1\ne,2".encode("utf-16")[:-1]
    assert [isinstance(each, Record) for each in found_in(cut)] == [True, False]


def test_a_line_without_an_end_takes_no_memory_in_any_encoding() -> None:
    stream = io.BytesIO(("a" * (2 * MAX_RECORD_BYTES) + "\rb\r").encode("utf-16-le"))
    assert [len(line) for line in read_lines(stream, "utf-16-le", any_end=True)] == [MAX_RECORD_BYTES + 2, 2]


def test_a_flat_object_of_another_programs_export_becomes_a_record() -> None:
    raw = b'[{"email":"a@b.example","total":"1","order":{"no":7},"at":1764580000}]'
    (record,) = found_in(raw, columns=Columns("order", "order.no", "at"))
    assert isinstance(record, Record)
    assert (record.event, record.id, record.time) == ("order", "7", "2025-12-01T09:06:40Z")
    assert record.data["email"] == "a@b.example"


@pytest.mark.parametrize(
    ("text", "zone", "time"),
    [
        ("2026-11-23 09:14", "+01:00", "2026-11-23T09:14:00+01:00"),
        ("2026-07-01 09:14:05", "UTC", "2026-07-01T09:14:05Z"),
        ("2026-11-23 09:14:05 gmt", None, None),
        ("2026-11-23 09:14:05.5 GMT", None, "2026-11-23T09:14:05.5Z"),
        ("2026-02-30 09:14:05", "UTC", None),
        ("2026-11-23 09:14:05", None, None),
        ("46349.385", "UTC", None),
        (1764580000.5, None, "2025-12-01T09:06:40.500000Z"),
        (True, None, None),
        ("9" * 400, None, None),
    ],
)
def test_a_time_is_read_or_refused_with_a_reason(text: Any, zone: str | None, time: str | None) -> None:
    if time is not None:
        assert read_time(text, None, zone) == time
        return
    with pytest.raises(RecordRefused, match="`time`"):
        read_time(text, None, zone)


@given(st.text(max_size=20), st.sampled_from(["%Y", "%m/%d/%Y %H:%M", "%", "%Q"]))
def test_any_text_in_any_form_is_a_time_or_refused(text: str, form: str) -> None:
    for given_form in (None, form):
        with suppress(RecordRefused):
            assert read_time(text, given_form, "UTC")[10] == "T"


@pytest.mark.parametrize("name", ["Mars/Olympus", "../etc/passwd", "+25:00", "", "\0"])
def test_a_zone_that_is_none_is_not_found(name: str) -> None:
    with pytest.raises(LookupError):
        find_zone(name)
