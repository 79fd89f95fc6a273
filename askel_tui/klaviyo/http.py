"""HTTP to Klaviyo: the one module that knows httpx and its aiohttp transport.

httpx's own pool slows down with every connection, so requests are httpx's and the transport is aiohttp's,
called directly. One transport is shared by all clients of an event loop and closed with the last of them.
Redirects are never followed: the key goes to the address it was meant for and to no other.
"""

from __future__ import annotations

import asyncio
import ipaddress
from functools import cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from askel_tui.core.exit_codes import AskelError, ExitCode
from askel_tui.klaviyo.errors import Unavailable, UnreadableResponse

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

KLAVIYO_URL = "https://a.klaviyo.com"
"""Where Klaviyo's API is (docs/klaviyo.md 0.2)."""

CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 30
ATTEMPT_TIMEOUT_S = 120
"""One attempt from start to end, however slowly its bytes trickle."""

MAX_CONNECTIONS = 256
MAX_RESPONSE_BYTES = 64 * 1024 * 1024

_TIMEOUTS = {
    "timeout": {
        "connect": CONNECT_TIMEOUT_S,
        "read": READ_TIMEOUT_S,
        "pool": CONNECT_TIMEOUT_S + READ_TIMEOUT_S,
    }
}
_MAX_CACHED_URLS = 1024


class BadAddress(AskelError, ValueError):
    """A base address that cannot be used; the text says why and never holds what a login in it said."""

    exit_code = ExitCode.USAGE


class RawResponse(NamedTuple):
    """An answer as it came, its body decoded from the transfer only.

    `remaining` is RateLimit-Remaining: what is left of the shortest window. `challenged` means that the edge
    answered in the API's place.
    """

    status: int
    body: bytes
    retry_after: str | None
    remaining: int | None
    challenged: bool


def base_address(text: str) -> str:
    """The base address without a slash at its end. Raises `BadAddress`."""
    try:
        parts = urlsplit(text.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        raise BadAddress("The address of Klaviyo is not a URL.") from None
    if parts.scheme not in ("http", "https") or not host:
        raise BadAddress("The address of Klaviyo must start with https:// (or http://) and name a host.")
    if parts.username is not None or parts.password is not None:
        raise BadAddress("The address of Klaviyo may not hold a login.")
    if parts.query or parts.fragment:
        raise BadAddress("The address of Klaviyo ends with its host or path: no ? and no #.")
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}{f':{port}' if port is not None else ''}{parts.path.rstrip('/')}"


def is_loopback(address: str) -> bool:
    """Whether the address is this machine."""
    host = urlsplit(address).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def unencrypted(address: str) -> str | None:
    """A warning where the key would travel in the clear through a network; None where all is well."""
    if urlsplit(address).scheme == "https" or is_loopback(address):
        return None
    return f"The key travels unencrypted to {urlsplit(address).hostname}: use https."


class ConnectionLost(aiohttp.ClientError):
    """The connection broke after the request was begun."""


async def _forbid_hidden_retries(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keeps aiohttp from repeating a request by itself: each attempt needs a place in the budget."""
    try:
        return await handler(request)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise ConnectionLost(str(error)) from None


class _SharedTransport:
    """The transport of one event loop, counted by its users."""

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
    """The way to one base address: opens on the first request, belongs to one event loop, is to be closed."""

    def __init__(self, address: str) -> None:
        self.address = base_address(address)
        self._secure = self.address.startswith("https:")
        self._shared: _SharedTransport | None = None
        self._urls: dict[str, httpx.URL] = {}

    def __repr__(self) -> str:
        return f"Wire({self.address!r})"

    async def send(self, method: str, target: str, headers: httpx.Headers, body: bytes | None) -> RawResponse:
        """Sends one request and reads its answer whole. `target` is the path with its query, percent-encoded.

        Raises `Unavailable`, with `arrived` False only where nothing of the request can have been received,
        and `UnreadableResponse` for an answer beyond all measure. Nothing of the request is kept in the exception.
        """
        shared = self._shared or self._open()
        request = httpx.Request(
            method, self._url(target), headers=headers, content=body, extensions=_TIMEOUTS
        )
        # Said, since httpx would otherwise guess it anew for each header.
        request.headers.encoding = "ascii"
        failure: Unavailable | UnreadableResponse
        try:
            async with asyncio.timeout(ATTEMPT_TIMEOUT_S):
                response = await shared.transport.handle_async_request(request)
                try:
                    return await _read(response)
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
        """Gives up the transport; the last one closes it. A closed wire opens again when it is used."""
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
                f"The answer of {self.address} is larger than {MAX_RESPONSE_BYTES // 2**20} MB."
            )
        if isinstance(error, httpx.DecodingError):
            return UnreadableResponse(f"The answer of {self.address} cannot be decoded.")
        # httpx-aiohttp files most breaks under "connect", so what aiohttp said is what counts.
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


def header_block(headers: Mapping[str, str]) -> httpx.Headers:
    """Headers made ready once, for many requests; their repr hides the key."""
    return httpx.Headers(dict(headers))


class _ResponseTooLarge(Exception):
    pass


async def _read(response: httpx.Response) -> RawResponse:
    retry_after = remaining = encoding = None
    challenged = False
    for name, value in response.headers.raw:
        match name.lower():
            case b"retry-after":
                retry_after = value.decode("latin-1")
            case b"ratelimit-remaining":
                remaining = int(value) if value.isdigit() else None
            case b"cf-mitigated":
                challenged = True
            case b"content-encoding":
                encoding = value
    chunks: list[bytes] = []
    size = 0
    # Undecoded bodies need none of httpx's machinery.
    source = response.stream if encoding is None else response.aiter_bytes()
    async for chunk in source:  # type: ignore[union-attr]
        size += len(chunk)
        if size > MAX_RESPONSE_BYTES:
            raise _ResponseTooLarge
        chunks.append(chunk)
    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    return RawResponse(response.status_code, body, retry_after, remaining, challenged)


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
