"""The console's app: screens by number, help, jumping, palette, quitting. The rules for screens are in
`screens/base_screen.py`.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events
from textual.app import App, SystemCommand
from textual.binding import Binding
from textual.css.query import NoMatches
from textual.reactive import reactive

from askel_tui.tui.backend import Backend, describe_error, queries
from askel_tui.tui.preferences.config import config_directory
from askel_tui.tui.preferences.session import Session
from askel_tui.tui.shell.appearance import Appearance
from askel_tui.tui.shell.console import HeaderState
from askel_tui.tui.shell.daemon_control import DaemonControl
from askel_tui.tui.shell.memory import release_freed_memory
from askel_tui.tui.shell.palette import console_commands
from askel_tui.tui.shell.screen_registry import SCREENS, SCREENS_BY_NAME, create_screen
from askel_tui.tui.shell.textual_internals import (
    apply_current_styles,
    is_leaving,
    mount_mode,
    mounted_screens,
)
from askel_tui.tui.shell.timing import Timing
from askel_tui.tui.shell.toasts import Toasts
from askel_tui.tui.shell.typeahead import KeyBarrier, Typeahead
from askel_tui.tui.shell.workers import run_in_background

if TYPE_CHECKING:
    from textual.dom import DOMNode
    from textual.screen import Screen
    from textual.widget import AwaitMount


INTERRUPT_WINDOW_S = 2.0
"""The time within which the second ctrl+c has to come, in seconds."""

DEFAULT_SCREEN, PRELOADED_SCREEN = "overview", "live"
"""The screen of a first start, and the one that is made ready in the background."""

AGE_INTERVAL_S = 10
"""The time between two readings of how long the oldest record waits: reading it takes longer with a backlog."""


class AskelApp(App[None]):
    """The console's app. It implements `shell.console.Console`, the interface that screens and widgets use."""

    CSS_PATH = "app.tcss"
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-narrow"),
        (80, "-normal"),
        (110, "-wide"),
        (160, "-huge"),
    ]
    BINDINGS: ClassVar[list[Any]] = [
        *(
            Binding(entry.key, f"show('{entry.name}')", entry.title, show=False, id=f"app.{entry.name}")
            for entry in SCREENS
        ),
        Binding(
            "f1,question_mark", "help", "Help", id="app.help", tooltip="What has the focus, and all keys"
        ),
        Binding("ctrl+o", "jump", "Jump", id="app.jump", show=False, tooltip="Go to a part of the screen"),
        Binding("f2", "show('settings')", "Settings", id="app.f2", show=False),
        Binding("ctrl+q", "quit", "Quit", id="app.quit", show=False, priority=True),
        Binding("ctrl+c", "interrupt", "Quit", id="app.interrupt", show=False, system=True),
        Binding("ctrl+n", "next_connection", "Next connection", id="app.next_connection", show=False),
    ]

    head: reactive[HeaderState] = reactive(HeaderState())
    connection: reactive[str | None] = reactive(None)
    """The connection that the screens are about; None while there is none."""

    def __init__(
        self,
        *,
        read_only: bool = False,
        home: Path | None = None,
        first: str | None = None,
        timing: Timing | None = None,
    ) -> None:
        super().__init__()
        self.started_at = time.perf_counter()
        self.timing = timing or Timing()
        self.backend = Backend(home, read_only=read_only)
        self.session = Session(home or _default_home())
        self.toasts = Toasts(self)
        self.typeahead = Typeahead(self, self.timing)
        self.daemon = DaemonControl(self, self.backend, self.toasts, self.update_header)
        self.appearance = Appearance(
            self, self.toasts, home or config_directory(), self.session.recall("theme"), self.timing
        )
        wanted = first or self.session.recall("screen")
        self._first_screen = wanted if wanted in SCREENS_BY_NAME else DEFAULT_SCREEN
        self.title = "askel"
        for entry in SCREENS:
            self.add_mode(entry.name, partial(create_screen, entry))
        self.connections: list[str] = []
        self._interrupted_at = 0.0
        self._commit_pending = False
        self._shows_at_once = False
        self.head = HeaderState(environment=self.backend.environment, read_only=read_only)

    # Starting and ending.

    def get_default_screen(self) -> Screen[Any]:
        """Returns the frame of the first screen, painted first: it costs half of the time that the screen takes."""
        from askel_tui.tui.screens.base_screen import StartScreen

        return StartScreen(self._first_screen)

    def on_mount(self) -> None:
        """Opens the home in the background; the first paint waits for nothing."""
        self.call_after_refresh(self._after_first_paint)

    def _after_first_paint(self) -> None:
        """Shows the first screen, opens the home, loads the other themes and reports problems of the user's files."""
        self.switch_mode(self._first_screen)
        run_in_background(self, self._open_home)
        self.appearance.watch_user_files()

    async def _open_home(self) -> None:
        try:
            await self.backend.open(self._notice_commit)
            await self.update_header()
            await self._update_age()
            self.set_interval(AGE_INTERVAL_S, self._update_age)
        except Exception as error:
            self.head = HeaderState(environment=self.backend.environment, error=describe_error(error))
            self.toasts.show(
                describe_error(error), title="The home can't be opened", severity="error", timeout=30
            )
            return
        self.set_timer(self.timing.preload_delay_s, self._preload)

    async def _preload(self) -> None:
        """Makes ready the screen that has to open at once, while the first one is painted and at rest."""
        if PRELOADED_SCREEN not in mounted_screens(self) and self.is_running:
            screen: Any = await mount_mode(self, PRELOADED_SCREEN)
            await screen.prepare()
            apply_current_styles(screen)
        # Objects that live by now are left out of garbage collections, which would make scrolling stutter.
        gc.collect()
        gc.freeze()
        release_freed_memory()

    def _notice_commit(self) -> None:
        """Passes on a commit; called from the backend's thread."""
        if self._commit_pending:
            return
        self._commit_pending = True
        self.call_later(self._handle_commits)

    async def _handle_commits(self) -> None:
        self._commit_pending = False
        run_in_background(self, self.update_header, "header", exclusive=True)
        screens: dict[str, Any] = mounted_screens(self)
        for name in SCREENS_BY_NAME.keys() & screens.keys():
            screens[name].journal_changed()

    async def update_header(self) -> None:
        """Brings the header up to date."""
        docs = await self.backend.call(queries.connections)
        running = await self.backend.call(queries.daemon_running)
        self.connections = [doc.name for doc in docs]
        if self.connection not in self.connections:
            last = self.session.recall("connection")
            self.connection = (
                last if last in self.connections else self.connections[0] if self.connections else None
            )
        self.head = HeaderState(
            self.connection,
            self.backend.environment,
            running,
            self.backend.started_daemon,
            self.backend.read_only,
            oldest_waiting=self.head.oldest_waiting,
            outage=await self.backend.call(queries.outage),
        )

    async def _update_age(self) -> None:
        """Brings the age of the oldest waiting record up to date; it grows while nothing is committed."""
        oldest = await self.backend.call(queries.oldest_waiting_age)
        self.head = replace(self.head, oldest_waiting=oldest, outage=await self.backend.call(queries.outage))

    async def action_quit(self) -> None:
        """Leaves the console; asks whether a daemon that was started from here goes on."""
        if self.backend.started_daemon:
            worker = run_in_background(self, self._ask_about_daemon, "quit", exclusive=True)
            self.typeahead.expect_question(worker)
            return
        self.exit()

    async def _ask_about_daemon(self) -> None:
        from askel_tui.tui.widgets.confirm import Confirm

        stay = await self.push_screen_wait(
            Confirm(
                "Leave the daemon running?",
                "It was started from this console. With yes it goes on sending after the console is closed; "
                "with no it settles what is under way and ends.",
            )
        )
        if stay is None:
            return
        if stay:
            self.backend.leave_daemon_running()
        self.exit()

    async def on_unmount(self) -> None:
        """Remembers the screen, the connection and the theme, and closes the home."""
        self.session.remember(
            "screen", self.current_mode if self.current_mode in SCREENS_BY_NAME else DEFAULT_SCREEN
        )
        self.session.remember("connection", self.connection)
        self.session.remember("theme", self.theme)
        try:
            await asyncio.to_thread(self.session.save)
        except Exception as error:
            self.log.error(describe_error(error))
        await self.backend.close()

    def action_interrupt(self) -> None:
        """Quits at the second ctrl+c."""
        now = time.monotonic()
        if now - self._interrupted_at < INTERRUPT_WINDOW_S:
            run_in_background(self, self.action_quit)
            return
        self._interrupted_at = now
        self.toasts.show("Press ctrl+c again to quit.", timeout=INTERRUPT_WINDOW_S)

    # Screens.

    def action_show(self, name: str) -> None:
        """Shows a screen; a question or help that lies over the present one is closed first."""
        if name not in SCREENS_BY_NAME:
            return
        while len(self.screen_stack) > 1:
            # The work that asked the question gets None as its answer.
            self.screen.dismiss(None)
        self.switch_mode(name)

    def switch_mode(self, mode: str) -> AwaitMount:
        """Switches the screen as Textual does, but paints one that is mounted already at once."""
        self._shows_at_once = mode in mounted_screens(self)
        try:
            return super().switch_mode(mode)
        finally:
            self._shows_at_once = False

    def delay_update(self, delay: float = 0.05) -> None:
        """Hides how a screen is put together; does nothing where it is whole."""
        if not self._shows_at_once:
            super().delay_update(delay)

    def action_help(self) -> None:
        """Shows help for what has the focus."""
        from askel_tui.tui.widgets.help import HelpScreen, help_for

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(*help_for(self.screen)))

    def action_jump(self) -> None:
        """Shows letters over the parts of the screen; pressing one goes there."""
        from askel_tui.tui.widgets.jump import JumpScreen, jump_targets

        found = jump_targets(self.screen)
        if found and not isinstance(self.screen, JumpScreen):
            self.push_screen(JumpScreen(found), lambda chosen: chosen.focus() if chosen else None)

    def action_next_connection(self) -> None:
        """Makes the screens be about the next connection."""
        if len(self.connections) > 1:
            at = self.connections.index(self.connection) if self.connection in self.connections else -1
            self.choose_connection(self.connections[(at + 1) % len(self.connections)])

    def choose_connection(self, connection: str) -> None:
        """Makes the screens be about a connection."""
        self.connection = connection
        self.session.remember("connection", connection)
        self.head = replace(self.head, connection=connection, error=None)

    def watch_connection(self, before: str | None, now: str | None) -> None:
        """Reports the change of connection to the screen in front."""
        front: Any = mounted_screens(self).get(self.current_mode) if self.is_running else None
        if before != now and front is not None and self.current_mode in SCREENS_BY_NAME:
            front.connection_changed()

    def action_take_in(self) -> None:
        """Asks for a file of records and takes them in, for the connection of the screen in front."""
        from askel_tui.tui.screens.base_screen import AskelScreen
        from askel_tui.tui.screens.ingest_dialog import ingest_file

        screen = self.screen
        if isinstance(screen, AskelScreen):
            screen.start_work(partial(ingest_file, screen), "take_in", exclusive=True, asks_question=True)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Yields the commands of the palette: the console's, then Textual's own."""
        yield from console_commands(self, can_ingest=not screen.is_modal)
        yield from super().get_system_commands(screen)

    # Keys and questions.

    async def on_event(self, event: events.Event) -> None:
        """Handles events as Textual does, except for keys that wait for a question."""
        if not self.typeahead.holds_event(event):
            await super().on_event(event)

    def on_key(self, event: events.Key) -> None:
        """Runs the action of a key that no widget took, unless the key waits for a question."""
        self.typeahead.hold_unhandled(event)

    def on_key_barrier(self, event: KeyBarrier) -> None:
        """Notes that the key before the barrier was handled."""
        event.passed.set()

    async def push_screen_wait(self, screen: Any, *, mode: str | None = None) -> Any:
        """Shows a question and returns its answer; keys wait until it can take them. Only inside a worker."""
        with self.typeahead.asking(screen):
            return await super().push_screen_wait(screen, mode=mode)

    def handle_bindings_clash(self, clashed_bindings: set[Binding], node: DOMNode) -> None:
        """Reports keys that the user's keymap took from something else."""
        self.appearance.report_clashes(clashed_bindings)

    # Overridden although it is private: Textual has no public hook for an error in a handler.
    def _handle_exception(self, error: Exception) -> None:
        # A screen that goes away while it opens never gets its widgets: its handlers then find nothing, and nobody
        # is there to see. Everything else ends the app, as Textual has it.
        if is_leaving(self) and isinstance(error, NoMatches):
            self.log.error(repr(error))
            return
        super()._handle_exception(error)


def _default_home() -> Path:
    from askel_tui.store.paths import default_home

    return default_home()
