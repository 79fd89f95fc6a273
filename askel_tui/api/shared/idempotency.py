"""Idempotency-Key: a request that is sent again gets the first response again, and is not done twice."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import Awaitable, Callable

from fastapi import Request
from starlette.responses import Response

from askel_tui.api.shared.context import ApiContext, context_of
from askel_tui.api.shared.errors import ApiError
from askel_tui.store.errors import StoreError
from askel_tui.store.sqlite.idempotent_responses import StoredResponse
from askel_tui.store.state.tokens import TokenDoc

log = logging.getLogger(__name__)

_KEY_PATTERN = re.compile(r"[!-~]{1,255}")

KEY_PARAMETER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    "description": "The same request with the same key is done once, and within a day gets the same answer again "
    "(then with `Idempotent-Replayed: true`); another request with it is refused with 422.",
}
"""The header's parameter in the OpenAPI document."""

KEY_REUSED_MESSAGE = (
    "this Idempotency-Key was used before, for another request: a new request needs a new key"
)


def idempotency_key(request: Request, token: TokenDoc) -> str | None:
    """Reads the request's Idempotency-Key, prefixed with its token's name.

    Raises `ApiError` for one that is too long.
    """
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not _KEY_PATTERN.fullmatch(key):
        raise ApiError(
            400, "idempotency_key", "an Idempotency-Key has 1 to 255 printable characters, no blanks"
        )
    return f"{token.name}/{key}"


async def respond_once(
    request: Request, token: TokenDoc, body: bytes, do: Callable[[], Awaitable[tuple[Response, bool]]]
) -> Response:
    """Returns the response of `do`, or the stored one where the same request came with the same key before.

    `do` gives its response, and whether that is final: one that is not is made anew the next time. Raises `ApiError`
    where the key came with another body or address, and what `do` raises, which is not stored.
    """
    key = idempotency_key(request, token)
    if key is None:
        return (await do())[0]
    context = context_of(request)
    digest = hashlib.sha256(b"%s %s\0%s" % (request.method.encode(), _path(request), body)).digest()
    # The same request twice at a time: the second waits for the response of the first.
    async with context.idempotency_locks.setdefault(key, asyncio.Lock()):
        found = await _find_response(context, key)
        if found is not None and found.digest != digest:
            raise ApiError(422, "idempotency_key", KEY_REUSED_MESSAGE)
        if found is not None and found.body is not None:
            again = {"Idempotent-Replayed": "true"}
            return Response(found.body, found.status, again, media_type="application/json")
        response, final = await do()
        body_kept = bytes(response.body) if final else None
        await _store_response(context, key, StoredResponse(digest, response.status_code, body_kept))
        return response


def _path(request: Request) -> bytes:
    return str(request.scope["path"]).encode("utf-8", "replace")


async def _find_response(context: ApiContext, key: str) -> StoredResponse | None:
    try:
        return await context.idempotent_responses.find(key, context.instance.clock())
    except StoreError as error:
        log.warning("an earlier response can't be read: %s", error)
        return None


async def _store_response(context: ApiContext, key: str, answer: StoredResponse) -> None:
    try:
        await context.idempotent_responses.save(key, answer, context.instance.clock())
    except StoreError as error:
        # The write is done; the ids it was derived from keep it from being done twice.
        log.warning("a response can't be stored for its Idempotency-Key: %s", error)
