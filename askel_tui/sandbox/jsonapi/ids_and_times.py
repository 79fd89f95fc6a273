"""Ids and times in Klaviyo's forms (docs/klaviyo.md 0.2)."""

from __future__ import annotations

import base64
import hashlib
import random
import re
import time
import uuid
from datetime import UTC, datetime
from typing import Final

_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ALNUM: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_EVENT_ID: Final = re.compile(r"[A-Za-z0-9]{11}\Z")
_RFC3339: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:?\d\d)?\Z", re.ASCII
)


chance: random.Random = random.SystemRandom()
"""The source of ids. A seeded one in its place makes the same ids every time."""


class UlidGenerator:
    """Makes profile ids: 26 characters, each greater than the one before."""

    def __init__(self) -> None:
        self._last = 0

    def next(self, now: float) -> str:
        """Makes a new id; `now` is in seconds since 1970."""
        fresh = (int(now * 1000) << 80) | chance.getrandbits(79)
        self._last = max(fresh, self._last + 1)
        return encode_ulid(self._last)

    def advance_past(self, ulid: str) -> None:
        """Keeps later ids above `ulid`, which was loaded from a file."""
        value = 0
        for letter in ulid:
            value = value * 32 + max(_CROCKFORD.find(letter), 0)
        self._last = max(self._last, value)


def encode_ulid(value: int) -> str:
    """Encodes 128 bits as 26 Crockford letters."""
    return "".join(_CROCKFORD[(value >> shift) & 31] for shift in range(125, -1, -5))


def short_id() -> str:
    """Makes an id of a list, segment, metric, flow or template: 6 alphanumerics, case-sensitive."""
    return "".join(chance.choice(_ALNUM) for _ in range(6))


def event_id(number: int) -> str:
    """Makes an event's id: 11 alphanumerics, one for each number, in no visible order."""
    value = (number * 0x9E3779B97F4A7C15 + 0x1234567) % 62**10
    letters = "4"
    for _ in range(10):
        value, rest = divmod(value, 62)
        letters += _ALNUM[rest]
    return letters


def is_event_id(text: str) -> bool:
    """Checks whether the text has an event id's form; another form is a 400, an unknown id of this form a 404."""
    return _EVENT_ID.match(text) is not None


def job_id(account: str, now: float) -> str:
    """Makes a bulk import job's id: URL-safe base64 of account, queue, time, without padding."""
    plain = f"{account}_maintenance.{short_id()}.{int(now)}.{short_id()}"
    return base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")


def property_id(metric: str, name: str) -> str:
    """Makes a metric property's id: base64 of `<metric id>.<property>`."""
    return base64.urlsafe_b64encode(f"{metric}.{name}".encode()).decode().rstrip("=")


def parse_property_id(ident: str) -> tuple[str, str] | None:
    """Parses a metric property's id into the metric's id and the property; None where it is no such id."""
    try:
        text = base64.urlsafe_b64decode(ident + "=" * (-len(ident) % 4)).decode()
    except ValueError:
        return None
    metric, dot, name = text.partition(".")
    return (metric, name) if dot else None


def error_id() -> str:
    """Makes the id of one error object."""
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))


def fingerprint(key: str) -> str:
    """Returns the fingerprint of an API key, which may be shown."""
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()[:12]


def format_seconds(at: float) -> str:
    """Formats a time as RFC 3339 with an offset, whole seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(at))


def format_microseconds(at: float) -> str:
    """Formats a time as RFC 3339 with an offset and microseconds, as fresh writes answer."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")


def parse_time(text: str) -> float | None:
    """Parses an RFC 3339 text into seconds since 1970; without an offset it is UTC. None when it is no time."""
    if not _RFC3339.match(text):
        return None
    try:
        parsed = datetime.fromisoformat(text.replace("z", "Z"))
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
