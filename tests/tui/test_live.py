"""Live: the tail follows and is held, filters while it follows, and shows entries whole."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import Any

import pytest

from askel_tui.store.paths import journal_file
from askel_tui.tui.screens.live.screen import LiveScreen
from askel_tui.tui.screens.live.tail import Tail
from askel_tui.tui.shell.textual_internals import mounted_screens
from askel_tui.tui.widgets.filter_bar import FilterBar
from tests.benchmarks.audit_filler import INSERT, entry
from tests.support.workbench import example
from tests.tui.conftest import (
    QUIET,
    THEMES,
    assert_picture,
    assert_snapshot,
    picture_of,
    text_of,
    toasts,
    until,
)

pytestmark = pytest.mark.clock

SIZES = [(60, 20), (80, 24), (120, 36), (200, 50)]
ENTRIES = 2_000


def write(app: Any, first: int, last: int) -> None:
    with sqlite3.connect(journal_file(app.appearance.directory)) as db:
        db.executemany(INSERT, [entry(number) for number in range(first, last + 1)])
    db.close()


async def there(pilot: Any, count: int = ENTRIES) -> Tail:
    await until(
        pilot, lambda: pilot.app.screen.query(Tail) and pilot.app.screen.query_one(Tail).rows.count == count
    )
    tail: Tail = pilot.app.screen.query_one(Tail)
    # Its timer runs while rows come; then what came is painted.
    await until(
        pilot,
        lambda: (
            tail.virtual_size.height == count and tail._timer is None and "…" * 5 not in text_of(pilot.app)
        ),
    )
    return tail


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_it_looks_like_this(alone: Any, size: tuple[int, int]) -> None:
    async with alone(size=size, first="live", entries=ENTRIES) as (app, pilot):
        await there(pilot)
        assert_snapshot(text_of(app), f"live-{size[0]}x{size[1]}")
        await pilot.press("up", "up", "up", "enter")
        await until(pilot, lambda: "Entry 1,997" in text_of(app))
        await pilot.pause()
        assert_snapshot(text_of(app), f"live-entry-{size[0]}x{size[1]}")


@pytest.mark.parametrize("theme", THEMES)
async def test_it_looks_like_this_in_every_theme(alone: Any, theme: str) -> None:
    async with alone(size=(80, 24), first="live", entries=ENTRIES) as (app, pilot):
        await there(pilot)
        await pilot.press("up", "up", "up")
        app.theme = theme
        await pilot.pause()
        assert_picture(app, f"live-{theme}")


async def test_it_follows_until_one_looks_back(alone: Any) -> None:
    async with alone(first="live", entries=ENTRIES) as (app, pilot):
        tail = await there(pilot)
        write(app, ENTRIES + 1, ENTRIES + 50)
        await there(pilot, ENTRIES + 50)
        assert tail.selected_row is not None
        assert tail.selected_row.seq == ENTRIES + 50
        await pilot.press("up")
        assert not tail.follow
        top = tail.scroll_offset.y
        write(app, ENTRIES + 51, ENTRIES + 1_290)
        await until(pilot, lambda: "1,240 new, End to follow" in text_of(app))
        assert tail.scroll_offset.y == top
        assert tail.selected_row is not None
        assert tail.selected_row.seq == ENTRIES + 49
        await pilot.press("end")
        await until(pilot, lambda: tail.selected_row is not None and tail.selected_row.seq == ENTRIES + 1_290)
        assert "▶ following" in text_of(app)


async def test_the_wheel_holds_it_too(alone: Any) -> None:
    async with alone(first="live", entries=ENTRIES) as (_, pilot):
        tail = await there(pilot)
        tail.scroll_relative(y=-10, animate=False)
        await pilot.pause()
        assert not tail.follow


async def test_the_filter_holds_while_entries_come(alone: Any) -> None:
    async with alone(first="live", entries=ENTRIES) as (app, pilot):
        await there(pilot)
        await pilot.press("slash", *"workflow:vip-gift !failed", "enter")
        tail = await there(pilot, len([n for n in range(1, ENTRIES + 1) if n % 5 == 0 and n % 997]))
        before = tail.rows.count
        assert "first-points-welcome" not in text_of(app)
        write(app, ENTRIES + 1, ENTRIES + 100)
        await until(pilot, lambda: tail.rows.count == before + 20)
        await pilot.press("escape")
        await there(pilot, ENTRIES + 100)


async def test_a_value_that_makes_no_sense_is_reported_in_place(alone: Any) -> None:
    async with alone(first="live", entries=20) as (app, pilot):
        await there(pilot, 20)
        await pilot.press("slash", *"result:nonsense")
        await until(pilot, lambda: "Result is one of written" in text_of(app))


@pytest.mark.painted
async def test_paging_goes_to_the_oldest_and_back(alone: Any) -> None:
    async with alone(first="live", entries=ENTRIES) as (_, pilot):
        tail = await there(pilot)
        await pilot.press("g")
        await until(pilot, lambda: tail.selected_row is not None and tail.selected_row.seq == 1)
        await pilot.press("pagedown")
        await until(pilot, lambda: tail.selected_row is not None and tail.selected_row.seq > 20)
        await pilot.press("G")
        await until(pilot, lambda: tail.selected_row is not None and tail.selected_row.seq == ENTRIES)
        assert tail.follow


async def test_a_click_chooses_and_a_second_one_opens(alone: Any) -> None:
    async with alone(first="live", entries=ENTRIES) as (app, pilot):
        tail = await there(pilot)
        await pilot.click(Tail, offset=(10, 5))
        assert tail.cursor == tail.scroll_offset.y + 4
        await pilot.click(Tail, offset=(10, 5), times=2)
        await until(pilot, lambda: "Life of the record" in text_of(app) or "Answer" in text_of(app))


@pytest.mark.painted
async def test_text_can_be_selected_with_the_mouse_while_it_is_held(alone: Any) -> None:
    async with alone(first="live", entries=ENTRIES) as (app, pilot):
        tail = await there(pilot)
        await pilot.press("up", "up")
        at = text_of(app).splitlines()[4].index("written")
        await pilot.mouse_down(offset=(at, 4))
        await pilot.hover(offset=(at + len("written") + 1, 4))
        await pilot.mouse_up(offset=(at + len("written") + 1, 4))
        assert app.screen.get_selected_text() == "written"
        shown = picture_of(app)
        app.screen.clear_selection()
        await pilot.pause()
        assert tail.text_selection is None
        assert picture_of(app) != shown


async def test_lines_that_were_painted_are_not_painted_again(alone: Any) -> None:
    async with alone(first="live", entries=ENTRIES) as (app, pilot):
        tail = await there(pilot)
        await pilot.press("up", "up")
        before = tail.painted_lines
        await pilot.press("up", "down", "up", "down")
        await pilot.pause()
        assert tail.painted_lines - before <= 8
        before, height = tail.painted_lines, tail.size.height
        tail.follow = True
        write(app, ENTRIES + 1, ENTRIES + 1_000)
        await there(pilot, ENTRIES + 1_000)
        # A thousand came, and what had to be painted is what is on the screen, a few times.
        assert tail.painted_lines - before <= 5 * height


async def test_hostile_records_are_shown_inert(console: Any) -> None:
    async def prepare(bench: Any) -> None:
        await bench.apply(example("first-points-welcome.yaml"))
        await bench.take(example("hostile.jsonl"))
        await bench.drain()

    async with console(size=(200, 50), first="live", prepare=prepare) as (app, pilot, bench):
        count = len(await bench.audit())
        tail = await there(pilot, count)
        await pilot.press("g", "enter")
        for line in range(0, count, 3):
            tail.go_to(line)
            await pilot.pause()
            shown = text_of(app)
            assert "\x1b" not in shown
            assert "\u202e" not in shown
            assert "\x07" not in shown
        assert tail.cursor >= count - 3
        assert app.is_running


async def test_copies_are_json_and_curl_without_the_key(
    console: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[str] = []
    monkeypatch.setattr("askel_tui.tui.screens.live.screen.copy", lambda app, text, what: copied.append(text))

    async def prepare(bench: Any) -> None:
        await bench.apply(example("first-points-welcome.yaml"))
        await bench.take(example("first-points.jsonl"))
        await bench.drain()

    async with console(first="live", prepare=prepare) as (_app, pilot, bench):
        await there(pilot, len(await bench.audit()))
        await pilot.press("y", "c")
        await until(pilot, lambda: len(copied) == 2)
        as_json, as_curl = sorted(copied, key=lambda text: text.startswith("curl"))
        assert '"hash"' in as_json
        assert as_curl.startswith("curl --request POST")
        assert "$KLAVIYO_API_KEY" in as_curl
        assert bench.sandbox.key not in "".join(copied)


async def test_a_step_is_held_and_released_and_a_workflow_paused_from_here(console: Any) -> None:
    async def prepare(bench: Any) -> None:
        await bench.apply(example("first-points-welcome.yaml"))
        await bench.take(example("first-points.jsonl"))
        await bench.drain()

    async with console(first="live", prepare=prepare) as (app, pilot, bench):
        tail = await there(pilot, len(await bench.audit()))
        await pilot.press("up")
        row = tail.selected_row
        assert row is not None
        assert isinstance(app.screen, LiveScreen)
        await pilot.press("s")
        await until(pilot, lambda: "is held: its operations wait" in toasts(app))
        held = await bench.instance.journal.holds()
        assert [(hold.workflow, hold.step) for hold in held] == [(row.workflow, row.step)]
        await pilot.press("r")
        await until(pilot, lambda: f"step {row.step}?" in text_of(app))
        await pilot.press("y")
        await until(pilot, lambda: f"step {row.step} is released" in toasts(app))
        assert await bench.instance.journal.holds() == []
        await pilot.press("p")
        await until(pilot, lambda: "is paused" in toasts(app))


async def test_the_filter_is_there_again_after_a_start(alone: Any) -> None:
    async with alone(first="live", entries=100) as (app, pilot):
        await there(pilot, 100)
        app.screen.query_one(FilterBar).set_text("step:tier")
        await there(pilot, 25)
        assert app.session.recall("live.filter") == "step:tier"


async def test_it_is_made_ready_in_the_background_with_its_newest_rows(console: Any) -> None:
    async def prepare(bench: Any) -> None:
        await bench.apply(example("first-points-welcome.yaml"))
        await bench.take(example("first-points.jsonl"))
        await bench.drain()

    async with console(prepare=prepare, timing=replace(QUIET, preload_delay_s=0.01)) as (app, pilot, _):
        await until(pilot, lambda: "live" in mounted_screens(app))
        tail = mounted_screens(app)["live"].query_one(Tail)
        await until(pilot, lambda: tail.rows.count)
        assert app.current_mode == "overview"
        await pilot.press("6")
        await until(pilot, lambda: "✓ written" in text_of(app))
        assert app.focused is tail
