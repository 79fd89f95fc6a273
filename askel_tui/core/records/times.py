"""Reads the times that files have, which are often no RFC 3339. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import cache
from typing import Any

from askel_tui.core.numbers import is_number, scalar_text
from askel_tui.core.records.record import RecordRefused, normalize_time
from askel_tui.text.quoting import quote

_TIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ]+(\d{2}:\d{2})(:\d{2})?(\.\d+)?\s*(?:([Zz]|UTC|GMT)|([+-]\d{2}):?(\d{2}))?",
    re.ASCII,
)
_OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})", re.ASCII)
_EPOCH = re.compile(r"(\d{9,10})(\.\d+)?|(\d{12,13})", re.ASCII)


def read_time(value: Any, time_format: str | None = None, zone: str | None = None) -> str:
    """Reads a time and returns it as RFC 3339.

    It may have a blank for the T, an offset without a colon, `UTC`, or be seconds or milliseconds since 1970. One
    without an offset is in `zone`. `time_format` is a format of `strptime`. Raises `RecordRefused`.
    """
    text = scalar_text(value).strip() if isinstance(value, str) or is_number(value) else ""
    if time_format is not None:
        try:
            return _in_zone(datetime.strptime(text, time_format), zone, text)
        except ValueError:
            raise RecordRefused(f"`time` is not of the form {time_format!r}: {quote(text)}") from None
    epoch = _EPOCH.fullmatch(text)
    if epoch is not None:
        since = timedelta(milliseconds=int(text)) if epoch[3] else timedelta(seconds=float(text))
        return (datetime(1970, 1, 1, tzinfo=UTC) + since).isoformat().replace("+00:00", "Z")
    match = _TIME.fullmatch(text)
    if match is None:
        return normalize_time(value)
    day, minute, second, fraction, utc, hours, minutes = match.groups()
    plain = f"{day}T{minute}{second or ':00'}{fraction or ''}"
    if utc or hours:
        return normalize_time(f"{plain}{'Z' if utc else f'{hours}:{minutes}'}")
    # Its digits are checked like those of any time.
    normalize_time(f"{plain}Z")
    return _in_zone(datetime.fromisoformat(plain), zone, text)


@cache
def find_zone(name: str) -> tzinfo:
    """Finds a time zone by its name or offset. Raises `LookupError`."""
    offset = _OFFSET.fullmatch(name)
    if offset is not None:
        minutes = int(offset[2]) * 60 + int(offset[3])
        if minutes < 24 * 60:
            return timezone(timedelta(minutes=-minutes if offset[1] == "-" else minutes))
    if name.upper() in ("UTC", "Z"):
        return UTC
    from zoneinfo import ZoneInfo  # here: few files need one

    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        raise LookupError(name) from None


def _in_zone(when: datetime, zone: str | None, text: str) -> str:
    if when.tzinfo is None:
        if zone is None:
            raise RecordRefused(
                f"`time` names no time zone: {quote(text)} (--zone UTC, or --zone Europe/London, says which)"
            )
        when = when.replace(tzinfo=find_zone(zone))
    try:
        return normalize_time(when.isoformat().replace("+00:00", "Z"))
    except OverflowError:
        raise RecordRefused(f"`time` is outside the calendar: {quote(text)}") from None
