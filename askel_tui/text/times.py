"""Times as text. All are given in milliseconds since 1970 and written in UTC, whatever the machine's zone is."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc_datetime(ms: int) -> datetime:
    """Converts a time to a `datetime` in UTC. Raises `OverflowError` outside of the years 1 to 9999."""
    return _EPOCH + timedelta(milliseconds=ms)


def utc_day(ms: int) -> date:
    """Returns the day of a time, in UTC."""
    return utc_datetime(ms).date()


def to_rfc3339(ms: int) -> str:
    """Formats a time as RFC 3339, always with milliseconds: `2026-01-31T09:00:00.123Z`."""
    return utc_datetime(ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def format_timestamp(ms: int, *, milliseconds: bool = False, zone: str = "Z") -> str:
    """Formats date and time for people: `2026-01-31 09:00:00Z`; `zone` is the sign of UTC at the end."""
    text = utc_datetime(ms).isoformat(sep=" ", timespec="milliseconds" if milliseconds else "seconds")
    return text.replace("+00:00", zone)


def format_time_of_day(ms: int) -> str:
    """Formats the time of day with seconds: `09:00:00`."""
    return f"{utc_datetime(ms):%H:%M:%S}"


MAX_CLOCK_DIFFERENCE_MS = 60_000
"""The difference from Klaviyo's clock up to which a machine's is right."""


def describe_clock(machine_ms: int, server_ms: int) -> str | None:
    """Says how far the machine's clock is from Klaviyo's; None where it is right."""
    if abs(machine_ms - server_ms) <= MAX_CLOCK_DIFFERENCE_MS:
        return None
    span = format_age(min(machine_ms, server_ms), max(machine_ms, server_ms))
    return f"this machine's clock is {span} {'ahead of' if machine_ms > server_ms else 'behind'} Klaviyo's"


def format_age(since_ms: int, now_ms: int) -> str:
    """Formats the time between two moments in one unit: `12 s`, `5 min`, `3 h`, `2 d`; never less than `0 s`."""
    seconds = max(0, now_ms - since_ms) // 1000
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
