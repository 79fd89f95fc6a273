"""Every implementation of the journal passes the same tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from askel_tui.store.journal import Journal
from askel_tui.store.sqlite import open_journal
from tests.unit.journal.samples import Desk, Opener

OPENERS: dict[str, Opener] = {"sqlite": open_journal}


@pytest.fixture(params=sorted(OPENERS))
def opener(request: pytest.FixtureRequest) -> Opener:
    return OPENERS[request.param]


@pytest.fixture
async def journal(opener: Opener, tmp_path: Path) -> AsyncIterator[Journal]:
    opened = await opener(tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
def desk(journal: Journal) -> Desk:
    return Desk(journal)
