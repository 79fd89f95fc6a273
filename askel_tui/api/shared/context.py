"""What the routes share: the instance, who may come in, limits, numbers."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

from fastapi import Request
from pydantic import ValidationError

from askel_tui.api.shared.backpressure import Backpressure, BackpressureLimits
from askel_tui.api.shared.batching import RecordBatcher
from askel_tui.api.shared.errors import ApiError
from askel_tui.api.shared.metrics import Counter, Histogram
from askel_tui.api.shared.token_limits import TokenLimiter
from askel_tui.api.shared.webhook_settings import SETTING_PREFIX, WebhookSettings
from askel_tui.services.account_queries import AccountQueries
from askel_tui.store.errors import UnknownConnection
from askel_tui.store.sqlite.idempotent_responses import IdempotentResponses
from askel_tui.store.state.tokens import Scope, TokenDoc, Tokens, is_valid, split_token
from askel_tui.sync.instance import Instance

log = logging.getLogger(__name__)

MAX_LARGE_BODIES = 2
"""How many large bodies are unpacked, read and stored at once."""

MAX_TIMED_RECORDS = 20_000
"""Records whose way to Klaviyo's answer is timed at once."""

AUTH_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="askel"'}


@dataclass(slots=True)
class ServerMetrics:
    """What this process has counted and timed."""

    records: Counter = field(
        default_factory=lambda: Counter(
            "askel_records_total", "Records that came in, by what became of them."
        )
    )
    requests: Counter = field(
        default_factory=lambda: Counter("askel_http_requests_total", "Requests to the HTTP API.")
    )
    request_seconds: Histogram = field(
        default_factory=lambda: Histogram("askel_http_request_seconds", "How long requests took to answer.")
    )
    klaviyo_call_seconds: Histogram = field(
        default_factory=lambda: Histogram("askel_klaviyo_call_seconds", "How long Klaviyo took to answer.")
    )
    record_arrival_seconds: Histogram = field(
        default_factory=lambda: Histogram(
            "askel_record_arrival_seconds", "From taking a record in to Klaviyo's answer for a step of it."
        )
    )
    received_at_ms: OrderedDict[tuple[str, str], int] = field(default_factory=OrderedDict)
    """When records were taken in (ms), by connection and id; the newest ones."""
    last_audit_seq: int | None = None
    """The last audit entry that was counted."""


class ApiContext:
    """One per server."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.backpressure = Backpressure(instance)
        self.account_queries = AccountQueries(instance)
        self.record_batcher = RecordBatcher(instance.journal, instance.clock)
        self.token_limiter = TokenLimiter()
        self.metrics = ServerMetrics()
        self.large_bodies = asyncio.Semaphore(MAX_LARGE_BODIES)
        self.buffered_bytes = 0
        """Bytes of bodies that are held now."""
        self.stopping = asyncio.Event()
        self.idempotent_responses = IdempotentResponses(instance.home)
        self.idempotency_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """Held while a request with this Idempotency-Key is under way."""
        self.webhook_secrets: dict[str, str] = {}
        """Secrets of webhooks that were read; the keyring takes too long to ask for each one."""
        self._tokens = Tokens(instance.home)
        self._loaded_stamp: object = object()
        self._by_id: dict[str, TokenDoc] = {}
        self._connections: frozenset[str] = frozenset()
        self._webhooks: dict[tuple[str, str], WebhookSettings] = {}

    async def close(self) -> None:
        """Lets go of open files."""
        self._tokens.close()
        await self.idempotent_responses.close()

    def reload(self) -> None:
        """Reads tokens, connections and settings anew, and forgets what was remembered of the account."""
        self._loaded_stamp = object()
        self.webhook_secrets.clear()
        self.account_queries.forget()
        self.refresh()

    def refresh(self) -> None:
        """Takes over what other processes changed: one look at the file where nothing did."""
        stamp = self.instance.connections_stamp()
        if stamp == self._loaded_stamp:
            return
        self._by_id = {token.id: token for token in self._tokens.all()}
        self._connections = frozenset(doc.name for doc in self.instance.state.connections())
        self._read_settings(self.instance.state.settings())
        self.token_limiter.retain(set(self._by_id))
        self.webhook_secrets.clear()
        self._loaded_stamp = stamp

    def _read_settings(self, settings: Mapping[str, Any]) -> None:
        hooks: dict[tuple[str, str], WebhookSettings] = {}
        for name, value in settings.items():
            connection, _, hook = name.removeprefix(SETTING_PREFIX).partition("/")
            if name.startswith(SETTING_PREFIX):
                try:
                    hooks[connection, hook] = WebhookSettings.model_validate(value)
                except ValidationError as error:
                    log.error(
                        "setting %s can't be used: %s", name, error.errors(include_input=False)[0]["msg"]
                    )
        self._webhooks = hooks
        self.backpressure.limits = BackpressureLimits.from_settings(settings)

    def token(self, text: str) -> TokenDoc | None:
        """The token of this text; None where it is wrong, expired or revoked."""
        parts = split_token(text)
        if parts is None:
            return None
        self.refresh()
        token = self._by_id.get(parts[0])
        return token if token is not None and is_valid(token, parts[1], self.instance.clock()) else None

    def is_valid(self, token: TokenDoc) -> bool:
        """Whether a token that was let in may still be there: neither revoked nor expired since."""
        self.refresh()
        known = self._by_id.get(token.id)
        return known is not None and not known.is_expired(self.instance.clock())

    def check_rate(self, token: TokenDoc) -> None:
        """Raises `ApiError` (429) for a token that asks more often than it may."""
        wait = self.token_limiter.take(token)
        if wait:
            told = f"the token {token.name} may send {token.rate} requests a second"
            raise ApiError(429, "rate", told, retry_after=wait)

    def webhook(self, connection: str, name: str) -> WebhookSettings | None:
        """What is set up for a webhook."""
        self.refresh()
        return self._webhooks.get((connection, name))

    def webhooks(self, connection: str) -> dict[str, WebhookSettings]:
        """The webhooks of a connection by name."""
        self.refresh()
        return {hook: found for (owner, hook), found in sorted(self._webhooks.items()) if owner == connection}

    def require_connection(self, name: str) -> None:
        """Raises `UnknownConnection`. The token was looked up in the same request, so this is as new as that."""
        if name not in self._connections:
            raise UnknownConnection(name, self._connections)

    def connections(self) -> frozenset[str]:
        """The names of all connections."""
        self.refresh()
        return self._connections


def context_of(request: Request) -> ApiContext:
    """The server's context."""
    found: ApiContext = request.app.state.context
    return found


def authorize(request: Request, scope: Scope, connection: str | None = None) -> TokenDoc:
    """The caller's token, if it may do this with the connection. Raises `ApiError`, `UnknownConnection`."""
    token: TokenDoc | None = request.scope.get("askel.token")
    if token is None:
        raise unknown_token()
    if not token.has_scope(scope):
        raise ApiError(403, "scope", f"the token {token.name} has not the scope `{scope}`")
    if connection is not None:
        if not token.may_use(connection):
            raise ApiError(
                403, "connection", f"the token {token.name} may use only {', '.join(token.connections)}"
            )
        context_of(request).require_connection(connection)
    return token


def unknown_token() -> ApiError:
    """401 in one sentence, whatever is wrong with the token."""
    told = (
        "no valid token: send `Authorization: Bearer askel_…`; `askel token create` makes one, "
        "and one that was revoked or has expired is refused"
    )
    return ApiError(401, "token", told, headers=AUTH_CHALLENGE)


def token_actor(token: TokenDoc) -> str:
    """Who gave an order, for the audit."""
    return f"token:{token.name}"
