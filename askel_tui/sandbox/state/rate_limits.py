"""Fixed windows per account and endpoint, and their headers (docs/klaviyo.md 5)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from zlib import crc32

from askel_tui.sandbox.jsonapi.errors import throttled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from askel_tui.contract.endpoints import Endpoint, Window


class RateLimits:
    """The counts of every window. A refused call spends nothing."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, int], tuple[int, int]] = {}

    def acquire(
        self, account: str, endpoint: Endpoint, parameters: Mapping[str, str], now: float, *, enforced: bool
    ) -> dict[str, str]:
        """Counts a call in the endpoint's windows and in those of its parameters. Returns the headers.

        Raises the 429 when one of them is full.
        """
        own = [(account, endpoint.name, endpoint.windows)]
        shown = endpoint.windows
        for extra in endpoint.extras:
            if extra.value in parameters.get(extra.parameter, "").split(","):
                own.append((account, f"{extra.parameter}={extra.value}", extra.windows))
                if extra.parameter.startswith("additional-fields"):
                    shown = extra.windows  # as recorded for profile_count; an include leaves the header alone
        if not enforced:
            return _headers(shown, shown[0].limit)
        spans = [
            (key, window)
            for account_id, name, windows in own
            for window in windows
            for key in ((account_id, name, window.seconds),)
        ]
        waits = [self._seconds_until_free(key, window, now) for key, window in spans]
        if any(waits):
            raise throttled(max(1, math.ceil(min(wait for wait in waits if wait))))
        remaining = shown[0].limit
        for key, window in spans:
            index = _index(key, now)
            held, count = self._counts.get(key, (index, 0))
            count = count + 1 if held == index else 1
            self._counts[key] = (index, count)
            if window is shown[0]:
                remaining = window.limit - count
        return _headers(shown, remaining)

    def clear(self) -> None:
        """Empties all windows."""
        self._counts.clear()

    def _seconds_until_free(self, key: tuple[str, str, int], window: Window, now: float) -> float:
        """Returns the seconds until a full window opens; 0 when it has room."""
        index = _index(key, now)
        held, count = self._counts.get(key, (index, 0))
        if held != index or count < window.limit:
            return 0.0
        return (index + 1) * window.seconds + _phase(key) - now


def _index(key: tuple[str, str, int], now: float) -> int:
    return math.floor((now - _phase(key)) / key[2])


def _phase(key: tuple[str, str, int]) -> float:
    """Derives the offset of a window's start: fixed, but nothing that a client could guess from the clock."""
    return crc32(f"{key[0]}{key[1]}".encode()) % 1000 / 1000 * key[2]


def _headers(windows: Sequence[Window], remaining: int) -> dict[str, str]:
    parts = [str(windows[0].limit), *(f"{window.limit};w={window.seconds}" for window in windows)]
    return {
        "RateLimit-Limit": ", ".join(parts),
        "RateLimit-Remaining": str(max(remaining, 0)),
        "RateLimit-Reset": "0",
    }
