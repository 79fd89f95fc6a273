"""A receiver of webhooks on this machine, which may refuse at first, and remembers what it took."""

from __future__ import annotations

import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Receiver:
    """Takes notices; `statuses` are answered first, one each, then 200."""

    port: int = 0
    statuses: list[int] = field(default_factory=list)
    taken: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    refused: int = 0

    def url(self, secret: str | None = None) -> str:
        """The address, with a secret to sign with."""
        login = f"{secret}@" if secret else ""
        return f"http{'+hmac' if secret else ''}://{login}127.0.0.1:{self.port}/hooks/askel?team=crm"

    def signed_with(self, secret: str, index: int = -1) -> bool:
        """Whether a notice is signed as documented."""
        header = self.headers[index]["askel-signature"]
        at, _, given = header.partition(",")
        signed = at.removeprefix("t=").encode() + b"." + self.bodies[index]
        return given.removeprefix("v1=") == hmac.new(secret.encode(), signed, "sha256").hexdigest()

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self.statuses:
            self.refused += 1
            return web.Response(status=self.statuses.pop(0))
        self.bodies.append(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.taken.append(json.loads(body))
        return web.Response()


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver on a free port."""
    one = Receiver()
    app = web.Application()
    app.router.add_post("/hooks/askel", one.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server: Any = site._server
    one.port = server.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        await runner.cleanup()
