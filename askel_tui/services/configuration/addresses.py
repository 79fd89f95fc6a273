"""Addresses for notices in files: their secrets stand there by name, `${NAME}`."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping

_NAMED = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")

ReadSecret = Callable[[str], str | None]
"""A function that gives the secret of a name; None where there is none."""


def address_name(address: str) -> str:
    """Returns the name under which an address is exported: it tells addresses apart, and nothing of them."""
    return f"ASKEL_ADDRESS_{hashlib.sha256(address.encode()).hexdigest()[:8].upper()}"


def fill_address(written: str, read: ReadSecret) -> tuple[str, list[str]]:
    """Returns the address that is meant, and the names that nobody knows."""
    unknown = [name for name in _NAMED.findall(written) if read(name) is None]
    return _NAMED.sub(lambda found: read(found[1]) or found[0], written), unknown


def secrets_of(addresses: Iterable[str], environment: Mapping[str, str] = os.environ) -> ReadSecret:
    """Makes a function that knows the environment's variables, and the addresses of a home by their exported names."""
    known = {address_name(each): each for each in addresses}
    return lambda name: environment.get(name) or known.get(name)
