"""The state that all endpoints share: the instance, tokens, webhooks, limits, metrics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any
from weakref import WeakValueDictionary

from fastapi import Request
from pydantic import ValidationError

from askel_tui.api.shared.backpressure import Backpressure, BackpressureLimits
from askel_tui.api.shared.batching import RecordBatcher
from askel_tui.api.shared.errors import ApiError
from askel_tui.api.shared.limits import ApiLimits
from askel_tui.api.shared.metrics import ServerMetrics
from askel_tui.api.shared.token_limits import TokenLimiter
from askel_tui.api.shared.webhook_settings import SETTING_PREFIX, WebhookSettings
from askel_tui.services.account_queries import AccountQueries
from askel_tui.store.errors import UnknownConnection
from askel_tui.store.sqlite.idempotent_responses import IdempotentResponses
from askel_tui.store.state.tokens import Scope, TokenDoc, Tokens, is_valid, split_token
from askel_tui.sync.instance import Instance

log = logging.getLogger(__name__)

MAX_LARGE_BODIES = 2
"""The largest number of large bodies that are unpacked, read and stored at once."""

MAX_TIMED_RECORDS = 20_000
"""The number of newest records whose time of receipt is kept, to measure how long they take to arrive in Klaviyo."""

AUTH_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="askel"'}


class ApiContext:
    """The state of one server. Tokens, connections and webhooks are read anew when their files change."""

    def __init__(self, instance: Instance, limits: ApiLimits) -> None:
        self.instance = instance
        self.limits = limits
        self.backpressure = Backpressure(instance)
        self.account_queries = AccountQueries(instance)
        self.record_batcher = RecordBatcher(instance.journal, instance.clock)
        self.token_limiter = TokenLimiter()
        self.metrics = ServerMetrics()
        self.large_bodies = asyncio.Semaphore(MAX_LARGE_BODIES)
        self.buffered_bytes = 0
        """Bytes of all bodies that are in memory now."""
        self.stopping = asyncio.Event()
        self.idempotent_responses = IdempotentResponses(instance.home)
        self.idempotency_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """Locks by Idempotency-Key, held while a request with that key is worked on."""
        self.webhook_secrets: dict[str, str] = {}
        """Secrets of webhooks by name; reading the keyring for each request takes too long."""
        self._tokens = Tokens(instance.home)
        self._loaded_stamp: object = object()
        self._by_id: dict[str, TokenDoc] = {}
        self._connections: frozenset[str] = frozenset()
        self._webhooks: dict[tuple[str, str], WebhookSettings] = {}

    async def close(self) -> None:
        """Closes the files."""
        self._tokens.close()
        await self.idempotent_responses.close()

    def reload(self) -> None:
        """Reads tokens, connections and settings anew, and drops what is cached of the accounts."""
        self._loaded_stamp = object()
        self.webhook_secrets.clear()
        self.account_queries.forget()
        self.refresh()

    def refresh(self) -> None:
        """Reads what other processes changed; where nothing changed it costs one `stat`."""
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
        """Finds the token of a text; None where the text is wrong, or the token is expired or revoked."""
        parts = split_token(text)
        if parts is None:
            return None
        self.refresh()
        token = self._by_id.get(parts[0])
        return token if token is not None and is_valid(token, parts[1], self.instance.clock()) else None

    def is_valid(self, token: TokenDoc) -> bool:
        """Checks whether a token that was accepted before has been neither revoked nor expired since."""
        self.refresh()
        known = self._by_id.get(token.id)
        return known is not None and not known.is_expired(self.instance.clock())

    def check_rate(self, token: TokenDoc) -> None:
        """Counts a request of a token. Raises `ApiError` (429) where the token is over its rate."""
        wait = self.token_limiter.take(token)
        if wait:
            message = f"the token {token.name} may send {token.rate} requests a second"
            raise ApiError(429, "rate", message, retry_after=wait)

    def webhook(self, connection: str, name: str) -> WebhookSettings | None:
        """Returns the settings of a webhook; None where `name` is unknown."""
        self.refresh()
        return self._webhooks.get((connection, name))

    def webhooks(self, connection: str) -> dict[str, WebhookSettings]:
        """Returns the webhooks of a connection by name."""
        self.refresh()
        return {hook: found for (owner, hook), found in sorted(self._webhooks.items()) if owner == connection}

    def require_connection(self, name: str) -> None:
        """Checks that a connection exists, as of the last `refresh`. Raises `UnknownConnection`."""
        if name not in self._connections:
            raise UnknownConnection(name, self._connections)

    def connections(self) -> frozenset[str]:
        """Returns the names of all connections."""
        self.refresh()
        return self._connections


def context_of(request: Request) -> ApiContext:
    """Returns the state of the server that a request came to."""
    found: ApiContext = request.app.state.context
    return found


def authorize(request: Request, scope: Scope, connection: str | None = None) -> TokenDoc:
    """Finds the request's token and checks that it has the scope and may use the connection.

    Raises `ApiError`, `UnknownConnection`.
    """
    token: TokenDoc | None = request.scope.get("askel.token")
    if token is None:
        raise unknown_token()
    if not token.has_scope(scope):
        raise ApiError(403, "scope", f"the token {token.name} lacks the scope `{scope}`")
    if connection is not None:
        if not token.may_use(connection):
            raise ApiError(
                403, "connection", f"the token {token.name} may use only {', '.join(token.connections)}"
            )
        context_of(request).require_connection(connection)
    return token


def unknown_token() -> ApiError:
    """Makes the 401 for a token that is missing, wrong, revoked or expired: one message for all."""
    message = (
        "no valid token: send `Authorization: Bearer askel_…`; `askel token create` makes one, "
        "and one that was revoked or has expired is refused"
    )
    return ApiError(401, "token", message, headers=AUTH_CHALLENGE)


def token_actor(token: TokenDoc) -> str:
    """Returns the name by which the audit calls a token's owner."""
    return f"token:{token.name}"
