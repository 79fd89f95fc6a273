"""Sending in bulk: import jobs and bulk event calls, and what became of every row in them.

An import job answers 202 and fails rows later, so it is polled to its end and all its errors are read; a bulk event
call offers nothing to poll, so its events stay unconfirmed (docs/klaviyo.md 2.6, 2.12). A row that can't be told good
or bad in bulk is sent by itself: the single call is the judge.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

from askel_tui.contract.calls import Call
from askel_tui.core.requests import bulk, coalescing
from askel_tui.core.requests.bulk import BulkRequest, Row
from askel_tui.core.requests.packing import Request
from askel_tui.klaviyo.errors import (
    InvalidRequest,
    KlaviyoError,
    NotInAccount,
    Unavailable,
    UnreadableResponse,
)
from askel_tui.klaviyo.responses import resource_of
from askel_tui.store.journal.errors import StaleOperations
from askel_tui.store.journal.rows import (
    Decision,
    DelayedOperation,
    OpenRequest,
    Outcome,
    SettledOperation,
    StoredOperation,
)
from askel_tui.sync.import_jobs import row_errors
from askel_tui.sync.import_jobs.polling import JobPoller, wait_for_possible_jobs
from askel_tui.sync.import_jobs.slow_jobs import JobWait, SlowJobs
from askel_tui.sync.sending.error_policy import KEY_CAUSES, Action, action_for
from askel_tui.sync.sending.settlement import QueueUpdate, Settler, replay_remark

log = logging.getLogger(__name__)

IMPORT_CALL, EVENTS_CALL = Call.BULK_IMPORT_PROFILES, Call.BULK_CREATE_EVENTS
BULK_CALLS = frozenset({IMPORT_CALL, EVENTS_CALL})

IMBALANCE_KIND = "imbalance"
"""The audit's word for a job whose figures do not add up."""

ProfileUpdates = tuple[Sequence[StoredOperation], StoredOperation | None]
"""Updates of one profile that become one, and the list addition of the last one's record that travels along."""


class BulkSender:
    """Sends rows of one connection in bulk. Never raises for what Klaviyo answers."""

    def __init__(self, end: Settler) -> None:
        self._end = end
        self._jobs = JobPoller(end.to.client)
        self._slow = SlowJobs(end)

    async def import_profiles(
        self, profiles: Sequence[ProfileUpdates], list_id: str | None, result: QueueUpdate
    ) -> None:
        """Upserts profiles, and puts them on the list where it is given."""
        revision = self._end.to.revision
        rows = [
            bulk.import_row(
                [each.operation for each in upserts], revision, addition.operation if addition else None
            )
            for upserts, addition in profiles
        ]
        await self._send(IMPORT_CALL, rows, _by_id(row_operations(profiles)), list_id, result)

    async def add_to_list(self, additions: Sequence[StoredOperation], result: QueueUpdate) -> None:
        """Puts profiles on a list by their identifiers, without knowing their ids."""
        destination = additions[0].operation.destination
        rows = [bulk.addition_row(stored.operation, self._end.to.revision) for stored in additions]
        await self._send(
            IMPORT_CALL, rows, _by_id(additions), destination.id if destination else None, result
        )

    async def events(self, events: Sequence[StoredOperation], result: QueueUpdate) -> None:
        """Sends events; no call repeats a `unique_id`."""
        first: dict[str, StoredOperation] = {}
        repeated = [
            stored
            for stored in events
            if first.setdefault(stored.operation.body["unique_id"], stored) is not stored
        ]
        rows = [bulk.event_row(stored.operation, self._end.to.revision) for stored in first.values()]
        await self._send(EVENTS_CALL, rows, _by_id(first.values()), None, result)
        await self._alone(None, repeated, "the same event travels in this call already", result)

    async def send_again(self, doubt: OpenRequest, result: QueueUpdate) -> None:
        """Takes up a request in doubt: events go again with the same members; a job that is known is followed.

        An import job whose answer was lost may run. All of its kind are waited for, then the rows go anew: written
        twice they are what they are, and nothing newer can be overtaken by the old job.
        """
        if doubt.intent.call == IMPORT_CALL:
            stored = _by_id(doubt.operations)
            intent = doubt.intent
            operations = tuple(each.operation for each in doubt.operations)
            made = bulk.rebuild_import_request(
                Request(intent.call, intent.method, intent.path, {}, intent.body, operations)
            )
            if doubt.job:
                wait = JobWait(doubt.id, doubt.job, doubt.operations, doubt.opened)
                await self._follow(wait, made, stored, 0, result)
                return
            lost = "the program stopped before the job was known"
            await self._lost(
                JobWait(doubt.id, None, doubt.operations, doubt.opened), len(made.rows), lost, result
            )
            return
        try:
            answer = await self._end.to.client.call(EVENTS_CALL, body=doubt.intent.body, priority="bulk")
        except KlaviyoError as error:
            await self._refused(doubt.id, doubt.operations, error, result)
        else:
            await self._settle(
                doubt.id, doubt.operations, "unconfirmed", answer.status, answer.duration_ms, result
            )

    async def _send(
        self,
        call: Call,
        rows: Iterable[Row],
        stored: Mapping[str, StoredOperation],
        list_id: str | None,
        result: QueueUpdate,
    ) -> None:
        most = bulk.max_row_bytes(call, self._end.to.revision, list_id)
        fitting: list[Row] = []
        large: list[Row] = []
        for row in rows:
            (fitting if len(row.item) <= most else large).append(row)
        made = bulk.pack_rows(call, fitting, self._end.to.revision, list_id)
        await asyncio.gather(*(self._request(each, stored, list_id, result) for each in made))
        alone = [stored[one.id] for row in large for one in row.operations]
        await self._alone(None, alone, "it is too large for a bulk call", result)

    async def _request(
        self,
        made: BulkRequest,
        stored: Mapping[str, StoredOperation],
        list_id: str | None,
        result: QueueUpdate,
    ) -> None:
        call = made.request.call
        operations = [stored[operation.id] for operation in made.request.operations]
        opened: list[int] = []
        began = self._end.clock()

        async def open_request() -> None:
            if not opened:
                opened.append(await self._end.open(made.request, operations))

        try:
            answer = await self._end.to.client.call(
                call,
                body=made.request.body,
                # A second job beside a first one that may run could end before it.
                retry_mode="certain" if call == IMPORT_CALL else "always",
                priority="bulk",
                before_attempt=open_request,
            )
        except StaleOperations as stale:
            result.reload = True
            result.done.extend(each for each in operations if each.seq in stale.seqs)
            left = [
                row
                for row in made.rows
                if not any(stored[one.id].seq in stale.seqs for one in row.operations)
            ]
            rest = {one.id for row in left for one in row.operations}
            result.again.extend(
                each for each in operations if each.operation.id not in rest and each.seq not in stale.seqs
            )
            await self._send(call, left, stored, list_id, result)
        except InvalidRequest as error:
            await self._cut(opened[0], made, stored, list_id, error, result)
        except KlaviyoError as error:
            if (
                call == IMPORT_CALL
                and opened
                and error.may_have_arrived
                and isinstance(error, Unavailable | UnreadableResponse)
            ):
                await self._lost(
                    JobWait(opened[0], None, operations, began), len(made.rows), str(error), result
                )
                return
            await self._refused(opened[0] if opened else None, operations, error, result)
        else:
            if call == EVENTS_CALL:
                await self._settle(
                    opened[0], operations, "unconfirmed", answer.status, answer.duration_ms, result
                )
            else:
                job = str(resource_of(answer.body).get("id") or "")
                if not job:
                    unnamed = "Klaviyo's answer names no job"
                    await self._lost(
                        JobWait(opened[0], None, operations, began), len(made.rows), unnamed, result
                    )
                    return
                await self._end.note_job(opened[0], job)
                wait = JobWait(opened[0], job, operations, self._end.clock())
                await self._follow(wait, made, stored, answer.duration_ms, result)

    async def _lost(self, wait: JobWait, rows: int, detail: str, result: QueueUpdate) -> None:
        """Nobody knows whether a job runs: those that may be it are waited for, then the rows are sent again."""
        self._end.wait_only()
        lost, slow = self._end.clock(), partial(self._slow.report_slow, wait)
        try:
            await wait_for_possible_jobs(
                self._end.to.client,
                wait.since,
                lost,
                rows,
                self._jobs,
                slow,
                self._slow.seconds_until_slow(wait),
            )
        except KlaviyoError as error:
            if not await self._unread(wait, error, result):
                await self._slow.report_over(wait)
                await self._refused(wait.request, wait.operations, error, result)
        else:
            await self._slow.report_over(wait)
            await self._end.delay(wait.request, wait.operations, Action("delay", detail), result)

    async def _follow(
        self,
        wait: JobWait,
        made: BulkRequest,
        stored: Mapping[str, StoredOperation],
        ms: int,
        result: QueueUpdate,
    ) -> None:
        """Polls an import job to its end, however far that is, and settles every row of it.

        Only a job that was cancelled or is gone has its rows sent again. One that this key may not read is followed
        again with another.
        """
        assert wait.job is not None
        request, job = wait.request, wait.job
        try:
            slow = partial(self._slow.report_slow, wait)
            attributes = await self._jobs.wait_until_ended(job, slow, self._slow.seconds_until_slow(wait))
            complete = attributes.get("status") == "complete"
            errors = await self._jobs.read_errors(job) if complete and attributes.get("failed_count") else []
            why = None if complete else "the import job was cancelled"
        except KlaviyoError as error:
            if await self._unread(wait, error, result):
                return
            attributes, errors, why = {}, [], f"the import job {job} can't be read: {error}"
        await self._slow.report_over(wait)
        if why is not None:
            await self._end.delay(request, wait.operations, Action("delay", why), result)
            return
        failed = row_errors.errors_by_row(errors, made.rows)
        wrong = row_errors.find_imbalance(attributes, len(made.rows), len(failed))
        if wrong is not None:
            await self._imbalance(job, attributes, len(made.rows), len(failed), wrong)
        settled: list[SettledOperation] = []
        behind: list[StoredOperation] = []
        conflicts: list[StoredOperation] = []
        apart: list[StoredOperation] = []
        for index, row in enumerate(made.rows):
            if not row.operations:
                continue
            first, *others = (stored[one.id] for one in row.operations)
            refusal = failed.get(index)
            if refusal is None:
                outcome: Outcome = "written" if wrong is None else "unconfirmed"
                settled += [_of_job(each, outcome, job, ms, wrong) for each in (first, *others)]
            elif any(each.operation.call == coalescing.UPSERT_CALL for each in others):
                # Which of the folded updates it was, single calls tell.
                apart += [first, *others]
            elif (
                refusal.code == row_errors.CONFLICT_CODE
                and first.operation.call == Call.CREATE_OR_UPDATE_PROFILE
            ):
                conflicts += [first, *others]
            else:
                settled.append(_of_job(first, "failed", job, ms, refusal.reason))
                behind += others
        await self._end.settle(request, settled, result)
        # What a conflict comes to is decided where a single call meets it.
        await self._alone(request, conflicts, "its identifiers belong to several profiles", result)
        await self._alone(request, apart, "one of the updates that were sent as one was refused", result)
        if behind:
            # The journal lets an addition go the way of its failed upsert.
            now = self._end.clock()
            delayed = [DelayedOperation(each, now, "its upsert failed") for each in behind]
            await self._end.journal.answer_request(request, delayed=delayed, now=now)
            result.done.extend(behind)

    async def _unread(self, wait: JobWait, error: KlaviyoError, result: QueueUpdate) -> bool:
        """Whether it is the key that may not read jobs: then the request stays open, for the job may run."""
        found = action_for(error, "bulk")
        if found.cause not in KEY_CAUSES:
            return False
        await self._end.leave_open(wait.request, wait.operations, found, result)
        return True

    async def _imbalance(
        self, job: str, attributes: Mapping[str, Any], accepted: int, named: int, wrong: str
    ) -> None:
        """The rows without a failure stay unconfirmed; what does not add up is kept for `askel doctor`."""
        log.error("import job %s: %s", job, wrong)
        counted = {name: attributes.get(name) for name in ("total_count", "completed_count", "failed_count")}
        figures = {"job": job, "accepted": accepted, "failed": named, "unconfirmed": accepted - named}
        detail = {**figures, "counted": counted, "detail": wrong}
        decision = Decision(IMBALANCE_KIND, "askel", self._end.to.name, detail=detail)
        await self._end.journal.write_decision(decision, self._end.clock())

    async def _cut(
        self,
        request: int,
        made: BulkRequest,
        stored: Mapping[str, StoredOperation],
        list_id: str | None,
        error: InvalidRequest,
        result: QueueUpdate,
    ) -> None:
        """A whole call was refused: rows that it names go by themselves, the others again without them."""
        named = {
            bulk.row_index_of(item.pointer or "")
            for item in error.errors
            if "relationships" not in (item.pointer or "")
        }
        bad = {index for index in named if index is not None and index < len(made.rows)}
        now = self._end.clock()
        operations = [stored[one.id] for one in made.request.operations]
        delayed = [DelayedOperation(each, now, str(error)) for each in operations]
        await self._end.journal.answer_request(request, delayed=delayed, now=now)
        alone = [row for index, row in enumerate(made.rows) if index in bad or not bad]
        rest = [row for index, row in enumerate(made.rows) if bad and index not in bad]
        result.single_only.update(stored[one.id].seq for row in alone for one in row.operations)
        result.again.extend(stored[one.id] for row in alone for one in row.operations)
        if rest:
            await self._send(made.request.call, rest, stored, list_id, result)

    async def _refused(
        self,
        request: int | None,
        operations: Sequence[StoredOperation],
        error: KlaviyoError,
        result: QueueUpdate,
    ) -> None:
        found = action_for(error, "bulk")
        if isinstance(error, InvalidRequest | NotInAccount) or found.kind in ("fail", "look"):
            # The list may be gone, or an event already stored: single calls tell which.
            await self._alone(request, operations, str(error), result)
        elif found.kind == "hold":
            await self._end.hold(request, operations, found, result)
        else:
            await self._end.delay(request, operations, found, result)

    async def _alone(
        self, request: int | None, operations: Sequence[StoredOperation], detail: str, result: QueueUpdate
    ) -> None:
        if operations:
            result.single_only.update(each.seq for each in operations)
            await self._end.delay(request, operations, Action("delay", detail, wait_ms=0), result)

    async def _settle(
        self,
        request: int,
        operations: Sequence[StoredOperation],
        outcome: Outcome,
        status: int,
        ms: int,
        result: QueueUpdate,
    ) -> None:
        await self._end.settle(
            request,
            (
                SettledOperation(each, outcome, status=status, detail=replay_remark(each.operation), ms=ms)
                for each in operations
            ),
            result,
        )


def row_operations(profiles: Iterable[ProfileUpdates]) -> Iterator[StoredOperation]:
    """The operations of rows, in their order."""
    for upserts, addition in profiles:
        yield from upserts
        if addition is not None:
            yield addition


def _by_id(operations: Iterable[StoredOperation]) -> dict[str, StoredOperation]:
    return {stored.operation.id: stored for stored in operations}


def _of_job(
    stored: StoredOperation, outcome: Outcome, job: str, ms: int, detail: str | None
) -> SettledOperation:
    return SettledOperation(stored, outcome, status=202, response=_named(job), detail=detail, ms=ms)


@lru_cache(maxsize=8)
def _named(job: str) -> bytes:
    return json.dumps({"data": {"type": "profile-bulk-import-job", "id": job}}).encode()
