"""Times on the command line: RFC 3339 in and out, always UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from typing import Any

import click

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class TimeParam(click.ParamType[datetime]):
    """A date or an RFC 3339 time. A date is its first moment in UTC, or its last one with `end`."""

    name = "time"

    def __init__(self, *, end: bool = False) -> None:
        self.end = end

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Converts text to a moment in UTC."""
        if isinstance(value, datetime):
            return value
        try:
            return self._read(str(value).strip())
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is neither a date (2026-01-31) nor a time with its offset (2026-01-31T09:00:00Z)",
                param,
                ctx,
            )

    def _read(self, text: str) -> datetime:
        found = datetime.fromisoformat(text)
        if _DATE.fullmatch(text):
            at = time(23, 59, 59, 999_000) if self.end else time()
            return datetime.combine(found, at, UTC)
        if found.tzinfo is None or "-" not in text[:10]:
            raise ValueError("no offset")
        return found.astimezone(UTC)


def rfc3339(moment: datetime) -> str:
    """Formats a moment as RFC 3339 in UTC, with milliseconds where there are any."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace(".000", "").replace("+00:00", "Z")


def epoch_ms(moment: datetime) -> int:
    """Converts a moment to milliseconds since 1970."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)
