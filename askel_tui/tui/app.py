"""The console's app: screens by number, help, jumping, palette, quitting, toasts.

Rules for screens
- A screen is an `AskelScreen` (`frame.py`) in `screens/NAME.py`, named in `registry.py`, with `screens/NAME.tcss`
  beside it (`CSS_PATH = "NAME.tcss"`). It composes in `body()`; header, navigation, filter and footer are the frame's.
- `load()` reads from `self.backend` and fills the widgets. The frame calls it when the screen is first shown, on F5,
  when another connection is chosen, and after commits while the screen is in front (`FOLLOWS = True`).
- Screens touch the instance through `self.backend` only. Anything that takes time runs in `self.start(function)`;
  what may take over a second is awaited through `self.busy(label, awaitable)`: it shows progress, and Esc cancels.
- An error that reaches `start` or `load` becomes a toast; nothing ends the app.
- Every `Binding` has an `id` ("SCREEN.action") and can be rebound; keys that matter have `show=True`.
- `/` opens the frame's filter where `FILTERS = True`; `filtered(wanted)` is told. Esc closes it, then asks `back()`.
- Whatever comes from records, Klaviyo or files goes through `inert` or `fit`, and into `Content`, never into markup.
- Nothing is said by colour alone: a word or a sign goes with it. Widgets with `help` (Helpable) and `jump_key`
  (Jumpable) take part in F1 and ctrl+o.
- What destroys or goes live asks with `Confirm` (y, not Enter; the focus is on No).
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual._context import active_message_pump
from textual.app import SystemCommand
from textual.binding import Binding
from textual.css.query import NoMatches
from textual.reactive import reactive

from askel_tui.text.sanitizing import sanitize
from askel_tui.tui.backend import Backend, Environment, describe_error
from askel_tui.tui.preferences import session
from askel_tui.tui.shell.memory import release_freed_memory
from askel_tui.tui.shell.screen_registry import SCREENS, SCREENS_BY_NAME, create_screen
from askel_tui.tui.shell.typeahead import Asking
from askel_tui.tui.shell.workers import run_in_background

if TYPE_CHECKING:
    from textual.screen import Screen
    from textual.widget import AwaitMount


INTERRUPT_WINDOW_S = 2.0
"""How soon the second ctrl+c has to come, in seconds."""

DEFAULT_SCREEN, PRELOADED_SCREEN = "overview", "live"
"""The screen of a first start, and the one that is made ready in the background."""

REST_S = 0.7
"""How long after the home was opened that is done, in seconds."""


@dataclass(frozen=True, slots=True)
class HeaderState:
    """What the header says. `daemon` is None while nobody knows."""

    connection: str | None = None
    environment: Environment = "klaviyo"
    daemon_running: bool | None = None
    daemon_is_ours: bool = False
    read_only: bool = False
    error: str | None = None


class AskelApp(Asking):
    """The console."""

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
        self, *, read_only: bool = False, home: Path | None = None, first: str | None = None
    ) -> None:
        self.started_at = time.perf_counter()
        self.backend = Backend(home, read_only=read_only)
        self._home = home
        self._session = session.load_session(self._state_directory())
        wanted = first or self._session.get("screen")
        self._first_screen = wanted if wanted in SCREENS_BY_NAME else DEFAULT_SCREEN
        super().__init__(home, self._session.get("theme"))
        self.title = "askel"
        for entry in SCREENS:
            self.add_mode(entry.name, partial(create_screen, entry))
        self.connections: list[str] = []
        self._interrupted_at = 0.0
        self._commit_pending = False
        self._is_mounted_already = False
        self.head = HeaderState(environment=self.backend.environment, read_only=read_only)

    # Starting and ending.

    def get_default_screen(self) -> Screen[Any]:
        """The frame alone is what is painted first: it costs half of what a screen does."""
        from askel_tui.tui.shell.base_screen import StartScreen

        return StartScreen(self._first_screen)

    def on_mount(self) -> None:
        """Opens the home in the background; the first paint waits for nothing."""
        self.call_after_refresh(self._after_first_paint)

    def _after_first_paint(self) -> None:
        """With the first paint done: the screen, the home, the other themes, what is wrong in the user's files."""
        self.switch_mode(self._first_screen)
        run_in_background(self, self._open_home)
        self.watch_user_files()

    async def _open_home(self) -> None:
        try:
            await self.backend.open(self._notice_commit)
            await self._update_header()
        except Exception as error:
            self.head = HeaderState(environment=self.backend.environment, error=describe_error(error))
            self.show_toast(
                describe_error(error), title="The home can't be opened", severity="error", timeout=30
            )
            return
        self.set_timer(REST_S, self._preload)

    async def _preload(self) -> None:
        """With the first screen painted and at rest: makes ready what has to open at once."""
        ready = PRELOADED_SCREEN in self._screen_stacks or not self.is_running
        if not ready:
            # Textual has no public way to mount a mode before it is switched to.
            await self._init_mode(PRELOADED_SCREEN)
            screen = self._screen_stacks[PRELOADED_SCREEN][0]
            await screen.prepare()  # type: ignore[attr-defined]
            # It is in the theme already: else all styles are read again when it opens.
            self.stylesheet.update(screen)
            screen._css_update_count = self._css_update_count
        # What lives from now on is not looked through by the collector, which would make scrolling stutter.
        gc.collect()
        gc.freeze()
        release_freed_memory()

    def _notice_commit(self) -> None:
        """Called from the backend's thread after commits."""
        if self._commit_pending:
            return
        self._commit_pending = True
        self.call_later(self._handle_commits)

    async def _handle_commits(self) -> None:
        self._commit_pending = False
        run_in_background(self, self._update_header, "know", exclusive=True)
        for stack in self._screen_stacks.values():
            changed = getattr(stack[0], "changed", None) if stack else None
            if changed is not None:
                changed()

    async def _update_header(self) -> None:
        """Brings the header up to date."""
        docs = await self.backend.connections()
        running = await self.backend.daemon_running()
        self.connections = [doc.name for doc in docs]
        if self.connection not in self.connections:
            last = self._session.get("connection")
            self.connection = (
                last if last in self.connections else self.connections[0] if self.connections else None
            )
        self.head = HeaderState(
            self.connection,
            self.backend.environment,
            running,
            self.backend.started_daemon,
            self.backend.read_only,
        )

    async def action_quit(self) -> None:
        """Leaves; asks what becomes of a daemon that was started from here."""
        if self.backend.started_daemon:
            self.expect_question(run_in_background(self, self._ask_about_daemon, "quit", exclusive=True))
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
        """Remembers where one was, and closes the home."""
        kept = {
            **self._session,
            "screen": self._screen_name(),
            "connection": self.connection,
            "theme": self.theme,
        }
        try:
            await asyncio.to_thread(session.save_session, self._state_directory(), kept)
        except Exception as error:
            self.log.error(describe_error(error))
        await self.backend.close()

    def _screen_name(self) -> str:
        return self.current_mode if self.current_mode in SCREENS_BY_NAME else DEFAULT_SCREEN

    def _state_directory(self) -> Path:
        if self._home is not None:
            return self._home
        from askel_tui.store.paths import default_home

        return default_home()

    def action_interrupt(self) -> None:
        """Ctrl+c twice quits."""
        now = time.monotonic()
        if now - self._interrupted_at < INTERRUPT_WINDOW_S:
            run_in_background(self, self.action_quit)
            return
        self._interrupted_at = now
        self.show_toast("Press ctrl+c again to quit.", timeout=INTERRUPT_WINDOW_S)

    # Screens.

    def action_show(self, name: str) -> None:
        """Goes to a screen; what lay over the present one (a question, help) is left first."""
        if name not in SCREENS_BY_NAME:
            return
        while len(self.screen_stack) > 1:
            # Whoever waits for an answer is told that there is none.
            self.screen.dismiss(None)
        self.switch_mode(name)

    def switch_mode(self, mode: str) -> AwaitMount:
        """As Textual's, but a screen that is there already is painted at once."""
        self._is_mounted_already = mode in self._screen_stacks
        try:
            return super().switch_mode(mode)
        finally:
            self._is_mounted_already = False

    def delay_update(self, delay: float = 0.05) -> None:
        """Hides how a screen is put together; nothing where it is whole."""
        if not self._is_mounted_already:
            super().delay_update(delay)

    def action_help(self) -> None:
        """Help for what has the focus."""
        from askel_tui.tui.widgets.help import HelpScreen, help_for

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(*help_for(self.screen)))

    def action_jump(self) -> None:
        """Letters over the parts of the screen; pressing one goes there."""
        from askel_tui.tui.widgets.jump import JumpScreen, jump_targets

        found = jump_targets(self.screen)
        if found and not isinstance(self.screen, JumpScreen):
            self.push_screen(JumpScreen(found), lambda chosen: chosen.focus() if chosen else None)

    def action_next_connection(self) -> None:
        """The next connection becomes the one that the screens are about."""
        if len(self.connections) > 1:
            at = self.connections.index(self.connection) if self.connection in self.connections else -1
            self.choose_connection(self.connections[(at + 1) % len(self.connections)])

    def choose_connection(self, connection: str) -> None:
        """Makes the screens be about a connection."""
        self.connection = connection
        self._session["connection"] = connection
        self.head = HeaderState(
            connection,
            self.head.environment,
            self.head.daemon_running,
            self.head.daemon_is_ours,
            self.head.read_only,
        )

    def watch_connection(self, before: str | None, now: str | None) -> None:
        """Tells the screen in front."""
        if before != now and self.is_running and self.screen_stack:
            chosen = getattr(self.screen_stack[0], "chosen", None)
            if chosen is not None:
                chosen()

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """The palette: screens, connections, the daemon, then Textual's own."""
        for entry in SCREENS:
            yield SystemCommand(
                f"Screen: {entry.title}",
                f"{entry.description}  ({entry.key})",
                partial(self.action_show, entry.name),
            )
        for name in self.connections:
            if name != self.connection:
                yield SystemCommand(
                    f"Connection: {sanitize(name)}",
                    "Show this connection",
                    partial(self.choose_connection, name),
                )
        if not self.backend.read_only:
            if self.connection is not None and hasattr(screen, "action_take_in"):
                yield SystemCommand(
                    "Records: Take in a file", f"For {sanitize(self.connection)}", screen.action_take_in
                )
            if self.backend.started_daemon:
                yield SystemCommand("Daemon: Stop", "End the daemon that was started here", self.stop_daemon)
            elif not self.head.daemon_running:
                yield SystemCommand("Daemon: Start", "Keep records moving into Klaviyo", self.start_daemon)
        yield SystemCommand("Help: Focus", "Help for what has the focus (F1)", self.action_help)
        yield SystemCommand("View: Jump", "Go to a part of the screen (ctrl+o)", self.action_jump)
        yield from super().get_system_commands(screen)

    # The daemon.

    def start_daemon(self) -> None:
        """Starts a daemon beside the console."""
        run_in_background(self, partial(self._switch_daemon, start=True), "daemon", exclusive=True)

    def stop_daemon(self) -> None:
        """Ends the daemon that was started from here."""
        run_in_background(self, partial(self._switch_daemon, start=False), "daemon", exclusive=True)

    def toggle_daemon(self) -> None:
        """Starts a daemon, or ends the one that was started from here."""
        if self.backend.started_daemon:
            self.stop_daemon()
        elif self.head.daemon_running:
            self.show_toast("A daemon that was started elsewhere works on this home: it is ended there.")
        else:
            self.start_daemon()

    async def _switch_daemon(self, *, start: bool) -> None:
        try:
            if start:
                self.show_toast("Starting a daemon…")
                await self.backend.start_daemon()
                self.show_toast("The daemon runs: what waits is being sent.")
            else:
                self.show_toast("The daemon settles what is under way, then ends…")
                await self.backend.stop_daemon()
                self.show_toast("The daemon has ended.")
            await self._update_header()
        except Exception as error:
            self.show_error(error)

    def _handle_exception(self, error: Exception) -> None:
        # A screen that goes away while it opens never gets its widgets: its handlers then find nothing, and nobody
        # is there to see. Everything else ends the app, as Textual has it.
        pump = active_message_pump.get(None)
        leaving = self._exit or (pump is not None and (pump._closing or not pump.is_attached))
        if leaving and isinstance(error, NoMatches):
            self.log.error(repr(error))
            return
        super()._handle_exception(error)

    # Memory.

    def recall(self, name: str, default: Any = None) -> Any:
        """What was remembered under a name, in this start or an earlier one."""
        return self._session.get(name, default)

    def remember(self, name: str, value: Any) -> None:
        """Remembers a JSON value until the next start."""
        self._session[name] = value
