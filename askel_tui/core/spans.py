"""Spans of time as people write them: a number and s, m, h or d. Pure."""

from __future__ import annotations

import re

_SPAN = re.compile(r"([1-9][0-9]{0,8})([smhd])")
_SECONDS_PER_UNIT = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def parse_span(text: str) -> int | None:
    """Parses a span into seconds; None where it is none."""
    match = _SPAN.fullmatch(text.strip())
    return int(match[1]) * _SECONDS_PER_UNIT[match[2]] if match else None


def format_span(seconds: int) -> str:
    """Formats seconds as `parse_span` reads them."""
    unit = next((each for each in "dhm" if seconds % _SECONDS_PER_UNIT[each] == 0), "s")
    return f"{seconds // _SECONDS_PER_UNIT[unit]}{unit}"
