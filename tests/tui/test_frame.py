"""The frame: screens by number, header, help, jumping, filter, Esc, quitting, keys that can be rebound."""

from __future__ import annotations

import importlib
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from textual.binding import Binding
from textual.widgets import Input

from askel_tui.tui.app import AskelApp
from askel_tui.tui.screens.header import TopBar
from askel_tui.tui.screens.live.tail import Tail
from askel_tui.tui.shell.console import HeaderState
from askel_tui.tui.shell.screen_registry import SCREENS
from askel_tui.tui.widgets.confirm import Confirm
from askel_tui.tui.widgets.filter_bar import FilterBar
from askel_tui.tui.widgets.help import HelpScreen
from askel_tui.tui.widgets.jump import JumpScreen
from askel_tui.tui.widgets.key_hints import KeyHints
from tests.support.workbench import example
from tests.tui.conftest import QUIET, Console, picture_of, ready, text_of, toasts, until
from tests.tui.keys import press


async def test_every_screen_is_on_its_number_and_in_the_palette(alone: Any) -> None:
    async with alone() as (app, pilot):
        for entry in SCREENS:
            await pilot.press("escape", entry.key)
            await ready(pilot)
            assert app.current_mode == entry.name
            assert f"{entry.key} {entry.title}" in text_of(app)
        titles = [command.title for command in app.get_system_commands(app.screen)]
        assert [f"Screen: {entry.title}" for entry in SCREENS] == titles[: len(SCREENS)]


async def test_a_screen_can_be_clicked_in_the_navigation(alone: Any) -> None:
    async with alone() as (app, pilot):
        at = text_of(app).splitlines()[1].index("6 Live")
        await pilot.click(offset=(at + 1, 1))
        await ready(pilot)
        assert app.current_mode == "live"


async def test_a_key_of_the_last_line_can_be_clicked(alone: Any) -> None:
    async with alone(first="live", entries=20) as (app, pilot):
        keys = text_of(app).splitlines()[-1]
        await pilot.hover(KeyHints, offset=(keys.index("Filter") + 2, 0))
        assert app.screen.query_one(KeyHints).tooltip == "word, !word, field:value"
        await pilot.click(KeyHints, offset=(keys.index("Filter") + 2, 0))
        await until(pilot, lambda: app.screen.query_one(FilterBar).has_class("-open"))
        # The focus is in the filter now: the tail's own keys do not work there.
        await until(pilot, lambda: "Details" not in text_of(app).splitlines()[-1])


async def test_a_screen_that_was_left_comes_back_in_the_theme_chosen_meanwhile(alone: Any) -> None:
    async with alone(first="live", entries=20) as (app, pilot):
        await pilot.press("1")
        await ready(pilot)
        app.theme = "light"
        await pilot.press("6")
        await ready(pilot)
        come_back = picture_of(app)
    async with alone(first="live", entries=20) as (app, pilot):
        app.theme = "light"
        await ready(pilot)
        assert picture_of(app) == come_back


async def test_the_header_says_where_one_is(alone: Any, console: Any) -> None:
    async with alone() as (app, _):
        assert "no connection" in text_of(app).splitlines()[0]
    async with console(read_only=True) as (app, _, _):
        head = text_of(app).splitlines()[0]
        for words in ("maple-ember", "SANDBOX", "no daemon", "READ-ONLY"):
            assert words in head


async def test_the_real_klaviyo_is_said_to_be_real(alone: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with alone() as (app, pilot):
        monkeypatch.delenv("ASKEL_KLAVIYO_URL")
        await app.update_header()
        await pilot.pause()
        assert "KLAVIYO · REAL" in text_of(app).splitlines()[0]


async def test_a_home_that_cannot_be_opened_is_said_and_the_console_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASKEL_HOME", str(tmp_path))
    (tmp_path / "journal.db").write_bytes(b"this is no journal of anybody" * 100)
    app = AskelApp(home=tmp_path, first="overview", timing=QUIET)
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: app.head.error)
        await until(pilot, lambda: "✗" in text_of(app).splitlines()[0])
        await pilot.press("6")
        assert app.current_mode == "live"


async def test_f1_tells_about_what_has_the_focus_and_its_keys(alone: Any) -> None:
    async with alone(first="live", entries=50) as (app, pilot):
        app.screen.query_one(Tail).focus()
        await pilot.press("f1")
        await pilot.pause()
        shown = text_of(app)
        assert isinstance(app.screen, HelpScreen)
        assert "The tail" in shown
        assert "Pause/resume" in shown
        await pilot.press("escape")
        assert not isinstance(app.screen, HelpScreen)


async def test_jumping_goes_to_the_letter(alone: Any) -> None:
    async with alone(first="live", entries=50) as (app, pilot):
        app.set_focus(None)
        await pilot.press("ctrl+o")
        await pilot.pause()
        assert isinstance(app.screen, JumpScreen)
        await pilot.press("t")
        await pilot.pause()
        assert isinstance(app.focused, Tail)


async def test_escape_leaves_the_filter_before_anything_else(alone: Any) -> None:
    async with alone(first="live", entries=50) as (app, pilot):
        await pilot.press("enter", "slash", *"tier")
        await until(pilot, lambda: app.screen.query_one(Tail).rows.count < 50)
        await pilot.press("escape")
        bar = app.screen.query_one(FilterBar)
        assert not bar.has_class("-open")
        assert bar.value == ""
        assert app.screen.query_one("#detail").display
        await pilot.press("escape")
        assert not app.screen.query_one("#detail").display


async def test_one_ctrl_c_asks_and_two_quit(alone: Any) -> None:
    async with alone() as (app, pilot):
        await pilot.press("ctrl+c")
        await pilot.pause()
        assert app.is_running
        assert "Press ctrl+c again to quit." in toasts(app)
        await pilot.press("ctrl+c")
        await until(pilot, lambda: app._exit)


async def test_a_question_is_not_answered_by_enter(alone: Any) -> None:
    async with alone() as (app, pilot):
        answers: list[bool | None] = []
        for keys in (["enter"], ["y"], ["n"], ["escape"]):
            app.push_screen(Confirm("Really?", "It is final."), answers.append)
            await pilot.pause()
            await pilot.press(*keys)
            await pilot.pause()
        assert answers == [False, True, False, None]


async def test_what_destroys_wants_the_number_typed(alone: Any) -> None:
    async with alone() as (app, pilot):
        answers: list[bool | None] = []
        app.push_screen(Confirm("Discard 12 operations?", typed="12"), answers.append)
        await pilot.pause()
        await pilot.press("1", "3", "enter", "y")
        await pilot.pause()
        assert answers == []
        app.screen.query_one(Input).value = "12"
        await pilot.press("enter", "y")
        await pilot.pause()
        assert answers == [True]


async def test_hostile_words_in_a_question_or_a_toast_are_shown_as_they_are(alone: Any) -> None:
    async with alone() as (app, pilot):
        app.toasts.show("[@click=app.quit]x[/] \x1b[2J\u202e", title="[red]")
        app.push_screen(Confirm("[bold]Rob[/] \x07?", "[@click=app.quit]here[/]"))
        await pilot.pause()
        shown = text_of(app)
        assert "[bold]Rob[/] ␇?" in shown
        assert "[@click=app.quit]here[/]" in shown
        assert "\x1b" not in shown
        assert "\u202e" not in shown


def test_every_binding_has_an_id_of_its_own() -> None:
    classes: list[Any] = [AskelApp, HelpScreen, JumpScreen, Confirm, Tail]
    for entry in SCREENS:
        try:
            module = importlib.import_module(entry.module)
        except ModuleNotFoundError:
            continue
        classes += [
            each
            for each in vars(module).values()
            if isinstance(each, type) and each.__module__ == entry.module
        ]
    seen: dict[str, Binding] = {}
    for each in classes:
        for binding in each.__dict__.get("BINDINGS", ()):
            assert isinstance(binding, Binding), (each, binding)
            assert binding.id, (each, binding.key)
            assert seen.setdefault(binding.id, binding) is binding, binding.id


async def test_keys_can_be_rebound_and_a_clash_is_said(alone: Any, tmp_path: Path, monkeypatch: Any) -> None:
    home = tmp_path / "mine"
    home.mkdir()
    (home / "keymap.yaml").write_text("app.live: ctrl+l\napp.failed: ctrl+l\n")
    (home / "config.yaml").write_text("theme: drak\nclipbord: auto\n")
    monkeypatch.setenv("ASKEL_HOME", str(home))
    app = AskelApp(home=home, first="overview", timing=QUIET)
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await until(pilot, lambda: "ctrl+l is asked for app.live and for app.failed" in toasts(app))
        shown = toasts(app)
        assert "config.yaml:2" in shown
        assert "clipboard" in shown
        assert "no theme is called 'drak'" in shown
        assert app.theme == "dark"


async def test_the_console_remembers_where_one_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASKEL_HOME", str(tmp_path))
    first = AskelApp(home=tmp_path, timing=QUIET)
    async with first.run_test() as pilot:
        await ready(pilot)
        await pilot.press("6")
        first.theme = "high-contrast"
        await ready(pilot)
    second = AskelApp(home=tmp_path, timing=QUIET)
    async with second.run_test() as pilot:
        await ready(pilot)
        assert second.current_mode == "live"
        assert second.theme == "high-contrast"


async def test_a_screen_one_comes_back_to_shows_what_happened_meanwhile(console: Console) -> None:
    """Connections names the workflow, Mapping the records, that came while another screen was in front."""
    async with console(first="connections") as (app, pilot, bench):
        assert "workflows  none" in text_of(app)
        await press(pilot, "4")
        assert "No record yet" in text_of(app)
        await press(pilot, "8")
        await bench.apply(example("first-points-welcome.yaml"))
        await bench.take(example("first-points.jsonl"))
        await until(pilot, lambda: getattr(app.get_screen_stack("mapping")[0], "is_stale", False))
        await press(pilot, "2")
        await until(pilot, lambda: "workflows  first-points-welcome" in text_of(app))
        await press(pilot, "4")
        await until(pilot, lambda: "Fields of 40 records" in text_of(app))


async def test_without_colour_everything_is_still_said(alone: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with alone(first="live", entries=1_000) as (app, pilot):
        assert app.no_color
        await until(pilot, lambda: "✓ written" in text_of(app))
        shown = text_of(app)
        for words in ("✓ written", "? unconfirmed", "✗ failed", "▶ following", "SANDBOX"):
            assert words in shown


def test_the_command_line_and_the_pure_parts_load_no_textual() -> None:
    live, text = ("rows", "feed"), ("filtering", "fuzzy", "curl", "exports")
    parts = [
        "askel_tui.cli.main",
        "askel_tui.tui",
        "askel_tui.tui.backend",
        "askel_tui.tui.preferences.config",
    ]
    parts += [f"askel_tui.tui.screens.live.{name}" for name in live] + [
        f"askel_tui.tui.text.{name}" for name in text
    ]
    parts += [
        f"askel_tui.tui.screens.mapping.{name}"
        for name in ("session", "editing", "filling", "saving", "view")
    ]
    code = f"import sys\nfor part in {parts!r}: __import__(part)\nassert 'textual' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("width", [60, 80, 120])
async def test_the_first_line_says_what_is_so_in_every_width(alone: Any, width: int) -> None:
    """Whatever comes together: nothing is cut off without a sign, and an age keeps its unit."""
    async with alone(size=(width, 24)) as (app, _):
        for name, sandbox, daemon, read_only, waiting, outage in product(
            ("m", "a-connection-with-a-long-name"),
            (True, False),
            (True, False),
            (True, False),
            (None, "17 min"),
            (None, "Klaviyo has not answered for 40 s: 20 operations wait"),
        ):
            if outage and not daemon:
                continue  # Only a daemon meets one.
            app.head = HeaderState(
                name,
                "sandbox" if sandbox else "klaviyo",
                daemon,
                read_only=read_only,
                oldest_waiting=waiting,
                outage=outage,
            )
            shown = app.screen.query_one(TopBar).render()
            text = shown.plain
            case = f"{width}: {text}"
            assert shown.cell_length <= width, case
            assert ("READ-ONLY" in text) == read_only, case
            assert ("✗ Kla" in text or (width == 60 and "✗" in text)) == (outage is not None), case
            if waiting and not outage and width >= 80:
                assert "◷" in text, case
                assert "17 min" in text, case
