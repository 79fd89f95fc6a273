"""Makes the pictures of the README: `python -m tests.support.screenshots` writes `screenshots/*.svg`.

The console runs over a sandbox with the story of Maple & Ember; each picture is a screen as it is then.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
from pathlib import Path

import pytest

from askel_tui.sync import workflows
from askel_tui.tui.app import AskelApp
from tests.support.sandbox import running
from tests.support.shared import ROOT, require_shared
from tests.support.workbench import ACTOR, example, workbench
from tests.tui.conftest import ready

BEFORE, AFTER = ("browse", "mapping", "dry_run"), ("overview", "live")
"""Screens to picture before and after going live."""
SIZE = (120, 36)
WORKFLOW = "first-points-welcome"


async def take(folder: Path) -> list[Path]:
    """Takes one picture a screen; gives the files."""
    os.environ["TEXTUAL_ANIMATIONS"] = "none"
    made: list[Path] = []
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as home:
        async with running() as sandbox, workbench(Path(home), sandbox, patch) as bench:
            await bench.apply(example(f"{WORKFLOW}.yaml"), activate=False)
            await bench.take(example("first-points.jsonl"))
            made += [await _picture(Path(home), screen, folder) for screen in BEFORE]
            await workflows.activate(bench.instance, WORKFLOW, ACTOR, since="2026-01-01T00:00:00+00:00")
            await bench.drain()
            made += [await _picture(Path(home), screen, folder) for screen in AFTER]
    return made


async def _picture(home: Path, screen: str, folder: Path) -> Path:
    app = AskelApp(home=home, first=screen)
    async with app.run_test(size=SIZE) as pilot:
        await ready(pilot)
        picture = re.sub(r"terminal-\d+-", "terminal-", app.export_screenshot(title="askel"))
    file = folder / f"{screen}.svg"
    file.write_text(picture, "utf-8")
    return file


if __name__ == "__main__":
    require_shared()
    for written in asyncio.run(take(ROOT / "screenshots")):
        sys.stdout.write(f"{written}\n")
