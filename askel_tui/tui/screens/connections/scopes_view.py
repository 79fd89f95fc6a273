"""The scopes of a key as a checklist: those that are present, those that are missing, and the features that need
them.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from textual.content import Content

from askel_tui.text.sanitizing import sanitize

SCOPE_STATE_SIGNS = {
    "present": ("✓", "present", "$success"),
    "missing": ("✗", "missing", "$error"),
    "not verified": ("?", "not verified", "$warning"),
}


@dataclass(frozen=True, slots=True)
class ScopeRow:
    """A scope: its state, whether every connection needs it, and the features that use it."""

    name: str
    state: str
    required: bool
    features: tuple[str, ...]


def scope_rows(found: Mapping[str, str], revision: str) -> list[ScopeRow]:
    """Makes a row per scope that was checked, the required ones first."""
    from askel_tui.core.workflows.scopes import scopes_of
    from askel_tui.klaviyo.reads.key_check import CALLS_OF_FEATURES, REQUIRED_SCOPES

    features: dict[str, list[str]] = {}
    for feature, calls in CALLS_OF_FEATURES.items():
        for scope in scopes_of(calls, revision):
            features.setdefault(scope, []).append(feature.partition(" (")[0].removesuffix(" import"))
    rows = [
        ScopeRow(name, state, name in REQUIRED_SCOPES, tuple(features.get(name, ())))
        for name, state in found.items()
    ]
    return sorted(rows, key=lambda row: (not row.required, row.name))


def scope_checklist(
    found: Mapping[str, str], revision: str, before: Mapping[str, str] | None = None
) -> Content:
    """Makes a line per scope; with `before`, the scopes of the key that is to be replaced, also its state under that
    key."""
    rows = scope_rows(found, revision)
    if not rows:
        return Content.styled("Not checked yet.", "$foreground-muted")
    parts: list[Any] = []
    if before is not None:
        parts.append((f"  {'scope':<20}{'new key':<13}{'old key':<13}\n", "$foreground-muted"))
    for row in rows:
        sign, word, style = SCOPE_STATE_SIGNS.get(row.state, ("?", row.state, "$warning"))
        parts += [(f"{sign} ", style), f"{sanitize(row.name):<20}", (f"{sanitize(word):<13}", style)]
        if before is not None:
            parts.append(f"{sanitize(before.get(row.name, 'not checked')):<13}\n")
            continue
        needs = ("needed · " if row.required else "") + ", ".join(row.features)
        parts.append((f"{needs}\n", "$foreground-muted"))
    return Content.assemble(*parts).rstrip()


def summarize_scopes(found: Mapping[str, str], lacking: int) -> tuple[str, str]:
    """Summarizes in a sentence what the key can do, and gives its style; `lacking` counts the features that can't
    work."""
    from askel_tui.klaviyo.reads.key_check import REQUIRED_SCOPES

    missing = [scope for scope in REQUIRED_SCOPES if found.get(scope) == "missing"]
    if missing:
        return f"✗ no connection without {', '.join(missing)}: make a new key in Klaviyo", "bold $error"
    if lacking:
        return f"! {lacking} of the things Askel does can't work with this key, the rest can", "$warning"
    unverified = sum(state == "not verified" for state in found.values())
    if unverified:
        return f"? nothing is missing as far as can be seen; {unverified} could not be verified", "$warning"
    return "✓ the key can do all that Askel does", "$success"
