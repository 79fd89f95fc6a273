"""The client: one Klaviyo account through one key, at one revision but for reads that it lacks."""

from __future__ import annotations

import asyncio
import json
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from askel_tui import __version__
from askel_tui.contract.calls import Call
from askel_tui.contract.endpoints import Endpoint, Extra, NotInRevision, endpoint
from askel_tui.contract.revisions import NEWEST, Ability, can
from askel_tui.core.canonical import canonical_json
from askel_tui.core.fingerprints import fingerprint
from askel_tui.klaviyo.addresses import KLAVIYO_URL
from askel_tui.klaviyo.errors import (
    KlaviyoError,
    NotInAccount,
    NotInThisRevision,
    UnreadableResponse,
    error_from_response,
)
from askel_tui.klaviyo.filters import query_string
from askel_tui.klaviyo.http import HttpTransport, RawResponse, header_block
from askel_tui.klaviyo.responses import date_ms, next_page_query, parse_body, parse_page, retry_after_seconds
from askel_tui.klaviyo.retries import RetryMode, RetryPolicy, may_retry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from askel_tui.klaviyo.answers import AnswerWatch
    from askel_tui.klaviyo.http import Carrier, Headers
    from askel_tui.klaviyo.http_limits import HttpLimits
    from askel_tui.klaviyo.priority import Priority
    from askel_tui.klaviyo.rate_limits.limiter import RateLimiter

ADDRESS_VARIABLE = "ASKEL_KLAVIYO_URL"

OPT_OUT_HEADER = "X-Klaviyo-Revision-Fall-Forward-Opt-Out"
"""The header by which a retired revision answers 410, in place of being served by another one (docs/klaviyo.md 0.3)."""

# An escaped letter, digit or underscore in JSON: no server writes that unless it hides something.
_ESCAPED_LETTER = re.compile(rb"\\u00(?:3[0-9]|[46][1-9a-f]|[57][0-9a]|5f)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Response:
    """A successful response. `raw` is its body, `body` that body read as JSON (None when it is empty).

    `duration_ms` is the time of the attempt that succeeded; `remaining` is what Klaviyo says is left of the burst
    window; `left_out` names the fields that Klaviyo says it did not take.
    """

    status: int
    body: Any
    raw: bytes
    duration_ms: int
    attempts: int
    remaining: int | None
    left_out: str | None = None


@dataclass(frozen=True, slots=True)
class _Request:
    """A prepared call: the request, and the facts about it that the rate limiter has to know."""

    endpoint: Endpoint
    target: str
    body: bytes | None
    extras: tuple[Extra, ...]
    priority: Priority
    revision: str


class Client:
    """Calls Klaviyo with one key. Has to be closed; belongs to one event loop. Its repr shows only the fingerprint.

    `account` is the name that the rate limiter counts under: the account's id, or the key's fingerprint where that is
    not known. With `accept_retired` a retired revision is served by another one's rules; else it answers 410. Raises
    `ValueError` for a key that cannot be sent and `BadAddress` for an address that cannot be used.
    """

    def __init__(
        self,
        *,
        key: str,
        revision: str,
        url: str | None = None,
        limiter: RateLimiter | None = None,
        account: str = "",
        retry_policy: RetryPolicy | None = None,
        http_limits: HttpLimits | None = None,
        carrier: Carrier | None = None,
        answers: AnswerWatch | None = None,
        accept_retired: bool = False,
    ) -> None:
        key = key.strip()
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise ValueError(
                "That is not a private key: a key is one word of letters, digits and underscores."
            )
        self.revision = revision
        self.fingerprint = fingerprint(key)
        self.account = account or self.fingerprint
        address = url or os.environ.get(ADDRESS_VARIABLE) or KLAVIYO_URL
        self._transport = HttpTransport(address, http_limits, carrier)
        self._limiter = limiter
        self._answers = answers
        self._retry_policy = retry_policy or RetryPolicy()
        self._key = key.encode()
        # The media type of a revision is that of its request bodies (docs/klaviyo.md 0.2).
        media = endpoint(revision, Call.CREATE_EVENT).content_type or "application/json"
        common = {
            "Authorization": f"Klaviyo-API-Key {key}",
            "revision": revision,
            "Accept": media,
            "Accept-Encoding": "gzip, deflate",
            "User-Agent": f"askel-tui/{__version__}",
        }
        if not accept_retired:
            common[OPT_OUT_HEADER] = "1"
        self._common = common
        self._headers = {revision: header_block(common)}
        self._headers_with_body = {
            kind: header_block({**common, "Content-Type": kind})
            for kind in ("application/json", "application/vnd.api+json")
        }
        self._media = media
        self._last_date: tuple[str, float] | None = None
        """The Date of the last answer that had one, and the loop's time when it came."""

    def __repr__(self) -> str:
        return f"Client({self.fingerprint}, revision={self.revision!r}, url={self.address!r})"

    @property
    def address(self) -> str:
        """The base address that is called."""
        return self._transport.address

    def server_time(self) -> int | None:
        """Returns Klaviyo's time by the last answer, in milliseconds since 1970; None before the first one.

        It does not depend on the machine's clock, and is up to a second ahead: answers give whole seconds.
        """
        if self._last_date is None:
            return None
        date, came = self._last_date
        then = date_ms(date)
        return None if then is None else then + int((asyncio.get_running_loop().time() - came) * 1000)

    async def ask_time(self) -> int | None:
        """Asks Klaviyo for its time by a call that any key may make. Raises `KlaviyoError` where nobody answers."""
        try:
            await self.call(Call.GET_LISTS)
        except KlaviyoError:
            if self._last_date is None:
                raise
        return self.server_time()

    def endpoint(self, call: Call, revision: str | None = None) -> Endpoint:
        """Returns the endpoint at this client's revision, or at a given one. Raises `NotInThisRevision`."""
        try:
            return endpoint(revision or self.revision, call)
        except NotInRevision as unknown:
            raise NotInThisRevision(str(unknown)) from None

    def reading_revision(self, *needs: Ability) -> str:
        """Returns the revision at which to read: the pinned one, or the newest where that one can't all of this.

        The revision is a header of each request (docs/klaviyo.md 0.3). Writes keep to the pinned one.
        """
        return self.revision if all(can(self.revision, each) for each in needs) else NEWEST

    async def call(
        self,
        call: Call,
        *,
        ids: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | bytes | None = None,
        retry_mode: RetryMode = "always",
        priority: Priority = "live",
        before_attempt: Callable[[], Awaitable[None]] | None = None,
        revision: str | None = None,
    ) -> Response:
        """Makes one call, and again after passing trouble. Each attempt waits for a permit first.

        `revision` is that of `reading_revision`, for what the pinned one can't read.
        `retry_mode="certain"` (consent) makes it again only where it certainly had no effect. `before_attempt` is
        awaited at every attempt, with the permit held and nothing sent. Raises the kinds of `KlaviyoError`.
        """
        request = self._ready(call, ids or {}, query or {}, body, priority, revision)
        return await self._send(request, retry_mode, before_attempt)

    async def pages(
        self,
        call: Call,
        *,
        ids: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        limit: int | None = None,
        priority: Priority = "live",
        revision: str | None = None,
    ) -> AsyncIterator[dict[str, Any]]:
        """Yields the resources of all pages, or the first `limit` of them. Pages are as large as the revision allows.

        Raises `UnreadableResponse` for what is no page, for one that comes twice, and for a next page at another
        address; else as `call`.
        """
        ids, asked = ids or {}, dict(query or {})
        one = self.endpoint(call, revision)
        if one.page_size_allowed and one.page_max and "page[size]" not in asked:
            asked["page[size]"] = str(min(one.page_max, limit or one.page_max))
        seen: set[str] = set()
        given = 0
        while True:
            request = self._ready(call, ids, asked, None, priority, revision)
            if request.target in seen:
                raise UnreadableResponse(
                    f"Klaviyo's pages of {call} go in a circle: one names an earlier one as its next."
                )
            seen.add(request.target)
            response = await self._send(request)
            resources, following = parse_page(response.body, call)
            for resource in resources:
                yield resource
                given += 1
                if limit is not None and given >= limit:
                    return
            if following is None:
                return
            asked = next_page_query(following, self.address, request.target.partition("?")[0], call)

    async def aclose(self) -> None:
        """Closes the network connections."""
        await self._transport.aclose()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    def _ready(
        self,
        call: Call,
        ids: Mapping[str, str],
        query: Mapping[str, str],
        body: Mapping[str, Any] | bytes | None,
        priority: Priority,
        revision: str | None,
    ) -> _Request:
        one = self.endpoint(call, revision)
        if any(value in ("", ".", "..") for value in ids.values()):
            # The path would lead to another endpoint, and no object has such an id.
            raise NotInAccount(f"Nothing can have the id that {call} was given.")
        target = one.url_path(**ids) if ids else one.path
        extras = tuple(
            extra for extra in one.extras if extra.value in query.get(extra.parameter, "").split(",")
        )
        encoded = body if body is None or isinstance(body, bytes) else canonical_json(body)
        return _Request(
            one, target + query_string(query), encoded, extras, priority, revision or self.revision
        )

    async def _send(
        self,
        request: _Request,
        retry_mode: RetryMode = "always",
        before_attempt: Callable[[], Awaitable[None]] | None = None,
    ) -> Response:
        began = self._retry_policy.clock()
        try:
            # Nearly all calls need no second attempt, and tenacity around the first costs 30 µs of each call.
            return await self._attempt(request, before_attempt, 1)
        except KlaviyoError as error:
            if not may_retry(error, retry_mode):
                raise
            first_error = error
        async for attempt in self._retry_policy.attempts(retry_mode, began):
            number = attempt.retry_state.attempt_number
            with attempt:
                if number == 1:
                    raise first_error
                try:
                    return await self._attempt(request, before_attempt, number)
                except KlaviyoError as error:
                    error.attempts = number
                    raise
        raise AssertionError("the attempts end with a response or an error")

    async def _attempt(
        self, request: _Request, before_attempt: Callable[[], Awaitable[None]] | None, number: int
    ) -> Response:
        one, clock = request.endpoint, asyncio.get_running_loop().time
        if self._limiter is None:
            if before_attempt is not None:
                await before_attempt()
            began = clock()
            raw = await self._transmit(request)
        else:
            permit = self._limiter.permit(
                self.account, one.name, request.revision, request.extras, priority=request.priority
            )
            async with permit:
                if before_attempt is not None:
                    await before_attempt()
                began = clock()
                raw = await self._transmit(request)
                permit.note_response(raw.status, raw.remaining, retry_after_seconds(raw.retry_after))
        came = clock()
        if raw.date is not None:
            self._last_date = raw.date, came
        ms = int((came - began) * 1000)
        text = self._without_key(raw.body)
        if not 200 <= raw.status < 300:
            raise error_from_response(
                one.name,
                raw.status,
                text,
                scopes=one.scopes,
                retry_after=retry_after_seconds(raw.retry_after),
                challenged=raw.challenged,
                scrub=self._scrub,
            )
        parsed = parse_body(text, one.name, raw.status)
        return Response(raw.status, parsed, text, ms, number, raw.remaining, raw.left_out)

    async def _transmit(self, request: _Request) -> RawResponse:
        headers = self._headers.get(request.revision) or self._headers_at(request.revision)
        if request.body is not None:
            headers = self._headers_with_body[request.endpoint.content_type or self._media]
        sending = self._transport.send(request.endpoint.method, request.target, headers, request.body)
        if self._answers is None:
            return await sending
        answered, call = None, request.endpoint.name
        number = self._answers.begin(self.account, call)
        try:
            raw = await sending
            answered = raw.status < 500 and not raw.challenged
            return raw
        except KlaviyoError:
            answered = False
            raise
        finally:
            self._answers.end(self.account, call, number, answered=answered)

    def _headers_at(self, revision: str) -> Headers:
        media = endpoint(revision, Call.CREATE_EVENT).content_type or self._media
        block = header_block({**self._common, "revision": revision, "Accept": media})
        return self._headers.setdefault(revision, block)

    def _without_key(self, body: bytes) -> bytes:
        """Removes the key from a body, in case the server echoed it, escaped or not."""
        if _ESCAPED_LETTER.search(body):
            try:
                plain = json.dumps(json.loads(body), ensure_ascii=False).encode("utf-8", "replace")
            except (ValueError, RecursionError):
                plain = b""
            body = plain if self._key in plain else body
        return body.replace(self._key, b"[key]") if self._key in body else body

    def _scrub(self, text: str) -> str:
        return text.replace(self._key.decode(), "[key]")
