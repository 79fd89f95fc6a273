"""Base addresses of Klaviyo's API: their checks, and whether one is this machine. Pure."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from askel_tui.core.exit_codes import AskelError, ExitCode

KLAVIYO_URL = "https://a.klaviyo.com"
"""The address of Klaviyo's API (docs/klaviyo.md 0.2)."""


class BadAddress(AskelError, ValueError):
    """A base address that cannot be used. The text says why, and never holds a login that the address holds."""

    exit_code = ExitCode.USAGE


def base_address(text: str) -> str:
    """Checks a base address and removes the slash at its end. Raises `BadAddress`."""
    try:
        parts = urlsplit(text.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        raise BadAddress("The address of Klaviyo is not a URL.") from None
    if parts.scheme not in ("http", "https") or not host:
        raise BadAddress("The address of Klaviyo must start with https:// (or http://) and name a host.")
    if parts.username is not None or parts.password is not None:
        raise BadAddress("The address of Klaviyo may not hold a login.")
    if parts.query or parts.fragment:
        raise BadAddress("The address of Klaviyo ends with its host or path: no ? and no #.")
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}{f':{port}' if port is not None else ''}{parts.path.rstrip('/')}"


def is_loopback(address: str) -> bool:
    """Checks whether the address is this machine."""
    host = urlsplit(address).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def same_host(one: str, other: str) -> bool:
    """Checks whether two addresses have one host and port. This machine has several names."""
    first, second = urlsplit(one), urlsplit(other)
    same = first.hostname == second.hostname or (is_loopback(one) and is_loopback(other))
    return same and first.port == second.port
