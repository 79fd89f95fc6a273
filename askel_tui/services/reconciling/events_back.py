"""Reads events back from the account: which of those that were sent it shows, and which can't be checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from askel_tui.contract.calls import Call
from askel_tui.core.operations import Identity, Operation

if TYPE_CHECKING:
    from askel_tui.klaviyo.client import Client
    from askel_tui.klaviyo.reads.events import SentEvent
    from askel_tui.klaviyo.reads.profiles import ProfileRead
    from askel_tui.store.journal.rows import AuditEntry

EVENTS_SETTLING_MS = 60_000
"""The time in which an event that was accepted may not show yet, in milliseconds."""


@dataclass(frozen=True, slots=True)
class ExpectedEvent:
    """An event that a record sent, as the account is to show it."""

    record: str
    profile: Identity
    metric: str
    metric_id: str | None
    unique_id: str
    time: datetime
    at: int
    """The time at which it was sent, in milliseconds since 1970."""

    @property
    def sent(self) -> SentEvent:
        """What it is found by."""
        from askel_tui.klaviyo.reads.events import SentEvent

        return SentEvent(self.unique_id, self.time, self.metric_id)


@dataclass(slots=True)
class EventsBack:
    """The result: the number of events that the account shows, those that it does not, and why others were not
    checked."""

    found: int = 0
    missing: list[ExpectedEvent] = field(default_factory=list)
    unchecked: Counter[str] = field(default_factory=Counter)


def expected_event(operation: Operation, record: str, entry: AuditEntry) -> ExpectedEvent | None:
    """Makes what is expected of an operation that was sent; None where it is no event."""
    if operation.call != Call.CREATE_EVENT:
        return None
    target, body = operation.destination, operation.body
    return ExpectedEvent(
        record,
        Identity.from_attributes(entry.profile or {}),
        str(body["metric"]),
        target.id if target is not None else None,
        str(body["unique_id"]),
        datetime.fromisoformat(body["time"]),
        entry.at,
    )


async def read_events_back(
    client: Client,
    expected: Sequence[ExpectedEvent],
    profiles: Mapping[Identity, ProfileRead | None],
    now: int,
) -> EventsBack:
    """Looks up the events, one read a profile. A key that may not read events checks none. Raises `KlaviyoError`."""
    from askel_tui.klaviyo.errors import ScopeMissing
    from askel_tui.klaviyo.reads.events import find_events

    result = EventsBack()
    by_profile: dict[str | None, list[ExpectedEvent]] = {}
    for each in expected:
        read = profiles[each.profile]
        by_profile.setdefault(None if read is None else read.id, []).append(each)
    gone = len(by_profile.pop(None, []))
    if gone:
        result.unchecked["the account has no profile of that identifier now"] += gone
    left = list(by_profile.items())
    while left:
        profile_id, events = left.pop()
        assert profile_id is not None
        try:
            found = await find_events(client, profile_id, [each.sent for each in events])
        except ScopeMissing:
            lacking = sum(map(len, (events, *(rest for _, rest in left))))
            result.unchecked["the key lacks events:read"] += lacking
            return result
        for each in events:
            shown = found[each.sent]
            if shown:
                result.found += 1
            elif shown is None:
                result.unchecked["the profile has too many events in that time"] += 1
            elif now - each.at < EVENTS_SETTLING_MS:
                result.unchecked["sent within the last minute: it may not show yet"] += 1
            else:
                result.missing.append(each)
    return result
