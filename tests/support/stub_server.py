"""A server on this machine that answers as it is told, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from askel_tui.contract.revisions import NEWEST as NEWEST
from askel_tui.klaviyo.client import Client
from askel_tui.klaviyo.retries import RetryPolicy
from tests.support.openapi import validate_call

KEY = "pk_0123456789abcdef0123456789abcdef01"
"""A key of the usual shape; it must never be seen again."""

OLD = "2024-02-15"


@dataclass(frozen=True)
class Asked:
    """One request as it arrived. `target` is the raw path with its query, as it was on the wire."""

    method: str
    path: str
    target: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


Handler = Callable[[Asked], Awaitable[web.StreamResponse]]


@dataclass
class Stub:
    """Answers with `answers` (responses, or what makes one) in turn, the last one for ever, or as `handler` says."""

    answers: list[Any] = field(default_factory=list)
    handler: Handler | None = None
    asked: list[Asked] = field(default_factory=list)
    url: str = ""
    hang_up_after: int = 0
    """How many requests are read whole and then cut off without an answer."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        asked = Asked(
            request.method,
            request.path,
            request.raw_path,
            dict(request.query),
            {name.lower(): value for name, value in request.headers.items()},
            await request.read(),
        )
        self.asked.append(asked)
        if self.hang_up_after:
            self.hang_up_after -= 1
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if self.handler is not None:
            return await self.handler(asked)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        made: web.StreamResponse = answer() if callable(answer) else answer
        return made


@asynccontextmanager
async def serving(stub: Stub) -> AsyncIterator[Stub]:
    """Serves the stub on a free port."""
    app = web.Application(client_max_size=32 * 1024 * 1024)
    app.router.add_route("*", "/{tail:.*}", stub.handle)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    stub.url = f"http://{host}:{port}"
    try:
        yield stub
    finally:
        await runner.cleanup()


class Sleeps:
    """Takes the place of sleeping: time passes at once, and is written down."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.began = asyncio.Event()
        self.now = 0.0

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.began.set()
        self.now += seconds

    def policy(self, **bounds: Any) -> RetryPolicy:
        """A policy whose waits take no time and have no jitter."""
        return RetryPolicy(
            **{"clock": lambda: self.now, "sleep": self.sleep, "random": lambda: 1.0, **bounds}
        )


def client_of(stub: Stub, revision: str = NEWEST, **options: Any) -> Client:
    """A client of the stub that never waits for real."""
    options.setdefault("retry_policy", Sleeps().policy())
    return Client(key=KEY, revision=revision, url=stub.url, **options)


def answer(body: Any = None, status: int = 200, **headers: str) -> web.Response:
    """A JSON answer; header names with underscores for dashes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is None:
        return web.Response(status=status, headers=named)
    return web.Response(
        text=json.dumps(body), status=status, headers=named, content_type="application/vnd.api+json"
    )


def errors(
    status: int, code: str, detail: str, pointer: str = "/data/", meta: Any = None, **headers: str
) -> web.Response:
    """An answer in Klaviyo's error envelope."""
    item = {
        "id": "6f0c2f64-2f0e-4f31-9f0a-0f3f6d0c77a1",
        "status": status,
        "code": code,
        "title": detail,
        "detail": detail,
        "source": {"pointer": pointer},
        "links": {},
        "meta": meta or {},
    }
    return answer({"errors": [item]}, status, **headers)


def page(resources: list[Any], following: str | None = None) -> web.Response:
    """A page of resources."""
    return answer({"data": resources, "links": {"self": "", "next": following, "prev": None}})


def valid(stub: Stub, revision: str) -> None:
    """Checks every request that the stub was sent against Klaviyo's own description of the revision."""
    assert stub.asked
    for asked in stub.asked:
        validate_call(revision, asked.method, asked.path, asked.query, asked.body)
