"""Sending: operations of one lane become one request, and its answer becomes what happened to each of them.

The intent is durable before the first byte, and the answer is settled with its audit in one transaction: a crash in
between leaves the request in doubt, and it is sent again with the same members before anything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from askel_tui.contract.calls import Call
from askel_tui.core.operations import Operation
from askel_tui.core.planning.plan import gate_refusal
from askel_tui.core.requests import packing
from askel_tui.core.requests.coalescing import UPSERT_CALL, is_update
from askel_tui.core.requests.packing import CONSENT_CALLS
from askel_tui.klaviyo.client import Response
from askel_tui.klaviyo.errors import Conflict, InvalidRequest, KlaviyoError, NotInAccount
from askel_tui.klaviyo.rate_limits.limiter import Priority
from askel_tui.klaviyo.reads.profiles import find_profiles, members_of_segment
from askel_tui.store.journal.errors import StaleOperations
from askel_tui.store.journal.interface import Clock, Journal
from askel_tui.store.journal.rows import (
    DelayedOperation,
    OpenRequest,
    Outcome,
    SettledOperation,
    StoredOperation,
)
from askel_tui.sync.connected import Connected
from askel_tui.sync.sending.bulk_sender import BULK_CALLS, BulkSender
from askel_tui.sync.sending.consent_sender import ConsentSender
from askel_tui.sync.sending.error_policy import Action, action_for
from askel_tui.sync.sending.freshness import FreshnessGate, NoGate
from askel_tui.sync.sending.identity_conflicts import IdentityConflicts
from askel_tui.sync.sending.settlement import (
    QueueUpdate,
    Settler,
    learned_profiles,
    replay_remark,
    response_summary,
)
from askel_tui.sync.sending.splitting import rejected_rows, split_rejected

MAX_IDENTIFYING_ATTEMPTS = 20
"""How many attempts an operation may have had when its profile id turns out to be wrong once more; then it fails."""

MAX_IMMEDIATE_LOOKUPS = 3
"""Up to how many attempts a profile id that turned out to be wrong is looked up again without waiting."""

MIN_UNKNOWN_FOR_IMPORT = 100
"""From how many additions of profiles without a known id on an import job makes them."""


class Sender:
    """Sends what a lane gives, for one connection."""

    def __init__(
        self, connected: Connected, journal: Journal, clock: Clock, watch: FreshnessGate | None = None
    ) -> None:
        self._to = connected
        self._journal = journal
        self._clock = clock
        self._watch = watch or NoGate()
        self._end = Settler(connected, journal, clock)
        self.bulk = BulkSender(self._end)
        self._consent = ConsentSender(self._end, self._plain)
        self._conflicts = IdentityConflicts(self._end, self._plain)

    def retire(self) -> None:
        """Another sender took over, maybe with another key: what this one has under way is not held for its key."""
        self._end.retired = True

    @property
    def revision(self) -> str:
        """The revision the connection is pinned to."""
        return self._to.revision

    async def send(self, operations: Sequence[StoredOperation], priority: Priority = "live") -> QueueUpdate:
        """Sends operations of one lane and settles them. Never raises for what Klaviyo answers."""
        result = QueueUpdate()
        if await self.held_back(operations, result):
            return result
        first = operations[0].operation
        try:
            if first.is_gate:
                await self._gate(operations, result)
            elif first.call in packing.PACKED_CALLS:
                await self._list_call(operations, result)
            elif first.call in CONSENT_CALLS:
                await self._consent.send(operations, priority, result)
            elif is_identifying(first):
                await self._identify(operations[0], priority, result)
            else:
                await self._request(operations, {}, priority, result)
        except KlaviyoError as error:
            # A read that prepares a request failed: nothing was written.
            await self._refused(None, operations, error, result)
        return result

    async def held_back(self, operations: Sequence[StoredOperation], result: QueueUpdate) -> bool:
        """Whether operations are not to be sent now: what their steps name was lost, or cannot be looked at."""
        try:
            if await self._watch.ensure_fresh(self._to.name, operations):
                return False
            result.done.extend(operations)
            result.reload = True
        except KlaviyoError as error:
            wait = int((error.retry_after or 0) * 1000) or None
            unseen = Action("delay", f"the account could not be looked at: {error}", wait_ms=wait)
            await self._end.delay(None, operations, unseen, result)
        return True

    async def send_again(self, doubt: OpenRequest) -> QueueUpdate:
        """Sends a request in doubt once more, with the same members and bytes."""
        result = QueueUpdate()
        call = doubt.intent.call
        if not doubt.operations:
            await self._journal.answer_request(doubt.id, now=self._clock())
        elif call in BULK_CALLS:
            await self.bulk.send_again(doubt, result)
        elif call in CONSENT_CALLS:
            unknown = "the program stopped before the answer"
            await self._consent.doubt(doubt.id, doubt.operations, unknown, result)
        else:
            target = doubt.operations[0].operation.destination
            ids = {"id": target.id or ""} if target and call in packing.PACKED_CALLS else {}
            try:
                answer = await self._to.client.call(call, ids=ids, body=doubt.intent.body)
            except KlaviyoError as error:
                await self._refused(doubt.id, doubt.operations, error, result)
            else:
                await self._written(doubt.id, doubt.operations, answer, result)
        return result

    async def _plain(
        self, operations: Sequence[StoredOperation], priority: Priority, result: QueueUpdate
    ) -> None:
        await self._request(operations, {}, priority, result)

    async def _request(
        self,
        operations: Sequence[StoredOperation],
        profile_ids: Mapping[str, str],
        priority: Priority,
        result: QueueUpdate,
    ) -> None:
        plain = [stored.operation for stored in operations]
        request = packing.build_request(plain, self._to.revision, profile_ids)
        opened: list[int] = []

        async def open_request() -> None:
            if not opened:
                opened.append(await self._end.open(request, operations))

        try:
            answer = await self._to.client.call(
                request.call,
                ids=request.ids,
                body=request.body,
                retry_mode="certain" if request.call in CONSENT_CALLS else "always",
                priority=priority,
                before_attempt=open_request,
            )
        except StaleOperations as stale:
            # A hold or a failure of another request took some of them away while this one waited for its place.
            result.reload = True
            result.done.extend(stored for stored in operations if stored.seq in stale.seqs)
            rest = [stored for stored in operations if stored.seq not in stale.seqs]
            if rest:
                await self._request(rest, profile_ids, priority, result)
        except KlaviyoError as error:
            await self._refused(opened[0] if opened else None, operations, error, result)
        else:
            await self._written(opened[0], operations, answer, result)

    async def _written(
        self,
        request: int | None,
        operations: Sequence[StoredOperation],
        answer: Response,
        result: QueueUpdate,
    ) -> None:
        call = operations[0].operation.call
        outcome: Outcome = "unconfirmed" if call in CONSENT_CALLS else "written"
        await self._end.settle(
            request,
            (
                SettledOperation(
                    stored,
                    outcome,
                    status=answer.status,
                    response=response_summary(answer.body),
                    detail=replay_remark(stored.operation),
                    ms=answer.duration_ms,
                )
                for stored in operations
            ),
            result,
            profiles=learned_profiles(answer.body) if call == UPSERT_CALL else None,
        )

    async def _refused(
        self,
        request: int | None,
        operations: Sequence[StoredOperation],
        error: KlaviyoError,
        result: QueueUpdate,
    ) -> None:
        call = operations[0].operation.call
        # Without a request nothing was sent: then there is no doubt about it.
        found = action_for(error, call if request is not None else "get")
        if found.kind == "look":
            found = await self._look(operations, error, found)
        if operations[0].operation.is_gate and found.kind in ("fail", "look"):
            await self._unread(operations, error, found, result)
        elif call in packing.PACKED_CALLS and found.kind in ("fail", "look"):
            await self._cut(request, operations, error, result)
        elif call in CONSENT_CALLS and found.kind in ("fail", "look"):
            await self._consent.refused(request, operations, error, found.detail, result)
        elif call == UPSERT_CALL and len(operations) > 1 and found.kind in ("fail", "look"):
            await self._apart(request, operations, error, result)
        elif isinstance(error, Conflict):
            await self._conflicts.refused(request, operations[0], error, result)
        elif found.kind in ("fail", "look"):
            await self._end.fail(request, operations, error, found.detail, result)
        elif found.kind == "hold":
            await self._end.hold(request, operations, found, result)
        elif found.kind == "doubt":
            await self._consent.doubt(request, operations, found.detail, result)
        else:
            await self._end.delay(request, operations, found, result)

    async def _look(
        self, operations: Sequence[StoredOperation], error: KlaviyoError, found: Action
    ) -> Action:
        """A 404: is what the step names gone, or is it something in the request?"""
        target = operations[0].operation.destination
        if target is None or target.id is None or target.type == "metric":
            return replace(found, kind="fail")
        try:
            await self._to.client.call(Call(f"get_{target.type}"), ids={"id": target.id})
        except NotInAccount:
            gone = f"the {target.type} {target.name} ({target.id}) is gone from the account"
            return Action("hold", gone, "target_gone")
        except KlaviyoError as unread:
            return action_for(unread, "get")
        return replace(found, detail=str(error))

    async def _cut(
        self,
        request: int | None,
        operations: Sequence[StoredOperation],
        error: KlaviyoError,
        result: QueueUpdate,
    ) -> None:
        """A row of a list call was refused: take it out and send the rest."""
        if len(operations) == 1:
            await self._wrong_profile(request, operations[0], error, result)
            return
        if request is not None:
            now = self._clock()
            delayed = [DelayedOperation(each, now, str(error)) for each in operations]
            await self._journal.answer_request(request, delayed=delayed, now=now)
        for part in split_rejected(operations, rejected_rows(error)):
            try:
                await self._list_call(part, result)
            except KlaviyoError as unread:
                await self._refused(None, part, unread, result)

    async def _apart(
        self,
        request: int | None,
        operations: Sequence[StoredOperation],
        error: KlaviyoError,
        result: QueueUpdate,
    ) -> None:
        """Updates that were folded into one were refused: each is sent by itself, so that each has its own fate."""
        result.single_only.update(each.seq for each in operations)
        await self._end.delay(request, operations, Action("delay", str(error), wait_ms=0), result)

    async def _wrong_profile(
        self, request: int | None, stored: StoredOperation, error: KlaviyoError, result: QueueUpdate
    ) -> None:
        """A list call for one profile was refused: its remembered id may be of a profile that is no more."""
        if not isinstance(error, NotInAccount) or stored.attempts + 1 >= MAX_IDENTIFYING_ATTEMPTS:
            await self._end.fail(request, [stored], error, str(error), result)
            return
        known = await self._profile_ids([stored])
        if stored.operation.id in known:
            await self._journal.forget_profile_id(self._to.name, known[stored.operation.id])
        wait = 0 if stored.attempts < MAX_IMMEDIATE_LOOKUPS else None
        await self._end.delay(request, [stored], Action("delay", str(error), wait_ms=wait), result)

    async def _unread(
        self, operations: Sequence[StoredOperation], error: KlaviyoError, found: Action, result: QueueUpdate
    ) -> None:
        """A gate that can't be read is held; where an identifier may be the reason, the others are read without it."""
        if not isinstance(error, InvalidRequest):
            await self._end.hold(None, operations, Action("hold", found.detail, "gate_unreadable"), result)
        elif len(operations) == 1:
            await self._end.fail(None, operations, error, found.detail, result)
        else:
            for part in split_rejected(operations, ()):
                try:
                    await self._gate(part, result)
                except KlaviyoError as unread:
                    await self._refused(None, part, unread, result)

    async def _gate(self, operations: Sequence[StoredOperation], result: QueueUpdate) -> None:
        segment = operations[0].operation.destination
        if segment is None or segment.id is None:
            raise ValueError(f"gate {operations[0].operation.step} names no segment")
        identities = [stored.operation.profile for stored in operations]
        answers = await members_of_segment(self._to.client, segment.id, identities, priority="bulk")
        settled = []
        for stored in operations:
            why = gate_refusal(stored.operation, answers[stored.operation.profile])
            settled.append(SettledOperation(stored, "skipped" if why else "passed", detail=why))
        await self._end.settle(None, settled, result)

    async def _identify(self, stored: StoredOperation, priority: Priority, result: QueueUpdate) -> None:
        """An upsert of bare identifiers is not sent where the answer of an earlier one showed them all."""
        keys = stored.operation.profile.keys()
        known = await self._journal.profile_ids(self._to.name, keys)
        if len(known) == len(keys) and len(set(known.values())) == 1:
            await self._end.skip([stored], f"known as {next(iter(known.values()))}", result)
        else:
            await self._request([stored], {}, priority, result)

    async def _list_call(self, operations: Sequence[StoredOperation], result: QueueUpdate) -> None:
        ids = await self._profile_ids(operations)
        unknown = [stored for stored in operations if stored.operation.id not in ids]
        adds = operations[0].operation.call == Call.ADD_PROFILES_TO_LIST
        if adds and len(unknown) >= MIN_UNKNOWN_FOR_IMPORT:
            await self.bulk.add_to_list(unknown, result)
            unknown = []
        if unknown:
            found = await find_profiles(self._to.client, [stored.operation.profile for stored in unknown])
            for stored in unknown:
                profile = found.get(stored.operation.profile)
                if profile is not None:
                    ids[stored.operation.id] = profile.id
                elif adds:
                    await self._make_profile(stored, result)
                else:
                    await self._end.skip([stored], "no such profile: nothing to remove", result)
        sendable = [stored for stored in operations if stored.operation.id in ids]
        most = packing.batch_capacity(operations[0].operation.call, self._to.revision)
        for start in range(0, len(sendable), most):
            await self._request(sendable[start : start + most], ids, "bulk", result)

    async def _make_profile(self, stored: StoredOperation, result: QueueUpdate) -> None:
        """No profile has the identifiers any more: it is made, and the addition tried again."""
        bare = replace(
            stored.operation,
            kind="upsert_profile",
            call=UPSERT_CALL,
            target=None,
            through=None,
            body={"attributes": {}, "properties": {}, "unset": []},
        )
        request = packing.build_request([bare], self._to.revision, {})
        opened = await self._end.open(request, ())
        try:
            answer = await self._to.client.call(request.call, body=request.body)
        except KlaviyoError as error:
            await self._journal.answer_request(opened, now=self._clock())
            await self._refused(None, [stored], error, result)
            return
        await self._journal.answer_request(
            opened, profiles=learned_profiles(answer.body), connection=self._to.name, now=self._clock()
        )
        await self._end.delay(None, [stored], Action("delay", "its profile was made", wait_ms=0), result)

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


def is_identifying(operation: Operation) -> bool:
    """Whether the operation upserts nothing but identifiers."""
    return operation.call == UPSERT_CALL and not is_update(operation)
