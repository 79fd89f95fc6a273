"""Sending: operations of one lane become one request, and its answer becomes what happened to each of them.

The intent is durable before the first byte, and the answer is settled with its audit in one transaction: a crash in
between leaves the request in doubt, and `doubt.py` sends it again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from askel_tui.core import packing
from askel_tui.core.operations import Identity, Operation
from askel_tui.core.planning import gate_refusal
from askel_tui.klaviyo.client import Answer, Client
from askel_tui.klaviyo.errors import Invalid, KlaviyoError, Missing
from askel_tui.klaviyo.profiles import find_profiles, members_of_list, members_of_segment
from askel_tui.store.journal import (
    Clock,
    Delayed,
    Hold,
    Intent,
    Journal,
    OpenRequest,
    Settled,
    StoredOperation,
)
from askel_tui.sync import consent
from askel_tui.sync.verdicts import CONSENT_CALLS, Verdict, backoff, verdict

MOST_IDENTIFYING = 3
"""How often an operation's profile id may turn out to be wrong before the operation fails."""

KEPT_RESPONSE = 4096
"""How much of an error's body the audit keeps, in bytes."""


@dataclass(frozen=True, slots=True)
class Connected:
    """A connection as the engine sees it: who it writes to, and with what."""

    name: str
    account: str
    revision: str
    key: str
    """The key's fingerprint."""
    client: Client


@dataclass(slots=True)
class Result:
    """What became of operations, for the queue: gone from it, tried again, or taken out with their step or record."""

    done: list[StoredOperation] = field(default_factory=list)
    again: list[StoredOperation] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    stopped: list[StoredOperation] = field(default_factory=list)
    """Operations that failed or refused: the later ones of their records are settled with them."""


class Sender:
    """Sends what a lane gives, for one connection."""

    def __init__(self, connected: Connected, journal: Journal, clock: Clock) -> None:
        self._to = connected
        self._journal = journal
        self._clock = clock

    @property
    def revision(self) -> str:
        """The revision the connection is pinned to."""
        return self._to.revision

    async def send(self, operations: Sequence[StoredOperation]) -> Result:
        """Sends operations of one lane and settles them. Never raises for what Klaviyo answers."""
        result = Result()
        first = operations[0].operation
        try:
            if first.is_gate:
                await self._gate(operations, result)
            elif first.call in packing.PACKED_CALLS:
                await self._list_call(operations, result)
            elif first.call == "bulk_unsubscribe_profiles" and first.destination is not None:
                await self._unsubscribe(operations, result)
            elif is_identifying(first):
                await self._identify(operations[0], result)
            else:
                await self._request(operations, {}, result)
        except KlaviyoError as error:
            # A read that prepares a request failed: nothing was written.
            await self._refused(None, operations, error, result)
        return result

    async def send_again(self, doubt: OpenRequest) -> Result:
        """Sends a request in doubt once more, with the same members and bytes."""
        result = Result()
        if not doubt.operations:
            await self._journal.answer_request(doubt.id, now=self._clock())
            return result
        call = doubt.intent.call
        if call in CONSENT_CALLS:
            await self._consent_doubt(
                doubt.id, doubt.operations, "the program stopped before the answer", result
            )
            return result
        first = doubt.operations[0].operation
        ids = {"id": first.destination.id or ""} if first.destination and call in packing.PACKED_CALLS else {}
        try:
            answer = await self._to.client.call(call, ids=ids, body=doubt.intent.body)
        except KlaviyoError as error:
            await self._refused(doubt.id, doubt.operations, error, result)
        else:
            await self._written(doubt.id, doubt.operations, answer, result)
        return result

    async def _request(
        self, operations: Sequence[StoredOperation], profile_ids: Mapping[str, str], result: Result
    ) -> None:
        plain = [stored.operation for stored in operations]
        request = packing.request(plain, self._to.revision, profile_ids)
        opened: list[int] = []

        async def open_request() -> None:
            if not opened:
                opened.append(
                    await self._journal.open_request(self._intent(request, operations), self._clock())
                )

        try:
            answer = await self._to.client.call(
                request.call,
                ids=request.ids,
                body=request.body,
                repeat="certain" if request.call in CONSENT_CALLS else "always",
                priority="bulk" if request.call in packing.PACKED_CALLS else "live",
                before=open_request,
            )
        except KlaviyoError as error:
            await self._refused(opened[0] if opened else None, operations, error, result)
        else:
            await self._written(opened[0], operations, answer, result)

    def _intent(self, request: packing.Request, operations: Sequence[StoredOperation]) -> Intent:
        return Intent(
            connection=self._to.name,
            account=self._to.account,
            call=request.call,
            method=request.method,
            path=request.path,
            body=request.body,
            revision=self._to.revision,
            key=self._to.key,
            operations=[stored.seq for stored in operations],
        )

    async def _written(
        self, request: int | None, operations: Sequence[StoredOperation], answer: Answer, result: Result
    ) -> None:
        call = operations[0].operation.call
        response = _told(answer.body)
        outcome: Any = "unconfirmed" if call in CONSENT_CALLS else "written"
        await self._journal.answer_request(
            request,
            settled=[
                Settled(stored, outcome, status=answer.status, response=response, ms=answer.ms)
                for stored in operations
            ],
            profiles=_learned(answer.body) if call == "create_or_update_profile" else None,
            connection=self._to.name,
            now=self._clock(),
        )
        result.done.extend(operations)

    async def _refused(
        self,
        request: int | None,
        operations: Sequence[StoredOperation],
        error: KlaviyoError,
        result: Result,
    ) -> None:
        call = operations[0].operation.call
        found = verdict(error, call)
        if found.act == "look":
            found = await self._look(operations, error, found)
        if call in packing.PACKED_CALLS and found.act in ("fail", "look"):
            await self._cut(request, operations, error, result)
        elif found.act in ("fail", "look"):
            await self._fail(request, operations, error, found.detail, result)
        elif found.act == "hold":
            await self._hold(request, operations, found, result)
        elif found.act == "doubt":
            await self._consent_doubt(request, operations, found.detail, result)
        else:
            await self._delay(request, operations, found, result)

    async def _look(
        self, operations: Sequence[StoredOperation], error: KlaviyoError, found: Verdict
    ) -> Verdict:
        """A 404: is what the step names gone, or is it something in the request?"""
        first = operations[0].operation
        target = first.destination
        if target is None or target.id is None or target.type == "metric":
            return replace(found, act="fail")
        try:
            await self._to.client.call(f"get_{target.type}", ids={"id": target.id})
        except Missing:
            gone = f"the {target.type} {target.name} ({target.id}) is gone from the account"
            return Verdict("hold", gone, "target_gone")
        except KlaviyoError as unread:
            return verdict(unread, "get")
        return replace(found, detail=str(error))

    async def _cut(
        self,
        request: int | None,
        operations: Sequence[StoredOperation],
        error: KlaviyoError,
        result: Result,
    ) -> None:
        """One row of a list call was refused: take it out and send the rest."""
        if len(operations) == 1:
            await self._wrong_profile(request, operations[0], error, result)
            return
        if request is not None:
            now = self._clock()
            await self._journal.answer_request(
                request, delayed=[Delayed(each, now, str(error)) for each in operations], now=now
            )
        bad = {index for index in _indexes(error) if index < len(operations)}
        if bad:
            parts = [[operations[index]] for index in sorted(bad)]
            rest = [each for index, each in enumerate(operations) if index not in bad]
            parts.append(rest)
        else:
            half = len(operations) // 2
            parts = [list(operations[:half]), list(operations[half:])]
        for part in parts:
            if part:
                await self._list_call(part, result)

    async def _wrong_profile(
        self, request: int | None, stored: StoredOperation, error: KlaviyoError, result: Result
    ) -> None:
        """A list call for one profile was refused: its remembered id may be of a profile that is no more."""
        if not isinstance(error, Missing) or stored.attempts + 1 >= MOST_IDENTIFYING:
            await self._fail(request, [stored], error, str(error), result)
            return
        known = await self._profile_ids([stored])
        if stored.operation.id in known:
            await self._journal.forget_profile(self._to.name, known[stored.operation.id])
        await self._delay(request, [stored], Verdict("delay", str(error), wait_ms=0), result)

    async def _fail(
        self,
        request: int | None,
        operations: Sequence[StoredOperation],
        error: KlaviyoError,
        detail: str,
        result: Result,
    ) -> None:
        body = error.body[:KEPT_RESPONSE] if error.body else None
        await self._journal.answer_request(
            request,
            settled=[
                Settled(stored, "failed", status=error.status, response=body, detail=detail)
                for stored in operations
            ],
            connection=self._to.name,
            now=self._clock(),
        )
        result.stopped.extend(operations)

    async def _hold(
        self, request: int | None, operations: Sequence[StoredOperation], found: Verdict, result: Result
    ) -> None:
        now = self._clock()
        if request is not None:
            await self._journal.answer_request(
                request, delayed=[Delayed(each, now, found.detail) for each in operations], now=now
            )
        for workflow, step in dict.fromkeys((each.workflow, each.operation.step) for each in operations):
            hold = Hold(self._to.name, workflow, step, found.cause, found.detail, now)
            await self._journal.place_hold(hold, now)
            result.holds.append(hold)
        result.done.extend(operations)

    async def _delay(
        self, request: int | None, operations: Sequence[StoredOperation], found: Verdict, result: Result
    ) -> None:
        now = self._clock()
        wait = backoff(max(each.attempts for each in operations), found.wait_ms) if found.wait_ms != 0 else 0
        delayed = [Delayed(each, now + wait, found.detail) for each in operations]
        await self._journal.answer_request(request, delayed=delayed, connection=self._to.name, now=now)
        result.again.extend(
            replace(each.operation, due=each.due, attempts=each.operation.attempts + 1) for each in delayed
        )

    async def _consent_doubt(
        self, request: int | None, operations: Sequence[StoredOperation], detail: str, result: Result
    ) -> None:
        """A consent write whose fate is unknown: read back, else held for a person."""
        for stored in operations:
            read = await consent.reads_back(self._to.client, stored.operation)
            if read:
                await self._journal.answer_request(
                    request,
                    settled=[Settled(stored, "written", detail=f"read back after doubt: {detail}")],
                    connection=self._to.name,
                    now=self._clock(),
                )
                result.done.append(stored)
            else:
                told = (
                    f"{detail}; whether consent was written is unknown, and it is never sent twice by itself"
                )
                await self._hold(request, [stored], Verdict("hold", told, "in_doubt"), result)

    async def _gate(self, operations: Sequence[StoredOperation], result: Result) -> None:
        segment = operations[0].operation.destination
        identities = [stored.operation.profile for stored in operations]
        if segment is None or segment.id is None:
            raise ValueError(f"gate {operations[0].operation.step} names no segment")
        answers = await members_of_segment(self._to.client, segment.id, identities, priority="bulk")
        settled = []
        for stored in operations:
            why = gate_refusal(stored.operation, answers[stored.operation.profile])
            settled.append(Settled(stored, "skipped" if why else "written", detail=why or "passed"))
            (result.stopped if why else result.done).append(stored)
        if settled:
            await self._journal.answer_request(
                None, settled=settled, connection=self._to.name, now=self._clock()
            )

    async def _identify(self, stored: StoredOperation, result: Result) -> None:
        """An upsert of bare identifiers is not sent where the answer of an earlier one showed them all."""
        keys = stored.operation.profile.keys()
        known = await self._journal.profile_ids(self._to.name, keys)
        if len(known) == len(keys) and len(set(known.values())) == 1:
            settled = Settled(stored, "skipped", detail=f"known as {next(iter(known.values()))}")
            await self._journal.answer_request(
                None, settled=[settled], connection=self._to.name, now=self._clock()
            )
            result.done.append(stored)
        else:
            await self._request([stored], {}, result)

    async def _list_call(self, operations: Sequence[StoredOperation], result: Result) -> None:
        ids = await self._profile_ids(operations)
        unknown = [stored for stored in operations if stored.operation.id not in ids]
        if unknown:
            found = await find_profiles(self._to.client, [stored.operation.profile for stored in unknown])
            for stored in unknown:
                profile = found.get(stored.operation.profile)
                if profile is not None:
                    ids[stored.operation.id] = profile.id
        sendable = [stored for stored in operations if stored.operation.id in ids]
        for stored in unknown:
            if stored.operation.id not in ids:
                await self._nobody(stored, result)
        if sendable:
            await self._request(sendable, ids, result)

    async def _nobody(self, stored: StoredOperation, result: Result) -> None:
        """No profile has the identifiers: nothing to remove, and an addition makes the profile first."""
        if stored.operation.call == "remove_profiles_from_list":
            settled = Settled(stored, "skipped", detail="no such profile: nothing to remove")
            await self._journal.answer_request(
                None, settled=[settled], connection=self._to.name, now=self._clock()
            )
            result.done.append(stored)
            return
        bare = replace(
            stored.operation,
            kind="upsert_profile",
            call="create_or_update_profile",
            target=None,
            through=None,
            body={"attributes": {}, "properties": {}, "unset": []},
        )
        request = packing.request([bare], self._to.revision, {})
        opened = await self._journal.open_request(self._intent(request, ()), self._clock())
        try:
            answer = await self._to.client.call(request.call, body=request.body)
        except KlaviyoError as error:
            await self._journal.answer_request(opened, now=self._clock())
            await self._refused(None, [stored], error, result)
            return
        await self._journal.answer_request(
            opened, profiles=_learned(answer.body), connection=self._to.name, now=self._clock()
        )
        await self._list_call([stored], result)

    async def _profile_ids(self, operations: Sequence[StoredOperation]) -> dict[str, str]:
        """Remembered profile ids by operation id: the strongest identifier that is known decides."""
        keys = {key for stored in operations for key in stored.operation.profile.keys()}
        known = await self._journal.profile_ids(self._to.name, keys)
        ids = {}
        for stored in operations:
            found = next((known[key] for key in stored.operation.profile.keys() if key in known), None)
            if found is not None:
                ids[stored.operation.id] = found
        return ids

    async def _unsubscribe(self, operations: Sequence[StoredOperation], result: Result) -> None:
        """A profile outside the given list would be unsubscribed everywhere, so membership is read first."""
        target = operations[0].operation.destination
        if target is None or target.id is None:
            raise ValueError(f"step {operations[0].operation.step} names no list")
        members = await members_of_list(
            self._to.client, target.id, [stored.operation.profile for stored in operations]
        )
        on_list = [stored for stored in operations if members.get(stored.operation.profile)]
        off_list = [stored for stored in operations if not members.get(stored.operation.profile)]
        if off_list:
            told = f"not on {target.name}: Klaviyo would unsubscribe the profile everywhere"
            await self._journal.answer_request(
                None,
                settled=[Settled(stored, "skipped", detail=told) for stored in off_list],
                connection=self._to.name,
                now=self._clock(),
            )
            result.done.extend(off_list)
        if on_list:
            await self._request(on_list, {}, result)


def is_identifying(operation: Operation) -> bool:
    """Whether the operation upserts nothing but identifiers."""
    body = operation.body
    return operation.call == "create_or_update_profile" and not (
        body["attributes"] or body["properties"] or body["unset"]
    )


def _learned(body: Any) -> dict[str, Identity]:
    """The profile id that an upsert answered, with the identifiers it showed."""
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, dict) or not isinstance(data.get("id"), str):
        return {}
    attributes = data.get("attributes") or {}
    return {
        data["id"]: Identity(
            email=attributes.get("email"),
            phone_number=attributes.get("phone_number"),
            external_id=attributes.get("external_id"),
        )
    }


def _told(body: Any) -> bytes | None:
    """What the audit keeps of a good answer: which resource it names."""
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, dict):
        return None
    return json.dumps({"data": {"type": data.get("type"), "id": data.get("id")}}).encode()


def _indexes(error: KlaviyoError) -> list[int]:
    """The rows that an error's pointers name (`/data/3/id`)."""
    if not isinstance(error, Invalid | Missing):
        return []
    found = []
    for item in error.errors:
        parts = (item.pointer or "").strip("/").split("/")
        if len(parts) >= 2 and parts[0] == "data" and parts[1].isdigit():
            found.append(int(parts[1]))
    return found
