"""A sandbox account, and clients of it whose every request is checked against Klaviyo's description."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import parse_qsl

import pytest

from askel_tui.klaviyo.client import Client
from askel_tui.klaviyo.http import HttpTransport, RawResponse
from askel_tui.sandbox.http.server import RunningSandbox, serve
from askel_tui.sandbox.state.dump import account_state
from tests.support.openapi import validate_call
from tests.support.stub_server import NEWEST, OLD, Sleeps

Sent = list[tuple[str, str, dict[str, str]]]
"""What was sent: method, path and query."""


@pytest.fixture(params=[OLD, NEWEST])
def revision(request: pytest.FixtureRequest) -> str:
    """Each revision that a connection may pin."""
    return str(request.param)


@pytest.fixture
async def sandbox() -> AsyncIterator[RunningSandbox]:
    """Maple & Ember, without limits."""
    running = await serve(settings={"limits": False})
    yield running
    await running.aclose()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch, revision: str) -> Sent:
    """Everything that goes over the wire, checked as it goes. The one request meant to be refused is not."""
    log: Sent = []
    send = HttpTransport.send

    async def checked(
        wire: HttpTransport, method: str, target: str, headers: Any, body: bytes | None
    ) -> RawResponse:
        path, _, query = target.partition("?")
        asked = dict(parse_qsl(query, keep_blank_values=True))
        log.append((method, path, asked))
        if not (method == "POST" and path.rstrip("/") == "/api/events"):
            validate_call(headers["revision"], method, path, asked, body or b"")
        assert len(target) < 8000
        return await send(wire, method, target, headers, body)

    monkeypatch.setattr(HttpTransport, "send", checked)
    return log


@pytest.fixture
async def client_with(
    sandbox: RunningSandbox, revision: str, sent: Sent
) -> AsyncIterator[Callable[..., Client]]:
    """Makes clients of the sandbox: with all scopes, with the named ones, or with a key of one's own."""
    made: list[Client] = []

    def make(*scopes: str, key: str | None = None) -> Client:
        if scopes:
            key = f"pk_{len(made)}_some_scopes"
            sandbox.world.add_key(key, sandbox.account.id, frozenset(scopes))
        client = Client(
            key=key or sandbox.key,
            revision=revision,
            url=sandbox.url,
            account="A",
            accept_retired=True,
            retry_policy=Sleeps().policy(),
        )
        made.append(client)
        return client

    yield make
    for client in made:
        await client.aclose()


@pytest.fixture
def client(client_with: Callable[..., Client]) -> Client:
    """A client of the sandbox with all scopes."""
    return client_with()


@pytest.fixture
def contents(sandbox: RunningSandbox) -> Callable[[], str]:
    """Gives everything that the sandbox's account holds, to be compared; what it was asked is left out."""

    def held() -> str:
        everything = {
            part: value for part, value in account_state(sandbox.account).items() if part != "requests"
        }
        return json.dumps(everything, sort_keys=True, default=str)

    return held
