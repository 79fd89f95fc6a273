"""Addresses that notices go to, such as `slack://…`. Pure; an address may hold a token and is never shown."""

from __future__ import annotations

from collections.abc import Iterable

from askel_tui.text.sanitizing import sanitize

MAX_KIND_CHARS = 20


def notice_channel_kinds(addresses: Iterable[str]) -> str:
    """Lists the kinds of the addresses: `slack, mailto`."""
    return ", ".join(sanitize(address.partition("://")[0], MAX_KIND_CHARS) for address in addresses)
