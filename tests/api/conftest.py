"""Fixtures of the HTTP API's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.http_api import RunningApi, running_api
from tests.support.sandbox import running
from tests.support.workbench import workbench


@pytest_asyncio.fixture
async def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunningApi]:
    """An HTTP API with its engine, connected to a sandbox whose requests are checked at the end."""
    async with running() as sandbox, workbench(tmp_path, sandbox, monkeypatch) as bench:
        async with running_api(bench) as one:
            yield one
        bench.assert_valid_requests()


@pytest_asyncio.fixture
async def quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunningApi]:
    """An HTTP API without an engine: records that come in stay in the journal."""
    async with (
        running() as sandbox,
        workbench(tmp_path, sandbox, monkeypatch) as bench,
        running_api(bench, engine=False) as one,
    ):
        yield one
