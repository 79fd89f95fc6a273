"""Packs operations into requests. Pure: the dry run shows, and live sends, what the same function builds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from askel_tui.contract.calls import Call
from askel_tui.contract.dialects import Dialect, dialect
from askel_tui.contract.endpoints import Endpoint, endpoint
from askel_tui.core.addressing import (
    CONSENT_CALLS,
    NEEDS_PROFILE_ID,
    consent_identifiers,
    require_consent_steps,
)
from askel_tui.core.canonical import canonical_json
from askel_tui.core.operations import Operation
from askel_tui.core.requests.coalescing import coalesce

GATE_CALL = Call.GET_PROFILES_FOR_SEGMENT
"""The read that answers gates, for a page of profiles at a time."""

PACKED_CALLS = NEEDS_PROFILE_ID
"""Writes that carry all waiting operations of their destination, live ones too."""

GATHERING_CALLS = PACKED_CALLS | CONSENT_CALLS | {GATE_CALL}
"""Calls that are made one at a time per destination and spread over the minute, so that each takes all that waits."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP call carrying one or more operations. `ids` fill the path's template; `body` is canonical JSON."""

    call: Call
    method: str
    path: str
    ids: Mapping[str, str]
    body: bytes
    operations: tuple[Operation, ...]
    parts: tuple[int, ...] = ()
    """The lengths of the parts of the body, of which each is about one person at most; empty for one part."""

    def __post_init__(self) -> None:
        """Checks that nothing but consent steps reaches an endpoint of consent."""
        require_consent_steps(self.call, self.operations)


class BatchKey(NamedTuple):
    """The key of operations that may share a request: the call and its destination."""

    call: Call
    destination: str
    """The list or segment, and the fields that a consent job states once for all; empty for calls of one operation."""


def batch_key(operation: Operation) -> BatchKey:
    """Makes the batch key of an operation. Where the call gathers, operations of equal keys may share a request."""
    if operation.call not in GATHERING_CALLS:
        return BatchKey(operation.call, "")
    destination = _destination_id(operation) or ""
    if operation.call in CONSENT_CALLS:
        # A consent job has one list, one source and one kind of date for all its profiles (docs/klaviyo.md 2.8).
        source, historical = operation.body.get("custom_source"), bool(operation.body.get("historical"))
        destination = canonical_json([destination, source, historical]).decode()
    return BatchKey(operation.call, destination)


def batch_capacity(call: Call, revision: str) -> int:
    """Returns how many operations of one batch key a request of this call carries at the revision."""
    at = endpoint(revision, call)
    if call in PACKED_CALLS | CONSENT_CALLS:
        return at.max_items or 1
    if call == GATE_CALL:
        return at.page_max or 1
    return 1


def build_request(operations: Sequence[Operation], revision: str, profile_ids: Mapping[str, str]) -> Request:
    """Builds a request that carries operations of one batch key. Updates of one profile are coalesced into one.

    `profile_ids` gives Klaviyo's profile id by operation id, for calls that name profiles by id (see
    `NEEDS_PROFILE_ID`); a profile that several operations name is in the request once. Raises `KeyError` for a
    missing one.
    """
    first = operations[0]
    at: Endpoint = endpoint(revision, first.call)
    ids = _path_ids(first, at)
    body = _body(operations, dialect(revision), profile_ids)
    encoded = canonical_json(body)
    parts = body_parts(encoded, _rows(body)) if first.call in GATHERING_CALLS else ()
    return Request(first.call, at.method, at.url_path(**ids), ids, encoded, tuple(operations), parts)


def body_parts(body: bytes, rows: Sequence[bytes]) -> tuple[int, ...]:
    """Cuts a body into its head, each of its encoded rows with the comma after it, and its tail: their lengths."""
    start = body.index(b",".join(rows))
    lengths = [len(row) + 1 for row in rows]
    lengths[-1] -= 1
    return (start, *lengths, len(body) - start - sum(lengths))


def _rows(body: Mapping[str, Any]) -> list[bytes]:
    """Encodes the rows of a call for many profiles."""
    data = body["data"]
    return [
        canonical_json(row)
        for row in (data if isinstance(data, list) else data["attributes"]["profiles"]["data"])
    ]


def _path_ids(operation: Operation, at: Endpoint) -> dict[str, str]:
    destination = operation.destination
    if "{id}" not in at.path or destination is None or destination.id is None:
        return {}
    return {"id": destination.id}


def _body(
    operations: Sequence[Operation], bodies: Dialect, profile_ids: Mapping[str, str]
) -> Mapping[str, Any]:
    first = operations[0]
    body = first.body
    match first.call:
        case Call.CREATE_OR_UPDATE_PROFILE:
            update = coalesce(operations)
            body = update.body
            return bodies.profile_import(
                update.profile.identifiers(),
                nest_attributes(body["attributes"]),
                body["properties"],
                body["unset"],
            )
        case Call.ADD_PROFILES_TO_LIST | Call.REMOVE_PROFILES_FROM_LIST:
            return bodies.list_members(list(dict.fromkeys(profile_ids[each.id] for each in operations)))
        case Call.CREATE_EVENT:
            return bodies.event(
                first.profile.identifiers(),
                body["metric"],
                body["properties"],
                body["time"],
                body["unique_id"],
                value=body.get("value"),
                value_currency=body.get("value_currency"),
                backfill=bool(body.get("backfill")),
            )
        case Call.BULK_SUBSCRIBE_PROFILES:
            items = [_subscribe_item(each, bodies) for each in operations]
            return bodies.subscribe(
                items, _destination_id(first), body.get("custom_source"), bool(body.get("historical"))
            )
        case Call.BULK_UNSUBSCRIBE_PROFILES:
            items = [
                bodies.unsubscribe_item(consent_identifiers(each), each.body["channels"])
                for each in operations
            ]
            return bodies.unsubscribe(items, _destination_id(first))
    raise ValueError(f"no request carries {first.call}")


def _subscribe_item(operation: Operation, bodies: Dialect) -> dict[str, Any]:
    channels = operation.body["channels"]
    given = operation.body.get("consented_at")
    consented_at = dict.fromkeys(channels, given) if given else {}
    return bodies.subscribe_item(consent_identifiers(operation), channels, consented_at)


def _destination_id(operation: Operation) -> str | None:
    destination = operation.destination
    return destination.id if destination else None


def nest_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Nests dotted attribute names (`location.city`) as the objects that Klaviyo takes."""
    result: dict[str, Any] = {}
    for name, value in attributes.items():
        head, dot, tail = name.partition(".")
        if dot:
            result.setdefault(head, {})[tail] = value
        else:
            result[name] = value
    return result
