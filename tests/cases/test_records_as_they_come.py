"""Records as people's exports have them: what their cells, nulls and missing fields say."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.case_runner import CaseRun


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
