"""Fixtures of the sandbox's own tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from tests.sandbox.api import Api, api_of
from tests.support.sandbox import sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from askel_tui.sandbox.http.server import RunningSandbox

__all__ = ["api", "api24", "sandbox"]


@pytest_asyncio.fixture
async def api(sandbox: RunningSandbox) -> AsyncIterator[Api]:
    """A caller at the newest revision."""
    async with api_of(sandbox) as one:
        yield one


@pytest_asyncio.fixture
async def api24(sandbox: RunningSandbox) -> AsyncIterator[Api]:
    """A caller at 2024-02-15 on a day on which it is served as 2025-01-15."""
    sandbox.world.change_settings({"today": "2026-12-01"})
    async with api_of(sandbox, "2024-02-15") as one:
        yield one
