"""A changed field before and after, as styled text. Pure; everything is sanitized."""

from __future__ import annotations

from typing import TYPE_CHECKING

from askel_tui.text.cells import truncate
from askel_tui.text.json_text import format_value
from askel_tui.text.sanitizing import sanitize

if TYPE_CHECKING:
    from askel_tui.core.planning.diff import Change

StyledText = tuple[str, str]
"""Sanitized text and its style."""


def change_lines(field: str, change: Change, width: int) -> list[StyledText]:
    """Composes a field before and after, for a pane of `width` cells."""
    if field.startswith("event "):
        after = dict(change["after"])
        parts: list[StyledText] = [(f"  {sanitize(field)}\n", "")]
        rows = [*((name, value) for name, value in after.items() if name != "properties")]
        rows += list(after.get("properties", {}).items())
        for name, value in rows:
            parts += [
                (f"    {truncate(name, 24)} ", "$foreground-muted"),
                (f"{_value_text(value, width)}\n", ""),
            ]
        return parts
    label = field.removeprefix("properties.")
    sign = ("  + ", "$success") if change["before"] in (None, False) else ("  ~ ", "$warning")
    if change["after"] in (None, False):
        sign = ("  - ", "$error")
    before = _value_text(change["before"], width // 2)
    return [
        sign,
        (f"{truncate(label, 28)}  ", "$foreground-muted"),
        (f"{before} → ", "$foreground-muted"),
        (f"{_value_text(change['after'], width)}\n", "bold"),
    ]


def _value_text(value: object, cells: int) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return truncate(format_value(value), max(12, cells))
