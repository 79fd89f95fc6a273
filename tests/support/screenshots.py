"""Makes the pictures of the README: `python -m tests.support.screenshots` writes `screenshots/*.svg`.

The console runs over a sandbox with the story of Maple & Ember; each picture is a screen as it is then. The day is
always the same, so the same code takes the same pictures, and a test can say whether those here are current.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
from pathlib import Path

import pytest

from askel_tui.services import workflows
from askel_tui.tui.app import AskelApp
from tests.support import environment
from tests.support.files import ROOT
from tests.support.frozen import begin_there
from tests.support.sandbox import running
from tests.support.workbench import ACTOR, example, points, workbench
from tests.tui.conftest import picture_of, ready, text_of, until
from tests.tui.keys import watch_turns

DRAFT = ("browse", "mapping", "dry_run")
"""Screens to picture before going live."""
SIZE = (120, 36)
WORKFLOW = "first-points-welcome"


async def take(folder: Path) -> list[Path]:
    """Takes one picture a screen; gives the files."""
    made: list[Path] = []
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as home:
        patch.setattr("textual.constants.TEXTUAL_ANIMATIONS", "none")
        patch.delenv("NO_COLOR", raising=False)
        watch_turns(patch)
        begin_there(patch)
        async with running() as sandbox, workbench(Path(home), sandbox, patch) as bench:
            await bench.apply(example(f"{WORKFLOW}.yaml"), activate=False)
            await bench.take(example("first-points.jsonl"))
            made += [await _picture(Path(home), screen, folder) for screen in DRAFT]
            await workflows.activate(
                bench.instance, WORKFLOW, ACTOR, since="2026-01-01T00:00:00+00:00", flows="fire"
            )
            await bench.drain()
            # One after another, and more than the screen has rows for: simultaneous calls are answered in any order.
            for number in range(20, 28):
                await bench.take([points(number)])
                await bench.drain()
            made.append(await _picture(Path(home), "live", folder))
            # Somebody deletes the list of the welcome, and more shoppers earn points.
            bench.delete_list("MeWelc")
            await bench.take([points(number) for number in range(3)])
            await bench.drain()
            made.append(await _picture(Path(home), "overview", folder))
    return made


async def _picture(home: Path, screen: str, folder: Path) -> Path:
    app = AskelApp(home=home, first=screen)
    async with app.run_test(size=SIZE) as pilot:
        await ready(pilot)
        if screen == "live":
            await until(pilot, lambda: "✓ written" in text_of(app))
        picture = picture_of(app)
    file = folder / f"{screen}.svg"
    picture = re.sub(r"(?:&#160;)+\d+&#160;ms", _took, picture)
    picture = re.sub(r"read&#160;\d&#160;s", "read&#160;0&#160;s", picture)
    file.write_text(re.sub(r"\b09:4\d:\d\d\b", "09:40:07", picture), "utf-8")
    return file


def steady(picture: str) -> str:
    """A picture without what differs from run to run: how many calls what waited was gathered into."""
    return re.sub(r"(?:&#160;)+[\d,]+/|[▏▎▍▌▋▊▉█]+·*", "N/", picture)


def _took(found: re.Match[str]) -> str:
    """How long calls took is the machine's; the width stays."""
    room = len(found[0].replace("&#160;", " "))
    return "18 ms".rjust(room).replace(" ", "&#160;")


if __name__ == "__main__":
    environment.isolate(os.environ)
    for written in asyncio.run(take(ROOT / "screenshots")):
        sys.stdout.write(f"{written}\n")
