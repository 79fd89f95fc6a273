"""Charts of one line: bars and sparklines. Pure; nothing is said by colour."""

from __future__ import annotations

from collections.abc import Sequence

_BAR_EIGHTHS = " ▏▎▍▌▋▊▉█"
_SPARK_LEVELS = "▁▂▃▄▅▆▇█"


def bar(part: float, whole: float, cells: int) -> str:
    """Draws a bar of `cells` cells, filled to the part; with anything at all at least a sliver."""
    share = 0.0 if whole <= 0 else min(1.0, max(0.0, part / whole))
    eighths = round(share * cells * 8)
    if part > 0 and eighths == 0:
        eighths = 1
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_BAR_EIGHTHS[rest] if rest else "")).ljust(cells, "·")


def sparkline(values: Sequence[float], cells: int) -> str:
    """Draws the newest values as bars of eight heights, the highest one full."""
    shown = list(values)[-cells:]
    highest = max(shown, default=0)
    line = "".join(
        _SPARK_LEVELS[min(7, int(value / highest * 7.999))] if highest and value else "▁" for value in shown
    )
    return line.rjust(cells)
