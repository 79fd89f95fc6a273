"""Every screen in every theme, as a picture; overview and live have theirs beside their own tests."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.frozen import begin_there
from tests.support.thinning import first_only
from tests.support.workbench import Workbench, example
from tests.tui.conftest import THEMES, Console, assert_snapshot, picture_of, ready

pytestmark = pytest.mark.clock

SCREENS = ("dry_run", "connections", "browse", "mapping", "failed", "settings")


async def story(bench: Workbench) -> None:
    """An account that was read, a workflow, records of which some fail."""
    await bench.apply(example("first-points-welcome.yaml"))
    await bench.take(example("first-points.jsonl"))
    await bench.take(
        [{"event": "first_points_earned", "id": f"f-{n}", "data": {"points": 1}} for n in range(3)]
    )
    await bench.drain()


def steady(picture: str) -> str:
    """The picture without seconds, sizes and places that are of one run."""
    picture = re.sub(r"\b09:4\d:\d\d(\.\d{3})?", lambda found: "09:40:07.000"[: len(found[0])], picture)
    picture = re.sub(r"(?<=>)(?:&#160;)*\d+&#160;s(?=&#160;)", "N&#160;s", picture)
    picture = re.sub(r"read&#160;\d+&#160;s", "read&#160;N&#160;s", picture)
    return re.sub(r"[\d.]+&#160;MB&#160;in&#160;[^<]*<", "PLACE<", picture)


@pytest.mark.parametrize("screen", first_only(SCREENS))
async def test_it_looks_like_this_in_every_theme(
    console: Console, monkeypatch: pytest.MonkeyPatch, screen: str
) -> None:
    """Colours are the theme's; what is said is the same."""
    begin_there(monkeypatch)
    prepare: Any = story if screen == "failed" else example_alone
    async with console(size=(80, 24), first=screen, prepare=prepare) as (app, pilot, _):
        await ready(pilot)
        app.clear_notifications()
        for theme in THEMES:
            app.theme = theme
            await pilot.pause()
            assert_snapshot(steady(picture_of(app)), f"{screen.replace('_', '-')}-{theme}", "svg")


async def example_alone(bench: Workbench) -> None:
    """A draft and its records."""
    await bench.apply(example("first-points-welcome.yaml"), activate=False)
    await bench.take(example("first-points.jsonl"))
