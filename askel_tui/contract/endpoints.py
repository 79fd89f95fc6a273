"""Klaviyo's endpoints per revision: paths, scopes, limits, pages, filters, from the package's data file.

An endpoint is named by its `operationId` in the newest revision, whichever revision is called. Pure.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from askel_tui.contract.revisions import NEWEST, REVISIONS, binding_revisions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "NEWEST",
    "REVISIONS",
    "SELECTABLE",
    "Endpoint",
    "Extra",
    "NotInRevision",
    "Window",
    "common_endpoints",
    "endpoint",
    "endpoints",
    "published_endpoints",
]

SELECTABLE = REVISIONS
"""The revisions that a connection may pin."""


class NotInRevision(LookupError):
    """An endpoint that the revision does not have.

    `first_seen` is the first revision that has it, or None for a name that no revision knows.
    """

    def __init__(self, name: str, revision: str, first_seen: str | None) -> None:
        since = f"it exists from {first_seen} on" if first_seen else "no revision knows that name"
        super().__init__(f"Klaviyo's {name} is not in revision {revision}: {since}.")
        self.name = name
        self.revision = revision
        self.first_seen = first_seen


@dataclass(frozen=True, slots=True)
class Window:
    """A window of the rate limits: at most `limit` calls in `seconds`, per account and endpoint (docs/klaviyo.md 5)."""

    limit: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Extra:
    """A second limit, charged in addition when `parameter` names `value` (docs/klaviyo.md 5).

    Klaviyo shares it between all endpoints that take the parameter.
    """

    parameter: str
    value: str
    windows: tuple[Window, ...]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint as one revision has it. Sizes are in bytes; a limit that is not stated is None.

    `path` is a template with `{id}` or `{job_id}` and the revision's trailing slash. `windows` are ordered
    from the shortest. `page_default` and `page_max` are rows a page; `page[size]` may be sent only if
    `page_size_allowed`. `success` names the specification's statuses first, then those seen live.
    """

    name: str
    method: str
    path: str
    scopes: tuple[str, ...]
    windows: tuple[Window, ...]
    extras: tuple[Extra, ...] = ()
    page_default: int | None = None
    page_max: int | None = None
    page_size_allowed: bool = False
    cursor: bool = False
    content_type: str | None = None
    success: tuple[int, ...] = ()
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    sort: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    additional_fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    max_items: int | None = None
    max_bytes: int | None = None
    max_item_bytes: int | None = None

    def url_path(self, **ids: str) -> str:
        """Fills in the ids of the path, percent-encoded. Raises `KeyError` for an id that is not given."""
        return self.path.format_map({key: quote(value, safe="") for key, value in ids.items()})


def endpoint(revision: str, name: str) -> Endpoint:
    """Returns the endpoint as a caller may use it: within the limits of its revision and of those that will serve it.

    Raises `NotInRevision` (a `LookupError`) when the revision has no such endpoint, `LookupError` for a
    revision that the data does not hold.
    """
    table = endpoints(revision)
    if name not in table:
        raise NotInRevision(name, revision, _data()["first_seen"].get(name))
    return table[name]


@cache
def endpoints(revision: str) -> Mapping[str, Endpoint]:
    """Returns all endpoints of a revision by name, within the limits of all that will serve it."""
    return common_endpoints(binding_revisions(revision) if revision in REVISIONS else (revision,))


@cache
def common_endpoints(revisions: tuple[str, ...]) -> Mapping[str, Endpoint]:
    """Returns the endpoints that all of the revisions have: those of the first, within the limits of all."""
    table = published_endpoints(revisions[0])
    for each in revisions[1:]:
        further = published_endpoints(each)
        table = {name: _stricter(one, further[name]) for name, one in table.items() if name in further}
    return MappingProxyType(dict(table))


@cache
def published_endpoints(revision: str) -> Mapping[str, Endpoint]:
    """Returns all endpoints of a revision by name, exactly as its own specification has them."""
    if revision not in REVISIONS:
        raise LookupError(f"The contract data holds no revision {revision}; it holds {', '.join(REVISIONS)}.")
    return MappingProxyType({name: _endpoint(name, row) for name, row in _data()[revision].items()})


@cache
def _data() -> dict[str, Any]:
    from importlib.resources import files  # here: its import costs more than reading the file

    text = files(__package__).joinpath("data", "operations.json").read_text(encoding="utf-8")
    data: dict[str, Any] = json.loads(text)
    return data


def _endpoint(name: str, row: Mapping[str, Any]) -> Endpoint:
    parts = dict(row)
    parts["windows"] = _windows(row["windows"])
    if "extras" in row:
        parts["extras"] = tuple(Extra(parameter, value, _windows(w)) for parameter, value, w in row["extras"])
    for key in ("scopes", "success", "sort", "include"):
        parts[key] = tuple(row.get(key, ()))
    for key in ("filters", "additional_fields"):
        parts[key] = MappingProxyType({of: tuple(values) for of, values in row.get(key, {}).items()})
    return Endpoint(name=name, **parts)


def _windows(rows: Iterable[tuple[int, int]]) -> tuple[Window, ...]:
    return tuple(Window(limit, seconds) for limit, seconds in rows)


def _stricter(written: Endpoint, other: Endpoint) -> Endpoint:
    """Combines two revisions' data of an endpoint: that of `written`, within the limits of both."""
    both = {part.name: getattr(written, part.name) for part in fields(Endpoint)}
    for key in ("page_default", "page_max", "max_items", "max_bytes", "max_item_bytes"):
        both[key] = min((v for v in (both[key], getattr(other, key)) if v is not None), default=None)
    for key in ("filters", "additional_fields"):
        both[key] = _common(both[key], getattr(other, key))
    for key in ("sort", "include"):
        both[key] = tuple(value for value in both[key] if value in getattr(other, key))
    both["page_size_allowed"] = written.page_size_allowed and other.page_size_allowed
    both["windows"] = _tighter((*written.windows, *other.windows))
    conditions = {(one.parameter, one.value): one for one in (*written.extras, *other.extras)}
    both["extras"] = tuple(conditions.values())
    both["scopes"] = tuple(sorted({*written.scopes, *other.scopes}))
    both["success"] = tuple(dict.fromkeys((*written.success, *other.success)))
    return Endpoint(**both)


def _common(
    written: Mapping[str, tuple[str, ...]], other: Mapping[str, tuple[str, ...]]
) -> Mapping[str, tuple[str, ...]]:
    shared = {
        key: tuple(value for value in values if value in other.get(key, ()))
        for key, values in written.items()
    }
    return MappingProxyType({key: values for key, values in shared.items() if values})


def _tighter(windows: Iterable[Window]) -> tuple[Window, ...]:
    limits: dict[int, int] = {}
    for window in windows:
        limits[window.seconds] = min(window.limit, limits.get(window.seconds, window.limit))
    return tuple(Window(limit, seconds) for seconds, limit in sorted(limits.items()))
