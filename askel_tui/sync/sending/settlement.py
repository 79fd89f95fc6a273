"""What became of operations, written into the journal and told to the queue: one place for every way to end."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from askel_tui.core.operations import IDENTIFIERS, Identity, Operation
from askel_tui.core.requests.packing import Request
from askel_tui.klaviyo.errors import KlaviyoError
from askel_tui.klaviyo.rate_limits.limiter import Priority
from askel_tui.klaviyo.responses import attributes_of, resource_of
from askel_tui.store.journal.interface import Clock, Journal
from askel_tui.store.journal.rows import (
    DelayedOperation,
    Hold,
    RequestIntent,
    SettledOperation,
    StoredOperation,
)
from askel_tui.sync.connected import Connected
from askel_tui.sync.sending.error_policy import KEY_CAUSES, Action, backoff_ms

log = logging.getLogger(__name__)

MAX_RESPONSE_BYTES = 4096
"""How much of an error's body the audit keeps, in bytes."""

MAX_OPERATIONS_PER_COMMIT = 1_000
"""Operations settled in one transaction, so that live ones do not wait behind a large job."""

LOG_INTERVAL_MS = 60_000
"""How long between two lines of the log about a connection's trouble, in milliseconds."""

OPEN_REQUESTS_OBSERVER: ContextVar[Callable[[int], None] | None] = ContextVar("WRITING", default=None)
"""Called with 1 when a request is about to be opened: from there on what sends it has to end, or it is in doubt.

Called with -1 when it may be left in doubt: it only waits for a job, and the next run can do that as well.
"""


@dataclass(frozen=True, slots=True, eq=False)
class OrphanedJob:
    """A request that stays open, for the key may not read its job: what it carries is neither sent nor overtaken."""

    request: int
    operations: Sequence[StoredOperation]
    settler: Settler


@dataclass(slots=True)
class QueueUpdate:
    """What became of operations, for the queue."""

    done: list[StoredOperation] = field(default_factory=list)
    """Gone from the queue."""
    again: list[StoredOperation] = field(default_factory=list)
    """Tried again once they are due."""
    single_only: set[int] = field(default_factory=set)
    """`seq` of operations that are not to travel in bulk any more."""
    holds: list[Hold] = field(default_factory=list)
    stopped: list[StoredOperation] = field(default_factory=list)
    """Operations that failed or refused: the later ones of their records are settled with them."""
    orphaned: list[OrphanedJob] = field(default_factory=list)
    reload: bool = False
    """Whether some of them were found to wait no longer: what is in memory is to be read again."""


Send = Callable[[Sequence[StoredOperation], Priority, QueueUpdate], Awaitable[None]]
"""Makes one request of operations that share one, and settles them."""


class Settler:
    """Settles, delays and holds operations of one connection."""

    def __init__(self, to: Connected, journal: Journal, clock: Clock) -> None:
        self.to = to
        self.journal = journal
        self.clock = clock
        self.retired = False
        """Whether the connection was taken over since, maybe with another key."""
        self._told: int | None = None
        """When the log last told of trouble."""

    async def open(self, request: Request, operations: Iterable[StoredOperation]) -> int:
        """Writes the intent down; durable when it returns. Gives the request's id."""
        _writing(1)
        intent = RequestIntent(
            connection=self.to.name,
            account=self.to.account,
            call=request.call,
            method=request.method,
            path=request.path,
            body=request.body,
            revision=self.to.revision,
            key=self.to.key,
            operation_seqs=[stored.seq for stored in operations],
        )
        return await self.journal.open_request(intent, self.clock())

    async def note_job(self, request: int, job: str) -> None:
        """Writes down which job was made of a request."""
        await self.journal.save_job_id(request, job)
        self.wait_only()

    def wait_only(self) -> None:
        """From here on a request only waits for a job: the program may end without it."""
        _writing(-1)

    async def settle(
        self,
        request: int | None,
        settled: Iterable[SettledOperation],
        result: QueueUpdate,
        *,
        profiles: Mapping[str, Identity] | None = None,
    ) -> None:
        """Settles operations, in several transactions where they are many."""
        rest = iter(settled)
        while True:
            part = list(islice(rest, MAX_OPERATIONS_PER_COMMIT))
            if not part:
                return
            await self.journal.answer_request(
                request, settled=part, profiles=profiles, connection=self.to.name, now=self.clock()
            )
            for each in part:
                refused = each.outcome == "failed" or (
                    each.outcome == "skipped" and each.operation.operation.is_gate
                )
                (result.stopped if refused else result.done).append(each.operation)

    async def skip(self, operations: Iterable[StoredOperation], detail: str, result: QueueUpdate) -> None:
        """Ends operations that need no request."""
        await self.settle(
            None, [SettledOperation(stored, "skipped", detail=detail) for stored in operations], result
        )

    async def fail(
        self,
        request: int | None,
        operations: Iterable[StoredOperation],
        error: KlaviyoError,
        detail: str,
        result: QueueUpdate,
    ) -> None:
        """Fails operations with what Klaviyo said."""
        body = error.body[:MAX_RESPONSE_BYTES] if error.body else None
        failed = [
            SettledOperation(stored, "failed", status=error.status, response=body, detail=detail)
            for stored in operations
        ]
        await self.settle(request, failed, result)

    async def hold(
        self, request: int | None, operations: Sequence[StoredOperation], found: Action, result: QueueUpdate
    ) -> None:
        """Holds the steps of operations; these wait with them."""
        if self.retired and found.cause in KEY_CAUSES:
            await self.delay(request, operations, replace(found, kind="delay", wait_ms=0), result)
            return
        await self._hold(request, operations, found, result)
        result.done.extend(operations)

    async def leave_open(
        self, request: int, operations: Sequence[StoredOperation], found: Action, result: QueueUpdate
    ) -> None:
        """Holds the steps of operations whose job can't be read with this key; their request stays open.

        Sent again they could run beside the job. With another key, or when a hold ends, the job is looked for again.
        """
        if not self.retired:
            await self._hold(request, operations, found, result, carried=True)
        result.orphaned.append(OrphanedJob(request, operations, self))

    async def _hold(
        self,
        request: int | None,
        operations: Sequence[StoredOperation],
        found: Action,
        result: QueueUpdate,
        *,
        carried: bool = False,
    ) -> None:
        now = self.clock()
        for workflow, step in dict.fromkeys((each.workflow, each.operation.step) for each in operations):
            hold = Hold(self.to.name, workflow, step, found.cause, found.detail, now)
            held = [each for each in operations if (each.workflow, each.operation.step) == (workflow, step)]
            # In one transaction: a crash in between would let consent in doubt be sent again.
            await self.journal.answer_request(
                request, held=held, hold=hold, keep_carrying=carried, connection=self.to.name, now=now
            )
            result.holds.append(hold)

    async def delay(
        self, request: int | None, operations: Sequence[StoredOperation], found: Action, result: QueueUpdate
    ) -> None:
        """Has operations tried again: after a back-off, or at once where the verdict's wait is 0.

        Steps whose trouble lasts longer than `pause_after` are held instead.
        """
        now = self.clock()
        attempts = max((each.attempts for each in operations), default=0)
        wait = backoff_ms(attempts, found.wait_ms) if found.wait_ms != 0 else 0
        if wait:
            self._tell(found.detail, now)
        worn = self._worn(operations, now) if wait else set()
        out = [each for each in operations if (each.workflow, each.operation.step) in worn]
        if out:
            await self.hold(request, out, replace(found, kind="hold", cause="outage"), result)
            operations = [each for each in operations if (each.workflow, each.operation.step) not in worn]
        if out and not operations:
            return
        delayed = [DelayedOperation(each, now + wait, found.detail) for each in operations]
        await self.journal.answer_request(request, delayed=delayed, connection=self.to.name, now=now)
        since = now if wait else 0
        result.again.extend(
            replace(
                each.operation,
                due=each.due,
                attempts=each.operation.attempts + 1,
                retrying_since=each.operation.retrying_since or since,
            )
            for each in delayed
        )

    def _tell(self, detail: str, now: int) -> None:
        """Says in the log that something is tried again: once, while the same trouble meets many."""
        if self._told is None or not 0 <= now - self._told < LOG_INTERVAL_MS:
            self._told = now
            log.warning("%s: %s; it is tried again", self.to.name, detail.rstrip("."))

    def _worn(self, operations: Iterable[StoredOperation], now: int) -> set[tuple[str, str]]:
        """The steps (workflow, step) with an operation that has been in trouble for too long."""
        return {
            (each.workflow, each.operation.step)
            for each in operations
            if each.retrying_since and now - each.retrying_since > self.to.pause_after_ms
        }


def _writing(requests: int) -> None:
    tell = OPEN_REQUESTS_OBSERVER.get()
    if tell is not None:
        tell(requests)


def learned_profiles(body: Any) -> dict[str, Identity]:
    """The profile id that an upsert answered, with the identifiers it showed."""
    data = resource_of(body)
    if not isinstance(data.get("id"), str):
        return {}
    shown = attributes_of(data)
    named = {name: shown[name] for name in IDENTIFIERS if isinstance(shown.get(name), str)}
    return {data["id"]: Identity(**named)}


def replay_remark(operation: Operation) -> str | None:
    """What the audit says of a write beside its answer: that it was a replay."""
    return "replay" if operation.body.get("replay") else None


def response_summary(body: Any) -> bytes | None:
    """What the audit keeps of a good answer: which resource it names."""
    data = resource_of(body)
    if not data:
        return None
    return json.dumps({"data": {"type": data.get("type"), "id": data.get("id")}}).encode()
