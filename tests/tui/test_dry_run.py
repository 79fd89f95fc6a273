"""Dry run: records, their changes and requests, totals, exports, going live, by keys alone."""

from __future__ import annotations

import csv
import io
import json
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.core.operations import Target
from askel_tui.core.planning.rehearsal import Skip
from askel_tui.core.problems import Problem
from askel_tui.services.dry_run import dry_run
from askel_tui.services.dry_run_result import (
    DryRun,
    DryRunTotals,
    OperationPreview,
    RecordPreview,
    RequestPreview,
)
from askel_tui.services.json_documents import to_json
from askel_tui.sync.engine.command_bus import submit
from askel_tui.tui.screens.dry_run import view
from askel_tui.tui.screens.dry_run.details import record_details
from askel_tui.tui.screens.dry_run.export import EXPORT_COLUMNS, export_text
from tests.support.bad_days import change
from tests.support.thinning import first_only
from tests.support.workbench import Workbench, example, points
from tests.tui.conftest import Console, assert_snapshot, text_of, toasts
from tests.tui.hostile import NAMES, assert_inert
from tests.tui.keys import answer, press

pytestmark = pytest.mark.clock

SIZES = [(60, 20), (80, 24), (120, 36), (200, 50)]


async def draft(bench: Workbench) -> None:
    """The Maple & Ember workflow as a draft, and its records."""
    await bench.apply(example("first-points-welcome.yaml"), activate=False)
    await bench.take(example("first-points.jsonl"))


async def two(bench: Workbench) -> None:
    """Two records, one of which fails."""
    await bench.apply(example("first-points-welcome.yaml"), activate=False)
    await bench.take([points(1), points(2, email="not an address")])


async def status(bench: Workbench) -> str:
    """The state of the one workflow."""
    [found] = await bench.instance.journal.workflow_states()
    return found.status


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_what_it_shows(console: Console, size: tuple[int, int]) -> None:
    """The totals, the records, and the first of them whole."""
    async with console(size=size, first="dry_run", prepare=draft) as (app, _, _bench):
        assert_snapshot(text_of(app), f"dry-run-{size[0]}x{size[1]}")


async def test_it_shows_what_the_command_line_tells_and_writes_nothing(console: Console) -> None:
    """The totals are the dry run's, and no request changes anything."""
    async with console(size=(200, 50), first="dry_run", prepare=draft) as (app, pilot, bench):
        run = await dry_run(bench.instance, "first-points-welcome")
        shown = text_of(app)
        found = run.totals
        assert f"{found.new} new · {found.changed} changed · {found.unchanged} unchanged" in shown
        assert f"{found.added['Welcome Flow']} added to Welcome Flow" in shown
        assert f"Welcome Series for {found.flows['Welcome Series']} profiles" in shown
        assert "LoyaltyTier" in shown
        await press(pilot, "G")
        assert not [each for each in bench.requests(after=bench.requests_since) if each["method"] != "GET"]


@pytest.mark.slow
async def test_number_filter_and_gates(console: Console) -> None:
    """n asks how many; / filters; a gate that stops a record says why."""
    async with console(first="dry_run", prepare=draft) as (app, pilot, bench):
        await press(pilot, "n")
        await answer(pilot, "3")
        assert "3 records:" in text_of(app)
        await press(pilot, "n")
        await answer(pilot, "0")
        assert "0 is no number from 1" in toasts(app)
        await bench.take([points(7, email="vip@example.com")])
        await press(pilot, "r", "slash", *"skipped", "enter")
        shown = text_of(app)
        assert "1 of 3 records" in shown
        assert "✗ not let through" in shown
        assert "skipped: gate not-vip" in shown
        await press(pilot, "escape", "escape")
        await press(pilot, "slash", *"nobody-has-this", "enter")
        assert "Nothing fits" in text_of(app)


@pytest.mark.slow
async def test_requests_as_json_and_curl(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    """v turns from changes to JSON to curl; y copies exactly what would be sent; the key is a variable."""
    copied: list[str] = []
    async with console(first="dry_run", prepare=draft) as (app, pilot, bench):
        monkeypatch.setattr(
            "askel_tui.tui.screens.dry_run.screen.copy", lambda app, text, what: copied.append(text)
        )
        run = await dry_run(bench.instance, "first-points-welcome")
        record = to_json(run.records[0])
        await press(pilot, "y", "v")
        assert "Requests as JSON" in text_of(app)
        await press(pilot, "y", "v")
        assert "Requests as curl" in text_of(app)
        await press(pilot, "y")
        assert json.loads(copied[0]) == record
        wanted = [each["request"] for each in record["operations"] if each["request"]]
        assert [{k: v for k, v in each.items() if k != "step"} for each in json.loads(copied[1])] == wanted
        commands = [shlex.split(each, comments=True) for each in copied[2].split("\n\n")]
        assert [each[each.index("--request") + 1] for each in commands] == [each["method"] for each in wanted]
        assert [json.loads(each[-1]) for each in commands] == [each["body"] for each in wanted]
        assert all(bench.sandbox.url in each[3] for each in commands)
        assert bench.sandbox.key not in "".join(copied)
        assert copied[2].count("$KLAVIYO_API_KEY") == len(wanted)


async def test_a_file_is_tried_without_keeping_it(console: Console, tmp_path: Path) -> None:
    """f asks for a file; lines that are no records are told."""
    file = tmp_path / "tomorrow.jsonl"
    file.write_text(json.dumps(points(50)) + "\nnonsense\n", "utf-8")
    async with console(first="dry_run", prepare=draft) as (app, pilot, bench):
        await press(pilot, "f")
        await answer(pilot, str(file))
        shown = text_of(app)
        assert "Records: tomorrow.jsonl" in shown
        assert "t50@mapleandember.example" in shown
        assert "1 line of the file can't be read" in toasts(app)
        assert await bench.instance.journal.find_record("maple-ember", "t-50") is None
        await press(pilot, "f")
        await answer(pilot, str(tmp_path / "none.jsonl"))
        assert "No such file" in toasts(app)
        assert "could not be tried" in text_of(app)


@pytest.mark.parametrize("kind", ["csv", "json", "md"])
async def test_exports(console: Console, tmp_path: Path, kind: str) -> None:
    """A file of its owner's; an existing one is replaced only after y."""
    file = tmp_path / f"out.{kind}"
    async with console(first="dry_run", prepare=two) as (_, pilot, _bench):
        await press(pilot, "e")
        await answer(pilot, str(file))
        text = file.read_text("utf-8")
        assert file.stat().st_mode & 0o777 == 0o600
        assert "t1@mapleandember.example" in text.replace("\\", "")
        assert "LoyaltyTier" in text
        file.write_text("mine", "utf-8")
        await press(pilot, "e")
        await press(pilot, "enter")
        await press(pilot, "n")
        assert file.read_text("utf-8") == "mine"
        await press(pilot, "e")
        await press(pilot, "enter")
        await press(pilot, "y")
        assert file.read_text("utf-8") == text


async def test_going_live_names_the_numbers_and_takes_a_word(console: Console) -> None:
    """L, Enter and y alone do nothing; the word does; what is shown is sent where that was chosen."""
    async with console(size=(120, 36), first="dry_run", prepare=two) as (app, pilot, bench):
        await press(pilot, "L")
        assert "for which records?" in text_of(app)
        await press(pilot, "down", "enter")
        shown = text_of(app)
        assert "the sandbox?" in shown
        assert "1 new, 0 changed, 0 unchanged" in shown
        assert "1 added to Welcome Flow" in shown
        assert "1 record would fail" in shown
        for keys in (["enter"], ["y"], ["tab", "y"]):
            await press(pilot, *keys)
            assert await status(bench) == "draft"
        await press(pilot, "escape")
        await press(pilot, "L")
        await press(pilot, "down", "enter")
        await press(pilot, *"live", "enter", "y")
        assert await status(bench) == "active"
        assert "version 1 is live" in toasts(app)
        assert "● active" in text_of(app)
        await bench.drain()
        assert bench.on_list("Welcome Flow") == ["t1@mapleandember.example"]


async def test_from_now_on_leaves_what_is_shown_unsent(console: Console) -> None:
    """The first choice: only records that come in later."""
    async with console(first="dry_run", prepare=two) as (_, pilot, bench):
        await press(pilot, "L")
        await press(pilot, "enter")
        await press(pilot, *"live", "enter", "y")
        assert await status(bench) == "active"
        await bench.drain()
        assert bench.on_list("Welcome Flow") == []
        await bench.take([points(9)])
        await bench.drain()
        assert bench.on_list("Welcome Flow") == ["t9@mapleandember.example"]


@pytest.mark.slow
async def test_it_goes_live_by_steps(console: Console) -> None:
    """The third choice: the first twenty records are sent, then the workflow pauses by itself."""

    async def many(bench: Workbench) -> None:
        await bench.apply(example("first-points-welcome.yaml"), activate=False)
        await bench.take([points(number) for number in range(22)])

    async with console(first="dry_run", prepare=many) as (_, pilot, bench):
        await press(pilot, "L", "down", "down", "enter", *"live", "enter", "y")
        await bench.drain()
        assert (await status(bench), len(bench.on_list("Welcome Flow"))) == ("paused", 20)


@pytest.mark.slow
async def test_a_newer_version_than_the_one_tried_does_not_go_live(console: Console) -> None:
    """What was shown is what goes live, or nothing."""
    async with console(first="dry_run", prepare=two) as (app, pilot, bench):
        text = example("first-points-welcome.yaml").read_text().replace("Welcome Flow", "Newsletter")
        await bench.apply(text, activate=False)
        await press(pilot, "L")
        assert "has a version 2 by now" in toasts(app)
        await press(pilot, "r")
        assert "first-points-welcome v2" in text_of(app)


@pytest.mark.slow
async def test_what_runs_already_is_named(console: Console) -> None:
    """A newer version of a paused workflow: what it replaces, and that what waits is sent."""

    async def paused(bench: Workbench) -> None:
        name = await bench.apply(example("first-points-welcome.yaml"))
        await submit(bench.instance, "pause", {"workflow": name}, "test")
        text = example("first-points-welcome.yaml").read_text().replace("Welcome Flow", "Newsletter")
        await bench.apply(text, activate=False)
        await bench.take([points(1)])

    async with console(first="dry_run", prepare=paused) as (app, pilot, bench):
        assert "○ draft, v1 is ‖ paused" in text_of(app)
        await press(pilot, "L")
        await press(pilot, "enter")
        shown = text_of(app)
        assert "2 takes the place of 1" in shown
        assert "the records that wait are sent too" in shown
        await press(pilot, *"live", "enter", "y")
        assert await status(bench) == "active"


@pytest.mark.parametrize(("key", "version"), [("p", 2), ("k", 1)])
async def test_what_is_unsent_under_an_older_version_is_shown_and_asked_about(
    console: Console, key: str, version: int
) -> None:
    """A property is mapped to another name while its step is held: what re-planning would send, and what it does."""

    async def held(bench: Workbench) -> None:
        name = await bench.apply(example("first-points-welcome.yaml"))
        await submit(bench.instance, "hold", {"workflow": name, "step": "tier"}, "test")
        await bench.take([points(1)])
        await bench.drain()
        text = example("first-points-welcome.yaml").read_text().replace("LoyaltyTier", "LoyaltyLevel")
        await bench.apply(text, activate=False)

    async with console(size=(120, 50), first="dry_run", prepare=held) as (app, pilot, bench):
        await press(pilot, "L", "enter", *"live", "enter", "y")
        shown = text_of(app)
        assert "1 record with something unsent under older versions" in shown
        assert "planned anew: 1 tier" in shown
        assert "LoyaltyLevel" in shown
        await press(pilot, "escape")
        [state] = await bench.instance.journal.workflow_states()
        assert state.version == 1
        await press(pilot, "L", "enter", *"live", "enter", "y", key)
        [state] = await bench.instance.journal.workflow_states()
        assert state.version == 2
        assert {each.version for each in await bench.instance.journal.holds() if each.waiting} == {version}


@pytest.mark.parametrize(("key", "marked"), [("h", True), ("f", False)])
@pytest.mark.slow
async def test_records_of_the_past_start_flows_only_where_that_is_said(
    console: Console, key: str, marked: bool
) -> None:
    """Going live from a record of last year on: which flows would start, and the two answers."""

    async def old(bench: Workbench) -> None:
        await bench.apply(example("first-points-welcome.yaml"), activate=False)
        await bench.take([{**points(1), "time": "2025-11-01T10:00:00Z"}])

    async with console(size=(120, 50), first="dry_run", prepare=old) as (app, pilot, bench):
        await press(pilot, "L", "down", "enter", *"live", "enter", "y")
        shown = text_of(app)
        assert "1 record of the past would reach people" in shown
        assert "Welcome Series starts for up to 1 person" in shown
        await press(pilot, "escape")
        assert await status(bench) == "draft"
        await press(pilot, "L", "down", "enter", *"live", "enter", "y", key)
        [state] = await bench.instance.journal.workflow_states()
        assert (state.status, state.history is not None) == ("active", marked)


async def test_people_who_opted_out_are_subscribed_again_only_where_their_number_is_typed(
    console: Console,
) -> None:
    async def left(bench: Workbench) -> None:
        text = example("first-points-welcome.yaml").read_text()
        head = text[: text.index("steps:")]
        step = "steps:\n  - id: in\n    subscribe: {channels: [email], list: Newsletter, proof: record}\n"
        await bench.apply(f"{head}{step}", activate=False)
        record = {**points(1), "time": "2021-01-01T00:00:00Z"}
        email = record["data"]["shopper"]["email"]
        change(bench, "POST", "profiles", profiles=[{"email": email}])
        gone = {"consent": "UNSUBSCRIBED", "last_updated": "2020-01-01T00:00:00Z"}
        change(bench, "PUT", f"profiles/{email}/consent", **{"email.marketing": gone})
        await bench.take([record])

    async with console(size=(120, 50), first="dry_run", prepare=left) as (app, pilot, bench):
        await press(pilot, "L", "enter", *"live", "enter", "y")
        assert "would have subscribed 1 person again" in text_of(app)
        await press(pilot, "escape")
        assert await status(bench) == "draft"
        await press(pilot, "L", "enter", *"live", "enter", "y", "1", "enter", "y")
        assert await status(bench) == "active"


REPAIRED = """\
askel: 2
workflow: first-points-welcome
connection: maple-ember
trigger: first_points_earned
when: "data.points != `6`"
profile: {email: "coalesce(data.shopper.new_email, data.shopper.email)", external_id: data.shopper.id}
steps:
  - id: tier
    upsert_profile: {properties: {LoyaltyLevel: data.shopper.tier}}
  - id: news
    subscribe: {channels: [email], list: Newsletter, proof: record}
"""


@pytest.mark.parametrize(
    "size", first_only([(80, 24), (120, 36), (200, 50)]), ids=lambda size: f"{size[0]}x{size[1]}"
)
@pytest.mark.slow
async def test_every_consent_is_answered_in_the_question(console: Console, size: tuple[int, int]) -> None:
    """One record is refused by the new version, one gets another profile, all lack a new consent step."""

    async def held(bench: Workbench) -> None:
        name = await bench.apply(example("first-points-welcome.yaml"))
        await submit(bench.instance, "hold", {"workflow": name, "step": "tier"}, "test")
        await bench.take([points(1), points(2, new_email="moved@mapleandember.example"), points(3)])
        await bench.drain()
        await bench.apply(REPAIRED, activate=False)

    async with console(size=size, first="dry_run", prepare=held) as (app, pilot, bench):
        await press(pilot, "L", "enter", *"live", "enter", "y")
        shown = text_of(app)
        assert "[ ] u  1 record is refused by version 2: closes what waits of them" in shown
        assert "[ ] i  1 record is about another profile now: plans for that one" in shown
        assert "[ ] c  1 record is left without a new consent step: plans that step too" in shown
        for answer in ("Back (Esc)", "Plan anew (p)", "Keep the plans (k)"):
            assert answer in shown
        await press(pilot, "i")
        assert "[x] i" in text_of(app)
        # The record that moved has a new consent step as well.
        assert "[ ] c  2 records are left without" in text_of(app)
        await press(pilot, "c", "u")
        assert text_of(app).count("[x]") == 3
        assert "held for a decision" not in text_of(app)
        await press(pilot, "c", "p")
        await submit(bench.instance, "release", {"workflow": "first-points-welcome"}, "test")
        await bench.drain()
        assert bench.profile("moved@mapleandember.example")["properties"]["LoyaltyLevel"] == "gold"
        assert not any(each.waiting for each in await bench.instance.journal.holds() if each.version == 1)
        assert not bench.requests("bulk_subscribe_profiles", after=bench.requests_since)


async def test_a_read_only_console_does_not_go_live(console: Console) -> None:
    """It is refused below the screen."""
    async with console(first="dry_run", prepare=two, read_only=True) as (app, pilot, bench):
        await press(pilot, "L")
        await press(pilot, "enter")
        await press(pilot, *"live", "enter", "y")
        assert await status(bench) == "draft"
        assert "read-only" in toasts(app).lower()


@pytest.mark.slow
async def test_the_workflow_is_chosen_by_letters(console: Console) -> None:
    """w, some letters, Enter."""

    async def both(bench: Workbench) -> None:
        await draft(bench)
        await bench.apply(example("checkout-completed.yaml"), activate=False)

    async with console(first="dry_run", prepare=both) as (app, pilot, _):
        await press(pilot, "w")
        await press(pilot, *"fipo", "enter")
        assert "first-points-welcome v1 ○ draft" in text_of(app)
        await press(pilot, "w")
        await press(pilot, *"chkout", "enter")
        assert "No record matches checkout-completed" in text_of(app)


async def test_trouble_is_reported_and_tried_again(console: Console) -> None:
    """An account that does not answer is said on the screen; r tries again."""
    async with console(first="overview", prepare=two) as (app, pilot, bench):
        bench.fault("get_profiles", status=401, times=1)
        await press(pilot, "5")
        assert "could not be tried" in text_of(app)
        await press(pilot, "r")
        assert "2 records:" in text_of(app)


async def test_without_a_workflow_it_says_what_to_do(console: Console) -> None:
    """An empty screen is no riddle."""
    async with console(first="dry_run") as (app, _, _bench):
        assert "no workflow yet" in text_of(app)


@pytest.mark.parametrize("size", first_only([(60, 20), (80, 24)]), ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.slow
async def test_hostile_records_are_inert(console: Console, size: tuple[int, int]) -> None:
    """The hostile file and hostile names, in rows, details and requests."""

    async def hostile(bench: Workbench) -> None:
        await bench.apply(example("first-points-welcome.yaml"), activate=False)
        await bench.take(example("hostile.jsonl"))
        named = [
            {**points(at, first_name=name, tier=name, last_name=name), "id": f"n{at}{name[:40]}"}
            for at, name in enumerate(NAMES)
        ]
        await bench.take(named)

    async with console(size=size, first="dry_run", prepare=hostile) as (app, pilot, _):
        for _ in range(3):
            for _ in range(20):
                assert_inert(text_of(app), size[0])
                await pilot.press("j")
                await pilot.pause()
            await press(pilot, "g", "v")


HEAVY = st.text(max_size=40) | st.sampled_from([name for name in NAMES if len(name) < 1_000])
RECORDS = st.builds(
    lambda name, before, after, step, record: RecordPreview(
        record,
        {"email": name},
        False,
        (
            OperationPreview(
                step,
                "upsert_profile",
                None,
                {f"properties.{name}": {"before": before, "after": after}},
                RequestPreview("POST", "/api/x", {name: after}),
            ),
            OperationPreview(
                step,
                "track_event",
                Target("metric", None, name),
                {f"event {name}": {"before": None, "after": {"value": before, "properties": {name: after}}}},
                RequestPreview("POST", "/api/y", None),
            ),
        ),
        (Skip(step, name),),
        (Problem(name, step=step),),
    ),
    HEAVY,
    HEAVY | st.none() | st.integers() | st.booleans(),
    HEAVY | st.none() | st.lists(HEAVY, max_size=2),
    HEAVY,
    HEAVY,
)


def run_of(*records: RecordPreview) -> DryRun:
    """A run of these records."""
    return DryRun("w", 1, "c", records, TOTALS)


TOTALS = DryRunTotals(
    records=1,
    new=1,
    changed=1,
    unchanged=1,
    skipped=1,
    problems=1,
    subscribed=2,
    unsubscribed=2,
    added={"[b]=1": 1},
    removed={"x|y": 1},
    events={"\x1b[2J": 3},
    flows={"`f`": 2},
)


@given(RECORDS)
def test_every_rendering_of_any_record_is_inert(record: RecordPreview) -> None:
    """Details and totals hold nothing that a terminal acts on; CSV no formula; Markdown keeps its columns."""
    message = "".join(text for text, _ in [*record_details(record, 60), *view.totals_text(run_of(record))])
    assert_inert(message, 10**9)
    run = run_of(record)
    rows = list(csv.reader(io.StringIO(export_text(run, ".csv"))))
    assert all(
        not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t")) for row in rows[1:] for cell in row
    )
    assert json.loads(export_text(run, ".json")) == to_json(run)
    table = [line for line in export_text(run, ".md").split("\n") if line.startswith("|")]
    assert len(table) == len(rows) + 1
    assert {line.replace("\\\\", "").replace("\\|", "").count("|") for line in table} == {
        len(EXPORT_COLUMNS) + 1
    }
