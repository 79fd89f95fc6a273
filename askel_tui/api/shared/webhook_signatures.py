"""Verification of webhook signatures, for four schemes. Pure."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Iterable, Mapping

from askel_tui.api.shared.webhook_settings import WebhookSettings

_TIMESTAMP_PATTERN = re.compile(r"[0-9]{1,12}", re.ASCII)
_STANDARD_PREFIX = "whsec_"


class SignatureRefused(ValueError):
    """The signature is missing, wrong or too old; the message says which, and shows nothing of the secret."""


def check_signature(
    settings: WebhookSettings, secret: str, headers: Mapping[str, str], body: bytes, now_s: float
) -> None:
    """Checks that the headers hold a signature of this body, in constant time. Raises `SignatureRefused`."""
    if settings.scheme == "standard":
        _check_standard(settings, secret, headers, body, now_s)
        return
    given = headers.get(settings.header.lower())
    if given is None:
        raise SignatureRefused(f"no {settings.header} header")
    if settings.scheme == "stripe":
        _check_stripe(settings, secret, given, body, now_s)
        return
    given = given.strip()
    if not given.startswith(settings.prefix):
        raise SignatureRefused(f"{settings.header} does not begin with {settings.prefix}")
    made = hmac.new(secret.encode(), body, settings.algorithm)
    expected = made.hexdigest() if settings.scheme == "hex" else base64.b64encode(made.digest()).decode()
    _require_match([given.removeprefix(settings.prefix)], expected, fold=settings.scheme == "hex")


def _check_stripe(settings: WebhookSettings, secret: str, given: str, body: bytes, now_s: float) -> None:
    parts = [part.strip().partition("=") for part in given.split(",")]
    at = next((value for name, _, value in parts if name == "t"), "")
    _check_age(at, settings, now_s)
    expected = hmac.new(secret.encode(), at.encode() + b"." + body, settings.algorithm).hexdigest()
    _require_match((value for name, _, value in parts if name == "v1"), expected, fold=True)


def _check_standard(
    settings: WebhookSettings, secret: str, headers: Mapping[str, str], body: bytes, now_s: float
) -> None:
    message, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not message:
        raise SignatureRefused("no webhook-id header")
    _check_age(at, settings, now_s)
    try:
        key = base64.b64decode(secret.removeprefix(_STANDARD_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = secret.encode()
    signed = f"{message}.{at}.".encode("utf-8", "replace") + body
    expected = base64.b64encode(hmac.new(key, signed, "sha256").digest()).decode()
    each = headers.get("webhook-signature", "").split()
    _require_match((one.removeprefix("v1,") for one in each if one.startswith("v1,")), expected)


def _check_age(at: str, settings: WebhookSettings, now_s: float) -> None:
    if not _TIMESTAMP_PATTERN.fullmatch(at):
        raise SignatureRefused("the signature has no timestamp")
    if abs(now_s - int(at)) > settings.tolerance_s:
        raise SignatureRefused(f"the signature is more than {settings.tolerance_s} s away from now")


def _require_match(given: Iterable[str], expected: str, *, fold: bool = False) -> None:
    prepare: Callable[[str], str] = str.lower if fold else str
    # All are compared, so that the time does not depend on which one matches.
    matches = [
        hmac.compare_digest(prepare(each).encode("utf-8", "replace"), expected.encode()) for each in given
    ]
    if not any(matches):
        raise SignatureRefused("the signature is not the one that this body and secret give")
