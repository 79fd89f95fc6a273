"""The pictures of the README are those of the console as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.files import ROOT
from tests.support.screenshots import steady, take


@pytest.mark.slow
async def test_the_pictures_are_current(tmp_path: Path) -> None:
    """`python -m tests.support.screenshots` takes them anew."""
    made = await take(tmp_path)
    there = ROOT / "screenshots"
    assert {file.name for file in made} == {file.name for file in there.iterdir()}
    for file in made:
        now, kept = file.read_text("utf-8"), (there / file.name).read_text("utf-8")
        assert steady(now) == steady(kept), f"screenshots/{file.name} is of another console"
