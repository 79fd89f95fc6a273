"""Bodies: bounded in size and time while they come in, unpacked with a bound, cut into the values they hold."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

from fastapi import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Send

from askel_tui.api.shared.errors import ApiError, BodyRefused
from askel_tui.core.records.record import MAX_RECORD_BYTES

MAX_RECORDS_PER_BODY = 10_000
"""Records in one body."""

BODY_TIMEOUT_S = 20.0
"""How long a body may take to come in, in seconds."""

MAX_BUFFERED_BYTES = 32_000_000
"""Bytes of all bodies that are held at once."""

BUSY_RETRY_AFTER_S = 1

LARGE_BODY_BYTES = 100_000
"""Bytes from which on a body has to wait for others of its size: what becomes of it takes many times that."""

JSON_TYPES = ("application/json",)
NDJSON_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")

_WHITESPACE = " \t\r\n"


LINGER_TIMEOUT_S = 1.0
MAX_LINGER_BYTES = 20_000_000
"""How much of a refused body is still read, and thrown away: a client that hears nothing until it has sent all
would otherwise see a broken connection instead of the answer."""


class BoundedReceive:
    """Wraps an ASGI `receive`: counts bytes and time, and refuses a body as soon as it is too much."""

    __slots__ = ("_context", "_deadline", "_ended", "_receive", "received_bytes")

    def __init__(self, receive: Receive, context: Any) -> None:
        self._receive = receive
        self._context = context
        self._deadline = time.monotonic() + BODY_TIMEOUT_S
        self._ended = False
        self.received_bytes = 0

    async def __call__(self) -> Message:
        if self._ended:
            return await self._receive()
        try:
            async with asyncio.timeout(self._deadline - time.monotonic()):
                message = await self._receive()
        except TimeoutError:
            told = f"the body took more than {BODY_TIMEOUT_S:g} s to come in"
            raise BodyRefused(408, "slow_body", told, headers={"Connection": "close"}) from None
        if message["type"] != "http.request":
            self._ended = True
            return message
        size = len(message.get("body", b""))
        self.received_bytes += size
        self._context.buffered_bytes += size
        if self.received_bytes > MAX_RECORD_BYTES:
            raise too_large()
        if self._context.buffered_bytes > MAX_BUFFERED_BYTES:
            told = "too many bodies come in at once"
            raise BodyRefused(
                429, "busy", told, retry_after=BUSY_RETRY_AFTER_S, headers={"Connection": "close"}
            )
        self._ended = not message.get("more_body", False)
        return message

    async def refuse(self, response: Response, send: Send) -> None:
        """Answers at once, then lets what the client still sends go by for a moment."""
        headers = response.raw_headers
        await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": response.body, "more_body": True})
        gone = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_TIMEOUT_S):
                while not self._ended and gone < MAX_LINGER_BYTES:
                    message = await self._receive()
                    gone += len(message.get("body", b""))
                    self._ended = message["type"] != "http.request" or not message.get("more_body", False)
        await send({"type": "http.response.body", "body": b""})


def too_large() -> BodyRefused:
    """413 for a body over the limit; the rest of it is not read."""
    return BodyRefused(
        413, "too_large", "the body is over 5 MB: send it in parts", headers={"Connection": "close"}
    )


@contextlib.asynccontextmanager
async def read_body(request: Request, large_bodies: asyncio.Semaphore) -> AsyncIterator[bytes]:
    """The whole body, unpacked; a large one waits for its turn, and has it until the block ends.

    Raises `ApiError`.
    """
    body = await request.body()
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "", "gzip", "x-gzip"):
        raise ApiError(415, "encoding", "a body may be packed with gzip, and with nothing else")
    packed = encoding in ("gzip", "x-gzip")
    small = (
        body if not packed else _decompress(body, LARGE_BODY_BYTES) if len(body) <= LARGE_BODY_BYTES else None
    )
    if small is not None and len(small) <= LARGE_BODY_BYTES:
        yield small
        return
    async with large_bodies:
        yield await asyncio.to_thread(_decompress_whole, body) if packed else body


def large_body_turn(
    size: int, large_bodies: asyncio.Semaphore
) -> contextlib.AbstractAsyncContextManager[None]:
    """The turn of a body of this size; a small one needs none."""
    return large_bodies if size > LARGE_BODY_BYTES else contextlib.nullcontext()


def _decompress_whole(body: bytes) -> bytes:
    content = _decompress(body, MAX_RECORD_BYTES)
    if content is None:
        raise too_large()
    return content


def _decompress(body: bytes, max_bytes: int) -> bytes | None:
    """What is packed; None where it is more than `most`. Raises `ApiError`."""
    unpacking = zlib.decompressobj(wbits=31)
    try:
        # One byte more than may be: a bomb is recognised without being unpacked.
        content = unpacking.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise ApiError(400, "gzip", f"the body is not gzip: {error}") from None
    if len(content) > max_bytes:
        return None
    if not unpacking.eof:
        raise ApiError(400, "gzip", "the gzip body is cut off")
    if unpacking.unused_data:
        raise ApiError(400, "gzip", "something follows the gzip body")
    return content


def content_type(request: Request) -> str:
    """The media type without its parameters, in lower case; empty without one."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def split_records(body: bytes, media: str) -> list[bytes]:
    """The records of a body, as the bytes of one JSON value each. Raises `ApiError`."""
    if media in NDJSON_TYPES:
        values = [line for line in body.split(b"\n") if line.strip()]
    elif media in ("", *JSON_TYPES):
        values = _split_json(body)
    else:
        told = f"records come as application/json or application/x-ndjson, not as {media[:80]}"
        raise ApiError(415, "content_type", told)
    if not values:
        raise ApiError(422, "unprocessable", "the body holds no record")
    if len(values) > MAX_RECORDS_PER_BODY:
        raise ApiError(
            413, "too_many", f"{len(values):,} records in one body; {MAX_RECORDS_PER_BODY:,} are the most"
        )
    return values


def _split_json(body: bytes) -> list[bytes]:
    """The body itself, or the items of its list: cut out as text, so that each is judged by itself."""
    if body.lstrip()[:1] != b"[":
        return [body] if body.strip() else []
    with _json_errors("list"):
        return list(_list_items(body.decode("utf-8")))


def _list_items(text: str) -> Iterator[bytes]:
    decode = json.JSONDecoder().raw_decode
    at = _skip_whitespace(text, text.index("[") + 1)
    if text[at : at + 1] == "]":
        _expect_end(text, at + 1)
        return
    while True:
        _, end = decode(text, at)
        yield text[at:end].encode()
        at = _skip_whitespace(text, end)
        mark = text[at : at + 1]
        if mark == "]":
            _expect_end(text, at + 1)
            return
        if mark != ",":
            raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
        at = _skip_whitespace(text, at + 1)


def _skip_whitespace(text: str, at: int) -> int:
    while at < len(text) and text[at] in _WHITESPACE:
        at += 1
    return at


def _expect_end(text: str, at: int) -> None:
    if _skip_whitespace(text, at) != len(text):
        raise json.JSONDecodeError("Extra data", text, at)


def parse_json(body: bytes) -> Any:
    """The JSON value of a body. Raises `ApiError`."""
    with _json_errors("body"):
        return json.loads(body)


@contextlib.contextmanager
def _json_errors(what: str) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise ApiError(400, "not_utf8", f"the body is not UTF-8 (byte {error.start + 1})") from None
    except json.JSONDecodeError as error:
        raise ApiError(400, "not_json", f"the {what} is not JSON: {error.msg} (at {error.pos + 1})") from None
    except (ValueError, RecursionError):
        told = f"the {what} is not JSON that can be kept: too deep, or a number with thousands of digits"
        raise ApiError(400, "not_json", told) from None
