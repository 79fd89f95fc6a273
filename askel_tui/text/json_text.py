"""JSON as text for terminals: nothing in it acts on one, and programs read the same value back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from askel_tui.text.sanitizing import sanitize, sanitize_lines


def encode_json(value: object, *, indent: int | None = None) -> str:
    """Encodes a value as JSON: characters that are not printable are JSON's own escapes, values of other types become
    text.

    Raises `ValueError` and `RecursionError`.
    """
    separators = (",", ": ") if indent else (",", ":")
    text = json.dumps(value, ensure_ascii=False, indent=indent, separators=separators, default=_json_fallback)
    if text.isascii() and "\x7f" not in text:
        return text
    return "".join(char if char < "\x7f" or char.isprintable() else json.dumps(char)[1:-1] for char in text)


def format_value(value: object) -> str:
    """Formats a value as one harmless line: nothing for None, text as it is, everything else as JSON."""
    if value is None:
        return ""
    return sanitize(value if isinstance(value, str) else _encode_any(value, None))


def format_json(value: object) -> str:
    """Formats a value as harmless, indented JSON of several lines, for reading."""
    return sanitize_lines(_encode_any(value, 2))


def _encode_any(value: object, indent: int | None) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, indent=indent, default=_json_fallback)
    except (ValueError, TypeError, RecursionError):
        return "(cannot be shown)"


def _json_fallback(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)
