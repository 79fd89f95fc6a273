"""Channels for notices: apprise for the services that a team has already, and a signed JSON webhook.

| address | what is sent |
| --- | --- |
| `https+hmac://SECRET@host/path` | a POST of JSON, signed; `http+hmac://` to this machine only |
| `https://host/path`, `http://` to this machine only | the same, unsigned, unless apprise knows the service |
| anything else (`slack://`, `mailto://`, …) | title and text, by apprise (`askel-tui[notify]`) |

The signature is the header `Askel-Signature: t=SECONDS,v1=HEX`: HMAC-SHA256 with the secret over `SECONDS.BODY`.
`Askel-Notice` is the same at every attempt: a receiver that knows it already has had the notice.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from askel_tui.core.canonical import canonical_json
from askel_tui.klaviyo.addresses import is_loopback

WEBHOOK_TIMEOUT_S = 15.0

_WEBHOOK_SCHEMES = ("https", "http", "https+hmac", "http+hmac")


class DeliveryFailed(Exception):
    """A notice that could not be delivered; the message says why, without the address, which may hold a secret."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message: `title` and `text` for people, `document` for programs."""

    id: str
    title: str
    text: str
    document: dict[str, Any]


async def send(address: str, message: Message, now_s: int) -> None:
    """Delivers a message. Raises `DeliveryFailed`."""
    scheme = address.partition("://")[0].lower()
    ours = scheme in _WEBHOOK_SCHEMES
    if ours and not scheme.endswith("+hmac"):
        # Off the event loop: apprise takes long to load.
        ours = not await asyncio.to_thread(_known_to_apprise, address)
    if ours:
        await _post_webhook(address, message, now_s)
    else:
        await asyncio.to_thread(_send_by_apprise, address, message)


def find_address_problem(address: str) -> str | None:
    """Finds why no notice can be delivered to an address; None where one may be. Nothing is sent, but apprise is
    loaded where it is needed."""
    scheme = address.partition("://")[0].lower()
    try:
        if scheme in _WEBHOOK_SCHEMES and (scheme.endswith("+hmac") or not _known_to_apprise(address)):
            url, _ = _parse_webhook_address(address)
            if not urlsplit(url).hostname:
                return "the address names no host"
        elif not _known_to_apprise(address, needed=True):
            return "apprise does not know this kind of address, or a part of it is missing"
    except DeliveryFailed as why:
        return str(why)
    return None


def redacted_address(address: str) -> str:
    """Redacts an address to its scheme, and the host of a webhook."""
    scheme = address.partition("://")[0].lower()
    if scheme not in _WEBHOOK_SCHEMES:
        return f"{scheme}://…"
    try:
        return f"{scheme}://{urlsplit(address).hostname or ''}/…"
    except ValueError:
        return f"{scheme}://…"


def signature(secret: str, body: bytes, now_s: int) -> str:
    """Computes the value of `Askel-Signature`."""
    made = hmac.new(secret.encode(), f"{now_s}.".encode() + body, "sha256")
    return f"t={now_s},v1={made.hexdigest()}"


async def _post_webhook(address: str, message: Message, now_s: int) -> None:
    import aiohttp

    url, secret = _parse_webhook_address(address)
    body = canonical_json(message.document)
    headers = {"Content-Type": "application/json", "User-Agent": "askel-tui", "Askel-Notice": message.id}
    if secret:
        headers["Askel-Signature"] = signature(secret, body, now_s)
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WEBHOOK_TIMEOUT_S)) as session,
            session.post(url, data=body, headers=headers, allow_redirects=False) as answer,
        ):
            status = answer.status
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # The error's text holds the address.
        raise DeliveryFailed(f"the webhook can't be reached ({type(error).__name__})") from None
    if not 200 <= status < 300:
        raise DeliveryFailed(f"the webhook answered {status}")


def _parse_webhook_address(address: str) -> tuple[str, str]:
    """Parses an address into the URL of a webhook without its secret, and the secret."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise DeliveryFailed("the address is no URL") from None
    scheme = parts.scheme.removesuffix("+hmac")
    netloc = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
    url = urlunsplit((scheme, netloc, parts.path or "/", parts.query, ""))
    if scheme == "http" and not is_loopback(url):
        raise DeliveryFailed("the address is http:// and not this machine: use https://")
    secret = unquote(parts.password or parts.username or "") if parts.scheme.endswith("+hmac") else ""
    if parts.scheme.endswith("+hmac") and not secret:
        raise DeliveryFailed("the address names no secret: https+hmac://SECRET@host/path")
    return url, secret


def _known_to_apprise(address: str, *, needed: bool = False) -> bool:
    """Checks whether apprise is installed and knows the service behind a web address (a Slack hook, say).

    Where it is `needed` and not installed, raises `DeliveryFailed`.
    """
    try:
        return bool(_new_apprise().add(address))
    except ImportError:
        if needed:
            kind = address.partition("://")[0]
            raise DeliveryFailed(f"{kind}:// needs apprise: install askel-tui[notify]") from None
        return False


def _send_by_apprise(address: str, message: Message) -> None:
    if not _known_to_apprise(address, needed=True):
        raise DeliveryFailed("apprise does not know this kind of address")
    service = _new_apprise()
    service.add(address)
    try:
        delivered = service.notify(title=message.title, body=message.text)
    except Exception as error:
        # A plugin of one of a hundred services: with any error, the notice was not delivered.
        raise DeliveryFailed(f"the service could not be used ({type(error).__name__})") from None
    if not delivered:
        raise DeliveryFailed("the service did not take it")


def _new_apprise() -> Any:
    """Makes an `Apprise` for one address. Raises `ImportError` where apprise is not installed."""
    import apprise

    # apprise logs addresses, which hold secrets.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    return apprise.Apprise()
