"""A backfill that is killed three times: each record is written once, and no flow starts."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from askel_tui.store.paths import journal_file
from tests.support.sandbox import sandbox_process
from tests.support.shell import Shell, kill

ROWS = 100_000
LONGEST_S = 170.0
WORKFLOW = """\
askel: 2
workflow: old
connection: maple-ember
trigger: point
profile: {email: data.email}
steps:
  - id: who
    upsert_profile: {properties: {Points: data.points}}
  - id: welcome
    add_to_list: Welcome Flow
  - id: points
    track_event: {metric: First Points Earned, value: data.points}
"""


def _row(number: int) -> str:
    data = {"email": f"row{number}@mapleandember.example", "points": number}
    row = {
        "id": f"row-{number}",
        "event": "point",
        "time": f"2025-0{1 + number % 9}-01T10:00:00Z",
        "data": data,
    }
    return json.dumps(row)


def _kill_once(
    process: subprocess.Popen[str], home: Path, reached: Callable[[sqlite3.Connection], bool]
) -> None:
    """Kills a process as soon as its journal is so far."""
    end = time.monotonic() + LONGEST_S
    with sqlite3.connect(f"file:{journal_file(home)}?mode=ro", uri=True) as journal:
        while not reached(journal):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.02)
    kill(process)


def _is(query: str, number: int) -> Callable[[sqlite3.Connection], bool]:
    def check(journal: sqlite3.Connection) -> bool:
        return bool(journal.execute(query).fetchone()[0] >= number)

    return check


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_each_of_many_rows_is_written_once_through_three_kills(tmp_path: Path) -> None:
    file, workflow = tmp_path / "history.jsonl", tmp_path / "wf.yaml"
    file.write_text("\n".join(map(_row, range(ROWS))))
    workflow.write_text(WORKFLOW)
    with sandbox_process(arguments=()) as account:
        shell = Shell(tmp_path / "home", account.url, account.key)
        shell.connect()
        shell.run("workflow", "apply", str(workflow))
        shell.run("workflow", "activate", "old")
        command = ("backfill", str(file), "--workflow", "old")
        asked = shell.run(*command, code=3, timeout=LONGEST_S)
        assert f"start First Points Thanks for up to {ROWS:,} people" in asked.stderr
        assert f"start Welcome Series for up to {ROWS:,} people" in asked.stderr
        for reached in (
            _is("SELECT count(*) FROM backfill_records", 20_000),
            _is("SELECT count(*) FROM runs", 10_000),
            _is(
                "SELECT count(*) FROM requests WHERE answered IS NOT NULL AND call = 'bulk_create_events'", 20
            ),
        ):
            _kill_once(shell.start(*command, "--history"), shell.home, reached)
        done = shell.run(*command, "--history", "--json", timeout=600)
        found = json.loads(done.stdout)
        assert (found["state"], found["progress"]["done"]) == ("done", ROWS)
        state = account.state()
        events = [each for each in state["events"] if each["metric"] == "First Points Earned"]
        assert len({each["unique_id"] for each in events}) == len(events) == ROWS
        assert all(each["backfill"] for each in events)
        assert not [flow["name"] for flow in state["flows"] if flow["starts"]]
        people = Counter(each["email"] for each in state["profiles"] if str(each["email"]).startswith("row"))
        assert (len(people), set(people.values())) == (ROWS, {1})
        points = {each["email"]: each["properties"] for each in state["profiles"]}
        assert all(
            points[f"row{number}@mapleandember.example"] == {"Points": number} for number in range(ROWS)
        )
        assert shell.run("audit", "verify", timeout=LONGEST_S).returncode == 0
