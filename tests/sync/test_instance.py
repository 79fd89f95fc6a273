"""An instance: what several rounds of the engine ask of it at once."""

from __future__ import annotations

import asyncio

from askel_tui.sync.instance import open_instance
from tests.support.workbench import NAME, Workbench


async def test_who_asks_for_a_client_at_once_gets_the_same(bench: Workbench) -> None:
    """A second one would stay open for ever."""
    async with open_instance(bench.instance.home) as fresh:
        clients = await asyncio.gather(*(fresh.client(NAME) for _ in range(8)))
    assert len({id(client) for client in clients}) == 1
