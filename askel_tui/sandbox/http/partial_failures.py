"""Partial failures: an invalid phone number beside another identifier is left out of a write (docs/klaviyo.md 3.3)."""

from __future__ import annotations

from typing import Any


def drop_phones(body: Any, beginnings: tuple[str, ...]) -> tuple[Any, bool]:
    """Returns the body without the phone numbers that begin so and stand beside an e-mail or an external id, and
    whether there were any. Only profiles are searched: what a customer wrote into properties is left as it is."""
    if isinstance(body, list):
        rows = [drop_phones(each, beginnings) for each in body]
        return [row for row, _ in rows], any(dropped for _, dropped in rows)
    if not isinstance(body, dict):
        return body, False
    kept, found = {}, False
    for name, value in body.items():
        if name == "properties":
            kept[name] = value
            continue
        kept[name], dropped = drop_phones(value, beginnings)
        found = found or dropped
    number = kept.get("phone_number")
    if (
        isinstance(number, str)
        and number.startswith(beginnings)
        and (kept.get("email") or kept.get("external_id"))
    ):
        del kept["phone_number"]
        # A channel that goes by the number goes with it.
        consents = kept.get("subscriptions")
        if isinstance(consents, dict):
            kept["subscriptions"] = {name: each for name, each in consents.items() if name == "email"}
        found = True
    return kept, found
