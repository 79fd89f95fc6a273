"""The backend: the one place where screens meet an instance.

`Backend.call` runs a function of `queries` (what screens read) or `services` (what they do) in the backend's thread,
imports included, so that a screen just awaits it. To add what a screen needs: a function whose first parameter is the
instance, marked with `@reads` or `@writes`. Writes are refused in a read-only console, and what they would write with
is guarded as well (`read_only.py`). Nothing here imports Textual.
"""

from __future__ import annotations

from askel_tui.tui.backend.backend import Backend, Environment
from askel_tui.tui.backend.read_only import ReadOnly

__all__ = ["Backend", "Environment", "ReadOnly", "describe_error"]


def describe_error(error: BaseException) -> str:
    """Describes an error as a sentence for people, without control characters."""
    from askel_tui.text.sanitizing import sanitize

    text = str(error).strip() or type(error).__name__
    text = text if text.endswith((".", "!", "?", "…")) else text + "."
    return sanitize(text[:1].upper() + text[1:])
