"""Fixtures of the engine's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from askel_tui.contract.endpoints import SELECTABLE
from tests.support.sandbox import running
from tests.support.workbench import Workbench, workbench


@pytest_asyncio.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Workbench]:
    """A connected instance at the newest revision."""
    async with running() as sandbox, workbench(tmp_path, sandbox, monkeypatch) as one:
        yield one
        one.assert_valid_requests()


@pytest_asyncio.fixture(params=SELECTABLE)
async def either(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Workbench]:
    """A connected instance, at each revision that can be pinned."""
    async with running() as sandbox, workbench(tmp_path, sandbox, monkeypatch, revision=request.param) as one:
        yield one
        one.assert_valid_requests()
