"""The sender: sends operations that share a request, and commits the result of each of them.

The intent is durable before the first byte, and the answer is settled with its audit in one transaction: a crash in
between leaves the request in doubt, and it is sent again with the same members before anything else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from askel_tui.contract.calls import Call
from askel_tui.core.addressing import CONSENT_CALLS
from askel_tui.core.hold_causes import Cause
from askel_tui.core.requests.packing import PACKED_CALLS
from askel_tui.klaviyo.errors import Conflict, KlaviyoError, Unavailable, UnreadableResponse
from askel_tui.klaviyo.priority import Priority
from askel_tui.klaviyo.reads.consent import find_shown_operations
from askel_tui.klaviyo.responses import resource_of
from askel_tui.store.journal.errors import StaleOperations
from askel_tui.store.journal.interface import Clock, Journal
from askel_tui.store.journal.rows import OpenRequest, StoredOperation
from askel_tui.sync.connected import Connected
from askel_tui.sync.import_jobs.following import JobFollower
from askel_tui.sync.import_jobs.slow_jobs import JobWait
from askel_tui.sync.sending import batches
from askel_tui.sync.sending.batches import BULK_CALLS, Batch, Prepared, ProfileUpdates
from askel_tui.sync.sending.committer import Committer
from askel_tui.sync.sending.exchange import Exchange, OptOutsTooOld, Reply, report_open_requests
from askel_tui.sync.sending.identity_conflicts import IdentityConflicts
from askel_tui.sync.sending.preparation import CANT_SAY, Preparation
from askel_tui.sync.sending.shared_phones import SharedPhones
from askel_tui.sync.settlement.bulk_calls import JobEnd, interpret_events, interpret_import
from askel_tui.sync.settlement.error_policy import Action, action_for, settlement_for, target_to_check
from askel_tui.sync.settlement.single_calls import NO_EVIDENCE, Evidence, interpret
from askel_tui.sync.settlement.values import QueueUpdate, Settlement


class FreshnessGate(Protocol):
    """The interface of the account checker that the sender uses."""

    async def ensure_fresh(self, connection: str, operations: Sequence[StoredOperation]) -> bool:
        """Waits until the targets of the operations' steps were verified within the last 15 s.

        Returns False where one of these steps is held by now: the journal knows which operations still wait. Raises
        `KlaviyoError` where the account can't be read: nothing is to be sent then, but later.
        """
        ...


class Sender:
    """A sender of the operations of one connection; it settles them too. It never raises for what Klaviyo answers.

    Without a `gate` all operations may be sent.
    """

    def __init__(
        self, connected: Connected, journal: Journal, clock: Clock, gate: FreshnessGate | None = None
    ) -> None:
        self.connected = connected
        self._journal = journal
        self._clock = clock
        self._gate = gate
        self._committer = Committer(connected, journal, clock)
        self._exchange = Exchange(connected, journal, clock)
        self._preparation = Preparation(connected, journal, clock, self._exchange)
        self._conflicts = IdentityConflicts(connected, journal, clock, self._exchange)
        self._phones = SharedPhones(connected, journal)
        self._jobs = JobFollower(connected, journal, clock)

    def retire(self) -> None:
        """Retires this sender for another one, maybe with another key: no step is held for the key of this one any
        more."""
        self._committer.retired = True

    @property
    def revision(self) -> str:
        """The revision that the connection is pinned to."""
        return self.connected.revision

    async def send(self, operations: Sequence[StoredOperation], priority: Priority = "live") -> QueueUpdate:
        """Sends operations that may share a request."""
        update, admitted = await self._admit(operations, priority)
        if admitted:
            update.add(await self._send_all([list(admitted.values())], priority))
        return update

    async def import_profiles(self, profiles: Sequence[ProfileUpdates], list_id: str | None) -> QueueUpdate:
        """Sends updates of many profiles as import jobs, which put them on the list where it is given."""
        update, admitted = await self._admit(list(batches.row_operations(profiles)), "bulk")
        rows = batches.admitted_rows(profiles, admitted)
        try:
            prepared = batches.import_batches(rows, list_id, self.revision)
        except CANT_SAY as problem:
            prepared = self._preparation.hold_unsayable(list(batches.row_operations(rows)), problem)
        update.add(await self._send_concurrently(prepared))
        return update

    async def send_events(self, events: Sequence[StoredOperation]) -> QueueUpdate:
        """Sends events in bulk."""
        update, admitted = await self._admit(events, "bulk")
        try:
            decided = await self._preparation.decide(list(admitted.values()))
        except KlaviyoError as error:
            settlement = interpret(list(admitted.values()), error, NO_EVIDENCE, sent=False)
            update.add(await self._committer.commit(None, settlement))
            return update
        try:
            prepared = batches.event_batches(decided.going, self.revision)
        except CANT_SAY as problem:
            prepared = self._preparation.hold_unsayable(decided.going, problem)
        settlements = [*decided.settlements, *prepared.settlements]
        update.add(await self._send_concurrently(Prepared(prepared.batches, settlements)))
        return update

    async def send_again(self, unanswered: OpenRequest) -> QueueUpdate:
        """Settles a request in doubt: it is sent once more with the same bytes, if that is harmless.

        Consent is read back instead. An import job that is known is followed; where its answer was lost, all that may
        be the one are waited for, so that no newer write is overtaken by it, and then its rows go anew. All of this
        at the revision that the request was made at, wherever the connection was moved since.
        """
        to = await self.connected.at(unanswered.intent.revision)
        if to is not self.connected:
            return await Sender(to, self._journal, self._clock, self._gate).send_again(unanswered)
        if not unanswered.operations:
            await self._journal.answer_request(unanswered.id, now=self._clock())
            return QueueUpdate()
        batch, job = batches.batch_in_doubt(unanswered), None
        if unanswered.intent.call == Call.BULK_IMPORT_PROFILES:
            reply = Reply(unanswered.id, Unavailable("the program stopped before the job was known"))
            job = await self._follow_job(batch, reply, unanswered.opened, unanswered.job)
        elif unanswered.intent.call in CONSENT_CALLS:
            reply = Reply(unanswered.id, Unavailable("the program stopped before the answer"))
        else:
            if unanswered.intent.call in PACKED_CALLS:
                ids = await self._preparation.profile_ids(unanswered.operations)
                batch = replace(batch, profile_ids=ids)
            reply = await self._exchange.send(batch, unanswered.id)
        # The request that was in doubt may have arrived, whatever the answer to this one says.
        settlement = replace(await self._interpret(batch, reply, job), may_be_written=True)
        update = await self._committer.commit(unanswered.id, settlement)
        update.add(await self._send_all(self._again(batch, settlement), "live"))
        return update

    async def _admit(
        self, operations: Sequence[StoredOperation], priority: Priority
    ) -> tuple[QueueUpdate, Mapping[int, StoredOperation]]:
        """Checks what is known before operations are sent: their targets, and whose their phone numbers are.

        Returns what became of those that are not sent, and the others by `seq`, as they are to be sent.
        """
        checked = await self._check_targets(operations)
        if checked is not None:
            return checked, {}
        try:
            decided = await self._phones.decide(operations, priority)
        except KlaviyoError as error:
            settlement = interpret(operations, error, NO_EVIDENCE, sent=False)
            return await self._committer.commit(None, settlement), {}
        if decided.settlement is None:
            return QueueUpdate(), decided.sent
        return await self._committer.commit(None, decided.settlement), decided.sent

    async def _check_targets(self, operations: Sequence[StoredOperation]) -> QueueUpdate | None:
        """Checks the targets of operations: None where they may be sent now, else the change of the queue that delays
        them."""
        try:
            if self._gate is None or await self._gate.ensure_fresh(self.connected.name, operations):
                return None
        except KlaviyoError as error:
            action = action_for(error, None)
            if action.cause != Cause.LIMIT:
                detail = f"the account could not be looked at: {error}"
                action = Action("delay", detail, wait_ms=int((error.retry_after or 0) * 1000) or None)
            settlement = settlement_for(action, operations)
            assert settlement is not None
            return await self._committer.commit(None, settlement)
        if operations[0].operation.is_gate:
            # The journal holds the steps below with it; in memory they would be first in line now.
            return QueueUpdate(stopped=list(operations), reload=True)
        return QueueUpdate(done=list(operations), reload=True)

    async def _send_concurrently(self, prepared: Prepared) -> QueueUpdate:
        """Commits the operations that need no request, and sends the batches at the same time."""
        update = QueueUpdate()
        for settlement in prepared.settlements:
            update.add(await self._committer.commit(None, settlement))
        for sent in await asyncio.gather(*(self._send_all([batch], "bulk") for batch in prepared.batches)):
            update.add(sent)
        return update

    async def _send_all(
        self, work: Sequence[Batch | Sequence[StoredOperation]], priority: Priority
    ) -> QueueUpdate:
        """Sends batches, and groups of operations that have yet to be prepared, one after another."""
        waiting = list(work)
        update = QueueUpdate()
        while waiting:
            item = waiting.pop(0)
            if isinstance(item, Batch):
                job = None
                if item.request.call == Call.BULK_IMPORT_PROFILES:
                    began = self._clock()
                    reply = await self._exchange.send(item)
                    job = await self._follow_job(item, reply, began)
                else:
                    reply = await self._exchange.send(item)
                settlement = await self._interpret(item, reply, job)
                if _may_be_written(reply, job):
                    settlement = replace(settlement, may_be_written=True)
                update.add(await self._committer.commit(reply.request_id, settlement))
                self._preparation.note_sent(item, settlement)
                if settlement.learned_profiles:
                    self._phones.learn(settlement.learned_profiles.values())
                waiting[:0] = self._again(item, settlement)
                continue
            prepared = await self._prepare(item, priority)
            waiting[:0] = prepared.batches
            for settlement in prepared.settlements:
                update.add(await self._committer.commit(None, settlement))
                waiting[:0] = settlement.again
        return update

    async def _prepare(self, operations: Sequence[StoredOperation], priority: Priority) -> Prepared:
        try:
            return await self._preparation.prepare(operations, priority)
        except CANT_SAY as problem:
            return self._preparation.hold_unsayable(operations, problem)
        except KlaviyoError as error:
            # A read that comes before the request failed: nothing was written.
            evidence = await self._find_evidence(operations, error, None)
            return Prepared(settlements=[interpret(operations, error, evidence, sent=False)])

    def _again(self, batch: Batch, settlement: Settlement) -> Sequence[Batch | Sequence[StoredOperation]]:
        """Returns the batches that are sent again right away."""
        if batch.request.call in PACKED_CALLS or batch.opt_outs_read is not None:
            return settlement.again
        if batch.request.call in BULK_CALLS:
            rest = [batches.remaining_batches(batch, group, self.revision) for group in settlement.again]
            return [each for prepared in rest for each in prepared.batches]
        return [
            each for group in settlement.again for each in self._preparation.batches(group, batch.priority)
        ]

    async def _interpret(self, batch: Batch, reply: Reply, job: JobEnd | None) -> Settlement:
        outcome, sent = reply.outcome, reply.request_id is not None
        if isinstance(outcome, StaleOperations):
            return Settlement(stale=batch.operations)
        if isinstance(outcome, OptOutsTooOld):
            return Settlement(again=[batch.operations], again_reason="opt-outs are read again")
        if batch.request.call == Call.BULK_IMPORT_PROFILES:
            return interpret_import(batch.operations, outcome, batch.rows, job)
        if batch.request.call == Call.BULK_CREATE_EVENTS:
            return interpret_events(batch.operations, outcome, batch.rows)
        evidence = NO_EVIDENCE
        if isinstance(outcome, KlaviyoError):
            call = batch.request.call if sent else None
            evidence = await self._find_evidence(batch.operations, outcome, call)
        body, ids = batch.request.body, batch.profile_ids
        return interpret(batch.operations, outcome, evidence, sent=sent, body=body, profile_ids=ids)

    async def _find_evidence(
        self, operations: Sequence[StoredOperation], error: KlaviyoError, call: Call | None
    ) -> Evidence:
        """Reads from the account the evidence that is needed to interpret an error."""
        client, first = self.connected.client, operations[0].operation
        kind = action_for(error, call).kind
        if kind == "check_target" and (target := target_to_check(first)) is not None:
            try:
                await client.call(Call(f"get_{target.type}"), ids={"id": target.id or ""})
            except KlaviyoError as read_error:
                return Evidence(target_error=read_error)
        elif kind == "read_back":
            try:
                plain = [stored.operation for stored in operations]
                return Evidence(written=await find_shown_operations(client, plain))
            except KlaviyoError:
                return NO_EVIDENCE
        elif isinstance(error, Conflict):
            return Evidence(conflict=await self._conflicts.investigate(operations, error))
        return NO_EVIDENCE

    async def _follow_job(
        self, batch: Batch, reply: Reply, began: int, job: str | None = None
    ) -> JobEnd | None:
        """Follows the import job that was made of a batch to its end, and returns how it ended; None where none was
        made.

        It is `job`, or the one that the reply names. Where that is lost, any of the account's may be it.
        """
        request, outcome = reply.request_id, reply.outcome
        if request is None or isinstance(outcome, StaleOperations | OptOutsTooOld):
            return None
        if not isinstance(outcome, KlaviyoError):
            job, began = str(resource_of(outcome.body).get("id") or "") or None, self._clock()
            reason = "Klaviyo's answer names no job"
            if job is not None:
                await self._journal.save_job_id(request, job)
                report_open_requests(-1)
        elif isinstance(outcome, Unavailable | UnreadableResponse) and outcome.may_have_arrived:
            reason = str(outcome)
        else:
            return None
        wait = JobWait(request, job, batch.operations, began)
        if job is not None:
            return await self._jobs.follow(wait)
        report_open_requests(-1)
        return await self._jobs.wait_out(wait, len(batch.rows), reason)


def _may_be_written(reply: Reply, job: JobEnd | None) -> bool:
    """Checks whether a request may have written what it carried, although its answer does not say so."""
    lost = isinstance(reply.outcome, Unavailable | UnreadableResponse) and reply.outcome.may_have_arrived
    return job is not None or (lost and reply.request_id is not None)
