"""Reading of responses: the JSON of a body, a page and the query of the next one, the seconds to wait."""

from __future__ import annotations

import email.utils
import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from askel_tui.klaviyo.addresses import KLAVIYO_URL, same_host
from askel_tui.klaviyo.errors import UnreadableResponse
from askel_tui.klaviyo.filters import parse_query

if TYPE_CHECKING:
    from collections.abc import Mapping


def parse_body(body: bytes, name: str, status: int) -> Any:
    """Parses a body as JSON; None for an empty one. Raises `UnreadableResponse`."""
    if not body:
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        pass
    raise UnreadableResponse(f"Klaviyo's answer to {name} ({status}) is not JSON.", status=status, body=body)


def resource_of(body: Any) -> dict[str, Any]:
    """Returns the resource of a body; an empty dict where it has none."""
    found = body.get("data") if isinstance(body, dict) else None
    return found if isinstance(found, dict) else {}


def attributes_of(of: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the attributes of a resource; an empty dict where they are no object."""
    found = of.get("attributes")
    return found if isinstance(found, dict) else {}


def parse_page(body: Any, name: str) -> tuple[list[dict[str, Any]], str | None]:
    """Parses the resources of a page, and the link to the next page. Raises `UnreadableResponse`."""
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, list) or not all(isinstance(entry, dict) for entry in data):
        raise UnreadableResponse(f"Klaviyo's answer to {name} is no list of resources.")
    links = body.get("links")
    following = links.get("next") if isinstance(links, dict) else None
    if following is not None and not isinstance(following, str):
        raise UnreadableResponse(f"The next page of {name} is no address.")
    return data, following or None


def retry_after_seconds(retry_after: str | None) -> float | None:
    """Parses Retry-After into seconds: Klaviyo gives whole seconds, a proxy may give a date."""
    if retry_after is None:
        return None
    if retry_after.isascii() and retry_after.strip().isdigit():
        return float(retry_after)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def date_ms(date: str) -> int | None:
    """Parses the header Date, in whole seconds, into the end of its second in milliseconds since 1970."""
    try:
        return int(email.utils.parsedate_to_datetime(date).timestamp()) * 1000 + 999
    except (ValueError, OverflowError):
        return None


def next_page_query(link: str, address: str, path: str, name: str) -> dict[str, str]:
    """Reads the query of the next page from a page's link.

    Raises `UnreadableResponse` for a link that leads elsewhere. `address` is the base address and `path` what was
    requested under it. The next page is requested there and nowhere else, so a link that names Klaviyo's own address
    is as good as one that names ours.
    """
    try:
        parts = urlsplit(link)
        bases = [base for base in (address, KLAVIYO_URL) if not parts.netloc or same_host(link, base)]
    except ValueError:
        raise UnreadableResponse(f"The next page of {name} is no address.") from None
    if not bases or parts.scheme not in ("", "http", "https"):
        raise UnreadableResponse(f"The next page of {name} is at another address; the key is not sent there.")
    if not any(_plain(parts.path) == _plain(urlsplit(base).path + path) for base in bases):
        raise UnreadableResponse(f"The next page of {name} is under another path; it is not asked for.")
    return parse_query(parts.query)


def _plain(path: str) -> str:
    return unquote(path).rstrip("/")
