"""Reads the body of a sent request: the fields that it wrote of one profile, to compare with the account. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from askel_tui.core.addressing import CONSENT_CALL_OF_STEP
from askel_tui.core.operations import Identity, Operation, StepKind, Target


@dataclass(frozen=True, slots=True)
class SentEvent:
    """An event as it was sent."""

    profile: Identity
    unique_id: str
    time: str


class ConsentJobRows:
    """The rows of a consent job's body, found by the profile they are about."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        data = body.get("data") or {}
        attributes = data.get("attributes") or {}
        listed = ((data.get("relationships") or {}).get("list") or {}).get("data") or {}
        self._target = Target("list", listed["id"], "") if listed.get("id") else None
        self._historical = bool(attributes.get("historical_import"))
        self._rows: dict[str, Mapping[str, Any]] = {}
        for row in (attributes.get("profiles") or {}).get("data") or []:
            given = row.get("attributes") or {}
            self._rows |= dict.fromkeys(Identity.from_attributes(given).keys(), given)

    def find_operation(
        self, kind: StepKind, step: str, identity: Identity, operation_id: str
    ) -> Operation | None:
        """Finds the operation that the row of this profile carries out; None without such a row."""
        given = next((self._rows[key] for key in identity.keys() if key in self._rows), None)
        if given is None:
            return None
        body = {"channels": list(given.get("subscriptions") or {}), "historical": self._historical}
        profile = Identity.from_attributes(given)
        return Operation(
            operation_id,
            step,
            kind,
            CONSENT_CALL_OF_STEP[kind],
            profile,
            self._target,
            body=body,
        )


def find_event(body: Mapping[str, Any], identity: Identity) -> SentEvent | None:
    """Finds the first event in the body of an event call that is about this profile; None where there is none."""
    wanted = set(identity.keys())
    return next((each for each in _events(body) if not wanted.isdisjoint(each.profile.keys())), None)


def _events(body: Mapping[str, Any]) -> Iterator[SentEvent]:
    attributes = (body.get("data") or {}).get("attributes") or {}
    groups = (attributes.get("events-bulk-create") or {}).get("data")
    if groups is None:
        yield from _sent(attributes, [attributes])
        return
    for group in groups:
        held = group.get("attributes") or {}
        events = (held.get("events") or {}).get("data") or []
        yield from _sent(held, [each.get("attributes") or {} for each in events])


def _sent(holder: Mapping[str, Any], events: list[Mapping[str, Any]]) -> Iterator[SentEvent]:
    profile = Identity.from_attributes(
        ((holder.get("profile") or {}).get("data") or {}).get("attributes") or {}
    )
    for each in events:
        yield SentEvent(profile, str(each.get("unique_id") or ""), str(each.get("time") or ""))
