"""Request bodies: bounded in size and time while they arrive, decompressed with a bound, split into records."""

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

from askel_tui.api.shared.context import ApiContext, context_of
from askel_tui.api.shared.errors import ApiError, BodyRefused
from askel_tui.core.records.record import MAX_RECORD_BYTES

MAX_RECORDS_PER_BODY = 10_000
"""The largest number of records in one body."""

BUSY_RETRY_AFTER_S = 1
"""`Retry-After` of a request that found too many bodies in memory."""

LARGE_BODY_BYTES = 100_000
"""Size in bytes from which a body counts as large: few of these are read at a time, since one takes many times its
size in memory."""

JSON_TYPES = ("application/json",)
NDJSON_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")

_WHITESPACE = " \t\r\n"


LINGER_TIMEOUT_S = 1.0
MAX_LINGER_BYTES = 20_000_000
"""Bytes of a refused body that are still read and dropped, and for how long: a client that reads nothing before it
has sent everything would otherwise see a broken connection instead of the response."""


class BoundedReceive:
    """An ASGI `receive` that refuses a body once it is too large, too slow, or one too many. Raises `BodyRefused`."""

    __slots__ = ("_context", "_deadline", "_ended", "_receive", "received_bytes")

    def __init__(self, receive: Receive, context: ApiContext) -> None:
        self._receive = receive
        self._context = context
        self._deadline = time.monotonic() + context.limits.body_timeout_s
        self._ended = False
        self.received_bytes = 0

    async def __call__(self) -> Message:
        if self._ended:
            return await self._receive()
        try:
            async with asyncio.timeout(self._deadline - time.monotonic()):
                message = await self._receive()
        except TimeoutError:
            reason = f"the body took more than {self._context.limits.body_timeout_s:g} s to come in"
            raise BodyRefused(408, "slow_body", reason, headers={"Connection": "close"}) from None
        if message["type"] != "http.request":
            self._ended = True
            return message
        size = len(message.get("body", b""))
        self.received_bytes += size
        self._context.buffered_bytes += size
        if self.received_bytes > MAX_RECORD_BYTES:
            raise too_large()
        if self._context.buffered_bytes > self._context.limits.max_buffered_bytes:
            reason = "too many bodies come in at once"
            raise BodyRefused(
                429, "busy", reason, retry_after=BUSY_RETRY_AFTER_S, headers={"Connection": "close"}
            )
        self._ended = not message.get("more_body", False)
        return message

    async def refuse(self, response: Response, send: Send) -> None:
        """Responds at once, then reads and drops what the client still sends, for a moment."""
        headers = response.raw_headers
        await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": response.body, "more_body": True})
        dropped = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_TIMEOUT_S):
                while not self._ended and dropped < MAX_LINGER_BYTES:
                    message = await self._receive()
                    dropped += len(message.get("body", b""))
                    self._ended = message["type"] != "http.request" or not message.get("more_body", False)
        await send({"type": "http.response.body", "body": b""})


def too_large() -> BodyRefused:
    """Makes the 413 for a body over the limit; the rest of it is not read."""
    return BodyRefused(
        413, "too_large", "the body is over 5 MB: send it in parts", headers={"Connection": "close"}
    )


@contextlib.asynccontextmanager
async def read_body(request: Request) -> AsyncIterator[bytes]:
    """Yields the whole body, decompressed; a large one keeps a slot until the block ends. Raises `ApiError`."""
    body = await request.body()
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "", "gzip", "x-gzip"):
        raise ApiError(415, "encoding", "a body may be packed with gzip, and with nothing else")
    is_packed = encoding in ("gzip", "x-gzip")
    if len(body) <= LARGE_BODY_BYTES:
        small = _decompress(body, LARGE_BODY_BYTES) if is_packed else body
        if small is not None:
            yield small
            return
    async with context_of(request).large_bodies:
        yield await asyncio.to_thread(_decompress_whole, body) if is_packed else body


def large_body_slot(context: ApiContext, size: int) -> contextlib.AbstractAsyncContextManager[None]:
    """Waits for a slot for a body of `size` bytes, if that is large; a small one needs none."""
    return context.large_bodies if size > LARGE_BODY_BYTES else contextlib.nullcontext()


def _decompress_whole(body: bytes) -> bytes:
    content = _decompress(body, MAX_RECORD_BYTES)
    if content is None:
        raise too_large()
    return content


def _decompress(body: bytes, max_bytes: int) -> bytes | None:
    """Decompresses a body; None where it is more than `max_bytes`. Raises `ApiError`."""
    decompressor = zlib.decompressobj(wbits=31)
    try:
        # One byte over the limit is enough to recognise a bomb.
        content = decompressor.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise ApiError(400, "gzip", f"the body is not gzip: {error}") from None
    if len(content) > max_bytes:
        return None
    if not decompressor.eof:
        raise ApiError(400, "gzip", "the gzip body is cut off")
    if decompressor.unused_data:
        raise ApiError(400, "gzip", "something follows the gzip body")
    return content


def content_type(request: Request) -> str:
    """Reads the media type of a request without its parameters, in lower case; empty without one."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def split_records(body: bytes, media: str) -> list[bytes]:
    """Splits a body into records: the bytes of one JSON value each. Raises `ApiError`."""
    if media in NDJSON_TYPES:
        values = [line for line in body.split(b"\n") if line.strip()]
    elif media in ("", *JSON_TYPES):
        values = _split_json(body)
    else:
        message = f"records come as application/json or application/x-ndjson, not as {media[:80]}"
        raise ApiError(415, "content_type", message)
    if not values:
        raise ApiError(422, "unprocessable", "the body holds no record")
    if len(values) > MAX_RECORDS_PER_BODY:
        raise ApiError(
            413, "too_many", f"{len(values):,} records in one body; {MAX_RECORDS_PER_BODY:,} are the most"
        )
    return values


def _split_json(body: bytes) -> list[bytes]:
    """Splits a JSON body into the items of its list, as they were written, so that each is checked by itself; another
    body is one item."""
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
    """Parses a body as JSON. Raises `ApiError`."""
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
        message = f"the {what} is not JSON that can be kept: too deep, or a number with thousands of digits"
        raise ApiError(400, "not_json", message) from None
