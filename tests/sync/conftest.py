"""Fixtures of the engine's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from unittest.mock import AsyncMock

import pytest
import pytest_asyncio

from askel_tui.sync.upkeep.retirement_notices import RetirementNotices
from tests.support.revisions import OLDEST_AND_NEWEST
from tests.support.sandbox import running
from tests.support.workbench import Workbench, workbench

BOTH_MATTER = (
    "test_bulk.py",
    "test_consent.py",
    "test_differences.py",
    "test_whole_path.py::test_dry_run_and_live_have_the_same_operations_and_requests",
)
"""Tests of what goes to Klaviyo in other bodies or calls at another revision: `make test` runs them at each."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: Iterable[pytest.Item]) -> None:
    """Leaves what only repeats at an older revision to the proofs."""
    for item in items:
        revision = getattr(item, "callspec", None) and item.callspec.params.get("either")  # type: ignore[attr-defined]
        if revision in OLDEST_AND_NEWEST[:-1] and not any(each in item.nodeid for each in BOTH_MATTER):
            item.add_marker(pytest.mark.slow)


@pytest_asyncio.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Workbench]:
    """A connected instance at the newest revision."""
    async with running() as sandbox, workbench(tmp_path, sandbox, monkeypatch) as one:
        yield one
        one.assert_valid_requests()


@pytest_asyncio.fixture(params=OLDEST_AND_NEWEST)
async def either(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Workbench]:
    """A connected instance, at the oldest and the newest revision; when these retire is a matter of other tests."""
    monkeypatch.setattr(RetirementNotices, "run_round", AsyncMock())
    async with running() as sandbox, workbench(tmp_path, sandbox, monkeypatch, revision=request.param) as one:
        yield one
        one.assert_valid_requests()
