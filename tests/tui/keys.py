"""Keys, and waiting until nothing of what they set going moves: for a state of the app, never for a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import zip_longest
from typing import Any

import pytest
from textual import events
from textual._context import active_app
from textual.app import App
from textual.keys import _character_to_key
from textual.message_pump import MessagePump
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input

from tests.support.patience import PATIENCE_S

QUIET = 3
"""How often in a row nothing may move before that counts: finished work tells of itself a turn later."""


class Turns:
    """How many turns of Textual's message pumps are under way, and which tasks wait for a person's answer."""

    def __init__(self) -> None:
        self.under_way = 0
        self.asking: dict[object, asyncio.Future[Any]] = {}

    def counted(self, turn: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        """The turn, counted while it lasts."""

        async def run(*args: Any) -> None:
            self.under_way += 1
            try:
                await turn(*args)
            finally:
                self.under_way -= 1

        return run

    async def asked(self, app: App[Any], screen: Screen[Any], *, mode: str | None = None) -> Any:
        """`App.push_screen_wait`, noted while it waits."""
        await app._flush_next_callbacks()
        task, answer = asyncio.current_task(), app.push_screen(screen, wait_for_dismiss=True, mode=mode)
        self.asking[task] = answer
        try:
            return await asyncio.shield(answer)
        finally:
            del self.asking[task]


TURNS = Turns()


def watch_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets `settled` know what Textual is doing, and Textual's own pilot wait as `settled` does."""
    TURNS.under_way = 0
    TURNS.asking.clear()
    monkeypatch.setattr(
        MessagePump, "_dispatch_message", TURNS.counted(MessagePump.__dict__["_dispatch_message"])
    )
    monkeypatch.setattr(
        MessagePump, "_flush_next_callbacks", TURNS.counted(MessagePump.__dict__["_flush_next_callbacks"])
    )
    monkeypatch.setattr(
        Screen, "_invoke_and_clear_callbacks", TURNS.counted(Screen.__dict__["_invoke_and_clear_callbacks"])
    )
    monkeypatch.setattr(App, "push_screen_wait", lambda *args, **named: TURNS.asked(*args, **named))

    # Its own compares process time with wall time, which on a busy machine says nothing.
    async def idle(*_: float) -> None:
        await settled(active_app.get())

    monkeypatch.setattr("textual.app.wait_for_idle", idle)
    monkeypatch.setattr("textual.pilot.wait_for_idle", idle)


async def press(pilot: Pilot[Any], *keys: str) -> None:
    """Presses keys; after each, waits until nothing moves but what waits for an answer.

    Text that goes into a field is typed as fast as a person can: nothing is waited for between its letters.
    """
    for key, following in zip_longest(keys, keys[1:]):
        if following is not None and _is_text(key, following) and isinstance(pilot.app.focused, Input):
            send(pilot.app, key)
            await asyncio.sleep(0)
        else:
            await pilot.press(key)


def _is_text(*keys: str) -> bool:
    return all(len(key) == 1 for key in keys)


def send(app: App[Any], *keys: str) -> None:
    """Keys that lie in the terminal's buffer: sent without waiting for what any of them does."""
    for key in keys:
        named = _character_to_key(key) if len(key) == 1 and not key.isalnum() else key
        event = events.Key(named, key if len(key) == 1 else None)
        event.set_sender(app)
        assert app._driver is not None
        app._driver.send_message(event)


async def answer(pilot: Pilot[Any], text: str) -> None:
    """Types over what a question proposes, and takes it."""
    await press(pilot, "ctrl+e", "ctrl+u", *text, "enter")


async def settled(app: App[Any]) -> None:
    """Waits until every message was handled, all is painted, and no work runs but what waits for an answer."""
    end, quiet = time.monotonic() + PATIENCE_S, 0
    while quiet < QUIET and app._exception is None and app.is_running:
        busy = _messages(app) or _work(app)
        quiet = 0 if busy else quiet + 1
        assert time.monotonic() < end, f"the console did not settle: {busy}"
        # Work in other threads needs the turn; messages only need this loop.
        await asyncio.sleep(0.001 if busy and not TURNS.under_way else 0)


def _messages(app: App[Any]) -> str | None:
    """What of Textual's own is not done, in words."""
    if TURNS.under_way:
        return f"{TURNS.under_way} messages are being handled"
    for pump in (app, *app._registry):
        if not pump._running or pump._closing:
            continue
        if any((pump.message_queue_size, pump._pending_message, pump._next_callbacks)):
            return f"{pump} has messages"
    screen = app.screen
    if any((screen._layout_required, screen._repaint_required, screen._dirty_widgets, screen._callbacks)):
        # As the timer would, up to a sixtieth of a second later.
        screen._on_timer_update()
        return f"{screen} is to be painted"
    return None


def _work(app: App[Any]) -> str | None:
    """Which workers run, but for those that wait until somebody answers a question."""
    for worker in app.workers:
        # A worker that another one replaced counts as finished, where waiting for it would raise.
        answer = TURNS.asking.get(worker._task)
        if not worker.is_finished and (answer is None or answer.done()):
            return f"{worker} runs"
    return None
