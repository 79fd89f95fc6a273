"""Folding: waiting updates of one profile that follow each other become one. Pure.

The later value of a name wins, so the profile ends as if they had been sent one after another. Whoever folds sees to it
that nothing stands between them that reads the profile or sends something which a flow could answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from askel_tui.contract.calls import Call
from askel_tui.contract.caps import caps
from askel_tui.core.operations import Operation, canonical_json

UPSERT_CALL = Call.CREATE_OR_UPDATE_PROFILE

MAX_COALESCED_UPDATES = 1_000
"""Updates of one profile that become one at most."""

_OVERHEAD_BYTES = 1_000
"""Bytes that identifiers and field names add to a profile's payload, generously."""


def is_update(operation: Operation) -> bool:
    """Whether it is an upsert that writes something; bare identifiers have a way of their own."""
    body = operation.body
    return operation.call == UPSERT_CALL and bool(body["attributes"] or body["properties"] or body["unset"])


def written_names(operation: Operation) -> frozenset[str]:
    """What an update writes: names of attributes and of properties, told apart."""
    body = operation.body
    properties = (*body["properties"], *body["unset"])
    return frozenset(
        (*(f"attribute {name}" for name in body["attributes"]), *(f"property {name}" for name in properties))
    )


class Coalescer:
    """Decides which updates become one: starts with the first, and takes each next one or refuses it."""

    def __init__(self, first: Operation, record_seq: int, revision: str) -> None:
        self._room = caps(revision).profile_bytes - _OVERHEAD_BYTES - len(canonical_json(first.body))
        self._names = written_names(first)
        self._record = record_seq
        self._many = 1

    def add(self, update: Operation, record_seq: int) -> bool:
        """Whether the next update of the profile is folded in; `record_seq` is its record's place in the order.

        An older operation that comes back leaves out what later records have written since, and finds that in their
        requests. So an update of a later record has to write all that the request will name.
        """
        written, size = written_names(update), len(canonical_json(update.body))
        later = record_seq > self._record and self._names <= written
        if not later and record_seq != self._record:
            return False
        if self._many == MAX_COALESCED_UPDATES or size > self._room:
            return False
        self._room -= size
        self._names |= written
        self._record = record_seq
        self._many += 1
        return True


def coalesce(updates: Sequence[Operation]) -> Operation:
    """One update that leaves the profile as these do in their order; it is the last one with another body."""
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
