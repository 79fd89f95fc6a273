"""What the filter line means for the tail: fields, times, words. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from askel_tui.store.journal.rows import AuditFilter
from askel_tui.store.journal.tables.audit.tail import ENTRY_STATUSES, TailQuery
from askel_tui.tui.text.filtering import Filter

TAIL_FILTER_FIELDS = (
    "connection", "workflow", "step", "profile", "result", "status", "kind", "record", "since", "until",
)  # fmt: skip

_AGE_PATTERN = re.compile(r"(\d{1,6})(s|m|h|d)")
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class InvalidFilterField(ValueError):
    """A field whose value can't be understood; the message says what it can be."""


def build_match(wanted: Filter, now: int) -> TailQuery | None:
    """What to look for; None where everything fits. `now` is milliseconds since 1970. Raises `InvalidFilterField`."""
    if not wanted:
        return None
    asked: dict[str, Any] = {}
    for name, value in wanted.fields.items():
        if name in ("since", "until"):
            asked[name] = _time(name, value, now)
        elif name in ("result", "status"):
            asked["status"] = _status(value)
        else:
            asked[name] = value
    return TailQuery(AuditFilter(**asked), wanted.words, wanted.excluded)


def _status(value: str) -> str:
    fitting = [status for status in ENTRY_STATUSES if status.startswith(value.casefold())]
    if len(fitting) != 1:
        raise InvalidFilterField(f"result is one of {', '.join(ENTRY_STATUSES)}")
    return fitting[0]


def _time(name: str, value: str, now: int) -> int:
    ago = _AGE_PATTERN.fullmatch(value)
    if ago:
        return now - int(ago[1]) * _UNIT_MS[ago[2]]
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        raise InvalidFilterField(f"{name} is 15m, 2h, 3d or a time such as 2026-11-23T09:00") from None
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)
