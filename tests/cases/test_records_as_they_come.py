"""Records as people's exports have them: what their cells, nulls and missing fields say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.case_runner import CONNECTION, CaseRun


def test_codes_that_look_like_numbers_keep_their_text(case: Callable[[str], CaseRun]) -> None:
    run = case("csv-cells-become-numbers")
    run.apply()
    shown = {each["record"]: each for each in run.dry_run("types", "r.csv")["records"]}
    assert [each["problems"] for each in shown.values()] == [[]] * 5
    written = {name: each["operations"][0]["changes"] for name, each in shown.items()}
    zips = {name: each["location.zip"]["after"] for name, each in written.items()}
    assert zips == {"ty1": "97209", "ty2": "02139", "ty3": "97209-1234", "ty4": "SW1A 1AA", "ty5": "02139"}
    assert shown["ty3"]["profile"]["external_id"] == "12e3"
    assert written["ty4"]["first_name"]["after"] == "42"
    assert written["ty5"]["first_name"]["after"] == "true"
    run.apply("wft.yaml")
    texts = {
        each["record"]: {
            name.removeprefix("properties."): change["after"]
            for name, change in each["operations"][0]["changes"].items()
        }
        for each in run.dry_run("typest", "r.csv")["records"]
    }
    assert [each["SKUt"] for each in texts.values()] == ["AB-1", "12E3", "5e10", "90.750", "0017"]
    assert [each["Versiont"] for each in texts.values()] == ["1.10", "2.0", "10.00", "1e400", "1"]
    assert [each["Bigt"] for each in texts.values()] == [
        "12345678901234567890",
        "9007199254740993",
        "0.1",
        "-0",
        "1e2",
    ]


def test_a_null_and_a_missing_field_are_two_things(case: Callable[[str], CaseRun]) -> None:
    run = case("clear-wipes-on-missing-field")
    run.apply(
        "n.yaml",
        replace={
            "data.last, clear: true": "data.last, clear: null",
            "data.old, clear: true": "data.old, clear: null",
        },
    )
    cleared = {}
    for each in run.dry_run("nulls", "n.jsonl")["records"]:
        changes = [
            name
            for one in each["operations"]
            for name, change in one["changes"].items()
            if change["after"] is None
        ]
        cleared[each["record"]] = changes
    assert "last_name" in cleared["nu-1"]
    assert cleared["nu-2"] == []


def test_cr_line_ends_are_recognized_and_said(case: Callable[[str], CaseRun]) -> None:
    run = case("csv-cr-only-silent")
    done = run.askel("ingest", str(run.path("mac.csv")), "--connection", CONNECTION)
    assert "CR line ends" in done.stderr
    assert "2 new records" in done.stderr


def test_two_equal_rows_are_two_records_and_the_same_file_again_is_none(
    case: Callable[[str], CaseRun], tmp_path: Path
) -> None:
    run = case("same-row-twice")
    file = str(run.path("two.csv"))
    first = run.askel.json("ingest", file, "--connection", CONNECTION)
    assert (first["accepted"], first["same"]) == (2, 0)
    again = run.askel("ingest", file, "--connection", CONNECTION)
    assert "2 records have no id and no time, and came before: taken for the same" in again.stderr
    assert "another body" not in again.stderr
    grown = tmp_path / "grown.csv"
    grown.write_text(Path(file).read_text() + "ss,tw@mapleandember.shop,10\n")
    third = run.askel.json("ingest", str(grown), "--connection", CONNECTION)
    assert (third["accepted"], third["same"], third["other_body"]) == (1, 2, [])
    # With a time, the same body is the same record.
    timed = run.askel.json("ingest", str(run.path("r.jsonl")), "--connection", CONNECTION)
    assert (timed["accepted"], timed["same"]) == (3, 1)


@pytest.mark.parametrize("rules", [1], indirect=True)
@pytest.mark.parametrize(
    ("file", "given", "ids"),
    [
        ("shopify.csv", ["--event", "customer", "--id", "Email"], ["ada@mapleandember.example"]),
        ("semi.csv", [], ["s1"]),
        ("sep.csv", [], ["s2"]),
        ("utf16.csv", [], ["u1"]),
        ("tab.tsv", [], ["t1"]),
        ("arr.json", [], ["a1", "a2"]),
        ("pretty.json", [], ["pp1"]),
        ("trail.csv", [], ["e1"]),
        ("dothead.csv", [], ["o1"]),
    ],
)
def test_real_exports_are_taken_as_they_are(
    case: Callable[[str], CaseRun], file: str, given: list[str], ids: list[str]
) -> None:
    run = case("real-exports-cannot-be-taken")
    path = str(run.path(file))
    before = run.askel.json("ingest", path, *given, "--connection", CONNECTION, "--preview")
    assert [each["id"] for each in before["records"]] == ids
    assert before["guessed"] == []
    taken = run.askel.json("ingest", path, *given, "--connection", CONNECTION)
    assert (taken["accepted"], taken["refused"]) == (len(ids), 0)


def test_times_are_read_as_exports_write_them(case: Callable[[str], CaseRun]) -> None:
    run = case("real-exports-cannot-be-taken")
    path = str(run.path("times.csv"))
    plain = run.askel.json("ingest", path, "--connection", CONNECTION, code=3)
    assert {each["line"]: "time zone" in each["reason"] for each in plain["refusals"]} == {
        2: True,
        3: False,
        6: True,
        10: False,
    }
    zoned = run.askel.json("ingest", path, "--connection", CONNECTION, "--zone", "-05:00", code=3)
    assert [each["line"] for each in zoned["refusals"]] == [3, 10]
    american = run.askel.json(
        "ingest", path, "--connection", CONNECTION, "--time-format", "%m/%d/%Y", "--zone", "UTC", code=3
    )
    assert [each["line"] for each in american["refusals"]] == [2, 4, 5, 6, 7, 8, 9, 10]
