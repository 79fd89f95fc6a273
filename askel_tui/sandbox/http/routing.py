"""The endpoint that a request means, and the revision that serves it (docs/klaviyo.md 0.3)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from askel_tui.contract.endpoints import RETIRED, REVISIONS, published_endpoints
from askel_tui.sandbox.jsonapi import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

_REVISION_PATTERN: Final = re.compile(r"(\d{4}-\d\d-\d\d)(\.pre)?\Z", re.ASCII)
_OLDEST_LIVE_REVISION: Final = next(revision for revision in REVISIONS if revision not in RETIRED)


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


def served_revision(named: str | None, retired: str, *, opt_out: bool = False) -> str:
    """Returns the revision whose rules serve a call. `retired` is the value of that switch.

    Raises the 400 and the 410.
    """
    if not named:
        raise errors.invalid("A revision header is required.", "/data/")
    if named in RETIRED and retired == "fall_forward" and not opt_out:
        return RETIRED[named]
    match = _REVISION_PATTERN.match(named)
    if not match:
        raise errors.invalid(f"'{named}' is not a valid revision.", "/data/")
    date = match[1]
    if date > datetime.now(UTC).date().isoformat():
        raise errors.invalid("Unable to specify a future revision date.", "/data/")
    if date < _OLDEST_LIVE_REVISION and retired != "serve":
        if opt_out or retired == "gone":
            detail = f"Revision {named} has been retired."
            raise errors.simple_refusal(410, "gone", "Gone.", detail)
        return _OLDEST_LIVE_REVISION
    return max((revision for revision in REVISIONS if revision <= date), default=REVISIONS[0])
