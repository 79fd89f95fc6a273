"""What schemathesis has to be told: how lines are written, that each request has a key of its own, how to sign."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from typing import Any

import schemathesis

from askel_tui.text.invisible import find_unseen

HOOK = {
    "scheme": "hex",
    "header": "X-Signature",
    "secret": "a-long-random-text-of-yours",
    "event": "order_paid",
}
"""A webhook whose signature this module makes."""

_KEY = "Idempotency-Key"
_GOOD_KEY = re.compile(r"[!-~]{1,255}")
_SIGNED = "/webhooks/signed"


@schemathesis.serializer("application/x-ndjson")
def as_lines(context: Any, value: Any) -> bytes:
    """A line for each item; anything else is one line."""
    items = value if isinstance(value, list) else [value]
    return b"".join(json.dumps(item).encode() + b"\n" for item in items)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """No key twice: that one is refused for another request is a rule that OpenAPI has no words for."""
    key = (case.headers or {}).get(_KEY)
    if isinstance(key, str) and _GOOD_KEY.fullmatch(key):
        case.headers[_KEY] = secrets.token_hex(8) + key[16:]
    if case.method == "POST" and case.formatted_path.endswith(_SIGNED):
        kwargs["auth"] = _sign


@schemathesis.hook
def filter_body(context: Any, body: Any) -> bool:
    """No identifier with a character that is not seen: what counts as one is a rule that OpenAPI has no words for."""
    profile = body.get("profile", body) if isinstance(body, dict) else None
    given = profile.get("external_id") if isinstance(profile, dict) else None
    return not (isinstance(given, str) and find_unseen(given))


def _sign(request: Any) -> Any:
    body = request.body or b""
    raw = body.encode() if isinstance(body, str) else body
    made = hmac.new(HOOK["secret"].encode(), raw, hashlib.sha256).hexdigest()
    request.headers[HOOK["header"]] = made
    return request
