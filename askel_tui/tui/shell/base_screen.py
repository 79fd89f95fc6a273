"""The frame that every screen stands in: header, navigation, filter, progress, footer, and what happens when."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static
from textual.worker import Worker

from askel_tui.text.cells import truncate
from askel_tui.text.sanitizing import sanitize
from askel_tui.tui.backend import Backend, describe_error
from askel_tui.tui.backend.loop_thread import BackendClosed
from askel_tui.tui.shell.progress import BusyLine, Cancelled, Progress
from askel_tui.tui.shell.screen_registry import SCREENS, ScreenEntry
from askel_tui.tui.shell.workers import run_in_background
from askel_tui.tui.text.filtering import Filter, parse_filter
from askel_tui.tui.widgets.filter_bar import FilterBar
from askel_tui.tui.widgets.help import Help
from askel_tui.tui.widgets.key_hints import KeyHints

if TYPE_CHECKING:
    from askel_tui.tui.app import AskelApp, HeaderState

T = TypeVar("T")

MIN_RELOAD_INTERVAL_S = 0.5
"""The shortest time between two loads that commits cause, in seconds."""

PROGRESS_DELAY_S = 0.8
"""Work that is done sooner than this shows no progress, in seconds."""


class TopBar(Widget):
    """One line: which connection, which environment, whether a daemon runs, read-only or not."""

    def on_mount(self) -> None:
        """Follows the app's head."""
        self.watch(self.app, "head", self._redraw)

    def _redraw(self) -> None:
        self.refresh()

    def render(self) -> Content:
        """The line."""
        head: HeaderState = cast("AskelApp", self.app).head
        wide = self.size.width >= 76
        parts: list[Any] = [("▌askel ", "bold $accent")]
        if head.error:
            return Content.assemble(*parts, ("✗ ", "bold $error"), truncate(head.error, self.size.width - 12))
        named = truncate(head.connection, 28 if wide else 14) if head.connection else "no connection"
        parts += [(named, "bold"), "  "]
        if head.environment == "sandbox":
            parts.append((" SANDBOX ", "bold reverse $success"))
        else:
            parts.append((" KLAVIYO · REAL " if wide else " REAL ", "bold reverse $error"))
        parts.append("  ")
        if head.daemon_running is None:
            parts.append(("◌ opening…", "$foreground-muted"))
        elif head.daemon_running:
            word = "daemon runs" + (" (started here)" if head.daemon_is_ours and wide else "")
            parts.append((f"● {word}", "$success"))
        else:
            parts.append(("○ no daemon: nothing is sent" if wide else "○ no daemon", "$warning"))
        if head.read_only:
            parts += ["  ", (" READ-ONLY ", "bold reverse")]
        return Content.assemble(*parts)


class NavBar(Widget):
    """The screens with their numbers; the present one stands out. Each can be clicked."""

    def __init__(self, present: str) -> None:
        super().__init__()
        self._present = present

    def render(self) -> Content:
        """The line; too narrow for all titles, it has the numbers and the present title."""
        room = self.size.width
        whole = sum(len(entry.title) + 3 for entry in SCREENS) <= room + 1
        parts = []
        for entry in SCREENS:
            here = entry.name == self._present
            title = f"{entry.key} {entry.title}" if whole or here else entry.key
            style = "bold reverse" if here else "$foreground-muted"
            parts.append(f"[@click=app.show('{entry.name}')][{style}]{title}[/][/]")
        return Content.from_markup(" ".join(parts))


class AskelScreen(Screen[None]):
    """A screen of the console; see the rules in `app.py`."""

    NAME: ClassVar[str] = ""
    """The name in the registry."""
    HELP: ClassVar[str | None] = None
    """What F1 says about the screen: plain lines."""
    HAS_FILTER: ClassVar[bool] = False
    """Whether `/` filters here."""
    FILTER_FIELDS: ClassVar[tuple[str, ...]] = ()
    """Fields that `field:value` may name in the filter."""
    RELOADS_ON_COMMIT: ClassVar[bool] = True
    """Whether commits make the screen load again, at once while it is in front."""
    RELOADS_ON_RETURN: ClassVar[bool] = False
    """Whether a screen that does not follow loads again when one comes back to it after commits."""

    BINDINGS: ClassVar[list[Any]] = [
        Binding("slash", "filter", "Filter", id="screen.filter", tooltip="word, !word, field:value"),
        Binding("escape", "back", "Back", id="screen.back", show=False),
        Binding("f5", "reload", "Refresh", id="screen.refresh", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._reload_scheduled = False
        self._stale = False
        self._loaded = False
        self._last_load_error: str | None = None

    # For screens to use and override.

    @property
    def askel(self) -> AskelApp:
        """The app."""
        return cast("AskelApp", self.app)

    @property
    def backend(self) -> Backend:
        """The only way to the instance."""
        return self.askel.backend

    @property
    def connection(self) -> str | None:
        """The connection that the screens are about."""
        return self.askel.connection

    @property
    def current_filter(self) -> Filter:
        """The filter as it is typed."""
        return (
            parse_filter(self.query_one(FilterBar).value, self.FILTER_FIELDS) if self.HAS_FILTER else Filter()
        )

    def body(self) -> ComposeResult:
        """What the screen shows."""
        yield from ()

    async def load(self) -> None:
        """Reads from the backend and fills the widgets."""

    async def prepare(self) -> None:
        """Makes ready what takes time, before the screen is first shown."""

    def apply_filter(self, wanted: Filter) -> None:
        """The filter has changed."""

    def leave_filter(self, before: Widget | None) -> None:
        """The filter stays as it is: back to what had the focus before it was typed."""
        if before is not None and before.is_attached:
            before.focus()
        else:
            self.focus_next()

    def go_back(self) -> bool:
        """One level back inside the screen; False where it is at its top already."""
        return False

    def records_ingested(self) -> None:
        """Records were taken in from here."""
        self.action_reload()

    def chosen(self) -> None:
        """Another connection was chosen."""
        if self._loaded:
            self.action_reload()

    def start_work(
        self,
        work: Callable[[], Awaitable[Any]],
        group: str = "default",
        *,
        exclusive: bool = False,
        asks_question: bool = False,
    ) -> Worker[Any]:
        """Runs work beside the screen; what it raises becomes a toast. `asks_question` keeps keys for its question."""
        worker = run_in_background(
            self, partial(self._run_reporting_errors, work), group, exclusive=exclusive
        )
        if asks_question:
            self.askel.expect_question(worker)
        return worker

    async def with_progress(self, label: str, work: Awaitable[T], progress: Progress | None = None) -> T:
        """What `work` gives. After a moment a line shows how far it is; Esc cancels it. Raises `Cancelled`."""
        task = asyncio.ensure_future(work)
        self.askel.expect_no_question()
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

    async def confirm(self, question: str, detail: str = "", *, typed: str | None = None) -> bool:
        """Asks; True for yes. Only inside `start`. With `typed`, that has to be typed first."""
        from askel_tui.tui.widgets.confirm import Confirm

        answer: bool | None = await self.askel.push_screen_wait(Confirm(question, detail, typed=typed))
        return bool(answer)

    # The frame's own.

    def compose(self) -> ComposeResult:
        """Header, navigation, body, filter, progress, footer."""
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
        """What F1 shows for the screen."""
        entry = next((each for each in SCREENS if each.name == self.NAME), None)
        return Help(entry.title if entry else "", self.HELP or (entry.description if entry else ""))

    def _on_screen_resume(self, event: events.ScreenResume) -> None:
        """Loads what is missing or has changed meanwhile."""
        if self._css_update_count == self.app._css_update_count:
            # Textual's own handler comes after this one, and would give every widget its styles again, though it
            # looks as it did when it was left.
            event.refresh_styles = False
        if self.is_current and (not self._loaded or self._stale):
            # What there is is painted first.
            self.call_after_refresh(self.action_reload)

    def changed(self) -> None:
        """Something was committed; a screen that is not in front loads when it is next."""
        if not self.RELOADS_ON_COMMIT:
            self._stale = self._stale or (self.RELOADS_ON_RETURN and not self.is_current)
            return
        self._stale = True
        if not self._reload_scheduled and self.is_current:
            self._reload_scheduled = True
            self.set_timer(MIN_RELOAD_INTERVAL_S if self._loaded else 0.01, self._reload_if_stale)

    def _reload_if_stale(self) -> None:
        self._reload_scheduled = False
        # A commit may come before the widgets: then the screen loads when it is first in front.
        if self._stale and self.is_current and self.is_mounted:
            self.action_reload()

    def action_reload(self) -> None:
        """Loads now."""
        self._stale = False
        run_in_background(self, self._load_reporting_errors, "load", exclusive=True)

    async def _load_reporting_errors(self) -> None:
        try:
            await self.load()
        except Cancelled as cancelled:
            self.askel.show_toast(describe_error(cancelled))
        except BackendClosed:
            return
        except Exception as error:
            # The same trouble at every commit is said once.
            if describe_error(error) != self._last_load_error:
                self._last_load_error = describe_error(error)
                self.askel.show_error(error, "Nothing could be read")
        else:
            self._last_load_error = None
        self._loaded = True

    async def _run_reporting_errors(self, work: Callable[[], Awaitable[Any]]) -> None:
        try:
            await work()
        except Cancelled as cancelled:
            self.askel.show_toast(describe_error(cancelled))
        except BackendClosed:
            return
        except Exception as error:
            self.askel.show_error(error)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """No filter where none is."""
        return self.HAS_FILTER if action == "filter" else True

    def action_take_in(self) -> None:
        """Takes in the records of a file."""
        self.start_work(self._ingest, group="take_in", exclusive=True, asks_question=True)

    async def _ingest(self) -> None:
        from askel_tui.tui.screens.ingest_dialog import ingest_file

        if await ingest_file(self):
            self.records_ingested()

    def action_filter(self) -> None:
        """Opens the filter."""
        self.query_one(FilterBar).open()

    def action_back(self) -> None:
        """Cancels what runs, else leaves the filter, else one level back inside the screen, else takes toasts away."""
        if self.query_one(BusyLine).cancel():
            return
        if self.HAS_FILTER and self.query_one(FilterBar).leave():
            return
        if not self.go_back():
            self.app.clear_notifications()

    def on_filter_bar_kept(self, event: FilterBar.Kept) -> None:
        """On to what was found."""
        event.stop()
        self.leave_filter(event.before)

    def on_filter_bar_changed(self, event: FilterBar.Changed) -> None:
        """Hands the filter on."""
        event.stop()
        self.apply_filter(parse_filter(event.value, self.FILTER_FIELDS))


class StartScreen(AskelScreen):
    """The frame of the first screen, there until that is."""

    RELOADS_ON_COMMIT = False

    def __init__(self, name: str) -> None:
        super().__init__()
        self.NAME = name  # type: ignore[misc]


class MissingScreen(AskelScreen):
    """Stands for a screen whose file does not exist yet."""

    RELOADS_ON_COMMIT = False

    def __init__(self, entry: ScreenEntry) -> None:
        super().__init__()
        self.NAME = entry.name  # type: ignore[misc]
        self._entry = entry

    def body(self) -> ComposeResult:
        """One sentence."""
        yield Static(Content(f"{sanitize(self._entry.title)}: not there yet."), id="missing")
