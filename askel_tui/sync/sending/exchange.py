"""Exchanges: a request is recorded before its first byte is sent, and returns with its answer as a value."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

from askel_tui.contract.calls import Call
from askel_tui.core.addressing import CONSENT_CALLS
from askel_tui.core.requests.packing import Request
from askel_tui.klaviyo.client import Response
from askel_tui.klaviyo.errors import KlaviyoError
from askel_tui.store.journal.errors import StaleOperations
from askel_tui.store.journal.interface import Clock, Journal
from askel_tui.store.journal.rows import RequestIntent
from askel_tui.sync.connected import Connected
from askel_tui.sync.sending.batches import Batch

OPEN_REQUESTS_OBSERVER: ContextVar[Callable[[int], None] | None] = ContextVar(
    "OPEN_REQUESTS_OBSERVER", default=None
)
"""A callback that gets 1 before a request is opened: its task has to end, or the request is in doubt.

Called with -1 once a request only waits for an import job: the next run can do that as well.
"""


class OptOutsTooOld(Exception):
    """The opt-outs of a batch were read too long ago by the time that it could be sent; nothing was sent."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The result of sending a batch. `request_id` is that of its request in the journal; None where nothing was
    sent."""

    request_id: int | None
    outcome: Response | KlaviyoError | StaleOperations | OptOutsTooOld


class Exchange:
    """An exchange of requests and answers for one connection."""

    def __init__(self, to: Connected, journal: Journal, clock: Clock) -> None:
        self._to = to
        self._journal = journal
        self._clock = clock

    async def send(self, batch: Batch, opened: int | None = None) -> Reply:
        """Sends a batch, as the request that was `opened` for it before, or as a new one.

        Raises no error of Klaviyo's. The outcome is `StaleOperations` where some operations wait no longer: a hold or
        a failure of another request took them away while this one waited for its slot. Nothing was sent then, and
        nothing where it is `OptOutsTooOld`.
        """
        to, call, request_id = self._to, batch.request.call, opened

        async def open_request() -> None:
            nonlocal request_id
            read, max_age = batch.opt_outs_read, to.timing.max_opt_outs_age_ms
            if read is not None and not 0 <= self._clock() - read <= max_age:
                raise OptOutsTooOld
            if request_id is not None:
                return
            report_open_requests(1)
            intent = RequestIntent(
                connection=to.name,
                account=to.account,
                call=call,
                method=batch.request.method,
                path=batch.request.path,
                body=batch.request.body,
                revision=to.revision,
                key=to.key,
                operation_seqs=[stored.seq for stored in batch.operations],
                parts=batch.request.parts,
            )
            request_id = await self._journal.open_request(intent, self._clock())

        try:
            response = await to.client.call(
                call,
                ids=batch.request.ids,
                body=batch.request.body,
                # Consent is not sent twice, and a second import job beside one that may run could end before it.
                retry_mode="certain"
                if call in CONSENT_CALLS or call == Call.BULK_IMPORT_PROFILES
                else "always",
                priority=batch.priority,
                before_attempt=open_request,
            )
        except (KlaviyoError, StaleOperations, OptOutsTooOld) as error:
            return Reply(request_id, error)
        return Reply(request_id, response)

    async def call_alone(self, request: Request) -> Response:
        """Makes a call that carries no operations: it makes or merges profiles. Raises `KlaviyoError`."""
        reply = await self.send(Batch(request, ()))
        if reply.request_id is not None:
            await self._journal.answer_request(reply.request_id, now=self._clock())
        if isinstance(reply.outcome, Exception):
            raise reply.outcome
        return reply.outcome


def report_open_requests(count: int) -> None:
    """Reports to the task's owner how many more requests, or fewer, it has to end."""
    observer = OPEN_REQUESTS_OBSERVER.get()
    if observer is not None:
        observer(count)
