"""An HTTP API with its engine, in this process: what a test of the API starts from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import httpx

from askel_tui.api.server.server import ApiServer, BindAddress
from askel_tui.api.shared.context import ApiContext
from askel_tui.api.shared.limits import ApiLimits
from askel_tui.store.journal.rows import StoredRecord
from askel_tui.store.locks import OwnershipLock
from askel_tui.store.state.tokens import Scope, Tokens
from askel_tui.sync.engine.engine import Engine
from askel_tui.sync.instance import open_instance
from tests.support.patience import PATIENCE_S
from tests.support.workbench import NAME, Workbench

RECORDS = f"/v1/connections/{NAME}/records"
WORKFLOW = """
workflow: tested
connection: maple-ember
trigger: first_points_earned
profile: {email: data.shopper.email}
steps:
  - id: points
    track_event: {metric: First Points Earned, value: data.points}
"""
"""A workflow of one step, which sends an event."""


@dataclass
class RunningApi:
    """A running HTTP API. `http` calls it with a token of all scopes."""

    bench: Workbench
    server: ApiServer
    http: httpx.AsyncClient
    tokens: Tokens

    @property
    def context(self) -> ApiContext:
        """What the routes share."""
        return self.server.context

    def token(
        self,
        name: str,
        *scopes: Scope,
        connections: Collection[str] = (NAME,),
        expires: int | None = None,
        rate: int | None = None,
    ) -> dict[str, str]:
        """The header of a new token."""
        now = self.bench.instance.clock()
        _, text = self.tokens.create(
            name, scopes or ("send",), connections=connections, now=now, expires=expires, rate=rate
        )
        return {"Authorization": f"Bearer {text}"}

    async def stored(self) -> list[StoredRecord]:
        """All records of the connection, in order of receipt."""
        return await self.bench.instance.journal.records_after(NAME, 0, 100_000)

    async def audited(self, **wanted: Any) -> list[Any]:
        """Audit entries."""
        return await self.bench.audit(**wanted)


@asynccontextmanager
async def running_api(
    bench: Workbench, *, engine: bool = True, tokens: str = "tester", limits: ApiLimits | None = None
) -> AsyncIterator[RunningApi]:
    """Serves the HTTP API of a bench's home on a free port, with its engine unless `engine` is false.

    `tokens` is the name of the token that `http` sends.
    """
    # As the daemon does: orders are then carried out by the engine and by nobody else.
    owned: AbstractContextManager[object] = OwnershipLock(bench.instance.home) if engine else nullcontext()
    with owned:
        async with (
            open_instance(bench.instance.home, owner=True) as owner,
            _serve(bench, ApiServer(owner, BindAddress("127.0.0.1", 0), limits), engine, tokens) as one,
        ):
            yield one


@asynccontextmanager
async def _serve(bench: Workbench, api: ApiServer, engine: bool, token: str) -> AsyncIterator[RunningApi]:
    owner = api.context.instance
    bench.hand_on(owner)
    working = Engine(owner) if engine else None
    tasks = [asyncio.create_task(api.run())]
    if working is not None:
        tasks.append(asyncio.create_task(working.run()))
    tokens = Tokens(owner.home)
    _, text = tokens.create(token, ("admin",), now=owner.clock())
    headers = {"Authorization": f"Bearer {text}"}
    try:
        async with httpx.AsyncClient(base_url=api.url, headers=headers, timeout=PATIENCE_S) as http:
            yield RunningApi(bench, api, http, tokens)
    finally:
        api.stop()
        await tasks[0]
        if working is not None:
            working.stop()
        await asyncio.gather(*tasks)
        tokens.close()
