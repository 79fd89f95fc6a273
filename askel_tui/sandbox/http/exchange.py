"""One call to the API: key, revision, rate limits, checks, handler, response."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from askel_tui.contract.endpoints import common_endpoints
from askel_tui.contract.revisions import judging_revisions
from askel_tui.sandbox.handlers.catalog import HANDLERS as CATALOG
from askel_tui.sandbox.handlers.context import Context, Reply
from askel_tui.sandbox.handlers.events import HANDLERS as EVENTS
from askel_tui.sandbox.handlers.groups import HANDLERS as GROUPS
from askel_tui.sandbox.handlers.jobs import HANDLERS as JOBS
from askel_tui.sandbox.handlers.profiles import HANDLERS as PROFILES
from askel_tui.sandbox.http import routing
from askel_tui.sandbox.http.partial_failures import drop_phones
from askel_tui.sandbox.jsonapi import errors
from askel_tui.sandbox.jsonapi.errors import Refusal
from askel_tui.sandbox.state.scheduled import run_due
from askel_tui.sandbox.validation import bodies, query

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from askel_tui.contract.endpoints import Endpoint
    from askel_tui.sandbox.state.faults import Fault
    from askel_tui.sandbox.state.world import ApiKey, World

HANDLERS: Final[dict[str, Callable[[Context], Reply]]] = {**CATALOG, **EVENTS, **GROUPS, **JOBS, **PROFILES}
"""The handlers of all endpoints that the sandbox serves, by the endpoint's name."""
DEFAULT_MAX_BODY_BYTES: Final = 5_000_000
"""The largest body, in bytes, where the contract states no other cap."""
_MEDIA_TYPE: Final = "application/vnd.api+json"
_CHALLENGE_PAGE: Final = (
    b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body></body></html>"
)


class Exchange:
    """One call to the API, from its headers and body to its response."""

    def __init__(self, world: World, request: web.BaseRequest, name: str, ident: str, written: str) -> None:
        self.world = world
        self.request = request
        self.name = name
        self.path_id = ident
        self.query_text = written
        self.raw_body: bytes | None = b""
        """The body's bytes; None when it was too large to read."""
        self.given_key = _find_key(world, request.headers.get("Authorization"))
        self.revision: str | None = None
        self.body: Any = None

    def respond(self, now: float) -> tuple[int, bytes | None, dict[str, str]]:
        """Answers the call: status, body and headers of the response. `now` is in seconds since 1970."""
        headers: dict[str, str] = {}
        try:
            reply = self._process(headers, now)
        except Refusal as refusal:
            return refusal_response(refusal, headers)
        except RecursionError:
            return refusal_response(
                errors.invalid("The payload provided in the request is invalid."), headers
            )
        if reply.body is None:
            return reply.status, None, headers
        headers["Content-Type"] = _MEDIA_TYPE
        return reply.status, encode_json(reply.body), headers

    def body_for_log(self) -> Any:
        """Returns the body for the request log: as JSON if it is JSON, else as text."""
        if self.body is not None or not self.raw_body:
            return self.body
        try:
            return json.loads(self.raw_body)
        except (ValueError, RecursionError):
            return self.raw_body[:10_000].decode("utf-8", "replace")

    def _process(self, headers: dict[str, str], now: float) -> Reply:
        world, key = self.world, self.given_key
        if key is None or key.revoked or key.account not in world.accounts:
            raise errors.unauthorized(given="Authorization" in self.request.headers)
        account = world.accounts[key.account]
        account.segment_time = world.settings.segment_time
        run_due(account, now)
        opt_out = self.request.headers.get("X-Klaviyo-Revision-Fall-Forward-Opt-Out") == "1"
        named = self.request.headers.get("revision")
        today = _day(now, world.settings.today)
        self.revision = revision = routing.served_revision(
            named, world.settings.retired, today, opt_out=opt_out
        )
        judges = judging_revisions(revision)
        endpoint = common_endpoints(judges).get(self.name)
        if endpoint is None:
            where = f"{self.request.method} {self.request.raw_path.partition('?')[0]}"
            detail = f"No valid revisions found for method {where} at {named}."
            raise errors.simple_refusal(404, "not_found", "Not found.", detail)
        given = dict(parse_qsl(self.query_text, keep_blank_values=True)) if self.query_text else {}
        enforced = world.settings.limits
        headers |= world.rate_limits.acquire(account.id, endpoint, given, now, enforced=enforced)
        if key.scopes is not None and not key.scopes.issuperset(endpoint.scopes):
            raise errors.forbidden()
        handler = HANDLERS.get(self.name)
        if handler is None:
            detail = f"The sandbox does not serve {self.name}."
            raise errors.simple_refusal(501, "not_implemented", "Not implemented.", detail)
        resource = endpoint.path.strip("/").split("/")[1].rstrip("s")
        asked = query.parse_query(given, endpoint, resource)
        checks = [check for each in judges if (check := bodies.body_check(self.name, each)) is not None]
        if checks:
            self._read_body(endpoint)
        for check in checks:
            wrong: list[dict[str, Any]] = []
            check(self.body, "", wrong)
            if wrong:
                raise Refusal(400, wrong)
        body = self.body
        if world.settings.dropped_phones and checks:
            body, dropped = drop_phones(body, tuple(world.settings.dropped_phones))
            if dropped:
                headers["X-Klaviyo-Partial-Failure"] = "phone_number"
        host = self.request.headers.get("Host", "127.0.0.1")
        target = self.request.raw_path
        return handler(
            Context(
                account,
                world.settings,
                endpoint,
                revision,
                self.path_id,
                asked,
                body,
                f"http://{host}",
                target,
                now,
                key.scopes,
            )
        )

    def _read_body(self, endpoint: Endpoint) -> None:
        most = endpoint.max_bytes or DEFAULT_MAX_BODY_BYTES
        if self.raw_body is None or len(self.raw_body) > most:
            detail = f"The payload is larger than {most} bytes."
            raise errors.simple_refusal(413, "payload_too_large", "Payload too large.", detail, "/data")
        media = self.request.content_type
        if media not in ("application/json", _MEDIA_TYPE):
            detail = f'Unsupported media type "{media}" in request.'
            raise errors.simple_refusal(415, "unsupported_media_type", "Unsupported media type.", detail)
        try:
            self.body = json.loads(self.raw_body, parse_constant=_refuse_constant)
        except ValueError:
            raise errors.invalid("The payload provided in the request is invalid.", "/data") from None


def _day(now: float, setting: str) -> date:
    """Returns the account's day in UTC: that of the switch, else that of the clock."""
    return date.fromisoformat(setting) if setting else datetime.fromtimestamp(now, UTC).date()


def _find_key(world: World, header: str | None) -> ApiKey | None:
    scheme, _, secret = (header or "").partition(" ")
    return world.keys.get(secret.strip()) if scheme == "Klaviyo-API-Key" else None


def refusal_response(refusal: Refusal, headers: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
    """Makes the response of a refusal: status, body and headers; of the rate limit headers a 429 has Retry-After
    only."""
    if refusal.retry_after is not None:
        headers = {"Retry-After": str(refusal.retry_after)}
    return refusal.status, encode_json({"errors": refusal.errors}), {**headers, "Content-Type": _MEDIA_TYPE}


def fault_response(fault: Fault, status: int) -> tuple[bytes | None, dict[str, str]]:
    """Makes the body and headers of the response that a fault asks for."""
    headers = {"Retry-After": str(fault.retry_after)} if fault.retry_after is not None else {}
    if fault.body == "empty":
        return None, headers
    if fault.body == "html":
        return _CHALLENGE_PAGE, {
            **headers,
            "Content-Type": "text/html; charset=UTF-8",
            "cf-mitigated": "challenge",
        }
    if fault.body == "malformed":
        return b'{"data": {"type": "prof', {**headers, "Content-Type": _MEDIA_TYPE}
    if status == 429:
        wait = fault.retry_after or 1
        return encode_json({"errors": errors.throttled(wait).errors}), {
            "Retry-After": str(wait),
            "Content-Type": _MEDIA_TYPE,
        }
    made = {401: errors.unauthorized(given=True), 403: errors.forbidden()}.get(
        status
    ) or errors.simple_refusal(status, "error", "Error.", "The sandbox was asked to answer this.")
    return encode_json({"errors": made.errors}), {**headers, "Content-Type": _MEDIA_TYPE}


def encode_json(value: Any) -> bytes:
    """Encodes a value as compact JSON."""
    return json.dumps(value, separators=(",", ":")).encode()


def _refuse_constant(word: str) -> Any:
    raise ValueError(word)
