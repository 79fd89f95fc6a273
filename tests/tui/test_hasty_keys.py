"""Keys that come faster than the console answers, and leaving at any moment: nothing ends the app."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from textual.css.query import NoMatches

from askel_tui.tui.app import AskelApp
from askel_tui.tui.registry import SCREENS
from askel_tui.tui.screens.connections import ConnectionsScreen
from askel_tui.tui.widgets.confirm import Confirm
from tests.support.workbench import Workbench, example
from tests.tui.conftest import Console, text_of, until
from tests.tui.keys import press, send, settled

NAMED = (
    "tab",
    "shift+tab",
    "enter",
    "escape",
    "down",
    "up",
    "f5",
    "ctrl+o",
    "f1",
    "f2",
    "space",
    "end",
    "home",
)
HASTY = (
    *NAMED,
    *["escape", "slash", "ctrl+s", "ctrl+z", "pagedown"],
    *"12345678" * 2,
    *"rmcyhlgGjkpwsatexunvoz+[]",
)
"""What a person may press; but for the daemon's key, which starts a process."""

PAUSES_S = (0, 0, 0, 0.002, 0.01, 0.05)


async def story(bench: Workbench) -> None:
    """A workflow, and records of which all are sent."""
    await bench.apply(example("first-points-welcome.yaml"))
    await bench.take(example("first-points.jsonl"))
    await bench.drain()


@pytest.mark.parametrize("over", ["ctrl+o", "f1"])
async def test_keys_typed_ahead_of_what_lies_over_a_screen(console: Console, over: str) -> None:
    """The first one closes it; the others find the screen below as it was."""
    async with console() as (app, pilot, _):
        await press(pilot, over)
        send(app, "escape", "escape", "escape")
        await settled(app)
        assert len(app.screen_stack) == 1
        await press(pilot, over)
        send(app, "3", *"qqq")
        await settled(app)
        assert len(app.screen_stack) == 1


async def test_a_question_that_is_left_for_another_screen_has_no_answer(console: Console) -> None:
    """Whoever asked is told, and asks no more."""
    async with console() as (app, pilot, _):
        answers: list[bool | None] = []
        app.push_screen(Confirm("Really?"), answers.append)
        await settled(app)
        app.action_show("live")
        await until(pilot, lambda: answers == [None])


async def test_a_connection_chosen_while_a_screen_reads_is_shown(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two reads of a screen nothing is half there."""
    read = asyncio.Event()
    async with console(first="overview") as (app, _, __):
        status = app.backend.status

        async def slow() -> dict[str, Any]:
            await read.wait()
            return await status()

        monkeypatch.setattr(app.backend, "status", slow)
        send(app, "2")
        await until_there(app)
        name, app.connection = app.connection, None
        app.connection = name
        read.set()
        await settled(app)
        assert "▸ maple-ember" in text_of(app)


async def until_there(app: AskelApp) -> None:
    """Waits until the screen of connections reads the status."""
    while not (isinstance(app.screen, ConnectionsScreen) and any(w.group == "load" for w in app.workers)):
        await asyncio.sleep(0)
    for _ in range(20):
        await asyncio.sleep(0)


async def test_what_is_wrong_in_a_screen_still_ends_the_app(console: Console) -> None:
    """Only a handler of what is going away may find nothing."""
    with pytest.raises(NoMatches):  # noqa: PT012 - leaving the console is what raises
        async with console() as (app, _, __):
            app.call_later(app.query_one, "#nowhere")
            await settled(app)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(32))
async def test_any_keys_and_leaving_at_any_moment(console: Console, seed: int) -> None:
    """Every fourth leaves while all is under way."""
    chance = random.Random(seed)
    first = chance.choice(SCREENS).name
    async with console(
        size=chance.choice([(60, 20), (80, 24), (120, 36)]), first=first, prepare=story, at_once=True
    ) as (app, _, __):
        for _ in range(chance.randrange(60)):
            send(app, chance.choice(HASTY))
            await asyncio.sleep(chance.choice(PAUSES_S))
        if seed % 4:
            await settled(app)
            assert app.is_running
        app.exit()
        while app._running:
            await asyncio.sleep(0)
