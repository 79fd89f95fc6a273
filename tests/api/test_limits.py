"""How much the HTTP API takes at once: bytes of a body, of all bodies, seconds, connections."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from askel_tui.api.shared.limits import ApiLimits
from tests.support.http_api import RECORDS, RunningApi, running_api
from tests.support.listening import listening
from tests.support.sandbox import running
from tests.support.workbench import points, workbench


@pytest_asyncio.fixture
async def impatient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunningApi]:
    """An HTTP API without an engine that waits for bodies and headers for a moment only."""
    limits = ApiLimits(body_timeout_s=0.2, headers_timeout_s=0.2)
    async with (
        running() as sandbox,
        workbench(tmp_path, sandbox, monkeypatch) as bench,
        running_api(bench, engine=False, limits=limits) as api,
    ):
        yield api


async def test_a_body_over_5_mb_is_refused_before_it_is_read(quiet: RunningApi) -> None:
    body = {"Content-Type": "application/json"}
    message = await quiet.http.post(RECORDS, content=b" " * 5_000_001, headers=body)
    assert message.status_code == 413

    async def in_parts() -> Any:
        for _ in range(60):
            yield b" " * 100_000

    assert (await quiet.http.post(RECORDS, content=in_parts(), headers=body)).status_code == 413
    assert (await quiet.http.post(RECORDS, json=points(1))).status_code == 202


async def chunked(api: RunningApi) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which the headers of a request with a body in chunks have been sent."""
    url = urlsplit(api.server.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    head = f"POST {RECORDS} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    head += f"Content-Type: application/json\r\nAuthorization: {api.http.headers['authorization']}\r\n\r\n"
    writer.write(head.encode())
    return reader, writer


async def test_an_endless_body_is_answered_while_it_still_comes(quiet: RunningApi) -> None:
    reader, writer = await chunked(quiet)
    answer = asyncio.create_task(reader.readline())
    sent = 0
    while not answer.done():
        writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        await writer.drain()
        sent += 0x10000
    assert b"413" in await answer
    assert sent < 20_000_000
    writer.close()


async def test_a_body_that_trickles_in_is_given_up(impatient: RunningApi) -> None:
    reader, writer = await chunked(impatient)
    writer.write(b"1\r\n[\r\n")
    assert b"408" in await reader.readline()
    writer.close()


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(b"", id="the first request"),
        pytest.param(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", id="a later one"),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n", id="a body nobody reads"
        ),
    ],
)
async def test_a_connection_that_never_finishes_its_headers_is_closed(
    impatient: RunningApi, before: bytes
) -> None:
    url = urlsplit(impatient.server.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    if before:
        writer.write(before)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
        await reader.readexactly(length)
    writer.write(b"POST / HTTP/1.1\r\nX-Slow: ")
    drip = asyncio.create_task(_drip(writer))
    with suppress(ConnectionResetError):  # it dripped on once more
        assert await reader.read() == b""
    drip.cancel()
    writer.close()


async def _drip(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x")
        await asyncio.sleep(0.05)


async def test_all_bodies_together_are_bounded(quiet: RunningApi) -> None:
    piece = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    senders = []
    # Four pieces of a megabyte each stay under what one body may have.
    while quiet.context.buffered_bytes <= ApiLimits().max_buffered_bytes - 4 * 0x100000:
        reader, writer = await chunked(quiet)
        before = quiet.context.buffered_bytes
        for _ in range(4):
            writer.write(piece)
        await writer.drain()
        while quiet.context.buffered_bytes < before + 4 * 0x100000:
            await asyncio.sleep(0)
        senders.append((reader, writer))
    reader, writer = await chunked(quiet)
    for _ in range(4):
        writer.write(piece)
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 429 " in head
    assert b"retry-after" in head.lower()
    writer.close()
    for _, writer in senders[1:]:
        writer.close()
    while quiet.context.buffered_bytes > 4 * 0x100000:
        await asyncio.sleep(0)
    assert (await quiet.http.post(RECORDS, json=points(1))).status_code == 202
    reader, writer = senders[0]
    record = json.dumps(points(2)).encode()
    writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(record), record))
    assert b" 202 " in await reader.readline()
    writer.close()
    assert quiet.context.buffered_bytes < 0x100000


@pytest.fixture
def many_files() -> Iterator[None]:
    """The daemon starts with few files, as most systems have it; this process may have more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < ApiLimits().max_open_files:
        pytest.skip(f"only {hard} files may be open here, {ApiLimits().max_open_files} are wanted")
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.slow
def test_connections_over_the_limit_are_asked_to_come_back(many_files: None, tmp_path: Path) -> None:
    with listening(tmp_path) as front, ExitStack() as opened:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (ApiLimits().max_open_files, hard))
        url = urlsplit(front.url)
        address = (url.hostname or "", url.port or 0)

        def ask(one: socket.socket) -> bytes:
            one.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            return one.recv(65_536)

        first = opened.enter_context(socket.create_connection(address, 30))
        assert b" 200 " in ask(first)
        for _ in range(ApiLimits().max_connections - 1):
            opened.enter_context(socket.create_connection(address, 30))
        assert b" 200 " in ask(first)
        over = opened.enter_context(socket.create_connection(address, 30))
        said = ask(over)
        assert b" 503 " in said
        assert b"retry-after: 1" in said.lower()
        assert b"too many connections" in said
        assert b" 200 " in ask(first)
        opened.close()
        # The daemon sees the ends of the others while this one is answered.
        while True:
            with socket.create_connection(address, 30) as again:
                if b" 200 " in ask(again):
                    break
        assert front.call("GET", "/readyz")[0] == 200
