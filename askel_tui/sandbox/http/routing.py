"""The endpoint that a request means, and the revision that serves it (docs/klaviyo.md 0.3)."""

from __future__ import annotations

import re
from datetime import date
from functools import cache
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from askel_tui.contract.endpoints import published_endpoints
from askel_tui.contract.revisions import (
    REVISIONS,
    RevisionStatus,
    resolved_revision,
    serving_revision,
    status,
)
from askel_tui.sandbox.jsonapi import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

_REVISION_PATTERN: Final = re.compile(r"(\d{4}-\d\d-\d\d)(\.pre)?\Z", re.ASCII)


def find_endpoint(method: str, path: str) -> tuple[str, str]:
    """Finds the endpoint of a path, and the id in it, with or without a slash at the end. Raises the 404 and the
    405."""
    segments = [unquote(part) for part in path.strip("/").split("/")]
    ident = segments[2] if len(segments) > 2 else ""
    methods = _routes().get((segments[1] if len(segments) > 1 else "", *_path_tail(segments)))
    if segments[0] != "api" or methods is None:
        raise errors.simple_refusal(404, "not_found", "Not found.", "The requested path does not exist.")
    if method not in methods:
        detail = f'Method "{method}" not allowed.'
        raise errors.simple_refusal(405, "method_not_allowed", "Method not allowed.", detail)
    return methods[method], ident


def _path_tail(segments: list[str]) -> tuple[str, ...]:
    return ("*", *segments[3:]) if len(segments) > 2 else ()


@cache
def _routes() -> Mapping[tuple[str, ...], dict[str, str]]:
    table: dict[tuple[str, ...], dict[str, str]] = {}
    for revision in REVISIONS:
        for name, endpoint in published_endpoints(revision).items():
            segments = endpoint.path.strip("/").split("/")
            table.setdefault((segments[1], *_path_tail(segments)), {})[endpoint.method] = name
    return table


def served_revision(named: str | None, retired: str, today: date, *, opt_out: bool = False) -> str:
    """Returns the released revision whose rules serve a call on a day. `retired` is the value of that switch.

    Raises the 400 and the 410.
    """
    if not named:
        raise errors.invalid("A revision header is required.", "/data/")
    match = _REVISION_PATTERN.match(named)
    try:
        day = date.fromisoformat(match[1] if match else "")
    except ValueError:
        raise errors.invalid(f"'{named}' is not a valid revision.", "/data/") from None
    if day > today:
        raise errors.invalid("Unable to specify a future revision date.", "/data/")
    meant = resolved_revision(day.isoformat())
    if status(meant, today) is not RevisionStatus.RETIRED or retired == "serve":
        return meant
    if opt_out or retired == "gone":
        detail = f"Revision {named} has been retired."
        raise errors.simple_refusal(410, "gone", "Gone.", detail)
    return serving_revision(meant, today)
