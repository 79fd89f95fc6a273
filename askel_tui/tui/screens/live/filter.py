"""The tail's filter: from the fields and words of the filter line to a query of the audit. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from askel_tui.store.journal.rows import AuditFilter
from askel_tui.store.journal.tables.audit.tail import ENTRY_STATUSES, TailQuery
from askel_tui.tui.text.filtering import Filter

TAIL_FILTER_FIELDS = (
    "connection", "workflow", "step", "profile", "result", "status", "kind", "record", "actor", "differing",
    "since", "until",
)  # fmt: skip
"""The fields that the filter line may name; `result` and `status` are the same."""

_AGE_PATTERN = re.compile(r"(\d{1,6})(s|m|h|d)")
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class InvalidFilterField(ValueError):
    """A field of the filter with a value that can't be read; the message says which values it takes."""


def build_query(wanted: Filter, now: int) -> TailQuery | None:
    """Builds the query of a filter; None for an empty one. `now` is milliseconds since 1970.

    Raises `InvalidFilterField`.
    """
    if not wanted:
        return None
    conditions: dict[str, Any] = {}
    for name, value in wanted.fields.items():
        if name in ("since", "until"):
            conditions[name] = _time(name, value, now)
        elif name == "differing":
            conditions[name] = _yes(value)
        elif name in ("result", "status"):
            conditions["status"] = _status(value)
        else:
            conditions[name] = value
    return TailQuery(AuditFilter(**conditions), wanted.words, wanted.excluded)


def _yes(value: str) -> bool:
    if value.casefold() != "yes":
        raise InvalidFilterField("differing is yes")
    return True


def _status(value: str) -> str:
    fitting = [status for status in ENTRY_STATUSES if status.startswith(value.casefold())]
    if len(fitting) != 1:
        raise InvalidFilterField(f"result is one of {', '.join(ENTRY_STATUSES)}")
    return fitting[0]


def _time(name: str, value: str, now: int) -> int:
    age = _AGE_PATTERN.fullmatch(value)
    if age:
        return now - int(age[1]) * _UNIT_MS[age[2]]
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        raise InvalidFilterField(f"{name} is 15m, 2h, 3d or a time such as 2026-11-23T09:00") from None
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)
