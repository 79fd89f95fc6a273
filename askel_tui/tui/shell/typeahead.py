"""Questions, and the keys that a person types ahead of them: they wait for the question, never for what lies below it.

A key sets work going, and the work asks. Between the key and the question the screen below is still in front, where
the next key would do something else. So work that asks says so when it begins (`expect_question`), and from then on
keys are kept until the question can take them, or the work has ended without one.
"""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import time
from typing import TYPE_CHECKING, Any

from textual import events
from textual.message import Message
from textual.worker import NoActiveWorker, Worker, get_current_worker

from askel_tui.tui.shell.appearance import Looks
from askel_tui.tui.shell.workers import run_in_background

if TYPE_CHECKING:
    from textual.screen import Screen
    from textual.widget import Widget

HOLD_S = 3.0
"""How long keys wait for a question, in seconds; one that comes later than that gets none of them."""

POLL_INTERVAL_S = 0.01
"""How often it is looked whether the question is there, in seconds."""

BARRIER_TIMEOUT_S = 0.3
"""How long a key may take on its way through the widgets, in seconds."""


class KeyBarrier(Message):
    """Goes the way that a key goes, behind it: where it has come, the key was before."""

    def __init__(self, came: asyncio.Event) -> None:
        super().__init__()
        self.passed = came


class Asking(Looks):
    """The part of the app that keeps keys for a question that is about to be asked."""

    def __init__(self, *args: Any, **named: Any) -> None:
        self._workers_about_to_ask: set[Worker[Any]] = set()
        """Work that asks, from when it begins until it has ended or does something that takes long."""
        self._opening_questions: dict[Screen[Any], Worker[Any]] = {}
        """Questions that cannot take keys yet."""
        self._open_questions: dict[Screen[Any], Worker[Any]] = {}
        """Questions that wait for an answer."""
        self._held_keys: list[events.Key] = []
        self._delivered_key: events.Key | None = None
        self._delivering = False
        self._barriers: list[asyncio.Event] = []
        """What a key set going in messages, and has not come to the app."""
        super().__init__(*args, **named)

    # What screens and questions say.

    def expect_question(self, worker: Worker[Any]) -> None:
        """Work that has just begun will ask something."""
        self._workers_about_to_ask.add(worker)

    def hold_keys_behind(self, widget: Widget) -> None:
        """What a widget has just said may be what asks: keys wait until the screen has heard it."""
        came = asyncio.Event()
        if widget.post_message(KeyBarrier(came)):
            self._barriers.append(came)

    def expect_no_question(self) -> None:
        """The present work does something that takes long before it asks, if it does: keys are the screen's."""
        with contextlib.suppress(NoActiveWorker):
            self._workers_about_to_ask.discard(get_current_worker())

    def question_ready(self, question: Screen[Any]) -> None:
        """A question is there with its focus."""
        self._opening_questions.pop(question, None)

    def question_closed(self, question: Screen[Any]) -> None:
        """A question goes away: the work that asked may ask another."""
        self._opening_questions.pop(question, None)
        worker = self._open_questions.pop(question, None)
        if worker is not None:
            self._workers_about_to_ask.add(worker)

    async def push_screen_wait(self, screen: Any, *, mode: str | None = None) -> Any:
        """What a question is answered with; keys wait until it can take them."""
        worker = get_current_worker()
        self._workers_about_to_ask.discard(worker)
        self._opening_questions[screen] = self._open_questions[screen] = worker
        try:
            return await super().push_screen_wait(screen, mode=mode)
        finally:
            self._opening_questions.pop(screen, None)
            self._open_questions.pop(screen, None)

    # Keys.

    @property
    def _question_pending(self) -> bool:
        """Whether a question is about to be there."""
        self._workers_about_to_ask = {
            worker for worker in self._workers_about_to_ask if not worker.is_finished
        }
        self._opening_questions = {
            on: worker for on, worker in self._opening_questions.items() if not worker.is_finished
        }
        self._barriers = [came for came in self._barriers if not came.is_set()]
        return bool(self._workers_about_to_ask or self._opening_questions or self._barriers)

    async def on_event(self, event: events.Event) -> None:
        """Textual's; a key that comes while others are kept comes after them.

        So does what follows a key that may answer a question: a letter would reach the line before the Enter that was
        pressed first, which goes up to the app and down again.
        """
        if isinstance(event, events.Key) and not event.is_forwarded and event is not self._delivered_key:
            answers = self.screen.is_modal and not event.is_printable
            if self._held_keys or self._delivering or answers:
                self._hold_key(event)
                return
        await super().on_event(event)

    def on_key(self, event: events.Key) -> None:
        """A key that no widget took: what it is bound to is done, but while a question is about to be there."""
        if event is not self._delivered_key and self._question_pending:
            event.stop()
            event.prevent_default()
            self._hold_key(event)

    def _hold_key(self, event: events.Key) -> None:
        bisect.insort(self._held_keys, event, key=lambda each: each.time)
        if not self._delivering:
            self._delivering = True
            run_in_background(self, self._deliver_held_keys, "keys")

    async def _deliver_held_keys(self) -> None:
        try:
            end = time.monotonic() + HOLD_S
            while self._held_keys:
                if not self._question_pending:
                    await self._deliver(self._held_keys.pop(0))
                    end = time.monotonic() + HOLD_S
                elif time.monotonic() > end:
                    # What they were meant for never came, and nothing else was meant by them.
                    self._held_keys.clear()
                    self._workers_about_to_ask.clear()
                    self._barriers.clear()
                else:
                    await asyncio.sleep(POLL_INTERVAL_S)
        finally:
            self._delivered_key, self._delivering = None, False

    async def _deliver(self, key: events.Key) -> None:
        """Gives a key to what is in front, and waits until all that it does at once is done."""
        self._delivered_key = events.Key(key.key, key.character)
        self._delivered_key.set_sender(self)
        self.post_message(self._delivered_key)
        # The key goes up to the app; what it does there may be a message that goes up again.
        for _ in range(2):
            came = asyncio.Event()
            self.call_later(self._send_barrier, came)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BARRIER_TIMEOUT_S):
                    await came.wait()

    def _send_barrier(self, came: asyncio.Event) -> None:
        (self.focused or self.screen).post_message(KeyBarrier(came))

    def on_key_barrier(self, event: KeyBarrier) -> None:
        """The key that went before it was handled."""
        event.passed.set()
