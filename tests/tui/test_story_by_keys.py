"""The story of the README, told in the console by keys alone: connect, take in, map, rehearse, go live, watch."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from askel_tui.core.planning.plan import plan
from askel_tui.core.planning.steps import AppliedWorkflow
from askel_tui.core.records.record import Record
from askel_tui.sandbox.state.dump import account_state
from askel_tui.sandbox.state.seed import FULL_KEY
from askel_tui.services import workflows
from askel_tui.sync.instance import Instance, open_instance
from askel_tui.tui.app import AskelApp
from askel_tui.tui.widgets.table import Table
from tests.support.sandbox import running
from tests.support.workbench import ACTOR, NAME, Workbench, example
from tests.tui.conftest import ready, text_of, toasts, until
from tests.tui.keys import answer, press

WORKFLOW = "first-points-welcome"


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_maple_and_ember_goes_live_by_keys_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From an empty home to 40 welcomed shoppers, at 80x24; what was saved does what the example file does."""
    home = tmp_path / "home"
    async with running() as sandbox:
        for name, value in {
            "HOME": str(home),
            "VAULT_KEY": "correct horse",
            "KLAVIYO_URL": sandbox.url,
        }.items():
            monkeypatch.setenv(f"ASKEL_{name}", value)
        app = AskelApp()
        async with app.run_test(size=(80, 24)) as pilot:
            await ready(pilot)
            await connects(app, pilot)
            await takes_in(app, pilot)
            await maps(app, pilot)
            before = account_state(sandbox.account)
            await rehearses(app, pilot)
            assert account_state(sandbox.account) == before
            await goes_live(app, pilot)
            async with open_instance(home) as instance:
                bench = Workbench(instance, sandbox)
                await watches(app, pilot, bench)
                await same_in_effect(instance)
            await leaves(app, pilot)


async def connects(app: AskelApp, pilot: Pilot[Any]) -> None:
    """The key is typed into the masked field; what it may do is shown before anything is kept."""
    assert "Press 2 to connect" in text_of(app)
    await press(pilot, "2", "a", *NAME, "enter", *FULL_KEY, "ctrl+t")
    assert "Maple & Ember (MpEmbr)" in text_of(app)
    assert FULL_KEY not in app.export_screenshot()
    await press(pilot, "ctrl+s")
    assert "3 shows what is in the account; 4 takes in records" in toasts(app)


async def takes_in(app: AskelApp, pilot: Pilot[Any]) -> None:
    """A file of records, from the screen that needs them."""
    await press(pilot, "4")
    assert "i takes in a file" in text_of(app)
    await press(pilot, "i")
    await answer(pilot, str(example("first-points.jsonl")))
    assert "JSONL, a record a line. It begins:" in text_of(app)
    await press(pilot, "y")
    assert "40 new records." in toasts(app)


async def maps(app: AskelApp, pilot: Pilot[Any]) -> None:
    """Trigger and identifiers are proposed; the rest is picked, proposed or typed."""
    await press(pilot, "w", "enter", *"First points welcome", "enter", "enter")
    await fill(app, pilot, "when", "data.points > `0`")
    await press(pilot, "s", *"all", "enter")
    await press(pilot, "p", *"LoyaltyPoints", "enter")
    await answer(pilot, "data.points")
    await fill(app, pilot, "1 upsert_profile", "tier")
    await press(pilot, "a", *"require", "enter")
    await pick(app, pilot, "segment", "VIP")
    await go(app, pilot, "member")
    await press(pilot, "enter")
    await fill(app, pilot, "2 require_segment", "not-vip")
    await press(pilot, "a", *"add_to", "enter")
    await pick(app, pilot, "list", "welcome")
    await fill(app, pilot, "3 add_to_list", "welcome")
    await press(pilot, "a", *"track", "enter")
    await pick(app, pilot, "metric", "First Points Earned")
    await fill(app, pilot, "value", "data.points")
    for name, text in {"Points": "data.points", "Tier": "data.shopper.tier", "Store": "data.store"}.items():
        await press(pilot, "p", *name, "enter")
        await answer(pilot, text)
    await fill(app, pilot, "4 track_event", "points")
    assert "Problems" not in text_of(app)
    await press(pilot, "ctrl+s")
    assert f"{WORKFLOW} is saved as version 1, a draft" in toasts(app)


async def rehearses(app: AskelApp, pilot: Pilot[Any]) -> None:
    """The newest 30 beside the account as it is; nothing is written."""
    await press(pilot, "5")
    shown = text_of(app)
    assert f"{WORKFLOW} v1 ○ draft · nothing was written" in shown
    assert "the newest 30" in shown
    await press(pilot, "n")
    await answer(pilot, "40")
    assert "the newest 40" in text_of(app)


async def goes_live(app: AskelApp, pilot: Pilot[Any]) -> None:
    """For what is shown as well, with the word typed."""
    await press(pilot, "L", "down", "enter")
    shown = text_of(app)
    assert re.search(r"profiles +\d+ new, \d+ changed, \d+ unchanged", shown)
    await press(pilot, *"live", "enter", "y")
    assert "version 1 is live: d on Overview (1) starts the daemon" in toasts(app)


async def watches(app: AskelApp, pilot: Pilot[Any], bench: Workbench) -> None:
    """The daemon that is started from here sends, and Live shows each write as it happens."""
    await press(pilot, "1", "d")
    await until(pilot, lambda: app.head.daemon_running and app.head.daemon_is_ours)
    await press(pilot, "6")
    await until(pilot, lambda: len(bench.events("First Points Earned")) == 40)
    await until(pilot, lambda: "✓ written" in text_of(app))
    await press(pilot, "slash", *"step:points", "enter")
    await until(pilot, lambda: "› points" in text_of(app) and "› tier" not in text_of(app))
    await press(pilot, "k", "enter")
    await until(pilot, lambda: "First Points Earned" in text_of(app))
    assert len(bench.on_list("Welcome Flow")) == 40
    ada = bench.profile("shopper001@mapleandember.example")
    assert ada["properties"]["LoyaltyTier"] == "Ember"


async def same_in_effect(instance: Instance) -> None:
    """Planned over all example records, what was saved gives the operations that the example file gives."""
    mine = await instance.applied_version(WORKFLOW, 1)
    text = example("first-points-welcome.yaml").read_text("utf-8")
    await workflows.apply(instance, text, "example.yaml", ACTOR)
    theirs = await instance.applied_version(WORKFLOW, 2)
    assert mine is not None
    assert theirs is not None
    # A workflow that is made in the console follows the newest rules.
    assert replace(mine.workflow, source="", rules=theirs.workflow.rules) == replace(
        theirs.workflow, source=""
    )
    every = [each.record for each in await instance.journal.newest_records(NAME, 100)]
    assert len(every) == 40
    for record in every:
        assert written(record, mine) == written(record, theirs)


def written(record: Record, applied: AppliedWorkflow) -> Any:
    """What is planned, as one version."""
    planned = plan(record, replace(applied, version=1))
    assert planned is not None
    assert planned.operations
    return planned


async def leaves(app: AskelApp, pilot: Pilot[Any]) -> None:
    """The daemon that was started here is ended with the console, as it is told."""
    await press(pilot, "ctrl+q")
    await until(pilot, lambda: "Leave the daemon running?" in text_of(app))
    await press(pilot, "n")
    await until(pilot, lambda: app._exit)


async def go(app: AskelApp, pilot: Pilot[Any], row: str) -> None:
    """Goes down, and past the end from the top on, to a row by its first words."""
    table = app.screen.query_one("#draft", Table)
    for _ in range(table.row_count + 1):
        step = str(table.get_row_at(table.cursor_row)[0]).strip().removeprefix("✗ ")
        if step == row:
            return
        await press(pilot, "down" if table.cursor_row < table.row_count - 1 else "g")
    raise AssertionError(f"no row {row!r} in\n{text_of(app)}")


async def fill(app: AskelApp, pilot: Pilot[Any], row: str, text: str) -> None:
    """Edits a row."""
    await go(app, pilot, row)
    await press(pilot, "enter")
    await answer(pilot, text)


async def pick(app: AskelApp, pilot: Pilot[Any], row: str, letters: str) -> None:
    """Picks what a row names by letters of it."""
    await go(app, pilot, row)
    await press(pilot, "enter", *letters, "enter")
