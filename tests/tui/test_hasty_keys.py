"""Keys that come faster than the console answers, and leaving at any moment: nothing ends the app."""

from __future__ import annotations

import asyncio
import random

import pytest
from textual.css.query import NoMatches
from textual.widgets import Input

from askel_tui.services.status import Status, read_status
from askel_tui.sync.instance import Instance
from askel_tui.tui.app import AskelApp
from askel_tui.tui.backend import queries, services
from askel_tui.tui.backend.access import reads
from askel_tui.tui.screens.connections.screen import ConnectionsScreen
from askel_tui.tui.screens.mapping.screen import MappingScreen
from askel_tui.tui.shell.screen_registry import SCREENS
from askel_tui.tui.shell.timing import Timing
from askel_tui.tui.widgets.confirm import Confirm
from askel_tui.tui.widgets.picker import Picker
from tests.support.workbench import Workbench, example
from tests.tui.conftest import Console, text_of, toasts, until
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
        loop = asyncio.get_running_loop()

        @reads
        async def slow(instance: Instance) -> Status:
            # Called in the backend's thread.
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(read.wait(), loop))
            return await read_status(instance)

        monkeypatch.setattr(services, "read_status", slow)
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


async def test_keys_typed_ahead_of_a_question_are_its_own(console: Console) -> None:
    """`x` takes a connection away, once its name is typed: r, c and e of it would be keys of the screen."""
    async with console(first="connections") as (app, _, __):
        send(app, "x", *"a-r-c-e")
        await settled(app)
        assert isinstance(app.screen, Confirm)
        assert app.screen.query_one("#confirm-typed", Input).value == "a-r-c-e"
        send(app, "escape")
        await settled(app)
        assert len(app.screen_stack) == 1


async def test_a_row_of_questions_is_answered_ahead(console: Console) -> None:
    """A new workflow, its name and its event, typed before any of it is asked."""
    async with console(first="mapping", prepare=story) as (app, _, __):
        send(app, "w", *"new wo", "enter", *"dusk", "enter", *"checkout", "enter", "a")
        await settled(app)
        assert isinstance(app.screen, Picker), toasts(app)
        assert "What does the step do?" in text_of(app)
        assert not toasts(app)
        mapping = app.screen_stack[0]
        assert isinstance(mapping, MappingScreen)
        assert (mapping.mapping.draft.name, mapping.mapping.draft.triggers) == ("dusk", ("checkout",))


async def test_an_answer_and_what_follows_it_come_in_one_burst(console: Console) -> None:
    """The question is open already: the letters behind Enter are for the next one."""
    async with console(first="mapping") as (app, _, __):
        send(app, "w")
        await settled(app)
        send(app, "enter", *"dawn", "enter", *"checkout", "enter")
        await settled(app)
        assert isinstance(app.screen, MappingScreen)
        assert (app.screen.mapping.draft.name, app.screen.mapping.draft.triggers) == ("dawn", ("checkout",))


async def test_enter_on_a_row_asks_before_the_next_key_counts(console: Console) -> None:
    """Else `d` would take the row away that is to be edited."""
    async with console(first="mapping", prepare=story) as (app, _, __):
        await settled(app)
        send(app, "down", "enter", *"d, U", "enter")
        await settled(app)
        assert isinstance(app.screen, MappingScreen)
        assert app.screen.mapping.draft.triggers == ("first_points_earnedd", "U")


async def test_keys_for_a_question_that_never_comes_do_nothing(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is below does not get them; the keys after that are its own again."""
    asked, never = asyncio.Event(), asyncio.Event()

    loop = asyncio.get_running_loop()

    @reads
    async def versions(_: Instance, name: str) -> None:
        # Called in the backend's thread.
        loop.call_soon_threadsafe(asked.set)
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(never.wait(), loop))

    timing = Timing(preload_delay_s=3600.0, user_files_poll_s=3600.0, key_hold_s=0.2)
    async with console(first="mapping", prepare=story, timing=timing) as (app, _, __):
        monkeypatch.setattr(queries, "workflow_versions", versions)
        before = app.screen
        assert isinstance(before, MappingScreen)
        draft = before.mapping.draft
        send(app, "V", "down", "d", "1")
        await asked.wait()
        for handing in (True, False):
            while app.typeahead.is_delivering is not handing:
                await asyncio.sleep(0)
        assert app.current_mode == "mapping"
        assert before.mapping.draft == draft
        send(app, "1")
        never.set()
        await settled(app)
        assert app.current_mode == "overview"


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
