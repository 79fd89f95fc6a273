"""Middleware for every request: its id, its token, the bounds of its body, its metrics and its line in the log."""

from __future__ import annotations

import base64
import binascii
import logging
import re
import secrets
import time

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from askel_tui.api.shared.body_reader import BoundedReceive, too_large
from askel_tui.api.shared.context import ApiContext, unknown_token
from askel_tui.api.shared.errors import ApiError, error_response
from askel_tui.core.records.record import MAX_RECORD_BYTES
from askel_tui.store.errors import StoreError

log = logging.getLogger(__name__)

_REQUEST_ID_PATTERN = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_WEBHOOK_PATH = re.compile(r"/v1/connections/[^/]+/webhooks/[^/]+")
_SEGMENT_PATHS = frozenset(
    f"/v1/{name}" for name in ("track", "identify", "batch", "import", "group", "page", "screen", "alias")
)
"""The endpoints that take the key in the body as well."""


class RequestMiddleware:
    """ASGI middleware; the token of the caller is in the scope as `askel.token`."""

    def __init__(self, app: ASGIApp, context: ApiContext) -> None:
        self._app = app
        self._context = context
        self._id_prefix = secrets.token_hex(4)
        self._request_count = 0

    def _next_id(self) -> bytes:
        """Makes a unique id, without asking the system for random bytes each time."""
        self._request_count += 1
        return f"{self._id_prefix}{self._request_count:08x}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        request_id = given if _REQUEST_ID_PATTERN.fullmatch(given) else self._next_id()
        scope["askel.request"] = request_id.decode()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
            await send(message)

        body = BoundedReceive(receive, self._context)
        try:
            self._authenticate(scope, headers)
            await self._app(scope, body, send_with_id)
        except ApiError as error:
            if not status:
                await body.refuse(error_response(error, scope["askel.request"]), send_with_id)
        except ClientDisconnect:
            log.debug("request %s: the client disconnected", scope["askel.request"])
        except Exception as error:
            log.exception("request %s: %s %s failed", scope["askel.request"], scope["method"], scope["path"])
            if not status:
                broken = ApiError(
                    500, "unexpected", f"something that Askel did not expect: {type(error).__name__}"
                )
                await error_response(broken, scope["askel.request"])(scope, receive, send_with_id)
        finally:
            self._context.buffered_bytes -= body.received_bytes
            self._log_request(scope, status, time.perf_counter() - began)

    def _authenticate(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        """Finds the token of the request before a byte of the body is read. Raises `ApiError`."""
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > MAX_RECORD_BYTES:
            raise too_large()
        path = scope["path"]
        if not path.startswith("/v1/") and path != "/metrics":
            return
        given = _credentials(headers.get(b"authorization"))
        if given is None:
            if path in _SEGMENT_PATHS or (scope["method"] == "POST" and _WEBHOOK_PATH.fullmatch(path)):
                return
            raise unknown_token()
        try:
            token = self._context.token(given)
        except StoreError as error:
            raise ApiError(503, "storage", str(error), retry_after=5) from None
        if token is None:
            raise unknown_token()
        self._context.check_rate(token)
        scope["askel.token"] = token

    def _log_request(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope.get("route")
        template = str(getattr(route, "path", "unknown"))
        metrics = self._context.metrics
        method = _KNOWN_METHODS.get(scope["method"], "OTHER")
        metrics.requests.add(method=method, route=template, status=str(status))
        metrics.request_seconds.observe(seconds, route=template)
        level = logging.DEBUG if status < 400 else logging.INFO if status < 500 else logging.WARNING
        if not log.isEnabledFor(level):
            return
        token = scope.get("askel.token")
        fields = {
            "request": scope["askel.request"],
            "method": scope["method"],
            "path": scope["path"],
            "status": status,
            "ms": round(seconds * 1000, 1),
            "token": token.name if token is not None else None,
        }
        message = "%(method)s %(path)s %(status)d in %(ms).1f ms, request %(request)s, token %(token)s"
        log.log(level, message, fields, extra={"fields": fields})


_KNOWN_METHODS = {name: name for name in ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")}


def _credentials(header: bytes | None) -> str | None:
    """Reads the token of an Authorization header: Bearer, or the user of Basic. None without a header."""
    if header is None:
        return None
    scheme, _, rest = header.decode("latin-1").strip().partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(rest.strip(), validate=True).decode("latin-1").partition(":")[0]
        except (binascii.Error, ValueError):
            return ""
    return ""
