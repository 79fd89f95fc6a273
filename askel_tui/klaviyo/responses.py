"""Reading what an answer holds: its JSON, its page and the way to the next one, how long to wait."""

from __future__ import annotations

import email.utils
import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from askel_tui.klaviyo.errors import UnreadableResponse
from askel_tui.klaviyo.filters import parse_query
from askel_tui.klaviyo.http import KLAVIYO_URL, is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping


def parse_body(body: bytes, name: str, status: int) -> Any:
    """The body as JSON; None for an empty one. Raises `UnreadableResponse`."""
    if not body:
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        pass
    raise UnreadableResponse(f"Klaviyo's answer to {name} ({status}) is not JSON.", status=status, body=body)


def resource_of(body: Any) -> dict[str, Any]:
    """The resource of an answer; an empty one where it has none."""
    found = body.get("data") if isinstance(body, dict) else None
    return found if isinstance(found, dict) else {}


def attributes_of(of: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of a resource; none where they are no object."""
    found = of.get("attributes")
    return found if isinstance(found, dict) else {}


def parse_page(body: Any, name: str) -> tuple[list[dict[str, Any]], str | None]:
    """The resources of a page and the link to the next one."""
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, list) or not all(isinstance(entry, dict) for entry in data):
        raise UnreadableResponse(f"Klaviyo's answer to {name} is no list of resources.")
    links = body.get("links")
    following = links.get("next") if isinstance(links, dict) else None
    if following is not None and not isinstance(following, str):
        raise UnreadableResponse(f"The next page of {name} is no address.")
    return data, following or None


def retry_after_seconds(retry_after: str | None) -> float | None:
    """Retry-After in seconds: Klaviyo gives whole seconds, a proxy may give a date."""
    if retry_after is None:
        return None
    if retry_after.isascii() and retry_after.strip().isdigit():
        return float(retry_after)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def next_page_query(link: str, address: str, path: str, name: str) -> dict[str, str]:
    """The query of the next page out of a page's link. Raises `UnreadableResponse` for a link to another place.

    `address` is the base address and `path` what was asked under it; the next page is asked for there and
    nowhere else. So a link that names Klaviyo's own address is as good as one that names ours.
    """
    try:
        parts = urlsplit(link)
        bases = [base for base in (address, KLAVIYO_URL) if not parts.netloc or _same_host(link, base)]
    except ValueError:
        raise UnreadableResponse(f"The next page of {name} is no address.") from None
    if not bases or parts.scheme not in ("", "http", "https"):
        raise UnreadableResponse(f"The next page of {name} is at another address; the key is not sent there.")
    if not any(_plain(parts.path) == _plain(urlsplit(base).path + path) for base in bases):
        raise UnreadableResponse(f"The next page of {name} is under another path; it is not asked for.")
    return parse_query(parts.query)


def _same_host(one: str, other: str) -> bool:
    """Whether two addresses are one host and port; this machine has several names."""
    first, second = urlsplit(one), urlsplit(other)
    same = first.hostname == second.hostname or (is_loopback(one) and is_loopback(other))
    return same and first.port == second.port


def _plain(path: str) -> str:
    return unquote(path).rstrip("/")
