"""Failed: reasons, another try, giving up, exports, by keys alone."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.tui.screens.mapping.screen import MappingScreen
from askel_tui.tui.screens.mapping.view import DraftRow
from askel_tui.tui.text.exports import to_csv
from tests.support.workbench import Workbench, example, points
from tests.tui.conftest import Console, assert_snapshot, text_of, toasts
from tests.tui.hostile import NAMES, assert_inert
from tests.tui.keys import press

pytestmark = pytest.mark.clock

SIZES = [(60, 20), (80, 24), (120, 36), (200, 50)]


async def some(bench: Workbench) -> None:
    """Records of the hostile file that fail, and others that lack a field."""
    await bench.apply(example("first-points-welcome.yaml"))
    await bench.take(example("hostile.jsonl"))
    await bench.take([{**points(number), "data": {"points": 1, "shopper": {}}} for number in range(3)])
    await bench.drain()


def steady(shown: str) -> str:
    """The screen without what differs from run to run."""
    shown = re.sub(r"\d{4}-\d\d-\d\d([T ])\d\d:\d\d:\d\d\.\d{3}", r"TTTT-TT-TT\1TT:TT:TT.TTT", shown)
    return re.sub(r"\b\d+ s (?=│| )", "N s ", shown)


async def failing(bench: Workbench) -> list[str]:
    """The records that failed."""
    return sorted(each.record for each in await bench.instance.journal.failures(None, 1000))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_what_it_shows(console: Console, size: tuple[int, int]) -> None:
    """Reasons, the failures of the first, and one of them whole."""
    async with console(size=size, first="failed", prepare=some) as (app, _, _):
        assert_snapshot(steady(text_of(app)), f"failed-{size[0]}x{size[1]}")


async def test_a_reason_is_tried_again_whole(console: Console) -> None:
    """r on a reason asks, y says yes; what was failed in planning is planned anew."""
    async with console(first="failed", prepare=some) as (app, pilot, bench):
        before = await failing(bench)
        await press(pilot, "r")
        assert "Try 4 failures again?" in text_of(app)
        await press(pilot, "enter")
        assert await failing(bench) == before
        await press(pilot, "r")
        await press(pilot, "y")
        assert set(before) - set(await failing(bench)) == {"h-5", "t-0", "t-1", "t-2"}
        assert "4 failures will be tried again" in toasts(app)


async def test_what_was_discarded_is_found_and_taken_up_again(console: Console) -> None:
    """The filter discarded:yes shows it; r retries it, and it is discarded no more."""
    async with console(first="failed", prepare=some) as (app, pilot, bench):
        before = await failing(bench)
        await press(pilot, "x", *"4", "enter", "y")
        assert len(await failing(bench)) == len(before) - 4
        await press(pilot, "/", *"discarded:yes", "enter")
        assert "4 records discarded" in text_of(app)
        assert "Discard" not in text_of(app).splitlines()[-1]
        await press(pilot, "r", "y")
        assert "4 failures will be tried again" in toasts(app)
        assert await bench.instance.journal.failures(None, 10, discarded=True) == []


async def test_one_and_some_are_tried_again(console: Console) -> None:
    """Enter goes to the failures; r takes the one there, or those marked with the space bar."""
    async with console(first="failed", prepare=some) as (app, pilot, bench):
        await press(pilot, "enter", "r")
        assert "h-5" not in await failing(bench)
        await press(pilot, "space", "space")
        assert "2 marked" in text_of(app)
        await press(pilot, "r")
        await press(pilot, "y")
        assert [each for each in await failing(bench) if each.startswith("t-")] == ["t-2"]


async def test_fix_goes_to_the_row_with_the_record_that_failed(console: Console) -> None:
    """What is mended there is seen to work for that very record."""
    async with console(first="failed", prepare=some) as (app, pilot, _):
        await press(pilot, "slash", *"not an e-mail", "enter", "f")
        screen = app.screen_stack[0]
        assert isinstance(screen, MappingScreen)
        assert screen.cursor == DraftRow(None, "profile.email")
        assert screen.mapping.sample is not None
        assert f"as in {screen.mapping.sample['id']}" in text_of(app)
        await press(pilot, "7", "escape", "f")
        assert screen.mapping.sample["id"] in text_of(app)


async def test_discarding_wants_the_count_typed(console: Console) -> None:
    """y alone does nothing; the number does; the audit keeps what was given up."""
    async with console(first="failed", prepare=some) as (_, pilot, bench):
        before = await failing(bench)
        await press(pilot, "x")
        await press(pilot, "y", "enter")
        assert await failing(bench) == before
        await press(pilot, "n")
        await press(pilot, "x")
        await press(pilot, "4", "enter", "y")
        assert len(await failing(bench)) == len(before) - 4
        assert len(await bench.audit(kind="plan")) >= 4


async def test_everything_that_is_shown_is_given_up(console: Console) -> None:
    """The filter says what all is; nothing is left but a word."""
    async with console(first="failed", prepare=some) as (app, pilot, bench):
        count = len(await failing(bench))
        await press(pilot, "slash", *"h-5", "enter")
        assert f"1 of {count}" in text_of(app)
        await press(pilot, "escape")
        await press(pilot, "X")
        await press(pilot, *str(count), "enter", "y")
        assert await failing(bench) == []
        assert "Nothing failed." in text_of(app)


@pytest.mark.parametrize("kind", ["csv", "json"])
async def test_exports_hold_what_is_shown_and_start_no_formula(
    console: Console, tmp_path: Path, kind: str
) -> None:
    """A file of its owner's; one that exists is replaced only after y."""

    async def prepare(bench: Workbench) -> None:
        await bench.apply(example("first-points-welcome.yaml"))
        await bench.take(
            [{**points(1, email="no"), "id": "=1+1"}, {**points(2, email="no"), "id": "@SUM(A1)"}]
        )
        await bench.drain()

    async with console(first="failed", prepare=prepare) as (app, pilot, _):
        file = tmp_path / f"out.{kind}"
        for answer in ("", "n", "y"):
            await press(pilot, "e")
            await press(pilot, "ctrl+a", "ctrl+k", *str(file), "enter")
            if answer == "n":
                file.write_text("mine")
            if answer:
                assert "Replace" in text_of(app)
                await press(pilot, answer)
            assert (file.read_text() == "mine") == (answer == "n")
        assert file.stat().st_mode & 0o777 == 0o600
        if kind == "csv":
            found = list(csv.DictReader(file.read_text().splitlines()))
            assert [row["record"] for row in found] == ["'=1+1", "'@SUM(A1)"]
        else:
            rows = json.loads(file.read_text())["failed"]
            assert [row["record"] for row in rows] == ["=1+1", "@SUM(A1)"]


async def test_a_read_only_console_changes_nothing(console: Console) -> None:
    """Retry and discard are refused with a sentence."""
    async with console(first="failed", prepare=some, read_only=True) as (app, pilot, bench):
        before = await failing(bench)
        await press(pilot, "enter", "r")
        assert await failing(bench) == before
        assert "read-only" in toasts(app)


async def test_hostile_records_are_shown_inert(console: Console) -> None:
    """Ids and values that hold markup, escapes, bidi controls, and 200 KB."""

    async def prepare(bench: Workbench) -> None:
        await bench.apply(example("first-points-welcome.yaml"))
        await bench.take(
            [{**points(at, email=name, first_name=name), "id": name[:200]} for at, name in enumerate(NAMES)]
        )
        await bench.drain()

    async with console(size=(80, 24), first="failed", prepare=prepare) as (app, pilot, bench):
        assert len(await failing(bench)) == len(NAMES)
        await press(pilot, "enter")
        for _ in NAMES:
            assert_inert(text_of(app), 80)
            await press(pilot, "down")
        await press(pilot, "enter", "pagedown", "pagedown")
        assert_inert(text_of(app), 80)


async def test_too_small_a_terminal_breaks_nothing(console: Console) -> None:
    """60x20."""
    async with console(size=(60, 20), first="failed", prepare=some) as (app, pilot, _):
        await press(pilot, "enter", "down", "enter", "pagedown", "escape", "escape")
        assert_inert(text_of(app), 60)
        assert "reasons" in text_of(app)


@given(value=st.one_of(st.text(), st.integers(), st.none(), st.lists(st.text(), max_size=3)))
def test_no_cell_starts_a_formula(value: object) -> None:
    """Whatever the value, what a spreadsheet reads first is no sign of a formula."""
    _, (read,) = csv.reader(
        io.StringIO(to_csv(["a"], [[value if value not in ("", None) else "x"]]), newline="")
    )
    assert not read.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
