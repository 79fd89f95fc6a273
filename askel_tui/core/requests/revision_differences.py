"""What differs between two revisions for the calls that workflows make, in words, and what one can't say. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from askel_tui.contract.bodies import Inexpressible
from askel_tui.contract.calls import Call
from askel_tui.contract.caps import caps
from askel_tui.contract.changes import CONTRACT_CHANGES
from askel_tui.contract.endpoints import Endpoint, NotInRevision, Window, published_endpoints
from askel_tui.core.addressing import NEEDS_PROFILE_ID
from askel_tui.core.operations import Operation, Target
from askel_tui.core.requests.bulk import BULK_CALL_OF
from askel_tui.core.requests.packing import Request, build_request

ANY_PROFILE_ID = "01AAAAAAAAAAAAAAAAAAAAAAAA"
"""A profile id that stands for one in requests that are compared, not sent."""

_READS_OF_TARGETS: Mapping[str, tuple[Call, ...]] = {
    "list": (Call.GET_LIST, Call.GET_LISTS, Call.GET_PROFILES_FOR_LIST),
    "segment": (Call.GET_SEGMENT, Call.GET_SEGMENTS),
    "flow": (Call.GET_FLOW, Call.GET_FLOWS),
    "metric": (Call.GET_METRICS, Call.GET_EVENTS),
}
"""The reads with which what steps name is looked at and read back, by its type."""

_ALWAYS = (Call.GET_ACCOUNTS, Call.GET_PROFILES)
"""The reads of every connection: its key is checked, and profiles are looked at."""


@dataclass(frozen=True, slots=True)
class RevisionDifference:
    """A difference between two revisions that workflows touch: the call that it is of, and the difference in words."""

    call: str
    words: str


def touched_calls(operations: Iterable[Operation]) -> set[Call]:
    """Returns the calls that operations need, in single calls and in bulk, with the reads of what they name."""
    found = set(_ALWAYS)
    for each in operations:
        found |= calls_of([each.call], (each.target, each.through))
    return found


def calls_of(calls: Iterable[Call], targets: Iterable[Target | None]) -> set[Call]:
    """Returns calls, those that do the same in bulk, and the reads of what they name."""
    found = set(calls)
    found |= {BULK_CALL_OF[each] for each in found if each in BULK_CALL_OF}
    for target in targets:
        found.update(_READS_OF_TARGETS.get(target.type, ()) if target is not None else ())
    return found


def contract_differences(calls: Iterable[Call], old: str, new: str) -> list[RevisionDifference]:
    """Lists what differs between two revisions for calls: by the data of endpoints, and by what changed since."""
    found = []
    before, after = published_endpoints(old), published_endpoints(new)
    touched = sorted(set(calls))
    for call in touched:
        found += [
            RevisionDifference(call, words) for words in _endpoint_words(before.get(call), after.get(call))
        ]
    first, last = sorted((old, new))
    for change in CONTRACT_CHANGES:
        of = sorted(change.calls & set(touched))
        if of and first < change.since <= last:
            gone = "" if new > old else "no longer: "
            found.append(RevisionDifference(of[0], f"{gone}{change.words} ({change.since})"))
    return found


def _endpoint_words(old: Endpoint | None, new: Endpoint | None) -> Iterator[str]:
    if old is None or new is None:
        if old is not new:
            yield "the revision has this call, the other one has not" if old is None else "the call is gone"
        return
    if old.path != new.path:
        yield f"path {old.path} becomes {new.path}"
    if old.content_type != new.content_type:
        yield f"media type {old.content_type} becomes {new.content_type}"
    if old.windows != new.windows:
        yield f"limits {_windows(old.windows)} become {_windows(new.windows)}"
    if set(old.scopes) != set(new.scopes):
        yield f"scopes {', '.join(old.scopes)} become {', '.join(new.scopes)}"
    for name, words in (
        ("max_items", "items a call"),
        ("max_bytes", "bytes a call"),
        ("max_item_bytes", "bytes an item"),
        ("page_max", "rows a page at most"),
        ("page_size_allowed", "page[size] may be named"),
    ):
        was, now = getattr(old, name), getattr(new, name)
        if was != now:
            yield f"{words}: {_value(was)} becomes {_value(now)}"


def _windows(windows: Iterable[Window]) -> str:
    names = {1: "s", 60: "min", 86_400: "day"}
    return ", ".join(f"{each.limit:,}/{names.get(each.seconds, f'{each.seconds} s')}" for each in windows)


def _value(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return "yes" if value else "not stated" if value is None else "no"
    return f"{value:,}"


def request_at(operation: Operation, revision: str) -> Request | None:
    """Builds the single call of an operation at a revision; None for a gate.

    Raises `Inexpressible`, `NotInRevision`.
    """
    if operation.is_gate:
        return None
    ids = {operation.id: ANY_PROFILE_ID} if operation.call in NEEDS_PROFILE_ID else {}
    return build_request([operation], revision, ids)


def unsayable(operation: Operation, revision: str) -> str | None:
    """Says why an operation can't be said at a revision; None where it can."""
    try:
        request_at(operation, revision)
    except (Inexpressible, NotInRevision) as problem:
        return str(problem)
    if operation.call == Call.CREATE_EVENT:
        limits = caps(revision)
        count = len(operation.body["properties"])
        if count > limits.event_properties:
            return f"Events of revision {revision} have at most {limits.event_properties} properties."
        if int(str(operation.body["time"])[:4]) < limits.event_year_floor:
            return f"Events of revision {revision} can't lie before {limits.event_year_floor}."
    return None


def request_differences(operation: Operation, old: str, new: str) -> list[RevisionDifference]:
    """Compares an operation's request at two revisions, field by field; both have to be able to say it."""
    before, after = request_at(operation, old), request_at(operation, new)
    if before is None or after is None:
        return []
    return [
        RevisionDifference(operation.call, words)
        for words in _body_words(json.loads(before.body), json.loads(after.body), "")
    ]


def _body_words(old: Any, new: Any, at: str) -> Iterator[str]:
    """Names where two bodies differ, with no value in the words: those are a person's."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys()):
            where = f"{at}.{name}" if at else name
            if name not in new:
                yield f"body: {where} is gone"
            elif name not in old:
                yield f"body: {where} is new"
            else:
                yield from _body_words(old[name], new[name], where)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for before, after in zip(old, new, strict=True):
            yield from _body_words(before, after, f"{at}[]")
    elif old != new:
        yield f"body: {at} has another value"
