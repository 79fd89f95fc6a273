"""Coalesces waiting updates of one profile that follow each other into one. Pure.

The later value of a name wins, so the profile ends as if they had been sent one after another. The caller makes sure
that nothing between them reads the profile or sends what a flow could react to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from askel_tui.contract.calls import Call
from askel_tui.contract.caps import caps
from askel_tui.core.canonical import canonical_json
from askel_tui.core.operations import Operation

MAX_COALESCED_UPDATES = 1_000
"""The largest number of updates of one profile that become one."""

_OVERHEAD_BYTES = 1_000
"""A generous estimate of the bytes that identifiers and field names add to a profile's payload."""


def is_update(operation: Operation) -> bool:
    """Checks whether an operation is an upsert that writes something. Upserts of bare identifiers are not coalesced."""
    body = operation.body
    if operation.call != Call.CREATE_OR_UPDATE_PROFILE:
        return False
    return bool(body["attributes"] or body["properties"] or body["unset"])


def written_names(operation: Operation) -> frozenset[str]:
    """Lists the names that an update writes: `attribute NAME` and `property NAME`."""
    body = operation.body
    properties = (*body["properties"], *body["unset"])
    return frozenset(
        (*(f"attribute {name}" for name in body["attributes"]), *(f"property {name}" for name in properties))
    )


class Coalescer:
    """Decides which updates become one: begins with the first, and accepts or refuses each next one."""

    def __init__(self, first: Operation, record_seq: int, revision: str) -> None:
        self._room = caps(revision).profile_bytes - _OVERHEAD_BYTES - len(canonical_json(first.body))
        self._names = written_names(first)
        self._record = record_seq
        self._count = 1

    def add(self, update: Operation, record_seq: int) -> bool:
        """Accepts or refuses the next update of the profile. `record_seq` is its record's position in the order.

        An older operation that is retried leaves out what later records have written since, and finds that in their
        requests. So an update of a later record has to write all names of the request.
        """
        written, size = written_names(update), len(canonical_json(update.body))
        later = record_seq > self._record and self._names <= written
        if not later and record_seq != self._record:
            return False
        if self._count == MAX_COALESCED_UPDATES or size > self._room:
            return False
        self._room -= size
        self._names |= written
        self._record = record_seq
        self._count += 1
        return True


def coalesce(updates: Sequence[Operation]) -> Operation:
    """Makes one update that leaves the profile as `updates` do in their order: the last one, with another body."""
    last = updates[-1]
    if len(updates) == 1:
        return last
    attributes: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    unset: dict[str, None] = {}
    for update in updates:
        body = update.body
        attributes |= body["attributes"]
        for name in body["unset"]:
            properties.pop(name, None)
            unset[name] = None
        for name, value in body["properties"].items():
            unset.pop(name, None)
            properties[name] = value
    body = {**last.body, "attributes": attributes, "properties": properties, "unset": list(unset)}
    return replace(last, body=body)
