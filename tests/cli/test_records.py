"""Records in, and what they would do: `ingest` and `dry-run`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from askel_tui.cli.record_options import MAX_SHOWN_REFUSALS
from tests.support.askel import Askel
from tests.support.files import EXAMPLES

pytestmark = pytest.mark.clock


def _record(number: int, **data: object) -> str:
    shopper = {"id": f"N-{number}", "email": f"n{number}@x.example", "tier": "gold"}
    body = {
        "id": f"n-{number}",
        "event": "first_points_earned",
        "data": {"points": 5, "shopper": shopper, **data},
    }
    return json.dumps(body)


def test_new_known_and_other_bodies_are_distinguished(askel: Askel) -> None:
    askel.connect()
    lines = [_record(1), _record(2), _record(1), _record(2, points=9)]
    done = askel("ingest", "-", "--connection", "maple-ember", "--json", stdin="\n".join(lines))
    found = json.loads(done.stdout)
    assert (found["accepted"], found["same"], found["other_body"]) == (2, 2, ["n-2"])
    assert "n-2 came before with another body" in done.stderr


def test_refused_lines_are_reported_by_line_and_kept_aside(askel: Askel) -> None:
    askel.connect()
    lines = ["nope"] * (MAX_SHOWN_REFUSALS + 5) + [_record(1)]
    done = askel("ingest", "-", "--connection", "maple-ember", "--json", stdin="\n".join(lines), code=3)
    found = json.loads(done.stdout)
    assert (found["accepted"], found["refused"]) == (1, MAX_SHOWN_REFUSALS + 5)
    assert found["refusals"][0]["line"] == 1
    kept = Path(found["file"])
    assert len(kept.read_bytes().splitlines()) == MAX_SHOWN_REFUSALS + 5
    assert kept.is_relative_to(askel.home)
    message = done.stderr.splitlines()
    assert sum(line.startswith("line ") for line in message) == MAX_SHOWN_REFUSALS
    assert "and 5 more refused lines" in message
    assert str(kept) in done.stderr


def test_hostile_lines_do_not_harm_the_good_ones_beside_them(askel: Askel) -> None:
    askel.connect()
    found = askel.json("ingest", str(EXAMPLES / "hostile.jsonl"), "--connection", "maple-ember", code=3)
    assert [row["line"] for row in found["refusals"]] == [2, 12, 14, 15, 17, 18]
    assert found["accepted"] + found["same"] + found["refused"] == found["lines"] - 1


def test_a_csv_file_is_known_by_its_ending(askel: Askel) -> None:
    askel.connect()
    found = askel.json("ingest", str(EXAMPLES / "nightly.csv"), "--connection", "maple-ember")
    assert found["accepted"] == 200


def test_a_guess_that_nobody_can_confirm_is_refused_and_names_the_flag(askel: Askel, tmp_path: Path) -> None:
    askel.connect()
    file = tmp_path / "people.csv"
    file.write_bytes("id,event,name\n1,signup,Zoë\n".encode("latin-1"))
    done = askel("ingest", str(file), "--connection", "maple-ember", code=2)
    assert "--encoding" in done.stderr
    askel("ingest", str(file), "--connection", "maple-ember", "--encoding", "windows-1252")


def test_a_connection_that_is_not_there(askel: Askel) -> None:
    askel.connect()
    assert "Did you mean" in askel("ingest", "-", "--connection", "maple-embr", code=2).stderr


@pytest.fixture
def applied(askel: Askel) -> Askel:
    """A connection with the first workflow, applied."""
    askel.connect()
    askel("workflow", "apply", str(EXAMPLES / "first-points-welcome.yaml"))
    return askel


def test_a_dry_run_over_a_file_writes_nothing_and_shows_before_and_after(
    applied: Askel, tmp_path: Path
) -> None:
    file = tmp_path / "records.jsonl"
    file.write_text("\n".join([_record(1), "nope", _record(2), _record(3, points="12")]))
    shown = applied("dry-run", "first-points-welcome", str(file), code=3)
    assert 'properties.LoyaltyTier: – → "Gold"' in shown.stdout
    assert "list Welcome Flow" in shown.stdout
    assert "problem: when: " in shown.stdout
    assert "line 2: " in shown.stderr
    assert applied.json("status")["workflows"][0]["sent"] == 0
    document = applied.json("dry-run", "first-points-welcome", str(file), code=3)
    assert [record["record"] for record in document["records"]] == ["n-1", "n-2", "n-3"]
    assert document["totals"]["problems"] == 1


def test_last_counts_matching_records_of_a_file_and_of_what_came_in(applied: Askel, tmp_path: Path) -> None:
    file = tmp_path / "records.jsonl"
    file.write_text("\n".join(_record(number) for number in range(5)))
    for words in ([str(file)], []):
        document = applied.json("dry-run", "first-points-welcome", *words, "--last", "2")
        found = [record["record"] for record in document["records"]]
        assert found == (["n-3", "n-4"] if words else [])
    applied("ingest", str(file), "--connection", "maple-ember")
    document = applied.json("dry-run", "first-points-welcome", "--last", "2")
    assert [record["record"] for record in document["records"]] == ["n-3", "n-4"]


@pytest.mark.slow
def test_what_was_sent_is_shown_in_full_and_counts_as_sent_only(applied: Askel, tmp_path: Path) -> None:
    name, file, later = "first-points-welcome", tmp_path / "records.jsonl", tmp_path / "later.jsonl"
    file.write_text("\n".join(_record(number) for number in range(10, 13)))
    applied("ingest", str(file), "--connection", "maple-ember")
    applied("workflow", "activate", name, "--since", "2020-01-01", "--fire-flows")
    applied("daemon", "--until-idle")
    applied("workflow", "pause", name)
    later.write_text(_record(13))
    applied("ingest", str(later), "--connection", "maple-ember")
    again = tmp_path / "again.yaml"
    again.write_text((EXAMPLES / f"{name}.yaml").read_text() + "\n")
    applied("workflow", "apply", str(again))

    document = applied.json("dry-run", name)
    found = {record["record"]: record for record in document["records"]}
    assert list(found) == ["n-10", "n-11", "n-12", "n-13"]
    assert [found[each]["sent"] is None for each in found] == [False, False, False, True]
    assert found["n-10"]["sent"]["version"] == 1
    assert [each["step"] for each in found["n-10"]["operations"]] == ["tier", "not-vip", "welcome", "points"]
    totals = document["totals"]
    assert (totals["records"], totals["already_sent"], totals["new"]) == (1, 3, 1)
    assert totals["events"] == {"First Points Earned": 1}
    assert "sent by version 1 at " in applied("dry-run", name).stdout

    for words in ([], [str(file)]):
        left = applied.json("dry-run", name, "--unsent", *words)
        assert [each["record"] for each in left["records"]] == ([] if words else ["n-13"])


def test_a_dry_run_of_nothing_says_so(applied: Askel) -> None:
    assert "no record matches" in applied("dry-run", "first-points-welcome").stderr
