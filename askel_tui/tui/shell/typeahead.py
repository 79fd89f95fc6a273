"""The type-ahead buffer: keys typed before a question opens wait for it, and never reach the screen below it.

A key starts work, and the work asks a question. Between the key and the question the screen below is still in front,
where the next key would do something else. So work that asks says so when it begins (`expect_question`), and from then
on keys are held until the question can take them, or the work has ended without one.
"""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import time
from collections.abc import Iterator
from typing import Any

from textual import events
from textual.app import App
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget
from textual.worker import NoActiveWorker, Worker, get_current_worker

from askel_tui.tui.shell.timing import Timing
from askel_tui.tui.shell.workers import run_in_background

POLL_INTERVAL_S = 0.01
"""Interval at which held keys check whether the question is open, in seconds."""


class KeyBarrier(Message):
    """A message that follows a key through the widgets: once it has come to the app, the key was handled."""

    def __init__(self, passed: asyncio.Event) -> None:
        super().__init__()
        self.passed = passed


class Typeahead:
    """A buffer that holds keys for a question that is about to be asked. The app hands it its keys and its
    questions."""

    def __init__(self, app: App[Any], timing: Timing) -> None:
        self._app, self._timing = app, timing
        self._workers_about_to_ask: set[Worker[Any]] = set()
        """The workers that will ask, from their beginning until they have ended or do something that takes long."""
        self._opening_questions: dict[Screen[Any], Worker[Any]] = {}
        """The questions that cannot take keys yet."""
        self._open_questions: dict[Screen[Any], Worker[Any]] = {}
        """The questions that wait for an answer."""
        self._held_keys: list[events.Key] = []
        self._delivered_key: events.Key | None = None
        self.is_delivering = False
        """True if held keys are being delivered."""
        self._barriers: list[asyncio.Event] = []
        """The barriers that follow keys and have not come to the app."""

    # Calls by screens, widgets and questions.

    def expect_question(self, worker: Worker[Any]) -> None:
        """Holds keys from now on: work that has just begun will ask a question."""
        self._workers_about_to_ask.add(worker)

    def expect_no_question(self) -> None:
        """Gives keys to the screen again: the present work does something that takes long before it may ask."""
        with contextlib.suppress(NoActiveWorker):
            self._workers_about_to_ask.discard(get_current_worker())

    def hold_keys_behind(self, widget: Widget) -> None:
        """Holds keys until the screen has handled a widget's last message, which may open a question."""
        passed = asyncio.Event()
        if widget.post_message(KeyBarrier(passed)):
            self._barriers.append(passed)

    @contextlib.contextmanager
    def asking(self, question: Screen[Any]) -> Iterator[None]:
        """Holds keys for a question that the present work asks inside the block, until the question can take them."""
        worker = get_current_worker()
        self._workers_about_to_ask.discard(worker)
        self._opening_questions[question] = self._open_questions[question] = worker
        try:
            yield
        finally:
            self._opening_questions.pop(question, None)
            self._open_questions.pop(question, None)

    def question_ready(self, question: Screen[Any]) -> None:
        """Delivers keys to a question, which has its focus now."""
        self._opening_questions.pop(question, None)

    def question_closed(self, question: Screen[Any]) -> None:
        """Holds keys again: a question closes, and the work that asked it may ask another."""
        self._opening_questions.pop(question, None)
        worker = self._open_questions.pop(question, None)
        if worker is not None:
            self._workers_about_to_ask.add(worker)

    # Keys.

    @property
    def _is_question_pending(self) -> bool:
        """True if a question is about to open."""
        self._workers_about_to_ask = {each for each in self._workers_about_to_ask if not each.is_finished}
        self._opening_questions = {
            question: worker for question, worker in self._opening_questions.items() if not worker.is_finished
        }
        self._barriers = [passed for passed in self._barriers if not passed.is_set()]
        return bool(self._workers_about_to_ask or self._opening_questions or self._barriers)

    def holds_event(self, event: events.Event) -> bool:
        """Holds a key that the driver sent, where others are held before it; returns False to let the event through.

        A key that follows one which may answer a question is held too: a letter would reach the input before the Enter
        that was pressed first, which goes up to the app and down again.
        """
        if not isinstance(event, events.Key) or event.is_forwarded or event is self._delivered_key:
            return False
        may_answer = self._app.screen.is_modal and not event.is_printable
        if self._held_keys or self.is_delivering or may_answer:
            self._hold_key(event)
            return True
        return False

    def hold_unhandled(self, event: events.Key) -> None:
        """Holds a key that no widget took, instead of running its binding's action, while a question is about to
        open."""
        if event is not self._delivered_key and self._is_question_pending:
            event.stop()
            event.prevent_default()
            self._hold_key(event)

    def _hold_key(self, event: events.Key) -> None:
        bisect.insort(self._held_keys, event, key=lambda each: each.time)
        if not self.is_delivering:
            self.is_delivering = True
            run_in_background(self._app, self._deliver_held_keys, "keys")

    async def _deliver_held_keys(self) -> None:
        try:
            end = time.monotonic() + self._timing.key_hold_s
            while self._held_keys:
                if not self._is_question_pending:
                    await self._deliver(self._held_keys.pop(0))
                    end = time.monotonic() + self._timing.key_hold_s
                elif time.monotonic() > end:
                    # The question never opened, and the keys were meant for it alone: they are dropped.
                    self._held_keys.clear()
                    self._workers_about_to_ask.clear()
                    self._barriers.clear()
                else:
                    await asyncio.sleep(POLL_INTERVAL_S)
        finally:
            self._delivered_key, self.is_delivering = None, False

    async def _deliver(self, key: events.Key) -> None:
        """Delivers a key to the focused widget, and waits until all its immediate effects are done."""
        self._delivered_key = events.Key(key.key, key.character)
        self._delivered_key.set_sender(self._app)
        self._app.post_message(self._delivered_key)
        # The key goes up to the app; what it does there may be a message that goes up again.
        for _ in range(2):
            passed = asyncio.Event()
            self._app.call_later(self._send_barrier, passed)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._timing.key_barrier_s):
                    await passed.wait()

    def _send_barrier(self, passed: asyncio.Event) -> None:
        (self._app.focused or self._app.screen).post_message(KeyBarrier(passed))
