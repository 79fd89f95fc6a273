"""Confirmations: writes that Klaviyo accepted without saying more are read back in the background, until they show.

All of consent, and a few events of every bulk call (docs/klaviyo.md 2.12, 6). What is to be confirmed is read from the
audit, so a restart goes on where it was.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from askel_tui.contract.calls import Call
from askel_tui.core.addressing import CONSENT_CALL_OF_STEP
from askel_tui.core.operations import Operation
from askel_tui.core.requests import sent_bodies
from askel_tui.klaviyo.client import Client
from askel_tui.klaviyo.errors import KlaviyoError
from askel_tui.klaviyo.reads.consent import find_shown_operations
from askel_tui.klaviyo.reads.events import has_event
from askel_tui.klaviyo.reads.profiles import find_profiles
from askel_tui.klaviyo.responses import attributes_of, resource_of
from askel_tui.store.journal.rows import Confirmation, UnconfirmedWrite
from askel_tui.sync.instance import Instance
from askel_tui.sync.periodic import Interval

log = logging.getLogger(__name__)

MAX_AGE_MS = 24 * 3_600_000
"""The largest age of a write that is still read back, once, after a restart, in milliseconds."""

MAX_WAITING_WRITES = 5_000
"""The number of writes that wait in memory for their confirmation; the others wait in the audit."""

READ_BACK, OPT_IN_PENDING = "read back", "double opt-in pending"

_SentConsent = tuple[UnconfirmedWrite, Operation]
_SentEvent = tuple[UnconfirmedWrite, sent_bodies.SentEvent]


@dataclass(slots=True)
class _Sent:
    """What requests carried of unconfirmed writes."""

    consent: list[_SentConsent] = field(default_factory=list)
    events: list[_SentEvent] = field(default_factory=list)

    def add(self, body: bytes, writes: Sequence[UnconfirmedWrite]) -> None:
        """Adds what the body of a request carried of its writes."""
        parsed = _parse(body)
        consent = [each for each in writes if each.kind in CONSENT_CALL_OF_STEP]
        if consent:
            rows = sent_bodies.ConsentJobRows(parsed)
            for each in consent:
                operation = rows.find_operation(each.kind, each.step, each.profile, each.operation)
                if operation is not None:
                    self.consent.append((each, operation))
        for each in writes:
            if each.kind not in CONSENT_CALL_OF_STEP:
                event = sent_bodies.find_event(parsed, each.profile)
                if event is not None:
                    self.events.append((each, event))


@dataclass(slots=True)
class _Waiting:
    """A write that waits for its confirmation: when it is read back next, and how long the wait before that was."""

    write: UnconfirmedWrite
    due: int
    wait: int


class Confirmations:
    """A worker that reads back unconfirmed writes, and adds to the audit those that show."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._read_up_to = 0
        """The `seq` of the last audit entry that was searched."""
        self._waiting: dict[int, _Waiting] = {}
        self._interval = Interval()

    async def run_round(self) -> None:
        """Takes up new unconfirmed writes, and reads back those that are due."""
        now = self._instance.clock()
        if not self._interval.elapsed(now, self._instance.timing.confirmation_interval_ms):
            return
        await self._take_up(now)
        due: defaultdict[str, list[_Waiting]] = defaultdict(list)
        for each in self._waiting.values():
            if each.due <= now:
                due[each.write.connection].append(each)
        known = {doc.name for doc in self._instance.state.connections()} if due else set()
        for connection, waiting in due.items():
            client = await self._instance.find_client(connection) if connection in known else None
            if client is not None:
                await self._read_back(client, waiting, now)
            self._delay(waiting, now)

    async def _take_up(self, now: int) -> None:
        room = MAX_WAITING_WRITES - len(self._waiting)
        if room <= 0:
            return
        found, self._read_up_to = await self._instance.journal.unconfirmed_writes(
            self._read_up_to, now - MAX_AGE_MS, room
        )
        first = self._instance.timing.first_read_back_ms
        for write in found:
            self._waiting[write.seq] = _Waiting(write, write.at + first, first)

    async def _read_back(self, client: Client, waiting: Sequence[_Waiting], now: int) -> None:
        writes = [each.write for each in waiting]
        try:
            sent = await self._find_sent(writes)
            confirmed = await _confirm_consent(client, sent.consent)
            confirmed += await _confirm_events(client, sent.events)
        except KlaviyoError as error:
            log.info("unconfirmed writes can't be read back now: %s", error)
            return
        shown = {each.write.seq for each in confirmed}
        max_wait = self._instance.timing.max_confirmation_wait_ms
        for write in writes:
            if write.seq not in shown and now >= write.at + max_wait:
                why = f"not seen in the account within {max_wait // 60_000} minutes"
                log.warning("record %s, step %s: %s", write.record, write.step, why)
                confirmed.append(Confirmation(write, "unconfirmed", why))
        if confirmed:
            await self._instance.journal.write_confirmations(confirmed, now)
        for entry in confirmed:
            self._waiting.pop(entry.write.seq, None)

    def _delay(self, waiting: Iterable[_Waiting], now: int) -> None:
        """Delays writes that are still waiting: they are read back again later."""
        timing = self._instance.timing
        for each in waiting:
            each.wait *= 2
            last = max(each.write.at + timing.max_confirmation_wait_ms, now + timing.first_read_back_ms)
            each.due = min(now + each.wait, last)

    async def _find_sent(self, writes: Sequence[UnconfirmedWrite]) -> _Sent:
        """Finds what was sent of the writes in the bodies of their requests; those that were pruned are missing.

        One body after another: a bulk call's has megabytes, and ten times as many once it is parsed.
        """
        sent = _Sent()
        by_request: defaultdict[int, list[UnconfirmedWrite]] = defaultdict(list)
        for write in writes:
            by_request[write.request].append(write)
        for request, carried in by_request.items():
            body = await self._instance.journal.request_body(request)
            if body is not None:
                # In a thread: it would keep the event loop from other work.
                await asyncio.to_thread(sent.add, body, carried)
        return sent


def _parse(body: bytes) -> Any:
    try:
        # This takes a quarter of the time of the exact parser, which only huge integers and lone surrogates need.
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return json.loads(body)


async def _confirm_consent(client: Client, sent: Sequence[_SentConsent]) -> list[Confirmation]:
    if not sent:
        return []
    shown = await find_shown_operations(client, [operation for _, operation in sent], priority="bulk")
    confirmed = [
        Confirmation(write, "written", READ_BACK) for write, operation in sent if operation.id in shown
    ]
    missing = [(write, operation) for write, operation in sent if operation.id not in shown]
    double_opt_in = await _double_opt_in_lists(client, [operation for _, operation in missing])
    confirmed += [
        Confirmation(write, OPT_IN_PENDING, "a confirmation was sent; consent counts once it is clicked")
        for write, operation in missing
        if operation.destination is not None
        and operation.destination.id in double_opt_in
        and not operation.body["historical"]
    ]
    return confirmed


async def _double_opt_in_lists(client: Client, operations: Iterable[Operation]) -> set[str]:
    """Finds the double opt-in lists among those that the operations subscribe to, by id."""
    lists = {
        each.destination.id
        for each in operations
        if each.call == Call.BULK_SUBSCRIBE_PROFILES and each.destination is not None and each.destination.id
    }
    found = set()
    for list_id in lists:
        response = await client.call(Call.GET_LIST, ids={"id": list_id}, priority="bulk")
        if attributes_of(resource_of(response.body)).get("opt_in_process") == "double_opt_in":
            found.add(list_id)
    return found


async def _confirm_events(client: Client, sent: Sequence[_SentEvent]) -> list[Confirmation]:
    known = [write.profile for write, _ in sent]
    profiles = await find_profiles(client, known, only_fields=(), priority="bulk") if known else {}
    return [
        Confirmation(write, "written", READ_BACK)
        for write, event in sent
        if (profile := profiles[write.profile]) is not None
        and await has_event(client, profile.id, event.unique_id, event.time)
    ]
