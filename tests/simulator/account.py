"""The account behind an in-process transport: the sandbox's rules without a socket, with answers that get lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from typing import cast

import aiohttp
import httpx
from aiohttp import web

from askel_tui.sandbox.http import routing
from askel_tui.sandbox.http.exchange import Exchange, fault_response
from askel_tui.sandbox.state.account import Account
from askel_tui.sandbox.state.faults import Fault
from askel_tui.sandbox.state.model import ProfileList, Segment
from askel_tui.sandbox.state.world import World
from tests.simulator.loop import WallClock
from tests.simulator.workflows import IDENTIFIERS

KEY = "pk_simulated_0123456789abcdef"
LISTS = ("Welcome", "Promotions", "Newsletter")
SEGMENTS = ("VIP", "Regulars")

Note = Callable[[str], None]
"""Writes a line into the run's history."""


class _Request:
    """An httpx request as the sandbox reads one."""

    def __init__(self, request: httpx.Request) -> None:
        self.method = request.method
        self.headers = request.headers
        self.raw_path = request.url.raw_path.decode("ascii")
        self.content_type = request.headers.get("content-type", "").partition(";")[0]


class _Cut(httpx.AsyncByteStream):
    """A body of which a part comes before the connection breaks."""

    def __init__(self, body: bytes, share: float) -> None:
        self._came = body[: int(len(body) * share)]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._came
        raise httpx.ReadError("cut")


def build_world(now_s: float) -> World:
    """Makes an account with lists, segments and no profile, and one key."""
    world = World()
    account = world.add_account(Account("SimAcc", "Simulated"))
    for number, name in enumerate(LISTS):
        account.lists[f"List{number:02d}"] = ProfileList(f"List{number:02d}", name, now_s, now_s)
    for number, name in enumerate(SEGMENTS):
        made = Segment(f"Segm{number:02d}", name, now_s, now_s, members={})
        account.segments[made.id] = made
    world.add_key(KEY, account.id)
    world.change_settings({"log": False})
    return world


class SimulatedKlaviyo:
    """Serves requests in virtual time. What was sent arrives, whether or not its sender still lives."""

    def __init__(self, world: World, clock: WallClock, chance: random.Random, note: Note) -> None:
        self.world = world
        self.clock = clock
        self.refuses_rate = 0
        """The number of 429s that nobody asked for."""
        self.shown: list[dict[str, str]] = []
        """The identifiers of the profiles that answers to updates showed, where somebody got the answer."""
        self.serving: set[asyncio.Task[httpx.Response]] = set()
        self._chance = chance
        self._note = note

    @property
    def account(self) -> Account:
        """The account."""
        return next(iter(self.world.accounts.values()))

    async def send(self, request: httpx.Request) -> httpx.Response:
        """Answers a request; a sender that gives up does not stop it."""
        task = asyncio.get_running_loop().create_task(self._serve(request))
        self.serving.add(task)
        task.add_done_callback(self._served)
        return await asyncio.shield(task)

    def _served(self, task: asyncio.Task[httpx.Response]) -> None:
        self.serving.discard(task)
        if not task.cancelled():
            task.exception()  # its sender may be gone

    async def _serve(self, request: httpx.Request) -> httpx.Response:
        seen = _Request(request)
        path, _, query = seen.raw_path.partition("?")
        name, ident = routing.find_endpoint(seen.method, path)
        await asyncio.sleep(0.005 + self._chance.random() * 0.06)
        fault = self.world.faults.next_fault(name)
        if fault is not None and fault.reset:
            self._write(seen, request, "reset")
            raise httpx.ReadError("reset")
        exchange = Exchange(self.world, cast(web.BaseRequest, seen), name, ident, query)
        exchange.raw_body = request.content
        status, body, headers = self._respond(exchange, fault)
        self._write(seen, request, str(status))
        await asyncio.sleep(0.005 + self._chance.random() * 0.04 + (fault.delay if fault else 0))
        if fault is not None and fault.lost:
            self._write(seen, request, "lost")
            raise httpx.ReadError("lost")
        if fault is not None and fault.cut is not None:
            self._write(seen, request, f"{status}, cut")
            return httpx.Response(status, headers=headers, stream=_Cut(body or b"", fault.cut))
        return httpx.Response(status, headers=headers, content=body or b"")

    def _respond(self, exchange: Exchange, fault: Fault | None) -> tuple[int, bytes | None, dict[str, str]]:
        if fault is not None and fault.status is not None and not fault.after:
            return fault.status, *fault_response(fault, fault.status)
        status, body, headers = exchange.respond(self.clock.true_ms() / 1000)
        self.refuses_rate += status == 429
        if fault is not None and fault.after:
            status = fault.status or status
            body, headers = fault_response(fault, status)
        return status, body, headers

    def _write(self, seen: _Request, request: httpx.Request, status: str) -> None:
        if seen.method == "GET":
            self._note(f"{seen.method} {seen.raw_path} -> {status}")
        else:
            self._note(f"{seen.method} {seen.raw_path} {request.content.decode()} -> {status}")


class Wire(httpx.AsyncBaseTransport):
    """The network of one life of the program: cut when it dies."""

    def __init__(self, klaviyo: SimulatedKlaviyo) -> None:
        self._klaviyo = klaviyo
        self.cut = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carries a request to the account."""
        if self.cut:
            raise httpx.ConnectError("the program is dead") from aiohttp.ConnectionTimeoutError()
        response = await self._klaviyo.send(request)
        came = isinstance(response.stream, httpx.ByteStream)
        if came and request.url.path == "/api/profile-import" and response.status_code < 300:
            shown = response.json()["data"]["attributes"]
            self._klaviyo.shown.append({name: shown[name] for name in IDENTIFIERS if shown.get(name)})
        return response
