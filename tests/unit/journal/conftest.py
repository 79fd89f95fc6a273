"""Every implementation of the journal, and every way of writing it, passes the same tests."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from askel_tui.store.journal.interface import Journal
from askel_tui.store.sqlite.journal import open_journal
from tests.unit.journal.samples import Desk, Opener


async def in_a_hurry(home: Path) -> Journal:
    """A journal that a process of its own writes, which keeps no lock."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        journal = await open_journal(home, lock=nothing)
        await journal.enter_bulk_mode()
    finally:
        os.close(nothing)
    return journal


OPENERS: dict[str, Opener] = {"sqlite": open_journal, "sqlite in a hurry": in_a_hurry}
SLOW = {"sqlite in a hurry"}


@pytest.fixture(
    params=[pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in OPENERS]
)
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
