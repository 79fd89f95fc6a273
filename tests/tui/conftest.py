"""Fixtures of the console's tests: an app over a sandbox, and the screen as plain text."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual._compositor import Compositor
from textual._context import visible_screen_stack
from textual.app import App
from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet
from textual.pilot import Pilot

from askel_tui.tui.app import AskelApp
from askel_tui.tui.shell.timing import Timing
from tests.benchmarks.audit_filler import fill
from tests.support.frozen import begin_there
from tests.support.patience import PATIENCE_S
from tests.support.sandbox import running
from tests.support.workbench import Workbench, workbench
from tests.tui.keys import settled, watch_turns

Console = Callable[..., AbstractAsyncContextManager[tuple[AskelApp, Pilot[Any], Workbench]]]

THEMES = ("dark", "light", "high-contrast", "colour-blind-safe", "ansi")

QUIET = Timing(preload_delay_s=3600.0, user_files_poll_s=3600.0, key_hold_s=30.0, key_barrier_s=5.0)
"""Nothing happens by itself in the middle of a test, and no key is lost on a busy machine; tests of that hand in
other times."""

_PARSED: dict[Any, list[RuleSet]] = {}

RECORDED = Path(__file__).with_name("snapshots")


@pytest.fixture(autouse=True)
def _plain_terminal(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """One look on every day and machine: a fixed moment, no colours of the shell, no animations."""
    begin_there(monkeypatch)
    monkeypatch.delenv("NO_COLOR", raising=False)
    # The variable of the same name is read once, when Textual is imported.
    monkeypatch.setattr("textual.constants.TEXTUAL_ANIMATIONS", "none")
    watch_turns(monkeypatch)
    monkeypatch.setattr("textual.widgets.Input.cursor_blink", False)
    parse_styles_once(monkeypatch)
    if not any(map(request.node.get_closest_marker, ("slow", "painted"))):
        paint_when_looked_at(monkeypatch)


def paint_when_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paints a screen only for `text_of` and `picture_of`: half the time of a test goes into what nobody sees.

    Slow tests, and those marked `painted`, paint every change.
    """

    paint = Compositor.render_update

    def leave_out(compositor: Compositor, full: bool = False, screen_stack: Any = None, **how: Any) -> Any:
        if full:
            return paint(compositor, full, screen_stack, **how)
        visible_screen_stack.set(screen_stack or [])
        compositor._dirty_regions.clear()
        return None

    monkeypatch.setattr(Compositor, "render_update", leave_out)


def parse_styles_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets all apps of a process share the rules of a style sheet: to parse them takes a third of an app's start."""
    parse = Stylesheet._parse_rules

    def remembered(sheet: Stylesheet, *words: Any, **named: Any) -> list[RuleSet]:
        key = (words, tuple(named.items()), tuple(sheet._variables.items()))
        if key not in _PARSED:
            _PARSED[key] = parse(sheet, *words, **named)
        return _PARSED[key]

    monkeypatch.setattr(Stylesheet, "_parse_rules", remembered)


@pytest.fixture
def console(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Console:
    """Opens the console over a connected home: `async with console(size=(80, 24)) as (app, pilot, bench)`.

    `prepare` is awaited with the workbench before the app starts. With `at_once` nothing waits until it is ready.
    """

    @asynccontextmanager
    async def opened(
        *,
        size: tuple[int, int] = (120, 36),
        read_only: bool = False,
        first: str | None = "overview",
        prepare: Callable[[Workbench], Any] | None = None,
        at_once: bool = False,
        timing: Timing = QUIET,
    ) -> AsyncIterator[tuple[AskelApp, Pilot[Any], Workbench]]:
        home = Path(tempfile.mkdtemp(dir=tmp_path))
        async with running() as sandbox, workbench(home, sandbox, monkeypatch) as bench:
            if prepare is not None:
                await prepare(bench)
            app = AskelApp(home=home, read_only=read_only, first=first, timing=timing)
            async with app.run_test(size=size) as pilot:
                if not at_once:
                    await ready(pilot)
                yield app, pilot, bench

    return opened


async def ready(pilot: Pilot[Any]) -> None:
    """Waits until the screen is there, the home is open and nothing is being loaded."""
    app = pilot.app
    await until(
        pilot, lambda: app.current_mode != "_default" and getattr(app.screen_stack[0], "is_loaded", True)
    )
    await settled(app)


def text_of(app: App[Any]) -> str:
    """The screen as it is, in characters."""
    # What is painted is what the compositor made of all widgets.
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips) + "\n"


def toasts(app: App[Any]) -> str:
    """What the toasts on the screen say."""
    return " ".join(f"{each.title} {each.message}" for each in app._notifications)


def picture_of(app: App[Any]) -> str:
    """The screen as SVG, without the random names that Textual gives."""
    return re.sub(r"terminal-\d+-", "terminal-", app.export_screenshot(title="askel"))


def assert_picture(app: App[Any], name: str) -> None:
    """As `assert_snapshot`, with colours: the screen as SVG."""
    assert_snapshot(picture_of(app), name, "svg")


def assert_snapshot(shown: str, name: str, kind: str = "txt") -> None:
    """Compares with the recorded text; with ASKEL_RECORD=1 records it."""
    file = RECORDED / f"{name}.{kind}"
    if os.environ.get("ASKEL_RECORD") == "1":
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(shown, "utf-8")
    assert file.exists(), f"{file} is not recorded: ASKEL_RECORD=1 records it"
    assert shown == file.read_text("utf-8"), f"the screen differs from {file}; ASKEL_RECORD=1 records it anew"


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AbstractAsyncContextManager[Any]]:
    """Opens the console over a home without connections, whose audit may have been filled: `(app, pilot)`."""

    @asynccontextmanager
    async def opened(
        *,
        size: tuple[int, int] = (120, 36),
        first: str = "overview",
        entries: int = 0,
        read_only: bool = False,
    ) -> AsyncIterator[tuple[AskelApp, Pilot[Any]]]:
        home = Path(tempfile.mkdtemp(dir=tmp_path))
        monkeypatch.setenv("ASKEL_HOME", str(home))
        monkeypatch.setenv("ASKEL_KLAVIYO_URL", "http://127.0.0.1:1")
        if entries:
            fill(home, entries)
        app = AskelApp(home=home, first=first, read_only=read_only, timing=QUIET)
        async with app.run_test(size=size) as pilot:
            await ready(pilot)
            yield app, pilot

    return opened


async def until(pilot: Pilot[Any], true: Callable[[], Any], seconds: float = PATIENCE_S) -> None:
    """Lets the app run until something is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"it never came to be; the screen:\n{text_of(pilot.app)}"
        await asyncio.sleep(0.002)
    await settled(pilot.app)
