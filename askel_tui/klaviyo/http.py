"""HTTP to Klaviyo: the one module that knows httpx and aiohttp.

httpx's own pool slows down with every connection, and its requests and responses cost a third of a call, so aiohttp
carries what goes over the network. httpx decodes bodies and is the interface of other carriers. All clients of an event
loop share one session, which is closed with the last of them. Redirects are never followed: the key goes to the address
it was meant for and to no other.
"""

from __future__ import annotations

import asyncio
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, cast
from weakref import WeakKeyDictionary

import aiohttp
import httpx

from askel_tui.klaviyo.addresses import base_address
from askel_tui.klaviyo.errors import Unavailable, UnreadableResponse
from askel_tui.klaviyo.http_limits import HttpLimits

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence

Carrier = httpx.AsyncBaseTransport
"""What carries requests: the network, or an account in this process."""

MAX_CONNECTIONS = 256
"""The most connections of all clients of an event loop together."""

CHUNK_BYTES = 16_384
"""The number of bytes of a body that are read at once."""


class RawResponse(NamedTuple):
    """A response as it came, its body decoded from the transfer only.

    `remaining` is RateLimit-Remaining: what is left of the shortest window. `challenged` means that the network edge
    answered in the API's place. `left_out` is X-Klaviyo-Partial-Failure: the fields that a success did not take. `date`
    is the server's time as it was written.
    """

    status: int
    body: bytes
    retry_after: str | None
    remaining: int | None
    challenged: bool
    left_out: str | None = None
    date: str | None = None


class ConnectionLost(aiohttp.ClientError):
    """The connection broke after the request was begun."""


async def _forbid_hidden_retries(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keeps aiohttp from repeating a request by itself: each attempt needs a permit of its own."""
    try:
        return await handler(request)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise ConnectionLost(str(error)) from None


class _SharedSession:
    """The session of one event loop, with the number of its users."""

    def __init__(self, secure: bool) -> None:
        # Loading the certificates costs 24 ms: only where TLS is spoken, and once.
        context: ssl.SSLContext | bool = _certificates() if secure else False
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS, ssl=context),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            middlewares=(_forbid_hidden_retries,),
            auto_decompress=False,
        )
        self.users = 0


_shared_sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[bool, _SharedSession]] = (
    WeakKeyDictionary()
)


@cache
def _certificates() -> ssl.SSLContext:
    return httpx.create_ssl_context()


class HttpTransport:
    """Sends requests to one base address. Opens on the first request, belongs to one event loop, has to be closed."""

    def __init__(
        self,
        address: str,
        limits: HttpLimits | None = None,
        carrier: Carrier | None = None,
    ) -> None:
        """Checks the address; opens no connection yet. Raises `BadAddress`.

        `carrier` carries requests in place of the network; whoever made it closes it.
        """
        self.address = base_address(address)
        self._limits = limits or HttpLimits()
        self._timeout = aiohttp.ClientTimeout(
            connect=self._limits.pool_timeout_s,
            sock_connect=self._limits.connect_timeout_s,
            sock_read=self._limits.read_timeout_s,
        )
        self._secure = self.address.startswith("https:")
        self._carrier = carrier
        self._shared: _SharedSession | None = None

    def __repr__(self) -> str:
        return f"HttpTransport({self.address!r})"

    async def send(self, method: str, target: str, headers: Headers, body: bytes | None) -> RawResponse:
        """Sends one request and reads its whole response. `target` is the path with its query, percent-encoded.

        Raises `Unavailable`, with `may_have_arrived` False only where nothing of the request can have been received,
        and `UnreadableResponse` for one that is too large or can't be decoded. The exception keeps nothing of the
        request.
        """
        url, max_bytes = self.address + target, self._limits.max_response_bytes
        failure: Unavailable | UnreadableResponse
        try:
            async with asyncio.timeout(self._limits.attempt_timeout_s):
                if self._carrier is not None:
                    request = httpx.Request(method, url, headers=headers, content=body)
                    carried = await self._carrier.handle_async_request(request)
                    stream = cast("AsyncIterable[bytes]", carried.stream)
                    return await _read(carried.status_code, carried.headers.raw, stream, max_bytes)
                async with (self._shared or self._open()).session.request(
                    method, url, headers=headers, data=body, allow_redirects=False, timeout=self._timeout
                ) as response:
                    chunks = response.content.iter_chunked(CHUNK_BYTES)
                    return await _read(response.status, response.raw_headers, chunks, max_bytes)
        except (
            httpx.HTTPError,
            httpx.DecodingError,
            aiohttp.ClientError,
            OSError,
            _ResponseTooLarge,
        ) as error:
            failure = self._failure(error)
        # Outside of the handler: the transport's own error holds the request's headers, the key among them.
        raise failure

    async def aclose(self) -> None:
        """Leaves the shared transport; its last user closes it. Opens again when it is used."""
        shared, self._shared = self._shared, None
        if shared is None:
            return
        shared.users -= 1
        if shared.users:
            return
        owners = _shared_sessions.get(asyncio.get_running_loop(), {})
        if owners.get(self._secure) is shared:
            del owners[self._secure]
        await shared.session.close()

    def _open(self) -> _SharedSession:
        owners = _shared_sessions.setdefault(asyncio.get_running_loop(), {})
        if self._secure not in owners:
            owners[self._secure] = _SharedSession(self._secure)
        self._shared = owners[self._secure]
        self._shared.users += 1
        return self._shared

    def _failure(self, error: Exception) -> Unavailable | UnreadableResponse:
        if isinstance(error, _ResponseTooLarge):
            return UnreadableResponse(
                f"The answer of {self.address} is larger than {self._limits.max_response_bytes // 2**20} MB."
            )
        if isinstance(error, httpx.DecodingError):
            return UnreadableResponse(f"The answer of {self.address} cannot be decoded.")
        # Of a carrier's error its cause decides, if it has one.
        cause = error if isinstance(error, aiohttp.ClientError) else error.__cause__ or error
        if isinstance(
            cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.InvalidURL
        ):
            return Unavailable(
                f"Klaviyo cannot be reached at {self.address}: {_describe_cause(cause)}.",
                may_have_arrived=False,
            )
        return Unavailable(
            f"The connection to {self.address} broke before the answer was there: {_describe_cause(cause)}."
        )


class Headers(dict[str, str]):
    """The headers of many requests. Their repr hides the key."""

    def __repr__(self) -> str:
        return f"Headers({sorted(self)})"


def header_block(headers: Mapping[str, str]) -> Headers:
    """Prepares headers once for many requests."""
    return Headers(headers)


class _ResponseTooLarge(Exception):
    pass


class _Body(httpx.AsyncByteStream):
    """A body as httpx reads one."""

    def __init__(self, chunks: AsyncIterable[bytes]) -> None:
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            yield chunk


async def _read(
    status: int, headers: Sequence[tuple[bytes, bytes]], chunks: AsyncIterable[bytes], max_bytes: int
) -> RawResponse:
    retry_after = remaining = encoding = left_out = date = None
    challenged = False
    for name, value in headers:
        match name.lower():
            case b"retry-after":
                retry_after = value.decode("latin-1")
            case b"ratelimit-remaining":
                remaining = int(value) if value.isdigit() else None
            case b"cf-mitigated":
                challenged = True
            case b"x-klaviyo-partial-failure":
                left_out = value.decode("latin-1")
            case b"content-encoding":
                encoding = value
            case b"date":
                date = value.decode("latin-1")
    if encoding is not None:
        chunks = httpx.Response(status, headers=headers, stream=_Body(chunks)).aiter_bytes()
    read: list[bytes] = []
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > max_bytes:
            raise _ResponseTooLarge
        read.append(chunk)
    body = read[0] if len(read) == 1 else b"".join(read)
    return RawResponse(status, body, retry_after, remaining, challenged, left_out, date)


def _describe_cause(cause: BaseException) -> str:
    match cause:
        case aiohttp.ClientConnectorDNSError():
            return "its name cannot be resolved"
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return "no trusted encryption could be agreed on"
        case aiohttp.ConnectionTimeoutError():
            return "connecting took too long"
        case aiohttp.ClientConnectorError():
            return (cause.strerror or "the connection was refused").lower()
        case TimeoutError():
            return "it took too long"
    return "the other side hung up"
