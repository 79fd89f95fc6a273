"""Settings: themes, clipboard, keys, and what is wrong with the user's own files; by keys alone."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.tui.preferences.config_edit import with_setting
from askel_tui.tui.screens.settings import keymap
from askel_tui.tui.shell.timing import Timing
from tests.support.workbench import Workbench
from tests.tui.conftest import Console, assert_snapshot, text_of, toasts, until
from tests.tui.hostile import assert_inert
from tests.tui.keys import answer, press

pytestmark = pytest.mark.clock

SIZES = [(60, 20), (80, 24), (120, 36), (200, 50)]


def steady(shown: str) -> str:
    """The screen without the size and the place of the home."""
    return re.sub(r"[\d.]+ MB in /\S+ ─*", lambda found: "N MB in HOME ".ljust(len(found[0]), "─"), shown)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_what_it_shows(console: Console, size: tuple[int, int]) -> None:
    """Themes, clipboard, notices, what is kept, and the keys that are searched for."""
    async with console(size=size, first="settings") as (app, pilot, _):
        await press(pilot, "slash", *"browse.", "enter")
        shown = re.sub(r" +6 of \d+ keys", "  6 of N keys", steady(text_of(app)))
        assert_snapshot(shown, f"settings-{size[0]}x{size[1]}")


async def test_a_theme_is_shown_while_choosing_and_taken_back(console: Console) -> None:
    """Moving previews, Esc and Tab take back, Enter keeps."""
    async with console(first="settings") as (app, pilot, _):
        assert app.theme == "dark"
        await press(pilot, "down")
        assert app.theme == "high-contrast"
        await press(pilot, "escape")
        assert app.theme == "dark"
        await press(pilot, "down", "tab")
        assert app.theme == "dark"
        await press(pilot, "shift+tab", "down", "down", "enter")
        assert app.theme == "light"
        await press(pilot, "down", "1")
        assert app.theme == "light"


async def test_the_clipboard_is_chosen_and_the_file_keeps_its_comments(console: Console) -> None:
    """One line of config.yaml changes."""

    async def prepare(bench: Workbench) -> None:
        (bench.instance.home / "config.yaml").write_text("# mine\ntheme: dark\nclipboard: auto  # for now\n")

    async with console(first="settings", prepare=prepare) as (app, pilot, bench):
        await press(pilot, "tab", "down", "down", "enter")
        assert app.appearance.config.clipboard == "osc52"
        written = (bench.instance.home / "config.yaml").read_text()
        assert written == "# mine\ntheme: dark\nclipboard: osc52  # for now\n"
        assert "● osc52" in text_of(app)


async def test_what_holds_for_the_instance_is_changed(console: Console) -> None:
    """Retention and back-off as on the command line; what is no value is said; `default` takes back."""
    async with console(first="settings") as (app, pilot, bench):
        await press(pilot, "ctrl+o", "i", "enter")
        assert "pause_after: how long" in text_of(app)
        await answer(pilot, "45m")
        assert bench.instance.state.settings()["pause_after"] == 2_700
        assert "45m" in text_of(app)
        await press(pilot, "enter")
        await answer(pilot, "soon")
        assert "'soon' is no time" in toasts(app)
        await press(pilot, "enter")
        await answer(pilot, "default")
        assert "pause_after" not in bench.instance.state.settings()
        await press(pilot, "down", "enter")
        await answer(pilot, "30")
        assert bench.instance.state.settings()["retention_days"] == 30
        await press(pilot, "down", "down", "enter", *"https://hooks.example/T0KEN")
        assert "T0KEN" not in text_of(app)
        await press(pilot, "enter")
        assert bench.instance.state.settings()["notify"] == ["https://hooks.example/T0KEN"]
        assert "T0KEN" not in text_of(app)
        assert [each.kind for each in await bench.audit(kind="setting")] == ["setting"] * 4


async def test_what_is_wrong_names_file_line_and_a_suggestion(console: Console) -> None:
    """In config.yaml, in keymap.yaml and in a theme; keys that clash are marked."""

    async def prepare(bench: Workbench) -> None:
        home = bench.instance.home
        (home / "config.yaml").write_text("theme: dark\nclipbord: auto\n")
        (home / "keymap.yaml").write_text("overview.paus: z\nbrowse.copy: r\n")
        (home / "themes").mkdir()
        (home / "themes" / "mine.yaml").write_text("name: mine\ncolours:\n  primry: '#112233'\n")

    async with console(size=(200, 50), first="settings", prepare=prepare) as (app, pilot, _):
        shown = text_of(app)
        assert re.search(r"config\.yaml:2: clipbord: .*Did you mean 'clipboard'", shown)
        assert re.search(r"keymap\.yaml: overview\.paus: .*Did you mean 'overview\.pause'", shown)
        assert re.search(r"mine\.yaml:3: primry: .*Did you mean 'primary'", shown)
        await press(pilot, "slash", *"browse.")
        assert re.search(r"browse\.copy +r .*! r is also browse\.read", text_of(app))


async def test_files_are_read_again(console: Console) -> None:
    """A keymap that was saved meanwhile counts after r."""
    async with console(first="settings") as (app, pilot, bench):
        (bench.instance.home / "keymap.yaml").write_text("app.overview: f9\n")
        await press(pilot, "r")
        await press(pilot, "f9")
        assert app.current_mode == "overview"


async def test_a_file_that_is_saved_counts_at_once(console: Console) -> None:
    """A theme in use, a key, and what is wrong with either; nobody has to ask for it."""

    async def prepare(bench: Workbench) -> None:
        (bench.instance.home / "themes").mkdir()
        (bench.instance.home / "themes" / "mine.yaml").write_text("colours:\n  primary: '#112233'\n")
        (bench.instance.home / "config.yaml").write_text("theme: mine\n")

    timing = Timing(preload_delay_s=3600.0, user_files_poll_s=0.02)
    async with console(prepare=prepare, timing=timing) as (app, pilot, bench):
        home = bench.instance.home
        assert app.theme == "mine"
        (home / "themes" / "mine.yaml").write_text("colours:\n  primary: '#332211aa'\n")
        await until(pilot, lambda: "mine.yaml: read again" in toasts(app))
        assert app.available_themes["mine"].primary == "#332211aa"
        (home / "themes" / "mine.yaml").write_text("colours:\n  primry: '#332211'\n")
        await until(pilot, lambda: "Did you mean 'primary'" in toasts(app))
        (home / "keymap.yaml").write_text("app.live: f9\n")
        await until(pilot, lambda: "keymap.yaml" in toasts(app))
        await press(pilot, "f9")
        assert app.current_mode == "live"


async def test_too_small_a_terminal_breaks_nothing(console: Console) -> None:
    """60x20."""
    async with console(size=(60, 20), first="settings") as (app, pilot, _):
        await press(pilot, "tab", "tab", "end")
        assert_inert(text_of(app), 60)


@given(text=st.text(max_size=200), value=st.sampled_from(["auto", "native", "osc52"]))
def test_setting_one_line_leaves_the_others(text: str, value: str) -> None:
    """Whatever is in the file, afterwards exactly that setting is there, once where it was not twice."""
    changed = with_setting(text, "clipboard", value)
    assert f"clipboard: {value}" in changed
    assert with_setting(changed, "clipboard", value) == changed
    others = [line for line in text.split("\n") if not line.startswith("clipboard")]
    assert [line for line in others if line not in changed.split("\n")] == []


def test_no_default_keys_clash() -> None:
    """Out of the box no key is asked to do two things at one place."""
    keys = keymap.all_keys({})
    assert len(keys) > 50
    assert keymap.find_clashes(keys) == {}
