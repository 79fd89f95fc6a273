"""Confirming: what Klaviyo accepted without saying more is read back in the background, until it shows.

All of consent, and a few events of every bulk call (docs/klaviyo.md 2.12, 6). What is to be confirmed is read from the
audit, so a restart goes on where it was.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from askel_tui.contract.calls import Call
from askel_tui.core.operations import Operation
from askel_tui.core.requests import request_bodies
from askel_tui.klaviyo.client import Client
from askel_tui.klaviyo.errors import KlaviyoError
from askel_tui.klaviyo.reads import consent as readback
from askel_tui.klaviyo.reads.events import has_event
from askel_tui.klaviyo.reads.profiles import find_profiles
from askel_tui.klaviyo.responses import attributes_of, resource_of
from askel_tui.store.journal.rows import Confirmation, UnconfirmedWrite
from askel_tui.sync.instance import Instance

log = logging.getLogger(__name__)

FIRST_READ_MS = 15_000
"""How long after a write it is read back first; the time doubles from look to look."""

MAX_WAIT_MS = 300_000
"""How long it is looked for."""

MAX_AGE_MS = 24 * 3_600_000
"""How old a write may be that is still looked for, once, after a restart."""

ROUND_INTERVAL_MS = 1_000
"""The shortest time between two rounds."""

MAX_WAITING_WRITES = 5_000
"""Writes that wait in memory for their confirmation; the others wait in the audit."""

READ_BACK, OPT_IN_PENDING = "read back", "double opt-in pending"


@dataclass(slots=True)
class _Waiting:
    """A write that waits for its confirmation: when to look, and how long to wait after that."""

    of: UnconfirmedWrite
    due: int
    wait: int


class Confirmations:
    """Reads back what is unconfirmed, and writes to the audit what shows."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._after = 0
        self._waiting: dict[int, _Waiting] = {}
        self._looked = 0

    async def run_round(self) -> None:
        """One round: takes up new unconfirmed writes, and reads back those that are due."""
        now = self._instance.clock()
        if 0 <= now - self._looked < ROUND_INTERVAL_MS:
            return
        self._looked = now
        await self._take_up(now)
        due = [each for each in self._waiting.values() if each.due <= now]
        by_connection: defaultdict[str, list[_Waiting]] = defaultdict(list)
        for each in due:
            by_connection[each.of.connection].append(each)
        known = {doc.name for doc in self._instance.state.connections()} if by_connection else set()
        for connection, waiting in by_connection.items():
            client = await self._instance.client(connection) if connection in known else None
            if client is not None:
                await self._read_back(client, waiting, now)
            self._put_off(waiting, now)

    async def _take_up(self, now: int) -> None:
        room = MAX_WAITING_WRITES - len(self._waiting)
        if room <= 0:
            return
        found, self._after = await self._instance.journal.unconfirmed_writes(
            self._after, now - MAX_AGE_MS, room
        )
        for of in found:
            self._waiting[of.seq] = _Waiting(of, of.at + FIRST_READ_MS, FIRST_READ_MS)

    def _put_off(self, waiting: Iterable[_Waiting], now: int) -> None:
        """Looks again later for those that are still waiting."""
        for each in waiting:
            each.wait *= 2
            each.due = min(now + each.wait, max(each.of.at + MAX_WAIT_MS, now + FIRST_READ_MS))

    async def _read_back(self, client: Client, waiting: Sequence[_Waiting], now: int) -> None:
        try:
            bodies = await self._bodies(waiting)
            consent = [each for each in waiting if each.of.kind in request_bodies.CONSENT_CALL_OF_STEP]
            confirmed = await _consent(client, consent, bodies)
            events = [each.of for each in waiting if each.of.kind not in request_bodies.CONSENT_CALL_OF_STEP]
            confirmed += await _events(client, events, bodies)
        except KlaviyoError as error:
            log.info("unconfirmed writes can't be read back now: %s", error)
            return
        shown = {each.write.seq for each in confirmed}
        for each in waiting:
            if each.of.seq not in shown and now >= each.of.at + MAX_WAIT_MS:
                minutes = MAX_WAIT_MS // 60_000
                why = f"not seen in the account within {minutes} minutes"
                log.warning("record %s, step %s: %s", each.of.record, each.of.step, why)
                confirmed.append(Confirmation(each.of, "unconfirmed", why))
        if confirmed:
            await self._instance.journal.write_confirmations(confirmed, now)
        for entry in confirmed:
            self._waiting.pop(entry.write.seq, None)

    async def _bodies(self, waiting: Sequence[_Waiting]) -> dict[int, Mapping[str, Any]]:
        """The bodies of the requests that carried the writes; those that were folded away are missing."""
        found: dict[int, Mapping[str, Any]] = {}
        for request in dict.fromkeys(each.of.request for each in waiting):
            body = await self._instance.journal.request_body(request)
            if body is not None:
                # A bulk call's body has megabytes: the event loop has better to do.
                found[request] = await asyncio.to_thread(_read, body)
        return found


def _read(body: bytes) -> Any:
    try:
        # A quarter of the time of the exact reading, which only huge integers and half characters need.
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return json.loads(body)


async def _consent(
    client: Client, waiting: Sequence[_Waiting], bodies: Mapping[int, Mapping[str, Any]]
) -> list[Confirmation]:
    asked: list[tuple[UnconfirmedWrite, Operation]] = []
    jobs = {
        request: request_bodies.ConsentJobRows(bodies.get(request, {}))
        for request in {each.of.request for each in waiting}
    }
    for each in waiting:
        of = each.of
        operation = jobs[of.request].find_operation(of.kind, of.step, of.profile, of.operation)
        if operation is not None:
            asked.append((of, operation))
    if not asked:
        return []
    shown = await readback.find_shown_operations(
        client, [operation for _, operation in asked], priority="bulk"
    )
    confirmed = [Confirmation(of, "written", READ_BACK) for of, operation in asked if operation.id in shown]
    missing = [(of, operation) for of, operation in asked if operation.id not in shown]
    double = await _double(client, [operation for _, operation in missing])
    confirmed += [
        Confirmation(of, OPT_IN_PENDING, "a confirmation was sent; consent counts once it is clicked")
        for of, operation in missing
        if operation.destination is not None
        and operation.destination.id in double
        and not operation.body["historical"]
    ]
    return confirmed


async def _double(client: Client, operations: Iterable[Operation]) -> set[str]:
    """The ids of double opt-in lists among those that the operations subscribe to."""
    found = set()
    lists = {
        each.destination.id
        for each in operations
        if each.call == readback.SUBSCRIBE_CALL and each.destination is not None and each.destination.id
    }
    for list_id in lists:
        answer = await client.call(Call.GET_LIST, ids={"id": list_id}, priority="bulk")
        if attributes_of(resource_of(answer.body)).get("opt_in_process") == "double_opt_in":
            found.add(list_id)
    return found


async def _events(
    client: Client, waiting: Sequence[UnconfirmedWrite], bodies: Mapping[int, Mapping[str, Any]]
) -> list[Confirmation]:
    sent = [(of, request_bodies.find_event(bodies.get(of.request, {}), of.profile)) for of in waiting]
    known = [of.profile for of, event in sent if event is not None]
    profiles = await find_profiles(client, known, only_fields=(), priority="bulk") if known else {}
    return [
        Confirmation(of, "written", READ_BACK)
        for of, event in sent
        if event is not None
        and (profile := profiles[of.profile]) is not None
        and await has_event(client, profile.id, event.unique_id, event.time)
    ]
