"""Mapping: a workflow built, changed, saved and compared by keys alone."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from askel_tui.core.workflows.loader import load_workflow
from askel_tui.core.workflows.model import Workflow
from askel_tui.core.workflows.upgrade import upgrade_file
from askel_tui.tui.app import AskelApp
from askel_tui.tui.screens.mapping.draft_yaml import to_yaml
from askel_tui.tui.screens.mapping.screen import MappingScreen
from askel_tui.tui.widgets.table import Table
from tests.support.thinning import first_only
from tests.support.workbench import Workbench, example, points
from tests.tui.conftest import QUIET, Console, assert_snapshot, ready, text_of, toasts
from tests.tui.hostile import NAMES, assert_inert
from tests.tui.keys import answer, press

SIZES = [(60, 20), (80, 24), (120, 36), (200, 50)]


async def some(bench: Workbench) -> None:
    """The Maple & Ember workflow as a draft, and its records."""
    await bench.apply(example("first-points-welcome.yaml"), activate=False)
    await bench.take(example("first-points.jsonl"))


async def records(bench: Workbench) -> None:
    """Records alone."""
    await bench.take(example("first-points.jsonl"))


def screen_of(app: AskelApp) -> MappingScreen:
    """The screen."""
    screen = app.screen_stack[0]
    assert isinstance(screen, MappingScreen)
    return screen


def go(app: AskelApp, step: int | None, name: str | None) -> None:
    """Puts the cursor on a row, as the arrows would."""
    app.screen.query_one("#draft", Table).move_cursor_to_key(f"{'' if step is None else step}\0{name or ''}")


def in_effect(text: str) -> Workflow:
    """The workflow of a text, without the text."""
    workflow, problems = load_workflow(text)
    assert workflow is not None, problems
    return replace(workflow, source="")


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_what_it_shows(console: Console, size: tuple[int, int]) -> None:
    """Fields, the workflow with what it gives, targets with what they are."""
    async with console(size=size, first="mapping", prepare=some) as (app, pilot, _):
        await ready(pilot)
        assert_snapshot(text_of(app), f"mapping-{size[0]}x{size[1]}")


async def test_maple_and_ember_is_built_by_keys_alone(console: Console) -> None:
    """From nothing but records to a saved draft that says what the example file says."""
    async with console(first="mapping", prepare=records) as (app, pilot, bench):
        await press(pilot, "w")
        await press(pilot, "enter")
        await press(pilot, *"First points welcome", "enter")
        await press(pilot, "enter")
        screen = screen_of(app)
        assert screen.mapping.draft.triggers == ("first_points_earned",)
        assert screen.mapping.draft.profile["phone_number"] == "e164(data.shopper.phone, 'GB')"
        await press(pilot, "down", "down", "enter")
        await answer(pilot, "data.points > `0`")
        # All that names and samples suggest, in a first step.
        await press(pilot, "s")
        await press(pilot, *"all", "enter")
        fields = dict(screen.mapping.draft.steps[0].fields)
        assert fields["properties.LoyaltyTier"] == "title(data.shopper.tier)"
        for name in [each for each in fields if each not in WANTED]:
            go(app, 0, name)
            await press(pilot, "d")
        for name in [each for each in WANTED if each not in fields]:
            await press(pilot, "p")
            await press(pilot, *name.removeprefix("properties."), "enter")
            await answer(pilot, WANTED[name])
        await rename(app, pilot, 0, "tier")
        for step, (kind, filled) in enumerate(STEPS, 1):
            await press(pilot, "a")
            await press(pilot, *kind, "enter")
            for name, text in filled.items():
                if name == "id":
                    await rename(app, pilot, step, text)
                    continue
                if name.startswith("properties."):
                    await press(pilot, "p")
                    await press(pilot, *name.removeprefix("properties."), "enter")
                elif name == "member":
                    go(app, step, name)
                    await press(pilot, "enter")
                    continue
                else:
                    go(app, step, name)
                    await press(pilot, "enter")
                await answer(pilot, text)
        assert screen.mapping.problems == []
        await press(pilot, "ctrl+s")
        assert "saved as version 1, a draft" in toasts(app)
        stored = bench.instance.workflow_document("first-points-welcome")
        file = upgrade_file(example("first-points-welcome.yaml").read_text("utf-8"), "f").after
        assert in_effect(stored.source) == in_effect(file)


WANTED = {
    "first_name": "data.shopper.first_name",
    "last_name": "data.shopper.last_name",
    "properties.LoyaltyTier": "title(data.shopper.tier)",
    "properties.LoyaltyPoints": "data.points",
}
STEPS: list[tuple[str, dict[str, str]]] = [
    ("require", {"segment": "VIP", "member": "false", "id": "not-vip"}),
    ("addtolist", {"list": "Welcome Flow", "id": "welcome"}),
    (
        "track",
        {
            "metric": "First Points Earned",
            "value": "data.points",
            "properties.Points": "data.points",
            "properties.Tier": "data.shopper.tier",
            "properties.Store": "data.store",
            "id": "points",
        },
    ),
]


async def rename(app: AskelApp, pilot: Pilot[Any], step: int, name: str) -> None:
    """Gives a step an id."""
    go(app, step, None)
    await press(pilot, "enter")
    await answer(pilot, name)


async def test_an_expression_shows_what_it_gives_as_one_types(console: Console) -> None:
    """With completion by Tab; an error is told at once; Esc leaves the row as it was."""
    async with console(first="mapping", prepare=some) as (app, pilot, _):
        screen = screen_of(app)
        go(app, 0, "properties.LoyaltyTier")
        before = screen.mapping.draft
        await press(pilot, "enter")
        assert "→ Gold" in text_of(app)
        await press(pilot, "ctrl+e", "ctrl+u", *"upper(data.shop")
        assert "data.shopper.tier" in text_of(app)
        await press(pilot, "ctrl+u", *"titel(data.a)")
        assert "Did you mean title?" in text_of(app)
        await press(pilot, "ctrl+u", *"data.shopper.ti", "tab")
        await press(pilot, "escape")
        assert screen.mapping.draft == before
        await press(pilot, "enter")
        await press(pilot, "ctrl+e", "ctrl+u", *"data.shopper.ti", "tab")
        await press(pilot, "enter")
        assert screen.mapping.draft.steps[0].fields["properties.LoyaltyTier"] == "data.shopper.tier"
        await press(pilot, "u")
        assert screen.mapping.draft == before
        await press(pilot, "U")
        assert screen.mapping.draft != before


async def test_fields_and_targets_are_picked(console: Console) -> None:
    """Enter on a field or target puts it where the cursor is, or asks."""
    async with console(size=(200, 50), first="mapping", prepare=some) as (app, pilot, _):
        screen = screen_of(app)
        go(app, 2, "list")
        app.screen.query_one("#targets").focus()
        app.screen.query_one("#targets", Table).move_cursor_to_key("list\0Newsletter")
        await press(pilot, "enter")
        assert screen.mapping.draft.steps[2].fields["list"] == "Newsletter"
        app.screen.query_one("#targets", Table).move_cursor_to_key("flow\0Welcome Series")
        await press(pilot, "enter")
        assert [step.kind for step in screen.mapping.draft.steps][3] == "trigger_flow"
        await press(pilot, "escape")
        go(app, 0, "first_name")
        app.screen.query_one("#sources").focus()
        app.screen.query_one("#sources", Table).move_cursor_to_key("data.store")
        await press(pilot, "enter")
        assert "first_name, the row under the cursor  instead of data.shopper.first_name" in text_of(app)
        await press(pilot, "enter")
        assert screen.mapping.draft.steps[0].fields["first_name"] == "data.store"
        go(app, 4, "time")
        await press(pilot, "enter")
        assert screen.mapping.draft.steps[4].fields["time"] == "data.store"
        go(app, 0, None)
        await press(pilot, "enter")
        assert "Where does data.store go?" in text_of(app)
        await press(pilot, *"called", "enter")
        assert screen.mapping.draft.steps[0].fields["properties.store"] == "data.store"


@pytest.mark.slow
async def test_all_eight_kinds_are_added_moved_and_removed(console: Console) -> None:
    """Each by its name; J and K move, d removes, u brings back."""
    kinds = ["upsert", "add_to", "remove_from", "track", "trigger", "subscribe", "unsubscribe", "require"]
    async with console(first="mapping", prepare=some) as (app, pilot, _):
        screen = screen_of(app)
        for kind in kinds:
            await press(pilot, "a")
            await press(pilot, *kind, "enter")
        assert len({step.kind for step in screen.mapping.draft.steps}) == 8
        order = [step.id for step in screen.mapping.draft.steps]
        go(app, 1, None)
        await press(pilot, "J")
        assert [step.id for step in screen.mapping.draft.steps] == [order[0], order[2], order[1], *order[3:]]
        await press(pilot, "K")
        assert [step.id for step in screen.mapping.draft.steps] == order
        await press(pilot, "d")
        assert [step.id for step in screen.mapping.draft.steps] == [order[0], *order[2:]]
        await press(pilot, "u")
        assert [step.id for step in screen.mapping.draft.steps] == order
        go(app, 0, "properties.LoyaltyTier")
        await press(pilot, "c")
        assert "clears on null: title(" in text_of(app)
        await press(pilot, "c", "c")
        assert "clears: title(" in text_of(app)
        await press(pilot, "c")
        assert "clears" not in text_of(app)


async def test_problems_are_listed_and_gone_to(console: Console) -> None:
    """A list that is gone: said at the row, listed, and refused when saved."""
    async with console(first="mapping", prepare=some) as (app, pilot, bench):
        screen = screen_of(app)
        go(app, 2, "list")
        await press(pilot, "enter")
        await press(pilot, *"Nowhere at all", "enter")
        shown = text_of(app)
        assert "✗ gone" in shown
        assert "Problems: 1" in shown
        go(app, None, "workflow")
        app.screen.query_one("#problems").focus()
        await press(pilot, "enter")
        assert screen.cursor.step == 2
        await press(pilot, "ctrl+s")
        assert "Nowhere at all" in toasts(app)
        assert len(bench.instance.state.versions("first-points-welcome")) == 1


@pytest.mark.slow
async def test_versions_are_compared_and_taken_back(console: Console) -> None:
    """V shows a diff with the present; r takes the version into the editor."""
    async with console(first="mapping", prepare=some) as (app, pilot, bench):
        screen = screen_of(app)
        before = screen.mapping.draft
        go(app, 2, "list")
        await press(pilot, "enter")
        await press(pilot, *"Newsletter", "enter")
        await press(pilot, "ctrl+s")
        assert "saved as version 2" in toasts(app)
        await press(pilot, "V")
        await press(pilot, "down", "enter")
        assert "Compare version 1 with what?" in text_of(app)
        await press(pilot, "enter")
        shown = text_of(app)
        assert "-  add_to_list: Welcome Flow" in shown
        assert "+  add_to_list: Newsletter" in shown
        await press(pilot, "r")
        assert screen.mapping.draft == before
        assert len(bench.instance.state.versions("first-points-welcome")) == 2
        await press(pilot, "V", "enter", *"version 1", "enter")
        shown = text_of(app)
        assert "version 2 → version 1" in shown
        assert "-  add_to_list: Newsletter" in shown


async def test_the_sample_is_the_fullest_record_or_a_chosen_one(console: Console) -> None:
    """A newest record that is poor and wrong hides nothing; [ and ] show what others give."""
    shopper = {"email": "ada@example.com", "tier": "gold"}
    lines: list[dict[str, Any]] = [
        {"id": "full", "event": "points", "data": {"points": 3, "shopper": shopper}},
        {"id": "poor", "event": "points", "data": {"shopper": {"email": "ada at example"}}},
    ]

    async def prepare(bench: Workbench) -> None:
        await bench.take(lines)

    async with console(first="mapping", prepare=prepare) as (app, pilot, _):
        await press(pilot, "w", "enter", *"points-in", "enter", "enter")
        assert screen_of(app).mapping.draft.profile == {"email": "data.shopper.email"}
        assert "Fields of 2 records, as in full" in text_of(app)
        assert "→ ada@example.com" in text_of(app)
        await press(pilot, "right_square_bracket")
        assert "! ada at" in text_of(app)
        await press(pilot, "left_square_bracket")
        assert "→ ada@example.com" in text_of(app)


async def test_a_workflow_may_be_begun_before_its_records(console: Console) -> None:
    """What to do is said; once they are there, s proposes who they are about too."""
    async with console(first="mapping") as (app, pilot, bench):
        await press(pilot, "w", "enter", *"early", "enter")
        assert "No record has come in: type the name of its event." in text_of(app)
        await press(pilot, "escape")
        assert screen_of(app).mapping.draft.name == ""
        await press(pilot, "w", "enter", *"early", "enter", *"first_points_earned", "enter")
        await bench.take(example("first-points.jsonl"))
        await press(pilot, "f5", "s")
        assert "email ← data.shopper.email" in text_of(app)
        await press(pilot, "enter")
        assert screen_of(app).mapping.draft.profile["email"] == "data.shopper.email"
        assert screen_of(app).mapping.draft.steps[0].fields["first_name"] == "data.shopper.first_name"


async def test_records_of_other_events_hide_no_sample(console: Console) -> None:
    """However many came in since; another trigger has its own."""

    async def prepare(bench: Workbench) -> None:
        await some(bench)
        await bench.take([{"id": f"o-{n}", "event": "other", "data": {"n": n}} for n in range(60)])

    async with console(first="mapping", prepare=prepare) as (app, pilot, _):
        assert "Fields of 40 records" in text_of(app)
        go(app, None, "trigger")
        await press(pilot, "enter")
        await answer(pilot, "other")
        assert "Fields of 50 records" in text_of(app)
        await press(pilot, "w", *"new wo", "enter", "y", *"again", "enter", *"first_points_earned", "enter")
        assert "Fields of 40 records" in text_of(app)


async def test_a_new_property_is_offered_the_field_of_its_name(console: Console) -> None:
    """points for KilnPoints, which the account does not have."""
    async with console(first="mapping", prepare=some) as (app, pilot, _):
        await press(pilot, "p", *"KilnPoints", "enter")
        assert "data.points" in text_of(app)
        await press(pilot, "enter")
        assert screen_of(app).mapping.draft.steps[0].fields["properties.KilnPoints"] == "data.points"


async def test_a_target_is_taken_whatever_the_case(console: Console) -> None:
    """vip means VIP, even beside a vip that is gone; what is found is next to be taken."""
    async with console(size=(200, 50), first="mapping", prepare=some) as (app, pilot, _):
        screen = screen_of(app)
        go(app, 1, "segment")
        await press(pilot, "enter", *"vip", "up", "enter")
        assert screen.mapping.draft.steps[1].fields["segment"] == "vip"
        assert "the account has no segment 'vip'. Did you mean VIP?" in text_of(app)
        await press(pilot, "enter", *"VIP", "enter")
        assert screen.mapping.draft.steps[1].fields["segment"] == "VIP"
        await press(pilot, "enter", *"gold", "enter")
        assert screen.mapping.draft.steps[1].fields["segment"] == "Gold Tier"
        await press(pilot, "slash", *"vip", "enter", "enter")
        assert screen.mapping.draft.steps[1].fields["segment"] == "VIP"
        await press(pilot, "escape", "a", *"track", "enter")
        await press(pilot, "enter")
        assert "Which metric?" in text_of(app)


async def test_an_unchanged_workflow_keeps_its_text(console: Console, tmp_path: Path) -> None:
    """Saved as a file it is what it came from, comments included; changed, it says the same as the draft."""
    file = tmp_path / "flow.yaml"
    async with console(first="mapping", prepare=some) as (app, pilot, _):
        await press(pilot, "Y")
        await answer(pilot, str(file))
        assert file.read_text("utf-8") == example("first-points-welcome.yaml").read_text("utf-8")
        go(app, 2, None)
        await press(pilot, "d")
        await press(pilot, "Y")
        await press(pilot, "ctrl+e", "ctrl+u", *str(file), "enter")
        await press(pilot, "y")
        assert file.read_text("utf-8") == to_yaml(screen_of(app).mapping.draft)


async def test_the_editor_gives_back_what_it_left(
    console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """$EDITOR changes the file; what can't be read is asked about."""
    script = tmp_path / "editor"
    script.write_text("#!/bin/sh\nsed -i 's/Welcome Flow/Newsletter/' \"$1\"\n", "utf-8")
    os.chmod(script, 0o755)
    monkeypatch.setenv("VISUAL", str(script))

    @contextmanager
    def suspended(self: AskelApp) -> Iterator[None]:
        yield

    monkeypatch.setattr(AskelApp, "suspend", suspended)
    async with console(first="mapping", prepare=some) as (app, pilot, _):
        await press(pilot, "E")
        assert screen_of(app).mapping.draft.steps[2].fields["list"] == "Newsletter"
        script.write_text("#!/bin/sh\necho 'steps: [' > \"$1\"\n", "utf-8")
        await press(pilot, "E")
        assert "Open the editor again?" in text_of(app)
        await press(pilot, "n")
        assert screen_of(app).mapping.draft.steps[2].fields["list"] == "Newsletter"


async def test_a_read_only_console_saves_nothing(console: Console) -> None:
    """It is refused below the screen."""
    async with console(first="mapping", prepare=some, read_only=True) as (app, pilot, bench):
        go(app, 2, None)
        await press(pilot, "d", "ctrl+s")
        assert "read-only" in toasts(app).lower()
        assert len(bench.instance.state.versions("first-points-welcome")) == 1


@pytest.mark.parametrize("size", first_only([(60, 20), (80, 24)]), ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.slow
async def test_hostile_fields_and_samples_are_inert(console: Console, size: tuple[int, int]) -> None:
    """Names of fields, values, events and targets that try to do something."""

    async def hostile(bench: Workbench) -> None:
        await bench.apply(example("first-points-welcome.yaml"), activate=False)
        await bench.take(example("hostile.jsonl"))
        for at, name in enumerate(NAMES):
            record = points(at, first_name=name, tier=name)
            await bench.take([{**record, "data": {**record["data"], name[:300]: name, "list": [name[:100]]}}])

    async with console(size=size, first="mapping", prepare=hostile) as (app, pilot, _):
        for pane in ("#sources", "#draft", "#targets"):
            app.screen.query_one(pane).focus()
            for _ in range(14):
                await pilot.press("down")
                await pilot.pause()
                assert_inert(text_of(app), size[0])
        go(app, 0, "first_name")
        app.screen.query_one("#draft").focus()
        await press(pilot, "enter")
        await press(pilot, "ctrl+e", "ctrl+u", *"data.")
        assert_inert(text_of(app), size[0])


async def test_what_is_not_saved_is_there_at_the_next_start(console: Console) -> None:
    """The draft is kept between starts, and said to be unsaved."""
    async with console(first="mapping", prepare=some) as (app, pilot, bench):
        go(app, 2, None)
        await press(pilot, "d")
        draft, home = screen_of(app).mapping.draft, bench.instance.home
        assert len(draft.steps) == 3
    again = AskelApp(home=home, first="mapping", timing=QUIET)
    async with again.run_test(size=(120, 36)) as second:
        await ready(second)
        assert screen_of(again).mapping.draft == draft
        assert "not saved" in text_of(again)
        await press(second, "u")
        assert len(screen_of(again).mapping.draft.steps) == 4


async def test_the_dry_run_shows_what_was_just_saved(console: Console) -> None:
    """Saved on Mapping, the new version is the one that Dry run tries."""
    async with console(first="dry_run", prepare=some) as (app, pilot, _):
        assert "first-points-welcome v1" in text_of(app)
        await press(pilot, "4")
        go(app, 2, None)
        await press(pilot, "d")
        await press(pilot, "ctrl+s")
        await press(pilot, "5")
        assert "first-points-welcome v2" in text_of(app)


SHARED = """\
workflow: shared
connection: maple-ember
trigger: first_points_earned
profile: {email: data.shopper.email, phone_number: data.shopper.phone}
steps:
  - id: points
    track_event: {metric: First Points Earned}
"""


@pytest.mark.slow
async def test_rules_about_phones_and_names_meant_as_text_are_rows(console: Console) -> None:
    """What a file may say of bad and shared numbers, and of names, is shown, changed and written."""

    async def prepare(bench: Workbench) -> None:
        await bench.apply(SHARED, activate=False)

    async with console(size=(120, 36), first="mapping", prepare=prepare) as (app, pilot, bench):
        shown = text_of(app)
        assert re.search(r"if_bad +the record fails", shown)
        assert re.search(r"on_shared_phone +it is written", shown)
        await press(pilot, "j", "j", "j", "j", "j", "enter", *"leave", "enter")
        await press(pilot, "j", "j", "enter", *"fail", "enter")
        shown = text_of(app)
        assert re.search(r"if_bad +leave_out +it is left out", shown)
        assert re.search(r"on_shared_phone +fail +the record fails", shown)
        await press(pilot, "j", "j", "t")
        assert "as text: First Po" in text_of(app)
        await press(pilot, "ctrl+s")
        applied = await bench.instance.applied_version("shared", 2)
        assert applied is not None
        written = applied.workflow
        assert (written.dispensable, written.on_shared_phone) == (frozenset({"phone_number"}), "fail")
        assert written.literals == {("points", "metric")}
        await press(pilot, "t", "u", "u", "u")
        assert re.search(r"on_shared_phone +it is written", text_of(app))
        await press(pilot, "g", "t")
        assert "can be meant as text" in toasts(app)
