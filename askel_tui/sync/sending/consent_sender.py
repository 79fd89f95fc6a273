"""Sending consent: many profiles in one job, and never a second time where the fate of a write is unknown."""

from __future__ import annotations

from collections.abc import Sequence

from askel_tui.core.requests import packing
from askel_tui.core.requests.packing import addressed_identity
from askel_tui.klaviyo.errors import KlaviyoError
from askel_tui.klaviyo.rate_limits.limiter import Priority
from askel_tui.klaviyo.reads import consent
from askel_tui.klaviyo.reads.profiles import members_of_list
from askel_tui.store.journal.rows import DelayedOperation, SettledOperation, StoredOperation
from askel_tui.sync.sending.error_policy import Action
from askel_tui.sync.sending.settlement import QueueUpdate, Send, Settler
from askel_tui.sync.sending.splitting import rejected_rows, split_rejected


class ConsentSender:
    """Sends subscriptions and their withdrawal for one connection. Never raises for what Klaviyo answers to a write."""

    def __init__(self, end: Settler, send: Send) -> None:
        self._end = end
        self._send = send

    async def send(
        self, operations: Sequence[StoredOperation], priority: Priority, result: QueueUpdate
    ) -> None:
        """Sends operations of one list, source and kind, as many a request as Klaviyo takes.

        Raises `KlaviyoError` where a read before the write fails: nothing was written then.
        """
        first = operations[0].operation
        if first.call != consent.SUBSCRIBE_CALL and first.destination is not None:
            operations = await self._on_list(operations, result)
        most = packing.batch_capacity(first.call, self._end.to.revision)
        for start in range(0, len(operations), most):
            await self._send(operations[start : start + most], priority, result)

    async def _on_list(
        self, operations: Sequence[StoredOperation], result: QueueUpdate
    ) -> Sequence[StoredOperation]:
        """A profile outside the given list would be unsubscribed everywhere, so membership is read first."""
        target = operations[0].operation.destination
        if target is None or target.id is None:
            raise ValueError(f"step {operations[0].operation.step} names no list")
        who = {stored.seq: addressed_identity(stored.operation) for stored in operations}
        members = await members_of_list(self._end.to.client, target.id, who.values())
        off_list = [stored for stored in operations if not members.get(who[stored.seq])]
        if off_list:
            why = f"not on {target.name}: Klaviyo would unsubscribe the profile everywhere"
            await self._end.skip(off_list, why, result)
        return [stored for stored in operations if members.get(who[stored.seq])]

    async def refused(
        self,
        request: int | None,
        operations: Sequence[StoredOperation],
        error: KlaviyoError,
        detail: str,
        result: QueueUpdate,
    ) -> None:
        """A whole job was refused, so nothing of it was written: bad rows go by themselves, the rest without them."""
        if len(operations) == 1:
            await self._end.fail(request, operations, error, detail, result)
            return
        now = self._end.clock()
        delayed = [DelayedOperation(each, now, detail) for each in operations]
        await self._end.journal.answer_request(request, delayed=delayed, now=now)
        for part in split_rejected(operations, rejected_rows(error)):
            await self._send(part, "bulk", result)

    async def doubt(
        self, request: int | None, operations: Sequence[StoredOperation], detail: str, result: QueueUpdate
    ) -> None:
        """Operations whose fate is unknown, read back, else held for a person, and followed (`doubts`)."""
        try:
            shown = await consent.find_shown_operations(
                self._end.to.client, [each.operation for each in operations]
            )
        except KlaviyoError:
            shown = set()
        read = [
            SettledOperation(stored, "written", detail=f"read back after doubt: {detail}")
            for stored in operations
            if stored.operation.id in shown
        ]
        await self._end.settle(request, read, result)
        held = [stored for stored in operations if stored.operation.id not in shown]
        if held:
            unknown = f"{detail}; {consent.UNKNOWN_OUTCOME_REASON}"
            await self._end.hold(request, held, Action("hold", unknown, "in_doubt"), result)
