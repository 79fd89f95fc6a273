"""Figures as words and signs: durations, bars, sparklines. Pure; nothing is said by colour."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

_BAR_EIGHTHS = " ▏▎▍▌▋▊▉█"
_SPARK_LEVELS = "▁▂▃▄▅▆▇█"


def time_ago(since_ms: int, now_ms: int) -> str:
    """How long ago, in one unit: `12 s`, `5 min`, `3 h`, `2 d`."""
    seconds = max(0, now_ms - since_ms) // 1000
    for size, word in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {word}"
    return f"{seconds} s"


def bar(part: float, whole: float, cells: int) -> str:
    """A bar of so many cells, filled to the part; with anything at all at least a sliver."""
    share = 0.0 if whole <= 0 else min(1.0, max(0.0, part / whole))
    eighths = round(share * cells * 8)
    if part > 0 and eighths == 0:
        eighths = 1
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_BAR_EIGHTHS[rest] if rest else "")).ljust(cells, "·")


def sparkline(values: Sequence[float], cells: int) -> str:
    """The newest values as bars of eight heights, the highest one full."""
    shown = list(values)[-cells:]
    highest = max(shown, default=0)
    line = "".join(
        _SPARK_LEVELS[min(7, int(value / highest * 7.999))] if highest and value else "▁" for value in shown
    )
    return line.rjust(cells)


def format_time_of_day(ms: int) -> str:
    """The time of day in UTC with seconds."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%H:%M:%S")


def format_timestamp(ms: int) -> str:
    """Date and time in UTC with milliseconds."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"


def pluralize(number: int, thing: str, things: str | None = None) -> str:
    """`1 record`, `1,200 records`."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def abbreviate_count(number: int) -> str:
    """A count in at most six cells: `98,765`, then `123 k`, `1.2 M`, `12 M`, cut and never rounded up."""
    if number < 100_000:
        return f"{number:,}"
    for size, word in ((1_000_000_000, "G"), (1_000_000, "M")):
        if number >= size:
            tenths = number * 10 // size
            return f"{tenths / 10:.1f} {word}" if tenths < 100 else f"{tenths // 10:,} {word}"
    return f"{number // 1_000} k"
