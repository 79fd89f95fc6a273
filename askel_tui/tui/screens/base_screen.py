"""The base of every screen: header, navigation, filter, progress and footer around the screen's own body.

Rules for screens
- A screen is an `AskelScreen` in `screens/NAME/screen.py`, named in `shell/screen_registry.py`, with its style sheet
  beside it (`CSS_PATH = "NAME.tcss"`). It composes in `body()`; what stands around the body is this class's.
- `load()` reads from `self.backend` and fills the widgets. It is called when the screen is first shown, on F5, when
  another connection is chosen, and after commits while the screen is in front (`RELOADS_ON_COMMIT`).
- Screens meet the instance through `self.backend` alone. What takes time runs in `self.start_work(function)`; what may
  take over a second is awaited through `self.with_progress(label, awaitable)`: it shows progress, and Esc cancels.
- An error that reaches `start_work` or `load` becomes a toast; nothing ends the app.
- Every `Binding` has an `id` ("SCREEN.action") and can be rebound; keys that matter have `show=True`.
- `/` opens the filter where `HAS_FILTER` is true; each change calls `apply_filter`. Esc closes it, then `go_back`s.
- Text from records, Klaviyo or files goes through `sanitize` or `truncate` into `Content`, never into markup.
- Nothing is said by colour alone: a word or a sign goes with it. Widgets with `help` take part in F1,
  those with `jump_key` in ctrl+o.
- What destroys something or goes live is asked with `confirm` (y, not Enter; the focus is on No).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, ClassVar, TypeVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import Screen
from textual.widget import Widget
from textual.worker import Worker

from askel_tui.tui.backend import Backend, describe_error
from askel_tui.tui.backend.loop_thread import BackendClosed
from askel_tui.tui.preferences.session import Session
from askel_tui.tui.screens.header import NavBar, TopBar
from askel_tui.tui.shell.console import Console, console_of
from askel_tui.tui.shell.progress import BusyLine, Cancelled, Progress
from askel_tui.tui.shell.screen_registry import SCREENS_BY_NAME
from askel_tui.tui.shell.textual_internals import has_current_styles
from askel_tui.tui.shell.toasts import Toasts
from askel_tui.tui.shell.workers import run_in_background
from askel_tui.tui.text.filtering import Filter, parse_filter
from askel_tui.tui.widgets.filter_bar import FilterBar
from askel_tui.tui.widgets.help import Help
from askel_tui.tui.widgets.key_hints import KeyHints

T = TypeVar("T")

MIN_RELOAD_INTERVAL_S = 0.5
"""The shortest time between two loads that commits cause, in seconds."""

PROGRESS_DELAY_S = 0.8
"""Time after which unfinished work shows progress, in seconds."""


class AskelScreen(Screen[None]):
    """A screen of the console; the rules are at the top of this file."""

    NAME: ClassVar[str] = ""
    """The name of the screen in the registry."""
    HELP: ClassVar[str | None] = None
    """The text that F1 shows about the screen: plain lines."""
    HAS_FILTER: ClassVar[bool] = False
    """True if `/` filters on this screen."""
    FILTER_FIELDS: ClassVar[tuple[str, ...]] = ()
    """The fields that `field:value` may name in the filter."""
    RELOADS_ON_COMMIT: ClassVar[bool] = True
    """True if commits make the screen load again, at once while it is in front."""
    RELOADS_ON_RETURN: ClassVar[bool] = False
    """True if a screen that ignores commits loads again when it is shown after some."""

    BINDINGS: ClassVar[list[Any]] = [
        Binding("slash", "filter", "Filter", id="screen.filter", tooltip="word, !word, field:value"),
        Binding("escape", "back", "Back", id="screen.back", show=False),
        Binding("f5", "reload", "Refresh", id="screen.refresh", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._reload_scheduled = False
        self.is_loaded = False
        """True if `load` has ended at least once."""
        self.is_stale = False
        """True if something was committed since the last load."""
        self._last_load_error: str | None = None

    # For screens to use and override.

    @property
    def askel(self) -> Console:
        """The app."""
        return console_of(self)

    @property
    def backend(self) -> Backend:
        """The only way to the instance."""
        return self.askel.backend

    @property
    def toasts(self) -> Toasts:
        """The messages over the screen."""
        return self.askel.toasts

    @property
    def session(self) -> Session:
        """The state that is remembered between starts."""
        return self.askel.session

    @property
    def connection(self) -> str | None:
        """The connection that the screens are about."""
        return self.askel.connection

    @property
    def current_filter(self) -> Filter:
        """The filter as it is typed now."""
        return (
            parse_filter(self.query_one(FilterBar).value, self.FILTER_FIELDS) if self.HAS_FILTER else Filter()
        )

    def body(self) -> ComposeResult:
        """Composes the part of the screen between header and footer."""
        yield from ()

    async def load(self) -> None:
        """Reads from the backend and fills the widgets."""

    async def prepare(self) -> None:
        """Loads ahead of time, before the screen is first shown."""

    def apply_filter(self, wanted: Filter) -> None:
        """Shows the rows that match the changed filter."""

    def leave_filter(self, before: Widget | None) -> None:
        """Focuses the filtered widget when the filter is kept; `before` had the focus until the filter was opened."""
        if before is not None and before.is_attached:
            before.focus()
        else:
            self.focus_next()

    def go_back(self) -> bool:
        """Goes one level back inside the screen; returns False where it is at its top already."""
        return False

    def records_ingested(self) -> None:
        """Shows records that were taken in from this screen."""
        self.action_reload()

    def connection_changed(self) -> None:
        """Shows another connection, which was chosen."""
        if self.is_loaded:
            self.action_reload()

    def start_work(
        self,
        work: Callable[[], Awaitable[Any]],
        group: str = "default",
        *,
        exclusive: bool = False,
        asks_question: bool = False,
    ) -> Worker[Any]:
        """Runs work in the background; an error in it becomes a toast. `asks_question` keeps keys for its question."""
        worker = run_in_background(
            self, partial(self._run_reporting_errors, work), group, exclusive=exclusive
        )
        if asks_question:
            self.askel.typeahead.expect_question(worker)
        return worker

    async def with_progress(self, label: str, work: Awaitable[T], progress: Progress | None = None) -> T:
        """Awaits `work`, shows its progress after a moment, and returns its result.

        Esc cancels it: raises `Cancelled`.
        """
        task = asyncio.ensure_future(work)
        self.askel.typeahead.expect_no_question()
        try:
            done, _ = await asyncio.wait({task}, timeout=PROGRESS_DELAY_S)
            if not done:
                line = self.query_one(BusyLine)
                with line.shown(label, task, progress or Progress()):
                    await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            raise
        if task.cancelled():
            raise Cancelled(f"{label}: cancelled")
        return task.result()

    async def ask(self, question: Screen[T]) -> T:
        """Asks a modal question and returns its answer. Only inside `start_work`."""
        answer: T = await self.askel.push_screen_wait(question)
        return answer

    async def confirm(self, question: str, detail: str = "", *, typed: str | None = None) -> bool:
        """Asks a question and returns whether the answer is yes; with `typed`, that has to be typed first.

        Only in `start_work`.
        """
        from askel_tui.tui.widgets.confirm import Confirm

        answer: bool | None = await self.ask(Confirm(question, detail, typed=typed))
        return bool(answer)

    # The parts around the body, and loading.

    def compose(self) -> ComposeResult:
        """Composes header, navigation, body, progress, filter and footer."""
        yield TopBar()
        yield NavBar(self.NAME)
        with Vertical(id="frame"):
            yield from self.body()
        yield BusyLine()
        if self.HAS_FILTER:
            yield FilterBar()
        yield KeyHints()

    @property
    def help(self) -> Help:
        """The help that F1 shows for the screen."""
        entry = SCREENS_BY_NAME.get(self.NAME)
        return Help(entry.title if entry else "", self.HELP or (entry.description if entry else ""))

    # Overridden although it is private: Textual's handler, which runs after this one, reads `refresh_styles`.
    def _on_screen_resume(self, event: events.ScreenResume) -> None:
        """Loads the screen where it was never loaded, or where something changed meanwhile."""
        if has_current_styles(self):
            event.refresh_styles = False
        if self.is_current and (not self.is_loaded or self.is_stale):
            # The screen is painted first, before the load begins.
            self.call_after_refresh(self.action_reload)

    def journal_changed(self) -> None:
        """Loads after commits: soon where the screen is in front, else when it is shown next."""
        if not self.RELOADS_ON_COMMIT:
            self.is_stale = self.is_stale or (self.RELOADS_ON_RETURN and not self.is_current)
            return
        self.is_stale = True
        if not self._reload_scheduled and self.is_current:
            self._reload_scheduled = True
            self.set_timer(MIN_RELOAD_INTERVAL_S if self.is_loaded else 0.01, self._reload_if_stale)

    def _reload_if_stale(self) -> None:
        self._reload_scheduled = False
        # A commit may come before the widgets: then the screen loads when it is first in front.
        if self.is_stale and self.is_current and self.is_mounted:
            self.action_reload()

    def action_reload(self) -> None:
        """Loads now."""
        self.is_stale = False
        run_in_background(self, self._load_reporting_errors, "load", exclusive=True)

    async def _load_reporting_errors(self) -> None:
        try:
            await self.load()
        except Cancelled as cancelled:
            self.toasts.show(describe_error(cancelled))
        except BackendClosed:
            return
        except Exception as error:
            # An error that comes at every commit is shown once.
            if describe_error(error) != self._last_load_error:
                self._last_load_error = describe_error(error)
                self.toasts.show_error(error, "Nothing could be read")
        else:
            self._last_load_error = None
        self.is_loaded = True

    async def _run_reporting_errors(self, work: Callable[[], Awaitable[Any]]) -> None:
        try:
            await work()
        except Cancelled as cancelled:
            self.toasts.show(describe_error(cancelled))
        except BackendClosed:
            return
        except Exception as error:
            self.toasts.show_error(error)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offers the filter where there is one."""
        return self.HAS_FILTER if action == "filter" else True

    def action_filter(self) -> None:
        """Opens the filter."""
        self.query_one(FilterBar).open()

    def action_back(self) -> None:
        """Cancels running work, else leaves the filter, else goes back inside the screen, else removes toasts."""
        if self.query_one(BusyLine).cancel():
            return
        if self.HAS_FILTER and self.query_one(FilterBar).leave():
            return
        if not self.go_back():
            self.app.clear_notifications()

    def on_filter_bar_kept(self, event: FilterBar.Kept) -> None:
        """Focuses the rows that were found."""
        event.stop()
        self.leave_filter(event.before)

    def on_filter_bar_changed(self, event: FilterBar.Changed) -> None:
        """Applies the filter."""
        event.stop()
        self.apply_filter(parse_filter(event.value, self.FILTER_FIELDS))


class StartScreen(AskelScreen):
    """The frame of the first screen, shown until the screen is there."""

    RELOADS_ON_COMMIT = False

    def __init__(self, name: str) -> None:
        super().__init__()
        self.NAME = name  # type: ignore[misc]
