"""HTTP to Klaviyo: the one module that knows httpx and its aiohttp transport.

httpx's own pool slows down with every connection, so requests are httpx's and the transport is aiohttp's, called
directly. All clients of an event loop share one transport, which is closed with the last of them. Redirects are never
followed: the key goes to the address it was meant for and to no other.
"""

from __future__ import annotations

import asyncio
from functools import cache
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from askel_tui.klaviyo.addresses import base_address
from askel_tui.klaviyo.errors import Unavailable, UnreadableResponse
from askel_tui.klaviyo.http_limits import HttpLimits

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

Carrier = httpx.AsyncBaseTransport
"""What carries requests: the network, or an account in this process."""

Headers = httpx.Headers
"""Prepared headers; see `header_block`."""

MAX_CONNECTIONS = 256
"""The most connections of all clients of an event loop together."""

_MAX_CACHED_URLS = 1024


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


class _SharedTransport:
    """The transport of one event loop, with the number of its users."""

    def __init__(self, secure: bool) -> None:
        # Loading the certificates costs 24 ms: only where TLS is spoken, and once.
        context: ssl.SSLContext | bool = _certificates() if secure else False
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS, ssl=context),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            middlewares=(_forbid_hidden_retries,),
        )
        self.transport = AiohttpTransport(client=self.session, verify=context)
        self.users = 0


_shared_transports: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[bool, _SharedTransport]] = (
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
        self._extensions = {
            "timeout": {
                "connect": self._limits.connect_timeout_s,
                "read": self._limits.read_timeout_s,
                "pool": self._limits.pool_timeout_s,
            }
        }
        self._secure = self.address.startswith("https:")
        self._carrier = carrier
        self._shared: _SharedTransport | None = None
        self._urls: dict[str, httpx.URL] = {}

    def __repr__(self) -> str:
        return f"HttpTransport({self.address!r})"

    async def send(self, method: str, target: str, headers: Headers, body: bytes | None) -> RawResponse:
        """Sends one request and reads its whole response. `target` is the path with its query, percent-encoded.

        Raises `Unavailable`, with `may_have_arrived` False only where nothing of the request can have been received,
        and `UnreadableResponse` for one that is too large or can't be decoded. The exception keeps nothing of the
        request.
        """
        carrier = self._carrier or (self._shared or self._open()).transport
        # As a stream the body is taken as it is: httpx guesses at the type of any other, and aiohttp adds Host and
        # Content-Length all the same. Without an encoding, httpx guesses it anew for each header.
        stream = httpx.ByteStream(body or b"")
        request = httpx.Request(
            method, self._url(target), headers=headers, stream=stream, extensions=self._extensions
        )
        request.headers.encoding = "ascii"
        request.read()
        failure: Unavailable | UnreadableResponse
        try:
            async with asyncio.timeout(self._limits.attempt_timeout_s):
                response = await carrier.handle_async_request(request)
                try:
                    return await _read(response, self._limits.max_response_bytes)
                finally:
                    await response.stream.aclose()  # type: ignore[union-attr]
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
        owners = _shared_transports.get(asyncio.get_running_loop(), {})
        if owners.get(self._secure) is shared:
            del owners[self._secure]
        await shared.session.close()

    def _open(self) -> _SharedTransport:
        owners = _shared_transports.setdefault(asyncio.get_running_loop(), {})
        if self._secure not in owners:
            owners[self._secure] = _SharedTransport(self._secure)
        self._shared = owners[self._secure]
        self._shared.users += 1
        return self._shared

    def _url(self, target: str) -> httpx.URL:
        url = self._urls.get(target)
        if url is None:
            url = httpx.URL(self.address + target)
            if "?" not in target and len(self._urls) < _MAX_CACHED_URLS:
                self._urls[target] = url
        return url

    def _failure(self, error: Exception) -> Unavailable | UnreadableResponse:
        if isinstance(error, _ResponseTooLarge):
            return UnreadableResponse(
                f"The answer of {self.address} is larger than {self._limits.max_response_bytes // 2**20} MB."
            )
        if isinstance(error, httpx.DecodingError):
            return UnreadableResponse(f"The answer of {self.address} cannot be decoded.")
        # httpx-aiohttp calls most breaks a connect error, so aiohttp's own error decides.
        cause = error.__cause__ or error
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


def header_block(headers: Mapping[str, str]) -> Headers:
    """Prepares headers once for many requests. Their repr hides the key."""
    return Headers(dict(headers))


class _ResponseTooLarge(Exception):
    pass


async def _read(response: httpx.Response, max_bytes: int) -> RawResponse:
    retry_after = remaining = encoding = left_out = date = None
    challenged = False
    for name, value in response.headers.raw:
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
    chunks: list[bytes] = []
    size = 0
    # Undecoded bodies need none of httpx's machinery.
    source = response.stream if encoding is None else response.aiter_bytes()
    async for chunk in source:  # type: ignore[union-attr]
        size += len(chunk)
        if size > max_bytes:
            raise _ResponseTooLarge
        chunks.append(chunk)
    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    return RawResponse(response.status_code, body, retry_after, remaining, challenged, left_out, date)


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
