"""`askel demo`: plays the whole story against a sandbox; on a terminal it is watched in the console."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from askel_tui.cli.common import run_async

MAX_STORY_REST_S = 20
"""Time that the story may still take once the console was left, in seconds; ctrl+c ends it at once."""


@click.command()
@click.option("--headless", is_flag=True, help="Print the story on standard output and end.")
def demo(headless: bool) -> None:
    """Play the whole story against a sandbox on this machine, and count at the end.

    On a terminal the console opens and shows the story as it happens; its text is printed when you leave.
    Nothing of yours is touched: the state lives in a temporary directory.

    \b
    Example:
      askel demo --headless
    """
    with _temporary_home() as home:
        if headless or not (sys.stdin.isatty() and sys.stdout.isatty()):
            run_async(_play_story(home, click.echo))
        else:
            _play_in_console(home)


@contextlib.contextmanager
def _temporary_home() -> Iterator[Path]:
    """Yields a temporary home for the block, without any of the user's settings."""
    with tempfile.TemporaryDirectory(prefix="askel-demo-") as home:
        for name in [name for name in os.environ if name.startswith("ASKEL_")]:
            del os.environ[name]
        os.environ.update(ASKEL_HOME=home, ASKEL_VAULT_KEY=secrets.token_urlsafe(24))
        yield Path(home)


async def _play_story(
    home: Path,
    say: Callable[[str], None],
    begun: threading.Event | None = None,
    left: asyncio.Event | None = None,
) -> None:
    """Plays the story. Sets `begun` once the sandbox runs; with `left`, the sandbox runs until that is set.

    Raises `StoryBroken`.
    """
    from askel_tui.demo.account import DemoAccount
    from askel_tui.demo.story import Story
    from askel_tui.sandbox.http.server import serve
    from askel_tui.sync.instance import open_instance

    sandbox = await serve()
    os.environ["ASKEL_KLAVIYO_URL"] = sandbox.url
    if begun is not None:
        begun.set()
    say(f"A Klaviyo account on this machine: {sandbox.url} (Maple & Ember)")
    try:
        async with open_instance(home) as instance:
            await Story(instance, DemoAccount(sandbox.url), say).run(sandbox.key)
        if left is not None:
            await left.wait()
    finally:
        await sandbox.aclose()


def _play_in_console(home: Path) -> None:
    """Plays the story in a thread while the console is open on its home."""
    from askel_tui.tui import run as console

    lines: list[str] = []
    begun = threading.Event()
    stop: list[Callable[[float], None]] = []
    ended: list[BaseException] = []

    async def play() -> None:
        loop, left = asyncio.get_running_loop(), asyncio.Event()
        story = asyncio.create_task(_play_story(home, lines.append, begun, left))

        def leave(rest_s: float) -> None:
            left.set()
            loop.call_later(rest_s, story.cancel)

        def leave_from_outside(rest_s: float) -> None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(leave, rest_s)

        stop.append(leave_from_outside)
        with contextlib.suppress(asyncio.CancelledError):
            await story

    def work() -> None:
        try:
            asyncio.run(play())
        except BaseException as error:
            ended.append(error)
        finally:
            begun.set()

    def end(rest_s: float) -> None:
        for each in stop:
            each(rest_s)
        thread.join()

    thread = threading.Thread(target=work, name="askel-demo")
    thread.start()
    begun.wait()
    try:
        console()
    finally:
        try:
            end(MAX_STORY_REST_S)
        except KeyboardInterrupt:
            end(0)
        click.echo("\n".join(lines))
    if ended:
        raise ended[0]
