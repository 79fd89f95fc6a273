"""Numbers as words: counts with their noun, counts in few cells, sizes."""

from __future__ import annotations


def pluralize(number: int, noun: str, plural: str | None = None) -> str:
    """Formats a count with its noun: `1 record`, `1,200 records`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def abbreviate_count(number: int) -> str:
    """Formats a count in at most six cells: `98,765`, then `123 k`, `1.2 M`, `12 M`, cut and never rounded up."""
    if number < 100_000:
        return f"{number:,}"
    for size, unit in ((1_000_000_000, "G"), (1_000_000, "M")):
        if number >= size:
            tenths = number * 10 // size
            return f"{tenths / 10:.1f} {unit}" if tenths < 100 else f"{tenths // 10:,} {unit}"
    return f"{number // 1_000} k"
