"""Every implementation of the journal, and every way of writing it, passes the same tests."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from askel_tui.store.journal.interface import Journal
from askel_tui.store.sqlite.journal import open_journal
from tests.unit.journal.samples import Desk, Opener


async def in_bulk_mode(home: Path) -> Journal:
    """Opens a journal in bulk mode, where a process of its own writes it and holds no lock."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        journal = await open_journal(home, lock=nothing)
        await journal.enter_bulk_mode()
    finally:
        os.close(nothing)
    return journal


OPENERS: dict[str, Opener] = {"sqlite": open_journal, "sqlite in bulk mode": in_bulk_mode}
SLOW = {"sqlite in bulk mode"}


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
