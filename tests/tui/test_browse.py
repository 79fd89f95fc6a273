"""Browse: tabs, search, details, copies, counts and checks, by keys alone."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.sandbox.state.model import ProfileList
from askel_tui.tui.app import AskelApp
from askel_tui.tui.text import filtering
from askel_tui.tui.text.fuzzy import rank_matches, score
from askel_tui.tui.widgets.table import Table
from tests.support.workbench import Workbench, example
from tests.tui.conftest import Console, assert_snapshot, text_of
from tests.tui.hostile import NAMES, assert_inert
from tests.tui.keys import press, settled

pytestmark = pytest.mark.clock

SIZES = [(60, 20), (80, 24), (120, 36), (200, 50)]


async def used(bench: Workbench) -> None:
    """An account of which a workflow uses some."""
    await bench.apply(example("first-points-welcome.yaml"))


def steady(shown: str) -> str:
    """The screen without the age of the catalog and the dates of the sandbox."""
    shown = re.sub(r"read \d+ (s|min) ago", "read N s ago", shown)
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.+]+", lambda found: "T" * len(found[0]), shown)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_what_it_shows(console: Console, size: tuple[int, int]) -> None:
    """The lists of the account, and what is known about the first."""
    async with console(size=size, first="browse", prepare=used) as (app, pilot, _):
        await press(pilot, "r")
        app.clear_notifications()
        await settled(app)
        assert_snapshot(steady(text_of(app)), f"browse-{size[0]}x{size[1]}")


async def test_an_account_that_was_never_read_is_read(console: Console) -> None:
    """Opening the screen is enough."""
    async with console(first="browse") as (app, _, bench):
        assert "14 lists, read" in text_of(app)
        assert bench.requests("get_lists")


async def test_search_is_fuzzy_and_copies_the_id(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    """Letters may be left out, the best comes first, y copies its id, Esc shows all again."""
    copied: list[str] = []
    async with console(first="browse") as (app, pilot, _):
        monkeypatch.setattr(
            "askel_tui.tui.screens.browse.screen.copy", lambda app, text, what: copied.append(text)
        )
        await press(pilot, "slash", *"wkshp")
        assert rows(app) == ["Workshop Waitlist"]
        await press(pilot, "ctrl+a", "ctrl+k", *"store", "enter")
        assert rows(app) == ["Leeds Store", "Portland Store"]
        await press(pilot, "y")
        assert copied == ["MeLeed"]
        await press(pilot, "slash", *" !leeds", "enter")
        assert rows(app) == ["Portland Store"]
        await press(pilot, "escape")
        assert len(rows(app)) == 14


async def test_every_tab_tells_what_it_knows(console: Console) -> None:
    """Flow status and trigger, who uses what, metric's maker, a property's types, fill rate and values."""
    async with console(size=(120, 36), first="browse", prepare=used) as (app, pilot, _):
        await press(pilot, "r", "G", "k", "k")
        assert "in Askel   first-points-welcome › welcome" in text_of(app)
        assert "fires      Welcome Series (● live)" in text_of(app)
        await press(pilot, "right_square_bracket", "G")
        assert "in Askel   first-points-welcome › not-vip" in text_of(app)
        assert '"condition_groups"' in text_of(app)
        await press(pilot, "l")
        assert re.search(r"First Points Thanks +MeFPts +● live +metric F", text_of(app))
        await press(pilot, "l")
        assert "editor" in text_of(app)
        await press(pilot, "l")
        assert re.search(r"Placed Order +MeMOrd +shopify", text_of(app))
        await press(pilot, "l")
        shown = text_of(app)
        assert re.search(r"filled     █{6}·· 75%, 9 of 12 sampled", shown)
        assert re.search(r"LoyaltyTier +text +75%", shown)
        assert "in Askel   first-points-welcome › tier" in shown
        await press(pilot, "left_square_bracket")
        assert "Placed Order" in text_of(app)


async def test_members_are_counted_on_request_and_profiles_checked(console: Console) -> None:
    """m asks once; c asks for a profile and whether it is in the segment."""
    async with console(first="browse") as (app, pilot, bench):
        assert not bench.requests("get_list")
        await press(pilot, "m")
        assert "members    0, asked at" in text_of(app)
        await press(pilot, "l", "G", "m")
        assert "members    1, asked at" in text_of(app)
        await press(pilot, "c")
        await press(pilot, *"vip@example.com", "enter")
        assert re.search(r"vip@example.com +✓ is a member", text_of(app))
        await press(pilot, "c")
        await press(pilot, *"wren@mapleandember.example", "enter")
        assert "✗ is no member" in text_of(app)


async def test_a_missing_scope_is_named(console: Console) -> None:
    """A section that the key may not read says which scope it wants."""
    async with console(first="overview") as (app, pilot, bench):
        bench.fault("get_templates", status=403)
        await press(pilot, "3", "l", "l", "l")
        assert "lacks templates:read" in text_of(app)


async def test_hostile_names_are_shown_inert(console: Console) -> None:
    """Names of lists that hold markup, escapes, bidi controls, and one of 200 KB."""

    async def prepare(bench: Workbench) -> None:
        account = bench.sandbox.account
        account.lists.clear()
        for number, name in enumerate(NAMES):
            account.lists[f"MeH{number:03d}"] = ProfileList(f"MeH{number:03d}", name, 1.0, 1.0)

    async with console(size=(80, 24), first="browse", prepare=prepare) as (app, pilot, _):
        for _ in NAMES:
            assert_inert(text_of(app), 80)
            await press(pilot, "down")
        await press(pilot, "slash", *"bold", "enter")
        assert "[bold red]Rob[/] [@click=app.quit]x[/]" in text_of(app)
        await press(pilot, "tab", "m")
        assert_inert(text_of(app), 80)


async def test_too_small_a_terminal_breaks_nothing(console: Console) -> None:
    """60x20: every tab, with rows and details."""
    async with console(size=(60, 20), first="browse") as (app, pilot, _):
        for _ in range(6):
            assert "read" in text_of(app)
            assert_inert(text_of(app), 60)
            await press(pilot, "l")


def rows(app: AskelApp) -> list[str]:
    """The names in the table that is shown."""
    table = next(each for each in app.screen.query(Table) if each.display)
    return [str(table.get_row_at(at)[0]).strip() for at in range(table.row_count)]


@given(word=st.text(min_size=1, max_size=8), text=st.text(max_size=40))
def test_a_score_means_that_the_letters_are_there(word: str, text: str) -> None:
    """A part of the text always fits, and what fits has its letters in their order."""
    if word.casefold() in text.casefold():
        assert score(word, text) is not None
    elif score(word, text) is not None:
        letters = iter(text.casefold())
        assert all(letter in letters for letter in word.casefold())


def test_the_best_match_comes_first() -> None:
    """The beginning of a word before its middle, both before scattered letters; unwanted words exclude."""
    names = ["Gravitas pool", "Nervip", "VIP Gift", "Very Important People", "Other"]
    assert rank_matches(filtering.parse_filter("vip"), names, str) == [
        "VIP Gift",
        "Nervip",
        "Gravitas pool",
        "Very Important People",
    ]
    assert rank_matches(filtering.parse_filter("vip !gift"), names, str) == [
        "Nervip",
        "Gravitas pool",
        "Very Important People",
    ]
    assert rank_matches(filtering.parse_filter(""), names, str) == names
