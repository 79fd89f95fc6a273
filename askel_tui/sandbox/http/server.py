"""The sandbox's HTTP server: takes each request from the socket, applies faults, answers, logs."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from aiohttp import web

from askel_tui.sandbox.http import control, routing
from askel_tui.sandbox.http.exchange import (
    DEFAULT_MAX_BODY_BYTES,
    Exchange,
    encode_json,
    fault_response,
    refusal_response,
)
from askel_tui.sandbox.jsonapi.errors import Refusal
from askel_tui.sandbox.state.persistence import StateFile
from askel_tui.sandbox.state.seed import build_world

if TYPE_CHECKING:
    from pathlib import Path

    from askel_tui.sandbox.state.account import Account
    from askel_tui.sandbox.state.world import World


class PortTaken(OSError):
    """An address that can't be listened on; the message says so in one sentence."""


class RunningSandbox:
    """A sandbox that listens; `world` is its state."""

    def __init__(
        self, world: World, host: str, port: int, runner: web.ServerRunner, keeper: StateFile | None
    ) -> None:
        self.world = world
        self.port = port
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        self._runner = runner
        self._keeper = keeper

    @property
    def account(self) -> Account:
        """The first account."""
        return next(iter(self.world.accounts.values()))

    @property
    def key(self) -> str:
        """The first key that is not revoked."""
        return next(key.secret for key in self.world.keys.values() if not key.revoked)

    async def aclose(self) -> None:
        """Stops listening, drops what is open, saves the state if it is kept in a file."""
        await self._runner.cleanup()
        if self._keeper:
            await self._keeper.aclose()


async def serve(
    world: World | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    seed: str = "maple-ember",
    state: Path | None = None,
    settings: dict[str, Any] | None = None,
) -> RunningSandbox:
    """Starts a sandbox on an address; port 0 takes a free one.

    Without a `world` it serves the one in the `state` file if there is one, else a new one with the `seed`. `settings`
    are switches as in `settings.Settings`. Raises `PortTaken`, `persistence.StateUnreadable` and `SettingError`.
    """
    keeper = StateFile(state) if state else None
    if world is None:
        world = (keeper.load() if keeper else None) or build_world(seed)
    world.change_settings(settings or {})
    server = web.Server(_RequestHandler(world, keeper), access_log=None)
    runner = web.ServerRunner(server, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, host, port, backlog=1024)
    try:
        await site.start()
    except OSError as error:
        await runner.cleanup()
        raise PortTaken(f"The sandbox cannot listen on {host}:{port}: {error.strerror or error}.") from error
    if keeper:
        keeper.start(world)
    bound = runner.addresses[0][1]
    return RunningSandbox(world, host, bound, runner, keeper)


class _RequestHandler:
    """Answers requests. Everything between reading the body and the answer happens in one step."""

    def __init__(self, world: World, keeper: StateFile | None) -> None:
        self.world = world
        self.keeper = keeper

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        received = time.time()
        path, _, written = request.raw_path.partition("?")
        if path.startswith("/sandbox"):
            return await self._control(request, path, written)
        try:
            name, ident = routing.find_endpoint(request.method, path)
        except Refusal as refusal:
            return self._finish(
                Exchange(self.world, request, "", "", written), received, *refusal_response(refusal, {})
            )
        exchange = Exchange(self.world, request, name, ident, written)
        fault = self.world.faults.next_fault(name)
        if fault and fault.reset:
            await asyncio.sleep(fault.delay)
            return self._drop(exchange, received, "reset")
        try:
            exchange.raw_body = await _read_body(request, DEFAULT_MAX_BODY_BYTES)
        except ConnectionResetError:
            # The client closed the connection in the middle of the request.
            return web.Response(status=400)
        if fault and fault.delay:
            await asyncio.sleep(fault.delay)
        if fault and fault.status is not None and not fault.after:
            return self._finish(exchange, received, fault.status, *fault_response(fault, fault.status))
        status, body, headers = exchange.respond(time.time())
        if fault and fault.partial:
            headers["X-Klaviyo-Partial-Failure"] = fault.partial
        if fault and fault.lost:
            return self._drop(exchange, received, "lost")
        if fault and fault.after:
            status = fault.status or status
            body, headers = fault_response(fault, status)
        if fault and fault.cut is not None:
            return await self._cut(exchange, received, status, body or b"", headers, fault.cut)
        return self._finish(exchange, received, status, body, headers)

    async def _cut(
        self,
        exchange: Exchange,
        received: float,
        status: int,
        body: bytes,
        headers: dict[str, str],
        share: float,
    ) -> web.StreamResponse:
        """Sends the status, the headers and a part of the body, and breaks the connection."""
        response = web.StreamResponse(status=status, headers=headers)
        if not body:
            return self._drop(exchange, received, "cut")  # nothing could be missing
        response.content_length = len(body)
        with suppress(ConnectionError):
            await response.prepare(exchange.request)
            await response.write(body[: int(len(body) * share)])
        self._drop(exchange, received, "cut")
        return response

    def _finish(
        self, exchange: Exchange, received: float, status: int, body: bytes | None, headers: dict[str, str]
    ) -> web.Response:
        self._log(exchange, received, status)
        return web.Response(status=status, body=body, headers=headers)

    def _drop(self, exchange: Exchange, received: float, how: str) -> web.Response:
        """Resets the connection without a response."""
        self._log(exchange, received, how)
        transport = exchange.request.transport
        if transport is not None:
            sock = transport.get_extra_info("socket")
            if sock is not None:
                with suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        return web.Response(status=500)

    def _log(self, exchange: Exchange, received: float, status: int | str) -> None:
        """Counts the request and logs it."""
        request, key = exchange.request, exchange.given_key
        account = self.world.accounts.get(key.account) if key else None
        if account is not None and exchange.name:
            counts = account.requests.setdefault(exchange.name, {})
            counts[str(status)] = counts.get(str(status), 0) + 1
        if request.method != "GET":
            self.world.change_count += 1
        if not self.world.settings.log:
            return
        path, _, written = request.raw_path.partition("?")
        self.world.log_request(
            {
                "endpoint": exchange.name or None,
                "method": request.method,
                "path": path,
                "query": dict(parse_qsl(written, keep_blank_values=True)),
                "body": exchange.body_for_log(),
                "revision": request.headers.get("revision"),
                "served": exchange.revision,
                "account": key.account if key else None,
                "key": key.fingerprint if key else None,
                "status": status,
                "received_ms": round(received * 1000),
                "answered_ms": round(time.time() * 1000),
            }
        )

    async def _control(self, request: web.BaseRequest, path: str, written: str) -> web.Response:
        raw = await _read_body(request, 1 << 30)
        parameters = dict(parse_qsl(written, keep_blank_values=True))
        status, answer = control.respond(self.world, request.method, path, parameters, raw)
        if request.method != "GET":
            self.world.change_count += 1
            if path.rstrip("/") == "/sandbox/save" and self.keeper:
                await self.keeper.save(self.world)
        return web.Response(status=status, body=encode_json(answer) + b"\n", content_type="application/json")


async def _read_body(request: web.BaseRequest, most: int) -> bytes | None:
    """Reads the body; None when it is larger than `most` bytes, which leaves the rest unread."""
    if not request.can_read_body:
        return b""
    if (request.content_length or 0) > most:
        return None
    parts = bytearray()
    async for chunk in request.content.iter_any():
        parts += chunk
        if len(parts) > most:
            return None
    return bytes(parts)
