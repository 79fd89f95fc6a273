"""Shorter forms of long texts and lists."""

from __future__ import annotations

from collections.abc import Sequence

ELLIPSIS = "…"


def shorten(text: str, max_chars: int) -> str:
    """Cuts a text with an ellipsis where it has more than `max_chars` characters."""
    return text if len(text) <= max_chars else text[: max(0, max_chars - 1)] + ELLIPSIS


def join_first(words: Sequence[str], count: int = 5) -> str:
    """Joins the first words with commas, and adds `…` where there are more."""
    return ", ".join([*words[:count], *([ELLIPSIS] if len(words) > count else [])])
